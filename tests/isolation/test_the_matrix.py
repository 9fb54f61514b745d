"""Every cell of the access matrix, tried on a real database with roles that row level security binds."""

from __future__ import annotations

from collections.abc import Callable

from ghostcrm_provisioning.client_database.blueprint import Blueprint
from ghostcrm_provisioning.client_database.isolation.attack import (
    attack,
    find_unlisted,
    strangers,
    try_canary,
)
from tests.isolation.conftest import Connection


async def test_every_cell_of_the_matrix_is_so(
    database: Connection, blueprint: Blueprint, record_property: Callable[[str, object], None]
) -> None:
    assert blueprint.access is not None
    outcome = await attack(database, blueprint.access, together=True)
    assert outcome.findings == []
    # A cell each for the roles; for strangers, a dash for each kind of row, each operation, each call.
    rows = sum(len(grid.kinds) for grid in blueprint.access.tables.values())
    calls = sum(len(call.kinds) for call in blueprint.access.calls.values())
    tried = sum(outcome.attempts[kind] for kind in ("select", "insert", "update", "delete", "call"))
    of_strangers = len(strangers(blueprint.access)) * (4 * rows + calls)
    assert tried == blueprint.access.count_cells() + of_strangers > 2500
    record_property(
        "summary",
        f"access matrix: {blueprint.access.count_cells()} cells, and {of_strangers} for strangers, "
        f"are so; {sum(outcome.attempts.values())} attacks",
    )


async def test_what_is_tried_one_transaction_each_ends_the_same(
    database: Connection, blueprint: Blueprint
) -> None:
    outcome = await attack(database, blueprint.access, together=False, tables=["deals", "files"])
    assert outcome.findings == []
    assert outcome.attempts["blind update"] == 0  # would touch a client's own rows


async def test_the_matrix_names_every_table_and_function_that_users_can_reach(
    database: Connection, blueprint: Blueprint
) -> None:
    assert blueprint.access is not None
    assert await find_unlisted(database, blueprint.access) == []


async def test_the_attack_finds_what_is_open_on_purpose(database: Connection) -> None:
    assert await try_canary(database) == []


async def test_the_attack_leaves_nothing_behind(database: Connection, blueprint: Blueprint) -> None:
    count = (
        "select (select count(*) from auth.users) + (select count(*) from public.profiles)"
        " + (select count(*) from public.contacts) + (select count(*) from public.client_plan)"
        " + (select count(*) from pg_class where relname in ('ghostcrm_canary', 'access_kinds'))"
        " as rows"
    )
    await try_canary(database)
    await attack(database, blueprint.access, together=False, tables=["contacts"])
    await database.execute("set role ghostcrm_client_owner")
    row = await (await database.execute(count)).fetchone()
    assert row == {"rows": 0}
