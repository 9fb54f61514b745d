"""What the client's plan allows, written into the client database, where it is enforced."""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection, sql
from psycopg.rows import DictRow

from ghostcrm_provisioning.client_database.blueprint import Plan
from ghostcrm_provisioning.client_database.roles import OWNER_ROLE
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
    row = await (
        await connection.execute(PLAN_SETTINGS["observe_plan"], _row_of(name, plan))
    ).fetchone()
    if row is None:
        return Observation(False, "no plan is applied")
    if not row["holds"]:
        return Observation(False, f"the plan {row['plan']} is applied, or an older form of {name}")
    return Observation(True, f"the plan {name} is applied")


async def apply_plan(connection: Connection, name: str, plan: Plan, *, company_name: str) -> None:
    """Write the plan and the company's name; writing them again changes nothing."""
    kept = await _what_is_kept(connection)
    async with connection.pipeline(), connection.transaction():
        await connection.execute(sql.SQL("set local role {}").format(sql.Identifier(OWNER_ROLE)))
        if kept["plan"]:
            await connection.execute(PLAN_SETTINGS["apply_plan"], _row_of(name, plan))
        if kept["settings"]:
            await connection.execute(PLAN_SETTINGS["name_company"], {"company_name": company_name})


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
