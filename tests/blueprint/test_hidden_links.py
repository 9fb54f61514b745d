"""Nobody links a record to one that they do not see, and so learns whose it is or writes to its timeline.

How it is done stands in ``001_helper_functions.sql`` (``private.check_links``). Which columns it concerns is
asked of the catalog: what signed-in users may write, and what points to a record that some do not see.
"""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from psycopg import sql
from psycopg.errors import CheckViolation, InsufficientPrivilege

from tests.blueprint.people import Crm

HIDDEN = ("activities", "appointments", "companies", "contacts", "deals", "invoices")

LINKS = [
    ("activities", "company_id"),
    ("activities", "contact_id"),
    ("activities", "deal_id"),
    ("appointment_attendees", "contact_id"),
    ("appointments", "company_id"),
    ("appointments", "contact_id"),
    ("appointments", "deal_id"),
    ("companies", "parent_company_id"),
    ("contacts", "company_id"),
    ("deal_contacts", "contact_id"),
    ("deals", "company_id"),
    ("deals", "contact_id"),
    ("files", "activity_id"),
    ("files", "company_id"),
    ("files", "contact_id"),
    ("files", "deal_id"),
    ("files", "invoice_id"),
    ("invoices", "company_id"),
    ("invoices", "contact_id"),
    ("invoices", "deal_id"),
]
# Links whose columns are written once, with the row.
FIXED = {"appointment_attendees", "deal_contacts"}

PART_OF_IT = "part of the record: its policies ask for the right to change that"
ADMINS = "written by owners and admins only, who see every record"
NOT_CHECKED = {
    ("appointment_attendees", "appointment_id"): PART_OF_IT,
    ("company_tags", "company_id"): PART_OF_IT,
    ("contact_emails", "contact_id"): PART_OF_IT,
    ("contact_phones", "contact_id"): PART_OF_IT,
    ("contact_tags", "contact_id"): PART_OF_IT,
    ("deal_contacts", "deal_id"): PART_OF_IT,
    ("deal_items", "deal_id"): PART_OF_IT,
    ("deal_tags", "deal_id"): PART_OF_IT,
    ("invoice_items", "invoice_id"): PART_OF_IT,
    ("email_campaign_recipients", "contact_id"): ADMINS,
    ("payment_allocations", "invoice_id"): ADMINS,
    ("payments", "company_id"): ADMINS,
    ("payments", "contact_id"): ADMINS,
}

each_link = pytest.mark.parametrize(("table", "link"), LINKS)
each_link_that_changes = pytest.mark.parametrize(
    ("table", "link"), [link for link in LINKS if link[0] not in FIXED]
)


def target_of(link: str) -> str:
    kind = link.removeprefix("parent_").removesuffix("_id")
    return {"company": "companies", "activity": "activities"}.get(kind, f"{kind}s")


def make_target(crm: Crm, link: str, owner: str) -> Any:
    """A record of this person's, made by the owner of the schema."""
    mine = {"owner_id": crm.ids[owner]}
    match target_of(link):
        case "contacts":
            return crm.insert("contacts", last_name="Lovelace", **mine)
        case "companies":
            return crm.insert("companies", name="Acme", **mine)
        case "deals":
            return crm.insert("deals", name="Engine", **crm.first_stage, **mine)
        case "activities":
            return crm.insert("activities", type="task", subject="Call", **mine)
        case _:
            company = crm.insert("companies", name="Acme", **mine)
            return crm.insert("invoices", company_id=company, currency="EUR", **mine)


def values_of(crm: Crm, table: str, link: str, target: object) -> dict[str, object]:
    """A row of the salesperson's with this link."""
    mine: dict[str, object] = {"owner_id": crm.ids["sales"], link: target}
    match table:
        case "activities":
            return {**mine, "type": "note", "subject": "Called"}
        case "appointments":
            times = {"local_start": "2026-01-05 09:00", "local_end": "2026-01-05 10:00"}
            return {**mine, "title": "Demo", **times}
        case "companies":
            return {**mine, "name": "Daughter"}
        case "contacts":
            return {**mine, "last_name": "Byron"}
        case "deals":
            return {**mine, "name": "Deal", **crm.first_stage}
        case "files":
            return {**mine, "path": str(uuid.uuid4()), "name": "a.pdf", "size_bytes": 1}
        case "invoices":
            # An invoice is to somebody; of two links, the one under test is the hidden one.
            buyer = "contact_id" if link == "company_id" else "company_id"
            return {**mine, "currency": "EUR", buyer: make_target(crm, buyer, "sales")}
        case "deal_contacts":
            return {"deal_id": make_target(crm, "deal_id", "sales"), link: target}
        case _:
            appointment = crm.insert(
                "appointments", owner_id=crm.ids["sales"], title="Demo",
                local_start="2026-01-05 09:00", local_end="2026-01-05 10:00",
            )  # fmt: skip
            return {"appointment_id": appointment, link: target}


def insert(crm: Crm, table: str, values: dict[str, object]) -> None:
    crm.connection.execute(
        sql.SQL("insert into public.{} ({}) values ({})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(sql.Placeholder() * len(values)),
        ),
        list(values.values()),
    )


def set_column(crm: Crm, table: str, column: str, value: object, where: str, is_: object) -> int:
    return crm.connection.execute(
        sql.SQL("update public.{} set {} = %s where {} = %s").format(
            sql.Identifier(table), sql.Identifier(column), sql.Identifier(where)
        ),
        [value, is_],
    ).rowcount


def test_every_link_to_a_record_is_checked_or_says_why_not(crm: Crm) -> None:
    rows = crm.connection.execute(
        """
        select t.relname, a.attname,
               has_column_privilege('authenticated', t.oid, a.attnum, 'INSERT'),
               has_column_privilege('authenticated', t.oid, a.attnum, 'UPDATE')
        from pg_constraint k
        join pg_class t on t.oid = k.conrelid and t.relnamespace = 'public'::regnamespace
        join pg_class target on target.oid = k.confrelid
        join pg_attribute a on a.attrelid = t.oid and a.attnum = any (k.conkey)
        where k.contype = 'f' and target.relname = any (%s)
          and a.attname not in ('currency', 'status')
          and (has_column_privilege('authenticated', t.oid, a.attnum, 'INSERT')
               or has_column_privilege('authenticated', t.oid, a.attnum, 'UPDATE'))
        """,
        [list(HIDDEN)],
    ).fetchall()
    assert {(table, link) for table, link, *_ in rows} == {*LINKS, *NOT_CHECKED}
    assert {table for table, link, _, changes in rows if (table, link) in LINKS and changes} == {
        table for table, _ in LINKS if table not in FIXED
    }


@each_link
def test_a_salesperson_links_no_new_row_to_a_hidden_record(crm: Crm, table: str, link: str) -> None:
    hidden = make_target(crm, link, "colleague")
    mine = make_target(crm, link, "sales")
    values = values_of(crm, table, link, hidden)
    refused = []
    # What is hidden and what does not exist are refused in the same words.
    for target in (hidden, uuid.uuid4()):
        with (
            crm.acting_as("sales") as connection,
            pytest.raises(InsufficientPrivilege) as caught,
            connection.transaction(),
        ):
            insert(crm, table, {**values, link: target})
        refused.append(caught.value.diag.message_primary)
    assert refused == [f'new row violates row-level security policy for table "{table}"'] * 2
    with crm.acting_as("sales"):
        insert(crm, table, {**values, link: mine})
    if "path" in values:
        values["path"] = "of the service"
    crm.connection.execute("set local role service_role")
    insert(crm, table, {**values, link: hidden})


@each_link_that_changes
def test_a_salesperson_links_no_row_of_theirs_to_a_hidden_record(
    crm: Crm, table: str, link: str
) -> None:
    hidden = make_target(crm, link, "colleague")
    mine, another = (make_target(crm, link, "sales") for _ in range(2))
    row = crm.insert(table, **values_of(crm, table, link, mine))
    with crm.acting_as("sales"):
        with pytest.raises(InsufficientPrivilege), crm.connection.transaction():
            set_column(crm, table, link, hidden, "id", row)
        assert set_column(crm, table, link, another, "id", row) == 1
    crm.connection.execute("set local role service_role")
    assert set_column(crm, table, link, hidden, "id", row) == 1


@each_link_that_changes
def test_a_row_stays_its_owners_to_change_when_its_record_was_handed_over(
    crm: Crm, table: str, link: str
) -> None:
    target = make_target(crm, link, "sales")
    row = crm.insert(table, **values_of(crm, table, link, target))
    set_column(crm, target_of(link), "owner_id", crm.ids["colleague"], "id", target)
    column = {
        "activities": "subject", "appointments": "title", "companies": "industry",
        "contacts": "job_title", "deals": "source", "files": "name", "invoices": "notes",
    }[table]  # fmt: skip
    with crm.acting_as("sales"):
        assert set_column(crm, table, column, "Changed", "id", row) == 1
        # An application sends the whole row back.
        assert set_column(crm, table, link, target, "id", row) == 1


def test_a_hidden_owner_is_not_told_and_managers_link_to_what_they_read(crm: Crm) -> None:
    hidden = crm.insert("contacts", last_name="Lovelace", owner_id=crm.ids["colleague"])
    statement = (
        "insert into public.activities (owner_id, type, subject, contact_id)"
        " values (%s, 'note', 'x', %s) returning record_owner_key"
    )
    with (
        crm.acting_as("sales") as connection,
        pytest.raises(InsufficientPrivilege),
        connection.transaction(),
    ):
        connection.execute(statement, [crm.ids["sales"], hidden])
    with crm.acting_as("manager"):
        assert crm.one(statement, crm.ids["manager"], hidden) == crm.ids["colleague"]


def test_what_is_made_by_one_statement_may_be_linked(crm: Crm) -> None:
    with crm.acting_as("sales"):
        assert crm.one(
            """
            with company as (
                insert into public.companies (owner_id, name) values (%(me)s, 'Acme') returning id
            ), contact as (
                insert into public.contacts (owner_id, last_name, company_id)
                select %(me)s, 'Lovelace', id from company returning id
            )
            select count(*) from contact
            """.replace("%(me)s", f"'{crm.ids['sales']}'")
        ) == 1  # fmt: skip


def test_an_activity_dated_ahead_counts_as_of_now(crm: Crm) -> None:
    contact = crm.insert("contacts", last_name="Lovelace")
    crm.insert("activities", type="note", subject="x", contact_id=contact, occurred_at="9999-01-01")
    query = "select last_activity_at = now() from public.contacts where id = %s"
    assert crm.one(query, contact) is True


def test_a_file_is_no_larger_than_a_tebibyte(crm: Crm) -> None:
    crm.insert("files", path="largest", name="a", size_bytes=2**40)
    for size in (-1, 2**40 + 1, 2**63 - 1):
        with pytest.raises(CheckViolation), crm.connection.transaction():
            crm.insert("files", path="larger", name="a", size_bytes=size)
