"""Proves that a client database keeps strangers out: by its catalog, and by trying.

The whole proof is made once per blueprint, on the template: the catalog must hold no exposure, and a
stranger who knocks at every table, as ``anon`` and as a signed-in user whom nobody knows, must see
nothing. It ends with a fingerprint of everything in the catalog that decides who may do what.

A client database whose fingerprint is the proven one differs from the template only in its data, its
logins and who may connect. So its own proof is: the same fingerprint, no exposure among those, and a
knock with the application's own login at tables that have rows. With any other fingerprint the whole
proof is made again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from uuid import uuid4

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import DictRow

from ghostcrm_provisioning.client_database.roles import OWNER_ROLE
from ghostcrm_provisioning.errors import IsolationNotProven
from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.observation import Observation

ISOLATION = NamedSql(__package__, "proof.sql")

Connection = AsyncConnection[DictRow]

# At so many tables a stranger knocks when the catalog is the proven one.
_TABLES_PROBED = 4


async def prove_template(connection: Connection) -> Observation:
    """The whole proof, on a template; what was proven is written into the template itself.

    Raises:
        IsolationNotProven: naming the first exposure.
    """
    await _refuse_exposures(connection, "schema_exposures")
    names = await _table_names(connection)
    async with connection.transaction(force_rollback=True):
        await connection.execute("set local role authenticated")
        tried = await _knock_as_unknown_user(connection)
    async with connection.transaction(force_rollback=True):
        await connection.execute("set local role anon")
        await _knock_as_anon(connection)
    async with connection.transaction(force_rollback=True):
        await connection.execute(sql.SQL("set local role {}").format(sql.Identifier(OWNER_ROLE)))
        with_rows = [name for name in await _visible(connection, names) if name in tried]
    await connection.execute(
        ISOLATION["write_proof"],
        {"fingerprint": await _fingerprint(connection), "with_rows_in": with_rows},
    )
    return Observation(True, f"{len(names)} tables: a stranger was let into none")


async def prove_isolation(
    connection: Connection, *, application: Connection, logins: tuple[str, ...]
) -> Observation:
    """The proof of one client database.

    Args:
        connection: to the client database, as its administrator.
        application: with the application's own login, which is bound by RLS.
        logins: the only ones that may connect to this database.

    Raises:
        IsolationNotProven: naming the first exposure.
    """
    proof = await (await connection.execute(ISOLATION["read_proof"])).fetchone()
    # The catalog is read while a stranger knocks.
    probed: Sequence[str] = ((proof and proof["proven_with_rows_in"]) or ())[:_TABLES_PROBED]
    fingerprint, tried = await asyncio.gather(_fingerprint(connection), _knock(application, probed))
    await _refuse_exposures(connection, "database_exposures", logins=list(logins))
    names = await _table_names(connection)
    is_proven_catalog = proof is not None and proof["proven_catalog"] == fingerprint
    if not is_proven_catalog:
        await _refuse_exposures(connection, "schema_exposures")
        tried = await _knock(application, None)
    how = "exactly as proven on the template" if is_proven_catalog else "proven from the ground up"
    return Observation(
        True, f"{len(names)} tables {how}; a stranger saw nothing in the {tried} tried here"
    )


async def _refuse_exposures(connection: Connection, look: str, **parameters: list[str]) -> None:
    rows = await (await connection.execute(ISOLATION[look], parameters)).fetchall()
    if rows:
        more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
        sentence = str(rows[0]["exposure"])
        raise IsolationNotProven(f"{sentence[0].upper()}{sentence[1:]}{more}.", exposures=len(rows))


async def _table_names(connection: Connection) -> list[str]:
    rows = await (await connection.execute(ISOLATION["tables"])).fetchall()
    if not rows:
        raise IsolationNotProven("There is no table in public to prove anything about.")
    return [row["name"] for row in rows]


async def _fingerprint(connection: Connection) -> str:
    row = await (await connection.execute(ISOLATION["catalog_fingerprint"])).fetchone()
    return str(row["fingerprint"]) if row else ""


async def _knock(application: Connection, probed: Sequence[str] | None) -> int:
    """Knock with the application's own login; returns at how many tables."""
    async with application.transaction(force_rollback=True):
        tried = await _knock_as_unknown_user(application, probed)
    async with application.transaction(force_rollback=True):
        await application.execute("set local role anon")
        await _knock_as_anon(application)
    return len(tried)


async def _knock_as_unknown_user(
    connection: Connection, probed: Sequence[str] | None = None
) -> list[str]:
    """As a signed-in user whom this client does not know; returns the tables that were tried."""
    stranger = {"sub": str(uuid4()), "role": "authenticated", "aud": "authenticated"}
    await connection.execute(
        "select set_config('request.jwt.claims', %s, true)", (json.dumps(stranger),)
    )
    if probed is None:
        probed = await _readable(connection)
    try:
        seen = await _visible(connection, probed)
    except psycopg.errors.InsufficientPrivilege as refused:
        raise IsolationNotProven(
            f"The application's own login cannot be tried: {refused.diag.message_primary}."
        ) from refused
    if seen:
        raise IsolationNotProven(
            f"A stranger who is signed in sees rows of the table {seen[0]}.", table=seen[0]
        )
    return list(probed)


async def _knock_as_anon(connection: Connection) -> None:
    if readable := await _readable(connection):
        raise IsolationNotProven(f"anon may read the table {readable[0]}.", table=readable[0])


async def _readable(connection: Connection) -> list[str]:
    """The tables that the present role may read at all."""
    rows = await (await connection.execute(ISOLATION["readable_tables"])).fetchall()
    return [row["name"] for row in rows]


async def _visible(connection: Connection, names: Sequence[str]) -> list[str]:
    """Those of the tables in which the present role sees a row."""
    if not names:
        return []
    question = sql.SQL(" union all ").join(
        sql.SQL("select {} as name where exists (select from public.{})").format(
            sql.Literal(name), sql.Identifier(name)
        )
        for name in names
    )
    rows = await (await connection.execute(question)).fetchall()
    return [row["name"] for row in rows]
