"""What is tried many at a time is what it would be one by one, is undone, and what is tried again and again
stays prepared whatever psycopg forgets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from ghostcrm_provisioning.client_database.blueprint import Blueprint
from ghostcrm_provisioning.client_database.isolation.attack import (
    Outcome,
    attack,
    insiders,
    prepared,
    strangers,
)
from ghostcrm_provisioning.client_database.isolation.proof import whole_attack
from ghostcrm_provisioning.client_database.isolation.trying import Attempt, Trying
from tests.isolation.conftest import Connection, undone
from tests.isolation.one_by_one import Comparing

pytestmark = pytest.mark.long

Record = Callable[[str, object], None]


async def _attacked(connection: Connection, blueprint: Blueprint) -> Outcome:
    return await attack(connection, blueprint.access, together=False, tables=["tags", "deals"])


async def test_an_attack_may_follow_whatever_was_prepared_on_its_connection(
    database: Connection, blueprint: Blueprint
) -> None:
    for _ in range(7):  # psycopg prepares what it sees again and again
        await database.execute("select 1")
    prepared = await database.execute("select count(*) as statements from pg_prepared_statements")
    assert (await prepared.fetchone() or {})["statements"] > 0
    first = await _attacked(database, blueprint)
    second = await _attacked(database, blueprint)
    assert first.findings == second.findings == []
    assert first.attempts == second.attempts


async def test_what_is_tried_is_undone_and_prepared_for_each_role(database: Connection) -> None:
    async with database.transaction(force_rollback=True):
        trying = Trying(database)
        await trying.settle()
        await database.execute("create table public.tried (id integer primary key)")
        await database.execute("grant usage on schema public to anon")
        await database.execute("grant insert on public.tried to authenticated")
        insert = "insert into public.tried select (%(value)s::text)::integer"
        for role, may in (("authenticated", True), ("anon", False), ("authenticated", True)):
            await database.execute("select set_config('role', %s, true)", (role,))
            await trying.begin(role)
            attempts = [
                *(Attempt(insert, number, way="run", is_prepared=True) for number in "121"),
                Attempt(insert, "3", way="run"),
            ]
            await trying.try_all(attempts)
            for attempt in attempts:
                assert (attempt.rows == []) is may
                assert ("permission denied" in attempt.why) is not may
            assert attempts[-1].rows_touched == may
        await database.execute("reset role")
        left = await database.execute("select count(*) as rows from public.tried")
        assert await left.fetchone() == {"rows": 0}
        prepared = await database.execute("select count(*) as n from pg_prepared_statements")
        assert await prepared.fetchone() == {"n": 2}


# Opened and closed on purpose, so that all kinds of answers come.
_CHANGES = (
    None,
    "alter policy {contacts} on public.contacts using (true)",
    "alter table public.deals disable row level security; grant all on public.deals to anon",
    "revoke all on public.tags from authenticated",
    "create function public.meddle() returns trigger language plpgsql as"
    " $$ begin raise exception 'mine' using errcode = 'GC123'; end $$;"
    " create trigger meddle before update on public.companies"
    " for each row when (current_user = 'authenticated') execute function public.meddle()",
    "create function public.meddle() returns trigger language plpgsql as"
    " $$ begin assert false, 'mine'; return null; end $$;"
    " create trigger meddle before insert on public.companies"
    " for each row when (current_user = 'authenticated') execute function public.meddle()",
)


@pytest.mark.parametrize("change", _CHANGES)
async def test_together_is_as_one_by_one(
    breaking: Connection, blueprint: Blueprint, change: str | None, record_property: Record
) -> None:
    access = blueprint.access
    assert access is not None
    if change is not None:
        names = await breaking.execute(
            "select policyname from pg_policies where tablename = 'contacts' and cmd = 'SELECT'"
        )
        policy = (await names.fetchone() or {})["policyname"]
        await breaking.execute(change.format(contacts=policy).encode())
    trying = Comparing(breaking)
    callers = [*strangers(access), *insiders(access)]
    async with prepared(breaking, access, blindly=True, trying=trying) as attacker:
        outcome = Outcome()
        for caller in callers if change is None else callers[1:4:2]:
            await attacker.attack_as(caller, outcome, None)
    assert bool(outcome.findings) is (change is not None)
    assert trying.differences == []
    assert trying.refused > 100
    assert trying.let_through > 0
    if change is None:
        record_property("summary", f"attack: {trying.compared} attempts are as one by one")


async def test_what_is_no_answer_ends_the_attack(breaking: Connection) -> None:
    for failure, raised in (
        ("raise query_canceled", psycopg.errors.QueryCanceled),
        ("raise lock_not_available", psycopg.errors.LockNotAvailable),
        ("raise disk_full", psycopg.OperationalError),
        ("raise exception using errcode = '57X99'", psycopg.OperationalError),
    ):
        async with undone(breaking):
            trying = Trying(breaking)
            await trying.settle()
            await breaking.execute("select set_config('role', 'authenticated', true)")
            await trying.begin("authenticated")
            statement = f"do $$ begin {failure}; end $$"
            with pytest.raises(raised):
                async with breaking.transaction():
                    await trying.try_all([Attempt(statement, way="run")])


async def test_a_batch_that_takes_long_goes_on_in_the_next(breaking: Connection) -> None:
    async with undone(breaking):
        trying = Trying(breaking)
        await trying.settle()
        await trying.begin("postgres")
        attempts = [Attempt(f"select {n} as n, pg_sleep(0.9)") for n in range(5)]
        await trying.try_all(attempts)
        assert [attempt.rows and attempt.rows[0]["n"] for attempt in attempts] == [0, 1, 2, 3, 4]


async def test_the_whole_attack_needs_few_messages(
    database: Connection,
    blueprint: Blueprint,
    record_property: Record,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that is far away answers some fifty a second."""
    waits = 0
    plainly = AsyncConnection.wait

    async def counting(*arguments: Any, **named: Any) -> Any:
        nonlocal waits
        waits += 1
        return await plainly(*arguments, **named)

    monkeypatch.setattr(AsyncConnection, "wait", counting)
    for together, most in ((True, 250), (False, 350)):
        waits = 0
        outcome = await whole_attack(database, blueprint.access, together=together)
        attempts = sum(outcome.attempts.values())
        assert attempts > 5000
        assert waits < most
        record_property("summary", f"attack: {attempts} attempts in {waits} messages")
