"""Proves that a client database keeps strangers out: by its catalog, and by trying.

The catalog must hold no exposure, and a stranger with the application's own login must see nothing:
once as ``anon``, once as a signed-in user whom this client does not know.
"""

from __future__ import annotations

import json
from uuid import uuid4

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import DictRow, dict_row

from ghostcrm_provisioning.errors import IsolationNotProven
from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.observation import Observation

ISOLATION = NamedSql(__package__, "isolation.sql")

Connection = AsyncConnection[DictRow]


async def prove_isolation(
    connection: Connection, *, app_url: str, logins: tuple[str, ...]
) -> Observation:
    """Look for exposures in the catalog, then knock at every table as a stranger.

    Args:
        connection: to the client database, as its administrator.
        app_url: how the application connects; it is bound by RLS.
        logins: the only ones that may connect to this database.

    Raises:
        IsolationNotProven: naming the first exposure.
    """
    rows = await (
        await connection.execute(ISOLATION["exposures"], {"logins": list(logins)})
    ).fetchall()
    if rows:
        more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
        raise IsolationNotProven(f"{rows[0]['exposure']}{more}.".capitalize(), exposures=len(rows))
    tables = [
        row["name"] for row in await (await connection.execute(ISOLATION["tables"])).fetchall()
    ]
    if not tables:
        raise IsolationNotProven("There is no table in public to prove anything about.")
    tried = await _knock_as_stranger(app_url)
    return Observation(
        True, f"{len(tables)} tables: no exposure; a stranger was let into none of {tried}"
    )


async def _knock_as_stranger(app_url: str) -> int:
    """Returns how many tables were tried."""
    app: Connection = await AsyncConnection.connect(
        app_url, autocommit=True, row_factory=dict_row, connect_timeout=10
    )
    async with app:
        stranger = {"sub": str(uuid4()), "role": "authenticated", "aud": "authenticated"}
        async with app.transaction():
            await app.execute(
                "select set_config('request.jwt.claims', %s, true)", (json.dumps(stranger),)
            )
            names = [
                row["name"]
                for row in await (await app.execute(ISOLATION["readable_tables"])).fetchall()
            ]
            if seen := await _tables_with_visible_rows(app, names):
                raise IsolationNotProven(
                    f"A stranger who is signed in sees rows of the table {seen[0]}.", table=seen[0]
                )
        async with app.transaction():
            await app.execute("set local role anon")
            readable = await (await app.execute(ISOLATION["readable_tables"])).fetchall()
            if readable:
                name = readable[0]["name"]
                raise IsolationNotProven(f"anon may read the table {name}.", table=name)
    return len(names)


async def _tables_with_visible_rows(app: Connection, names: list[str]) -> list[str]:
    if not names:
        return []
    question = sql.SQL(" union all ").join(
        sql.SQL("select {} as name where exists (select from public.{})").format(
            sql.Literal(name), sql.Identifier(name)
        )
        for name in names
    )
    try:
        rows = await (await app.execute(question)).fetchall()
    except psycopg.errors.InsufficientPrivilege as refused:
        raise IsolationNotProven(
            f"The application's own login cannot be tried: {refused.diag.message_primary}."
        ) from refused
    return [row["name"] for row in rows]
