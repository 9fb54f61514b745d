"""What the client's plan allows, written into the client database, where it is enforced."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from psycopg import AsyncConnection, sql
from psycopg.rows import DictRow

from ghostcrm_provisioning.client_database.blueprint import Plan
from ghostcrm_provisioning.client_database.ground import PLAIN, Ground
from ghostcrm_provisioning.client_database.plan_usage import (
    Usage,
    compare_usage,
    only_looking,
)
from ghostcrm_provisioning.errors import PlanDoesNotFit
from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.observation import Observation

PLAN_SETTINGS = NamedSql(__package__, "plan_settings.sql")

Connection = AsyncConnection[DictRow]


async def observe_plan(
    connection: Connection, name: str, plan: Plan, *, company_name: str
) -> Observation:
    """Whether the plan's limits and features stand in the client database as declared, and its
    settings name the company."""
    kept = await _what_is_kept(connection)
    if kept["settings"]:
        named = await (await connection.execute(PLAN_SETTINGS["is_company_named"])).fetchone()
        if named is None or not named["holds"]:
            return Observation(False, f"the settings do not name {company_name}")
    if not kept["plan"]:
        return Observation(True, "the blueprint keeps no plan")
    return await _observe_plan_row(connection, name, plan)


async def _observe_plan_row(connection: Connection, name: str, plan: Plan) -> Observation:
    row = await (
        await connection.execute(PLAN_SETTINGS["observe_plan"], _row_of(name, plan))
    ).fetchone()
    if row is None:
        return Observation(False, "no plan is applied")
    if not row["holds"]:
        return Observation(False, f"the plan {row['plan']} is applied, or an older form of {name}")
    return Observation(True, f"the plan {name} is applied")


async def apply_plan(
    connection: Connection,
    name: str,
    plan: Plan,
    *,
    company_name: str,
    ground: Ground = PLAIN,
) -> None:
    """Write the plan and the company's name; writing them again changes nothing."""
    kept = await _what_is_kept(connection)
    async with connection.pipeline(), connection.transaction():
        await connection.execute(sql.SQL("set local role {}").format(sql.Identifier(ground.owner)))
        if kept["plan"]:
            await connection.execute(PLAN_SETTINGS["apply_plan"], _row_of(name, plan))
        if kept["settings"]:
            await connection.execute(PLAN_SETTINGS["name_company"], {"company_name": company_name})


async def list_features_now(connection: Connection) -> tuple[str, ...] | None:
    """The features of the plan that is applied; None where the blueprint keeps no plan."""
    if not (await _what_is_kept(connection))["plan"]:
        return None
    row = await (await connection.execute(PLAN_SETTINGS["features_now"])).fetchone()
    return () if row is None else tuple(row["features"])


async def is_plan_applied(
    connection: Connection, name: str, plan: Plan, *, become: str | None = None
) -> bool:
    """Whether this plan stands in the client database as declared; true where the blueprint keeps none.
    Changes nothing, whatever the client has put in the table's place.

    Args:
        become: the owner of the schema, where the connection is not its own.
    """
    async with only_looking(connection):
        if become is not None:
            await connection.execute(sql.SQL("set local role {}").format(sql.Identifier(become)))
        if not (await _what_is_kept(connection))["plan"]:
            return True
        return (await _observe_plan_row(connection, name, plan)).holds


async def observe_changed_plan(connection: Connection, name: str, plan: Plan) -> Observation:
    """Whether the plan of a client that is in use is this one, seen at a moment at which nobody was
    writing it."""
    if not (await _what_is_kept(connection))["plan"]:
        return Observation(True, "the blueprint keeps no plan")
    async with connection.transaction():
        await connection.execute(PLAN_SETTINGS["bound_transaction"])
        await connection.execute(PLAN_SETTINGS["wait_for_writers"])
        return await _observe_plan_row(connection, name, plan)


async def change_plan(
    connection: Connection,
    name: str,
    plan: Plan,
    *,
    allow_over_limit: bool,
    still_ours: Callable[[], Awaitable[None]],
) -> None:
    """Write another plan over the one of a client that is in use, in one transaction.

    Args:
        connection: has the owner's rights and no others: the client's schema may have triggers.
        still_ours: raises when this change is not wanted any more. It is asked while nobody else can
            write the plan, so that one who was overtaken never has the last word.

    Raises:
        PlanDoesNotFit: something is over a limit that becomes lower, and that was not allowed;
            nothing was changed.
    """
    if not (await _what_is_kept(connection))["plan"]:
        return
    async with connection.transaction():
        await connection.execute(PLAN_SETTINGS["bound_transaction"])
        await connection.execute(PLAN_SETTINGS["lock_plan"])
        await still_ours()
        if not allow_over_limit:
            refuse_what_does_not_fit(await compare_usage(connection, plan) or (), name)
        await connection.execute(PLAN_SETTINGS["apply_plan"], _row_of(name, plan))


def refuse_what_does_not_fit(usages: tuple[Usage, ...], name: str) -> None:
    """Raises PlanDoesNotFit, saying what is over and by how much."""
    over = [usage for usage in usages if usage.is_in_the_way]
    if over:
        each = ", ".join(
            f"{usage.resource} by {usage.over_by} ({usage.used} of {usage.allowed_then})"
            for usage in over
        )
        refused = PlanDoesNotFit(
            f"What is used does not fit into the plan {name}; over its limits: {each}."
        )
        refused.details.update({usage.resource: usage.over_by for usage in over})
        raise refused


async def _what_is_kept(connection: Connection) -> dict[str, bool]:
    row = await (await connection.execute(PLAN_SETTINGS["what_is_kept"])).fetchone()
    return row or {"plan": False, "settings": False}


def _row_of(name: str, plan: Plan) -> dict[str, Any]:
    return {
        "plan": name,
        "title": plan.title,
        "priority": plan.priority,
        "max_users": plan.max_users,
        "max_contacts": plan.max_contacts,
        "max_storage_bytes": plan.max_storage_bytes,
        "features": list(plan.features),
    }
