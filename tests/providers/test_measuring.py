"""The bare copy that our own speed is measured with, on a PostgreSQL server."""

from __future__ import annotations

from uuid import uuid4

from tests.conftest import ADMIN
from tests.providers.conftest import OnPostgres


async def test_what_a_killed_measurement_left_is_dropped_by_the_next_one(
    world: OnPostgres,
) -> None:
    request, stranger = world.request(), world.request()
    ours = f"ghostcrm_measure_{request.installation_id.hex[:8]}_{uuid4().hex}"
    of_another = f"ghostcrm_measure_{stranger.installation_id.hex[:8]}_{uuid4().hex}"
    not_made_by_us = f"ghostcrm_measure_{request.installation_id.hex[:8]}_{uuid4().hex}"
    for name in (ours, of_another):
        world.do(f"create database {{name}} owner {ADMIN} allow_connections false", name=name)
    world.make_by_hand(not_made_by_us, stamp=None)
    async with await world.provider() as provider:
        assert await provider.time_bare_copy(request.installation_id, request.template) > 0
    rows = world.ask(
        "select datname from pg_database where datname = any(%s) or datname like %s",
        [ours, of_another, not_made_by_us],
        f"ghostcrm_measure_{request.installation_id.hex[:8]}%",
    )
    assert {row["datname"] for row in rows} == {of_another, not_made_by_us}
