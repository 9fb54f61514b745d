"""What is tried again and again is prepared, and stays so whatever psycopg forgets."""

from __future__ import annotations

from ghostcrm_provisioning.client_database.blueprint import Blueprint
from ghostcrm_provisioning.client_database.isolation.attack import Outcome, attack
from ghostcrm_provisioning.client_database.isolation.trying import Trying
from tests.isolation.conftest import Connection


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
        await database.execute("create table public.tried (id integer primary key)")
        await database.execute("grant usage on schema public to anon")
        await database.execute("grant insert on public.tried to authenticated")
        insert = "insert into public.tried select (%(id)s::text)::integer"
        for role, may in (("authenticated", True), ("anon", False), ("authenticated", True)):
            await database.execute("select set_config('role', %s, true)", (role,))
            await trying.begin(role)
            for number in ("1", "2"):
                rows = await trying.try_(insert, id=number)
                assert (rows == []) is may
                assert trying.rows_touched == may
                assert ("permission denied" in trying.why) is not may
            await trying.end()
        await database.execute("reset role")
        left = await database.execute("select count(*) as rows from public.tried")
        assert await left.fetchone() == {"rows": 0}
        prepared = await database.execute("select count(*) as n from pg_prepared_statements")
        assert await prepared.fetchone() == {"n": 2}
