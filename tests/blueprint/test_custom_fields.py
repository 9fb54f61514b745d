"""Fields that clients add: checked, found with an index, and changed without breaking records.

How it is done stands in ``004_custom_fields.sql``, why in decision 0018.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.errors import (
    CheckViolation,
    InsufficientPrivilege,
    RestrictViolation,
    UniqueViolation,
)
from psycopg.types.json import Jsonb

from tests.blueprint.conftest import Server
from tests.blueprint.people import Crm


def define(crm: Crm, key: str, type_: str, **how: Any) -> Any:
    how = {name: Jsonb(value) if name == "options" else value for name, value in how.items()}
    return crm.insert(
        "custom_field_definitions",
        **{"entity": "contacts", "key": key, "title": key.title(), "type": type_, **how},
    )


def add(crm: Crm, table: str = "contacts", **fields: object) -> Any:
    named: dict[str, dict[str, object]] = {
        "contacts": {"last_name": "Lovelace"},
        "companies": {"name": "ACME"},
        "deals": {"name": "Engine", **(crm.first_stage if table == "deals" else {})},
    }
    return crm.insert(table, custom_fields=Jsonb(fields), **named[table])


def problem_with(crm: Crm, table: str = "contacts", **fields: object) -> str:
    with pytest.raises(CheckViolation) as caught, crm.connection.transaction():
        add(crm, table, **fields)
    error = caught.value.diag
    assert error.table_name == table
    detail = json.loads(error.message_detail or "")
    assert error.message_primary == (
        f'custom field "{detail["key"]}" of {table} {detail["problem"]}'
    )
    return f"{detail['key']} {detail['problem']}"


GOOD_AND_BAD: list[tuple[str, dict[str, Any], list[Any], list[tuple[Any, str]]]] = [
    (
        "number", {"minimum": 1, "maximum": 10}, [1, 10, 2.5, None],
        [
            ("1", "must be a number"), (0, "must be at least 1"), (11, "must be at most 10"),
            ([1], "must be a number"), (True, "must be a number"),
        ],
    ),
    ("number", {}, [0, -1e15, 0.1], [(1e16, "is too large a number")]),
    ("boolean", {}, [True, False, None], [("true", "must be true or false")]),
    (
        "date", {}, ["2024-02-29", "1999-12-31"],
        [
            (wrong, "must be a date as YYYY-MM-DD")
            for wrong in ("2023-02-29", "2024-13-01", "2024-04-31", "0000-01-01", "24-1-1", 20240101,
                          "2024-01-00", "2024-01-01 ", "tomorrow")
        ],
    ),
    (
        "select", {"options": ["red", "green"]}, ["red"],
        [("blue", "must be one of the choices"), (["red"], "must be one of the choices")],
    ),
    (
        "multi_select", {"options": ["red", "green", "blue"], "maximum": 2, "minimum": 1},
        [["red"], ["blue", "red"]],
        [
            ("red", "must be a list of the choices"), (["black"], "must be a list of the choices"),
            (["red", "red"], "must not name a choice twice"), ([], "must be at least 1 choices"),
            (["red", "green", "blue"], "must be at most 2 choices"),
        ],
    ),
    (
        "text", {"minimum": 2, "maximum": 4, "pattern": "[A-Z]+|x{3}"}, ["AB", "xxx"],
        [
            ("A", "must be at least 2 characters long"), ("ABCDE", "must be at most 4 characters long"),
            ("ab", "does not have the form that is asked for"),
            ("ABx", "does not have the form that is asked for"), (7, "must be a text"),
        ],
    ),
    ("text", {}, ["", "x" * 500], [("x" * 501, "is too long")]),
    ("long_text", {}, ["x" * 100_000], [("x" * 100_001, "is too long")]),
    (
        "url", {}, ["https://example.com/a?b#c", "http://localhost"],
        [
            (wrong, "must be an address that begins with https:// or http://")
            for wrong in ("example.com", "ftp://example.com", "javascript:alert(1)", "https://a b")
        ],
    ),
    ("email", {}, ["ada@example.com"], [("ada", "must be an email address")]),
]  # fmt: skip


@pytest.mark.parametrize(("type_", "how", "good", "bad"), GOOD_AND_BAD)
def test_values_are_checked_against_their_definition(
    crm: Crm, type_: str, how: dict[str, Any], good: list[Any], bad: list[tuple[Any, str]]
) -> None:
    define(crm, "field", type_, **how)
    contact = add(crm)
    update = "update public.contacts set custom_fields = %s where id = %s"
    for value in good:
        add(crm, field=value)
        crm.connection.execute(update, [Jsonb({"field": value}), contact])
    crm.connection.execute(update, [Jsonb({}), contact])
    for value, problem in bad:
        assert problem_with(crm, field=value) == f"field {problem}"
        with pytest.raises(CheckViolation), crm.connection.transaction():
            crm.connection.execute(update, [Jsonb({"field": value}), contact])


@pytest.mark.parametrize(
    ("type_", "how"),
    [
        ("select", {}),
        ("text", {"options": ["a"]}),
        ("select", {"options": ["a", 1]}),
        ("select", {"options": [""]}),
        ("number", {"minimum": 2, "maximum": 1}),
        ("date", {"minimum": 2}),
        ("number", {"pattern": "x"}),
        ("boolean", {"is_unique": True}),
    ],
)
def test_a_definition_that_makes_no_sense_is_refused(
    crm: Crm, type_: str, how: dict[str, Any]
) -> None:
    with pytest.raises(CheckViolation), crm.connection.transaction():
        define(crm, "field", type_, **how)


def test_a_pattern_that_is_none_is_refused(crm: Crm) -> None:
    with pytest.raises(psycopg.errors.InvalidRegularExpression), crm.connection.transaction():
        define(crm, "field", "text", pattern="(")


@pytest.mark.parametrize("table", ["contacts", "companies", "deals"])
def test_unknown_keys_and_missing_required_fields_are_refused_for_each_kind_of_record(
    crm: Crm, table: str
) -> None:
    assert problem_with(crm, table, typo=1) == "typo is not defined"
    add(crm, table)
    define(crm, "budget", "number", entity=table, is_required=True)
    assert problem_with(crm, table) == "budget is required"
    assert problem_with(crm, table, budget=None) == "budget is required"
    add(crm, table, budget=1)
    other = "companies" if table == "contacts" else "contacts"
    assert problem_with(crm, other, budget=1) == "budget is not defined"


def test_what_a_stricter_definition_would_refuse_stays_until_it_is_edited(crm: Crm) -> None:
    define(crm, "size", "number")
    define(crm, "note", "text")
    contact = add(crm, size=5)
    bare = add(crm)
    crm.connection.execute("update public.custom_field_definitions set maximum = 3, minimum = 1"
                           " where key = 'size'")  # fmt: skip
    crm.connection.execute(
        "update public.custom_field_definitions set is_required = true where key = 'note'"
    )
    # An edit of something else.
    crm.connection.execute("update public.contacts set job_title = 'Countess'")
    edit = "update public.contacts set custom_fields = custom_fields || %s where id = %s"
    with pytest.raises(CheckViolation, match=r"note.*is required"), crm.connection.transaction():
        crm.connection.execute(edit, [Jsonb({"size": 2}), bare])
    # The value that did not change is not looked at again.
    crm.connection.execute(edit, [Jsonb({"note": "x"}), contact])
    with pytest.raises(CheckViolation, match=r"size.*at most 3"), crm.connection.transaction():
        crm.connection.execute(edit, [Jsonb({"size": 4}), contact])
    crm.connection.execute(
        "update public.custom_field_definitions set is_active = false where key = 'note'"
    )
    crm.connection.execute(edit, [Jsonb({"size": 2}), bare])


def test_a_unique_value_is_refused_a_second_time_while_its_record_is_there(crm: Crm) -> None:
    field = define(crm, "number", "text", is_unique=True)
    first, second = add(crm, number="A1"), add(crm, number="a2")
    with pytest.raises(UniqueViolation) as caught, crm.connection.transaction():
        add(crm, number=" a1 ")
    assert caught.value.diag.message_primary == (
        'another record of contacts has the same value in the custom field "number"'
    )
    edit = "update public.contacts set custom_fields = %s where id = %s"
    with pytest.raises(UniqueViolation), crm.connection.transaction():
        crm.connection.execute(edit, [Jsonb({"number": "A2"}), first])
    with crm.acting_as("owner"):
        crm.one("select public.delete_record('contacts', %s)", second)
    crm.connection.execute(edit, [Jsonb({"number": "A2"}), first])
    with pytest.raises(UniqueViolation), crm.acting_as("owner"):
        crm.one("select public.restore_record('contacts', %s)", second)
    # Switched on only when it is so.
    unique = "update public.custom_field_definitions set is_unique = %s where id = %s"
    crm.connection.execute(unique, [False, field])
    third = add(crm, number="A2")
    with pytest.raises(UniqueViolation), crm.connection.transaction():
        crm.connection.execute(unique, [True, field])
    crm.connection.execute(edit, [Jsonb({"number": "A3"}), third])
    crm.connection.execute(unique, [True, field])


def test_a_field_with_values_is_switched_off_or_erased_but_not_deleted_or_made_another(
    crm: Crm,
) -> None:
    field = define(crm, "size", "number", is_required=True)
    contact = add(crm, size=5)
    for change in (
        "delete from public.custom_field_definitions where id = %s",
        "update public.custom_field_definitions set key = 'length' where id = %s",
        "update public.custom_field_definitions set type = 'text' where id = %s",
    ):
        with pytest.raises(RestrictViolation), crm.connection.transaction():
            crm.connection.execute(change, [field])
    crm.connection.execute(
        "update public.custom_field_definitions set title = 'Length', key = 'size' where id = %s",
        [field],
    )
    with pytest.raises(InsufficientPrivilege), crm.acting_as("manager"):
        crm.one("select public.erase_custom_field(%s)", field)
    with crm.acting_as("admin"):
        crm.one("select public.erase_custom_field(%s)", field)
    assert crm.one("select custom_fields from public.contacts where id = %s", contact) == {}
    assert crm.one(
        "select old_values -> 'custom_fields' ->> 'size' from public.audit_logs"
        " where table_name = 'contacts' and operation = 'update' and record_id = %s",
        str(contact),
    ) == "5"  # fmt: skip
    assert crm.one("select count(*) from public.custom_field_definitions") == 0


def found(crm: Crm, column: str, condition: str, *values: object) -> int:
    count = crm.one(
        f"select count(*) from public.contacts c where c.id in (select v.contact_id"
        f" from public.contact_field_values v where v.{column} {condition})", *values
    )  # fmt: skip
    assert isinstance(count, int)
    return count


def test_values_can_be_filtered_by_as_they_are_now_by_those_who_see_the_record(crm: Crm) -> None:
    define(crm, "city", "text")
    define(crm, "size", "number")
    define(crm, "since", "date")
    define(crm, "likes", "multi_select", options=["Tea", "Coffee"])
    define(crm, "story", "long_text")
    quiet = define(crm, "quiet", "text", is_filterable=False)
    with crm.acting_as("owner"):
        contact = crm.insert(
            "contacts", last_name="Lovelace", owner_id=crm.ids["owner"],
            custom_fields=Jsonb({
                "city": " Vienna", "size": 5, "since": "2024-02-29", "likes": ["Tea", "Coffee"],
                "story": "long", "quiet": "yes",
            }),
        )  # fmt: skip
        everything = [("text_value", "= %s", "vienna"), ("number_value", "> %s", 4),
                      ("date_value", "< %s", "2024-03-01"), ("text_value", "= %s", "tea"),
                      ("text_value", "= %s", "coffee")]  # fmt: skip
        for column, condition, value in everything:
            assert found(crm, column, condition, value) == 1, value
        assert crm.one("select count(*) from public.contact_field_values") == 5
    with crm.acting_as("sales"):
        assert crm.one("select count(*) from public.contact_field_values") == 0
        with pytest.raises(InsufficientPrivilege), crm.connection.transaction():
            crm.connection.execute("delete from public.contact_field_values")
    with crm.acting_as("owner"):
        crm.connection.execute(
            'update public.contacts set custom_fields = custom_fields || \'{"city": "Linz"}\''
        )
        assert found(crm, "text_value", "= %s", "vienna") == 0
        assert found(crm, "text_value", "= %s", "linz") == 1
        crm.one("select public.delete_record('contacts', %s)", contact)
    assert crm.one("select count(*) from public.contact_field_values") == 0
    with crm.acting_as("owner"):
        crm.one("select public.restore_record('contacts', %s)", contact)
        assert found(crm, "text_value", "= %s", "linz") == 1
        crm.connection.execute(
            "update public.custom_field_definitions set is_filterable = true where id = %s", [quiet]
        )
        assert found(crm, "text_value", "= %s", "yes") == 1


@pytest.fixture
def many(server: Server, own_database: str) -> Iterator[Crm]:
    """100,000 contacts of ten owners, with a city each."""
    with server.connect(own_database, "blueprint_admin") as connection:
        connection.execute("set role ghostcrm_client_owner")
        crm = Crm(connection)
        define(crm, "city", "text")
        # Loaded without triggers: this is about finding.
        with server.connect(own_database) as superuser:
            superuser.execute("set session_replication_role = replica")
            superuser.execute(
                """
                insert into public.contacts (last_name, owner_id, custom_fields)
                select 'Lovelace ' || n,
                       (array[%(sales)s, %(colleague)s, %(owner)s, %(admin)s]::uuid[])[1 + n %% 4],
                       jsonb_build_object('city', 'City ' || n %% 1000)
                from generate_series(1, 100000) n
                """,
                crm.ids,
            )
            superuser.execute(
                "insert into public.contact_field_values"
                " (contact_id, custom_field_definition_id, text_value)"
                " select c.id, d.id, lower(c.custom_fields ->> 'city')"
                " from public.contacts c, public.custom_field_definitions d"
            )
            superuser.execute("analyze public.contacts, public.contact_field_values")
        yield crm


@pytest.mark.long
def test_a_salesperson_filters_100_000_contacts_by_a_custom_field_with_an_index(many: Crm) -> None:
    define_id = many.one("select id from public.custom_field_definitions")
    with many.acting_as("sales") as connection:
        rows = connection.execute(
            """
            explain (analyze, format json)
            select c.id, c.last_name from public.contacts c
            where exists (
                select from public.contact_field_values v
                where v.contact_id = c.id and v.custom_field_definition_id = %s
                  and v.text_value = 'city 8'
            )
            order by c.created_at desc limit 50
            """,
            [define_id],
        ).fetchone()
    assert rows is not None
    nodes = list(nodes_of(rows[0][0]["Plan"]))
    assert nodes[0]["Actual Rows"] == 50
    assert "contact_field_values_text_idx" in {node.get("Index Name") for node in nodes}
    assert [
        node for node in nodes
        if node["Node Type"] == "Seq Scan" and node["Relation Name"].startswith("contact")
    ] == []  # fmt: skip


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes_of(inner)
