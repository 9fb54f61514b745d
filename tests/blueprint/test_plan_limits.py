"""The plan is kept inside the client database: to the row, by everybody, also at once.

How it is done stands in ``002_plan_limits.sql``, why in decision 0012.
"""

from __future__ import annotations

import contextlib
import json
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import psutil
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.errors import InsufficientPrivilege, SerializationFailure

from tests.blueprint.conftest import Server, copied
from tests.blueprint.people import Crm, create_profile, create_user

PLAN_LIMIT = "PT402"
EVERYTHING = (
    "basic_crm", "full_crm", "email_templates", "basic_reports", "advanced_reports", "automation",
    "advanced_automation", "integrations", "api_access", "white_label",
)  # fmt: skip


def set_plan(
    connection: psycopg.Connection,
    *,
    users: int | None = None,
    contacts: int | None = None,
    storage_bytes: int | None = None,
    features: tuple[str, ...] = EVERYTHING,
) -> None:
    connection.execute(
        """
        insert into public.client_plan
            (plan, title, priority, max_users, max_contacts, max_storage_bytes, features)
        values ('starter', 'Starter', 0, %s, %s, %s, %s)
        on conflict (is_the_plan) do update set
            max_users = excluded.max_users, max_contacts = excluded.max_contacts,
            max_storage_bytes = excluded.max_storage_bytes, features = excluded.features
        """,
        [users, contacts, storage_bytes, list(features)],
    )


def add_contacts(connection: psycopg.Connection, count: int) -> None:
    connection.execute(
        "insert into public.contacts (last_name) select 'Lovelace' from generate_series(1, %s)",
        [count],
    )


def usage(connection: psycopg.Connection) -> dict[str, tuple[int, int | None]]:
    rows = connection.execute("select resource, used, allowed from private.plan_usage()").fetchall()
    return {resource: (used, allowed) for resource, used, allowed in rows}


def drift(connection: psycopg.Connection) -> dict[str, int]:
    rows = connection.execute("select resource, drift from private.recount_plan_usage()").fetchall()
    return dict(rows)


NO_DRIFT = {"users": 0, "contacts": 0, "storage_bytes": 0}


@contextlib.contextmanager
def refused(connection: psycopg.Connection) -> Iterator[pytest.ExceptionInfo[psycopg.Error]]:
    """The block must be refused because of the plan, at its statement; it leaves no trace."""
    with pytest.raises(psycopg.Error) as caught, connection.transaction():
        yield caught
    assert caught.value.sqlstate == PLAN_LIMIT, caught.value


def as_owner(server: Server, database: str) -> psycopg.Connection:
    connection = server.connect(database, "blueprint_admin")
    connection.execute("set role ghostcrm_client_owner")
    return connection


# One session --------------------------------------------------------------------------------------


def test_what_is_over_the_limit_is_refused_with_words_for_people_and_for_programs(
    crm: Crm,
) -> None:
    set_plan(crm.connection, contacts=1_000)
    add_contacts(crm.connection, 1_000)
    with refused(crm.connection) as caught, crm.acting_as("owner"):
        add_contacts(crm.connection, 1)
    error = caught.value.diag
    assert (
        error.message_primary == "The plan Starter allows 1,000 contacts; this would be 1 too many."
    )
    assert error.message_hint == (
        "Delete contacts that you no longer need, or change to a larger plan."
    )
    assert json.loads(error.message_detail or "") == {
        "resource": "contacts", "allowed": 1_000, "used": 1_000, "requested": 1,
    }  # fmt: skip


@pytest.mark.parametrize("role", ["authenticated", "service_role", "ghostcrm_client_owner"])
def test_everybody_is_bound_and_may_go_on_reading_editing_and_deleting(crm: Crm, role: str) -> None:
    set_plan(crm.connection, contacts=2)
    add_contacts(crm.connection, 2)

    @contextlib.contextmanager
    def as_role() -> Iterator[None]:
        with crm.acting_as("owner") as connection:
            connection.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
            yield

    with refused(crm.connection), as_role():
        add_contacts(crm.connection, 1)
    with as_role():
        assert crm.one("select count(*) from public.contacts") == 2
        crm.connection.execute("update public.contacts set job_title = 'Countess'")
    first = crm.one("select id from public.contacts limit 1")
    with crm.acting_as("owner"):
        crm.one("select public.delete_record('contacts', %s)", first)
    with as_role():
        add_contacts(crm.connection, 1)
    with refused(crm.connection), crm.acting_as("owner"):
        crm.one("select public.restore_record('contacts', %s)", first)
    assert usage(crm.connection)["contacts"] == (2, 2)
    assert drift(crm.connection) == NO_DRIFT


def test_who_may_not_write_anyway_is_told_that_and_not_about_the_plan(crm: Crm) -> None:
    set_plan(crm.connection, contacts=1, features=())
    add_contacts(crm.connection, 1)
    with crm.acting_as("viewer"):
        with pytest.raises(InsufficientPrivilege), crm.connection.transaction():
            add_contacts(crm.connection, 1)
        with pytest.raises(InsufficientPrivilege), crm.connection.transaction():
            crm.connection.execute(
                "insert into public.workflows (name, trigger_type) values ('Greet', 'manual')"
            )


def test_active_profiles_are_the_users(crm: Crm) -> None:
    set_plan(crm.connection, users=6)
    assert usage(crm.connection)["users"] == (6, 6)
    create_user(crm.connection, seventh := uuid.uuid4(), "seventh")
    with refused(crm.connection) as caught:
        create_profile(crm.connection, seventh, "sales")
    assert caught.value.diag.message_primary == (
        "The plan Starter allows 6 active users; this would be 1 too many."
    )
    with crm.acting_as("owner"):
        crm.one("select public.set_profile_active(%s, false)", crm.ids["colleague"])
    create_profile(crm.connection, seventh, "sales")
    with refused(crm.connection), crm.acting_as("owner"):
        crm.one("select public.set_profile_active(%s, true)", crm.ids["colleague"])
    with crm.acting_as("owner"):
        crm.one("select public.set_profile_active(%s, false)", seventh)
        crm.one("select public.set_profile_active(%s, true)", crm.ids["colleague"])
    assert usage(crm.connection)["users"] == (6, 6)
    assert drift(crm.connection) == NO_DRIFT


def test_bytes_of_files_follow_size_deletion_and_restoring(crm: Crm) -> None:
    set_plan(crm.connection, storage_bytes=10_000)
    files = [
        crm.insert("files", path=f"{n}", name=f"{n}", size_bytes=size)
        for n, size in enumerate((4_000, 6_000))
    ]
    with refused(crm.connection) as caught:
        crm.connection.execute("update public.files set size_bytes = size_bytes + 1024")
    assert caught.value.diag.message_primary == (
        "The plan Starter allows 9.8 kB of files; this would be 2 kB too much."
    )
    crm.connection.execute("update public.files set size_bytes = 5000")
    with refused(crm.connection):
        crm.insert("files", path="c", name="c", size_bytes=1)
    crm.insert("files", path="empty", name="empty", size_bytes=0)
    with crm.acting_as("admin"):
        crm.one("select public.delete_record('files', %s)", files[0])
    crm.insert("files", path="d", name="d", size_bytes=5_000)
    with refused(crm.connection), crm.acting_as("admin"):
        crm.one("select public.restore_record('files', %s)", files[0])
    crm.connection.execute("delete from public.files where path = 'd'")
    with crm.acting_as("admin"):
        crm.one("select public.restore_record('files', %s)", files[0])
    assert usage(crm.connection)["storage_bytes"] == (10_000, 10_000)
    assert drift(crm.connection) == NO_DRIFT


def test_a_bulk_load_goes_in_whole_or_not_at_all(crm: Crm) -> None:
    set_plan(crm.connection, contacts=100)

    def load(count: int) -> None:
        with (
            crm.connection.cursor() as cursor,
            cursor.copy("copy public.contacts (last_name, external_key) from stdin") as copy,
        ):
            for number in range(count):
                copy.write_row(["Lovelace", str(number)])

    with refused(crm.connection):
        load(101)
    load(100)
    upsert = """
        insert into public.contacts (last_name, external_key)
        select 'Byron', n::text from generate_series(%s::integer, %s::integer) n
        on conflict (external_key) do update set last_name = excluded.last_name
        """
    crm.connection.execute(upsert, [0, 99])
    with refused(crm.connection):
        crm.connection.execute(upsert, [50, 100])
    crm.connection.execute("truncate public.contacts cascade")
    assert usage(crm.connection)["contacts"] == (0, 100)
    load(100)
    assert drift(crm.connection) == NO_DRIFT


def test_many_single_inserts_in_one_transaction_are_counted_like_one(crm: Crm) -> None:
    set_plan(crm.connection, contacts=300)
    for _ in range(300):
        add_contacts(crm.connection, 1)
    with refused(crm.connection):
        add_contacts(crm.connection, 1)
    crm.connection.execute("set constraints all immediate")
    assert crm.one("select count(*) from private.plan_usage_changes") == 0
    assert usage(crm.connection)["contacts"] == (300, 300)
    assert drift(crm.connection) == NO_DRIFT


def test_a_change_of_the_plan_takes_effect_at_once_and_one_that_does_not_fit_takes_nothing_away(
    crm: Crm,
) -> None:
    set_plan(crm.connection, contacts=3)
    add_contacts(crm.connection, 3)
    set_plan(crm.connection, contacts=5)
    add_contacts(crm.connection, 2)
    set_plan(crm.connection, contacts=2)
    assert usage(crm.connection)["contacts"] == (5, 2)
    with refused(crm.connection) as caught:
        add_contacts(crm.connection, 1)
    assert caught.value.diag.message_primary == (
        "The plan Starter allows 2 contacts; this would be 4 too many."
    )
    crm.connection.execute("update public.contacts set job_title = 'Countess'")
    crm.connection.execute(
        "delete from public.contacts where id in (select id from public.contacts limit 3)"
    )
    with refused(crm.connection):
        add_contacts(crm.connection, 1)
    crm.connection.execute("update public.client_plan set max_contacts = null")
    add_contacts(crm.connection, 10)
    assert usage(crm.connection)["contacts"] == (12, None)


def test_the_limits_can_be_lifted_for_a_transaction_that_is_rolled_back(crm: Crm) -> None:
    set_plan(crm.connection, users=6, contacts=1, storage_bytes=1, features=())
    add_contacts(crm.connection, 1)
    with refused(crm.connection):
        add_contacts(crm.connection, 1)
    with crm.connection.transaction(force_rollback=True):
        crm.connection.execute(
            "update public.client_plan set max_users = null, max_contacts = null,"
            " max_storage_bytes = null, features = %s", [list(EVERYTHING)],
        )  # fmt: skip
        add_contacts(crm.connection, 1)
        crm.insert("files", path="a", name="a", size_bytes=100)
        crm.insert("workflows", name="Greet", trigger_type="manual")
        crm.connection.execute("set constraints all immediate")
    assert usage(crm.connection) == {
        "users": (6, 6), "contacts": (1, 1), "storage_bytes": (0, 1), "workflows": (0, 0),
    }  # fmt: skip


def test_without_automation_nothing_new_is_automated(crm: Crm) -> None:
    set_plan(crm.connection, features=("full_crm", "automation"))
    workflow = crm.insert("workflows", name="Greet", trigger_type="manual", is_active=True)
    other = crm.insert("workflows", name="Remind", trigger_type="manual")
    assert usage(crm.connection)["workflows"] == (2, None)
    set_plan(crm.connection, features=("basic_crm",))
    assert usage(crm.connection)["workflows"] == (2, 0)
    for name in ("owner", "admin"):
        with refused(crm.connection) as caught, crm.acting_as(name):
            crm.insert("workflows", name="Another", trigger_type="manual")
        assert caught.value.diag.message_primary == "The plan Starter does not include workflows."
        assert json.loads(caught.value.diag.message_detail or "") == {
            "resource": "workflows",
            "allowed": 0,
            "any_of_features": ["automation", "advanced_automation"],
        }
    with refused(crm.connection), crm.acting_as("owner"):
        crm.connection.execute(
            "update public.workflows set is_active = true where id = %s", [other]
        )
    with refused(crm.connection):
        crm.insert("workflow_runs", workflow_id=workflow, version=1)
    with crm.acting_as("owner"):
        crm.connection.execute("update public.workflows set name = 'Greeting', is_active = false")
        crm.connection.execute("delete from public.workflows")
    assert usage(crm.connection)["workflows"] == (0, 0)


def test_usage_is_told_to_people_of_the_client_and_another_plan_can_be_tried(crm: Crm) -> None:
    set_plan(crm.connection, users=10, contacts=5, storage_bytes=100)
    add_contacts(crm.connection, 4)
    crm.insert("workflows", name="Greet", trigger_type="manual")
    query = "select resource, used, allowed from public.plan_usage()"
    for name in ("owner", "viewer"):
        with crm.acting_as(name):
            assert crm.connection.execute(query).fetchall() == [
                ("users", 6, 10), ("contacts", 4, 5), ("storage_bytes", 0, 100),
                ("workflows", 1, None),
            ]  # fmt: skip
    with crm.acting_as("stranger"):
        assert crm.connection.execute(query).fetchall() == []
        with pytest.raises(InsufficientPrivilege), crm.connection.transaction():
            crm.connection.execute("select private.plan_usage()")
    assert crm.connection.execute(
        "select resource, allowed, used - allowed from private.plan_usage(5, 3, null, '{basic_crm}')"
        " where used > allowed"
    ).fetchall() == [("users", 5, 1), ("contacts", 3, 1), ("workflows", 0, 1)]


def test_a_recount_reports_and_corrects_what_was_written_with_triggers_off(crm: Crm) -> None:
    add_contacts(crm.connection, 2)
    crm.connection.execute("alter table public.contacts disable trigger user")
    add_contacts(crm.connection, 3)
    crm.connection.execute("alter table public.contacts enable trigger user")
    assert usage(crm.connection)["contacts"] == (2, None)
    assert drift(crm.connection) == {**NO_DRIFT, "contacts": 3}
    assert usage(crm.connection)["contacts"] == (5, None)
    assert drift(crm.connection) == NO_DRIFT


# Against a model ----------------------------------------------------------------------------------

Operation = tuple[Any, ...]

some = st.integers(0, 6)
simple_operations = st.one_of(
    st.tuples(st.sampled_from(["insert", "copy", "delete", "soft delete", "restore"]), some),
    st.tuples(st.sampled_from(["insert"] * 4 + ["delete", "restore", "truncate"]), some),
    st.tuples(st.just("limit"), st.one_of(st.none(), st.integers(1, 12))),
)
operations = st.recursive(
    simple_operations,
    lambda inner: st.tuples(
        st.just("savepoint"), st.lists(inner, max_size=5), st.sampled_from(["keep", "undo"])
    ),
    max_leaves=10,
)
transactions = st.lists(
    st.tuples(st.lists(operations, max_size=6), st.sampled_from(["commit", "commit", "roll back"])),
    max_size=6,
)


class Model:
    """What a client database must do, in numbers."""

    def __init__(self) -> None:
        self.living = 0
        self.deleted = 0
        self.limit: int | None = None
        self.grown = 0
        """In this transaction."""

    def copy(self) -> Model:
        copied = Model()
        copied.__dict__.update(self.__dict__)
        return copied

    def become(self, other: Model) -> None:
        self.__dict__.update(other.__dict__)

    def add(self, living: int, deleted: int = 0) -> bool:
        """Do it, unless the plan is against it."""
        if living > 0 and self.limit is not None and self.living + living > self.limit:
            return False
        self.living += living
        self.deleted += deleted
        self.grown += living
        return True

    def may_commit(self) -> bool:
        return self.grown <= 0 or self.limit is None or self.living <= self.limit

    def do(self, name: str, argument: Any) -> bool:
        match name:
            case "insert" | "copy":
                return self.add(argument)
            case "delete":
                return self.add(-min(argument, self.living))
            case "soft delete":
                count = min(argument, self.living)
                return self.add(-count, count)
            case "restore":
                count = min(argument, self.deleted)
                return self.add(count, -count)
            case "truncate":
                return self.add(-self.living, -self.deleted)
            case "limit":
                self.limit = argument
                return True
        raise AssertionError(name)


def do(connection: psycopg.Connection, name: str, argument: Any) -> None:
    living = "(select id from public.contacts where deleted_at is null limit %s)"
    match name:
        case "insert":
            add_contacts(connection, argument)
        case "copy":
            with (
                connection.cursor() as cursor,
                cursor.copy("copy public.contacts (last_name) from stdin") as copy,
            ):
                for _ in range(argument):
                    copy.write_row(["Lovelace"])
        case "delete":
            connection.execute(f"delete from public.contacts where id in {living}", [argument])
        case "soft delete":
            connection.execute(
                f"update public.contacts set deleted_at = now() where id in {living}", [argument]
            )
        case "restore":
            deleted = living.replace("is null", "is not null")
            connection.execute(
                f"update public.contacts set deleted_at = null where id in {deleted}", [argument]
            )
        case "truncate":
            connection.execute("truncate public.contacts cascade")
        case "limit":
            set_plan(connection, contacts=argument)


class Undone(Exception):
    """To roll back to the savepoint."""


def replay(connection: psycopg.Connection, model: Model, steps: list[Operation]) -> None:
    for step in steps:
        if step[0] == "savepoint":
            before = model.copy()
            with contextlib.suppress(Undone), connection.transaction():
                replay(connection, model, step[1])
                if step[2] == "undo":
                    model.become(before)
                    raise Undone
        elif model.do(step[0], step[1]):
            do(connection, step[0], step[1])
        else:
            with refused(connection):
                do(connection, step[0], step[1])
        assert usage(connection)["contacts"] == (model.living, model.limit), step


@pytest.fixture(scope="module")
def shared(server: Server, untouched: str) -> Iterator[psycopg.Connection]:
    """A client database for all examples, which commit to it."""
    with copied(server, untouched) as name, as_owner(server, name) as connection:
        yield connection


@pytest.mark.long
@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=transactions)
def test_whatever_is_done_and_undone_the_count_is_exact(
    shared: psycopg.Connection, steps: list[tuple[list[Operation], str]]
) -> None:
    model = Model()
    set_plan(shared)
    shared.execute("delete from public.contacts")
    for operations_, outcome in steps:
        before = model.copy()
        model.grown = 0
        try:
            with shared.transaction(force_rollback=outcome == "roll back"):
                replay(shared, model, operations_)
        except psycopg.Error as error:
            if error.sqlstate != PLAN_LIMIT or model.may_commit():
                raise
            model.become(before)
        else:
            if outcome == "roll back":
                model.become(before)
            assert model.may_commit()
        assert usage(shared)["contacts"] == (model.living, model.limit)
    assert drift(shared)["contacts"] == 0


# At once ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
@pytest.mark.parametrize("meet", ["before the insert", "before the commit"])
def test_eight_sessions_that_race_leave_exactly_the_limit(
    server: Server, own_database: str, isolation: str, meet: str
) -> None:
    sessions, limit, already = 8, 10, 7
    with as_owner(server, own_database) as connection:
        set_plan(connection, contacts=limit)
        add_contacts(connection, already)
    everybody_is_there = threading.Barrier(sessions, timeout=300)
    refusals: list[str | None] = []

    def add_one(connection: psycopg.Connection, *, wait: bool) -> None:
        with connection.transaction():
            connection.execute(
                sql.SQL("set transaction isolation level {}").format(sql.SQL(isolation))
            )
            connection.execute("select count(*) from public.contacts")
            if wait and meet == "before the insert":
                everybody_is_there.wait()
            add_contacts(connection, 1)
            if wait and meet == "before the commit":
                everybody_is_there.wait()

    def race() -> None:
        with as_owner(server, own_database) as connection:
            wait = True
            while True:
                try:
                    add_one(connection, wait=wait)
                except SerializationFailure:
                    # What the stricter levels are for: whoever meets it tries again.
                    wait = False
                    continue
                except psycopg.Error as error:
                    refusals.append(error.sqlstate)
                return

    threads = [threading.Thread(target=race) for _ in range(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with as_owner(server, own_database) as connection:
        assert connection.execute("select count(*) from public.contacts").fetchone() == (limit,)
        assert usage(connection)["contacts"] == (limit, limit)
        assert drift(connection) == NO_DRIFT
    assert refusals == [PLAN_LIMIT] * (sessions - (limit - already))


def test_a_long_import_keeps_nobody_waiting_and_whoever_commits_first_is_in(
    server: Server, own_database: str
) -> None:
    with (
        as_owner(server, own_database) as importing,
        as_owner(server, own_database) as working,
    ):
        # Waiting for a lock would be an error.
        working.execute("set lock_timeout = '1ms'")
        set_plan(working, contacts=10)
        add_contacts(working, 1)
        with pytest.raises(psycopg.Error) as caught, importing.transaction():  # noqa: PT012
            add_contacts(importing, 8)
            add_contacts(working, 1)
            working.execute("delete from public.contacts")
            add_contacts(working, 3)
            assert usage(working)["contacts"] == (3, 10)
        assert caught.value.sqlstate == PLAN_LIMIT
        # An import that goes on is told before its end.
        set_plan(working, contacts=1_000)
        working.execute("delete from public.contacts")
        statements = 0
        with pytest.raises(psycopg.Error) as caught, importing.transaction():  # noqa: PT012
            add_contacts(importing, 1)
            add_contacts(working, 999)
            for statements in range(100):  # noqa: B007
                add_contacts(importing, 1)
        assert caught.value.sqlstate == PLAN_LIMIT
        assert statements < 40
        assert usage(working)["contacts"] == (999, 1_000)
        assert drift(working) == NO_DRIFT


def test_sessions_that_need_several_resources_in_any_order_do_not_lock_each_other_out(
    server: Server, own_database: str
) -> None:
    with as_owner(server, own_database) as one, as_owner(server, own_database) as other:
        set_plan(one, contacts=10, storage_bytes=100)
        insert_file = "insert into public.files (path, name, size_bytes) values (%s, 'a', 1)"
        other.execute("set lock_timeout = '1ms'")
        with one.transaction():
            add_contacts(one, 1)
            with other.transaction():
                other.execute(insert_file, ["other"])
                add_contacts(other, 1)
            one.execute(insert_file, ["one"])
        assert usage(one)["contacts"] == (2, 10)
        assert usage(one)["storage_bytes"] == (2, 100)
        assert drift(one) == NO_DRIFT


def test_without_a_limit_nobody_takes_a_lock_and_changes_are_summed_up_now_and_then(
    server: Server, own_database: str
) -> None:
    with as_owner(server, own_database) as one, as_owner(server, own_database) as other:
        set_plan(one)
        other.execute("set lock_timeout = '1ms'")
        with one.transaction():
            add_contacts(one, 1)
            one.execute("set constraints all immediate")
            one.execute("select from private.plan_usage_totals for update")
            for _ in range(600):
                add_contacts(other, 1)
        for _ in range(300):
            other.execute(
                "delete from public.contacts where id = (select id from public.contacts limit 1)"
            )
        waiting = other.execute("select count(*) from private.plan_usage_changes").fetchone()
        assert waiting is not None
        assert waiting[0] < 500
        assert usage(one)["contacts"] == (301, None)
        assert drift(one) == NO_DRIFT


# What it costs ------------------------------------------------------------------------------------


@pytest.mark.alone
def test_counting_costs_at_most_15_percent_of_a_bulk_insert(
    server: Server, own_database: str
) -> None:
    """10,000 contacts in one statement, with the limit's triggers and without, in turn.

    What the server's process worked is compared, not what passed on a clock: the machine may be busy.
    """
    with as_owner(server, own_database) as connection:
        set_plan(connection, contacts=10_000)
        backend = psutil.Process(connection.info.backend_pid)

        def seconds(triggers: str) -> float:
            with connection.transaction(force_rollback=True):
                if triggers == "off":
                    connection.execute(
                        "alter table public.contacts disable trigger contacts_count_inserted"
                    )
                began = sum(backend.cpu_times()[:2])
                add_contacts(connection, 10_000)
                connection.execute("set constraints all immediate")
                return float(sum(backend.cpu_times()[:2]) - began)

        seconds("on")
        with_limit: list[float] = []
        without: list[float] = []
        ratio = float("inf")
        # What else the machine does makes either slower now and then: a few more rounds show their best.
        while len(without) < 5 or (ratio > 1.15 and len(without) < 25):
            with_limit.append(seconds("on"))
            without.append(seconds("off"))
            ratio = min(with_limit) / min(without)
    print(f"10,000 contacts: {min(with_limit):.3f} s, {min(without):.3f} s without: {ratio:.3f}")
    assert ratio <= 1.15
