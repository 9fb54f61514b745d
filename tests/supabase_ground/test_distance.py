"""From installation to proof, with a server that is far away."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import pytest
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from ghostcrm_provisioning.client_database.blueprint import Blueprint
from ghostcrm_provisioning.client_database.install import install_blueprint, install_platform
from ghostcrm_provisioning.client_database.isolation.proof import prove_isolation, verify
from tests.supabase_ground.conftest import Place
from tests.supabase_ground.distance import distance

pytestmark = pytest.mark.long

# There and back in 20 milliseconds, as from a data center nearby.
_SECONDS_ONE_WAY = 0.01


async def test_a_birth_asks_the_server_a_few_hundred_times(
    empty_place: Place, blueprint: Blueprint, record_property: Callable[[str, object], None]
) -> None:
    ground, access = empty_place.ground, blueprint.access
    async with distance(empty_place.url, seconds=_SECONDS_ONE_WAY) as way:
        connection = await AsyncConnection.connect(way.url, autocommit=True, row_factory=dict_row)
        async with connection as owner:
            said = []
            for most, name in ((150, "install"), (250, "prove"), (350, "verify")):
                before, began = way.turns, perf_counter()
                if name == "install":
                    await install_platform(owner, ground=ground)
                    await install_blueprint(owner, blueprint, ground=ground)
                elif name == "prove":
                    await prove_isolation(
                        owner, application=None, logins=(), access=access, ground=ground
                    )
                else:
                    verdict = await verify(
                        owner,
                        caretaker=owner,
                        application=None,
                        logins=(),
                        access=access,
                        ground=ground,
                    )
                    assert verdict.holds
                turns = way.turns - before
                said.append(f"{name} {turns} times, {perf_counter() - began:.1f} s")
                assert turns < most, said
    record_property("summary", f"20 ms away, asked: {'; '.join(said)}")
