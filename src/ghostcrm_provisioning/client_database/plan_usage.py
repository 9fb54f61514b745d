"""What a client uses of what its plan allows, and what another plan would allow of it.

The counting is done inside the client database, by the blueprint's function ``private.plan_usage``;
a blueprint without it counts nothing. The function belongs to the client's schema, so it is called
over a connection that has the owner's rights and no others.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from ghostcrm_provisioning.client_database.blueprint import Plan
from ghostcrm_provisioning.named_sql import NamedSql

PLAN_USAGE = NamedSql(__package__, "plan_usage.sql")

Connection = AsyncConnection[DictRow]


@dataclass(frozen=True)
class Usage:
    """One resource: what is used of it, and what two plans allow. None is unlimited; 0 means that
    the plan does not have it at all."""

    resource: str
    used: int
    allowed_now: int | None
    allowed_then: int | None

    @property
    def over_by(self) -> int:
        """By how much the use would be over the limit then; 0 where it fits."""
        return 0 if self.allowed_then is None else max(0, self.used - self.allowed_then)

    @property
    def is_in_the_way(self) -> bool:
        """Whether it would be over a limit that becomes lower. What is over a limit already is no
        reason to refuse a plan that allows the same or more of it."""
        is_lower = self.allowed_then is not None and (
            self.allowed_now is None or self.allowed_then < self.allowed_now
        )
        return is_lower and self.over_by > 0


@dataclass(frozen=True)
class LostFeature:
    """A feature that the other plan does not have, and what is there that needs it."""

    key: str
    used_by: tuple[tuple[str, int], ...] = ()


@asynccontextmanager
async def only_looking(connection: Connection) -> AsyncIterator[None]:
    """A transaction in which nothing can be changed, whatever is called in it."""
    async with connection.transaction():
        await connection.execute(PLAN_USAGE["only_look"])
        yield


async def compare_usage(connection: Connection, then: Plan) -> tuple[Usage, ...] | None:
    """What is used, under the plan as it is applied and under ``then``; None where the blueprint
    does not count."""
    if not await _is_counted(connection):
        return None
    rows = await (await connection.execute(PLAN_USAGE["compare"], _limits_of(then))).fetchall()
    return tuple(
        Usage(_shown(row["resource"]), row["used"], row["allowed_now"], row["allowed_then"])
        for row in rows
    )


async def find_what_needs(
    connection: Connection, lost: tuple[str, ...], then: Plan
) -> tuple[LostFeature, ...]:
    """What is used of each feature that ``then`` lacks."""
    needs: dict[str, list[tuple[str, int]]] = {feature: [] for feature in lost}
    if lost and await _is_counted(connection):
        parameters = _limits_of(then) | {"lost": list(lost)}
        rows = await (await connection.execute(PLAN_USAGE["what_needs"], parameters)).fetchall()
        for row in rows:
            needs[row["feature"]].append((_shown(row["resource"]), row["used"]))
    return tuple(LostFeature(feature, tuple(used_by)) for feature, used_by in needs.items())


def _shown(resource: object) -> str:
    """What the client's schema calls it: short enough for a sentence, whatever it is."""
    return str(resource)[:40]


async def _is_counted(connection: Connection) -> bool:
    row = await (await connection.execute(PLAN_USAGE["is_counted"])).fetchone()
    return row is not None and bool(row["holds"])


def _limits_of(plan: Plan) -> dict[str, object]:
    return {
        "max_users": plan.max_users,
        "max_contacts": plan.max_contacts,
        "max_storage_bytes": plan.max_storage_bytes,
        "features": list(plan.features),
    }
