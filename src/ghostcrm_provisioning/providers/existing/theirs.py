"""What is in a database and not ours stays as it is: compared before and after, in one transaction.

Everything that we install goes into the database in one transaction. Before it, what is there is written
down as the catalog has it; at its end, each line of that is still to be there. If one is not, nothing
happened: the transaction is undone, and what would have been touched is named.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from ghostcrm_provisioning.errors import DatabaseNotUsable, MigrationFailed
from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.providers.provider import Connection

THEIRS = NamedSql(__package__, "theirs.sql")

_MOST_NAMED = 5
# SQLSTATE of "there is already one of that name": table (or view, sequence, index), function, type or
# role, schema, column.
_TAKEN = frozenset({"42P07", "42723", "42710", "42P06", "42701"})
_KINDS = {
    "r": sql.SQL("tables"),
    "S": sql.SQL("sequences"),
    "f": sql.SQL("functions"),
    "T": sql.SQL("types"),
    "n": sql.SQL("schemas"),
}
_PRIVILEGES = {
    "SELECT": sql.SQL("select"),
    "INSERT": sql.SQL("insert"),
    "UPDATE": sql.SQL("update"),
    "DELETE": sql.SQL("delete"),
    "TRUNCATE": sql.SQL("truncate"),
    "REFERENCES": sql.SQL("references"),
    "TRIGGER": sql.SQL("trigger"),
    "MAINTAIN": sql.SQL("maintain"),
    "USAGE": sql.SQL("usage"),
    "EXECUTE": sql.SQL("execute"),
    "CREATE": sql.SQL("create"),
}
# What we change where nobody else has anything: who may use the schema public, and what whoever makes things
# gives away with them.
_OURS_WHEN_EMPTY = re.compile(r"privileges of what .*|privilege .* on the (schema public|database)")
_EVERYBODY_USES_PUBLIC = "privilege USAGE of - on the schema public"


@dataclass(frozen=True)
class _DefaultPrivilege:
    """Something that ``maker`` gives to ``grantee`` with whatever it makes."""

    maker: str
    place: str | None
    kind: str
    grantee: str | None
    privilege: str
    is_grantable: bool


@asynccontextmanager
async def leaving_theirs_alone(
    connection: Connection, *, is_shared: bool, where: str
) -> AsyncIterator[None]:
    """Whatever is done inside is one transaction, and is undone when it touches what was there before.

    Args:
        is_shared: somebody else has things there, and may go on to make others.

    Raises:
        DatabaseNotUsable: naming what would have been touched, or whose name we need.
    """
    async with connection.transaction():
        before = await _describe(connection)
        tables = await _their_tables(connection)
        makers = await _makers(connection)
        gives = await _default_privileges(connection, makers)
        try:
            yield
        except psycopg.Error as error:
            if error.sqlstate in _TAKEN:
                raise _taken(where, str(error.diag.message_primary)) from error
            raise
        except MigrationFailed as failed:
            if failed.details.get("sqlstate") in _TAKEN:
                raise _taken(where, failed.message) from failed
            raise
        await connection.execute("reset role")
        if is_shared:
            await _give_again(connection, gives, await _default_privileges(connection, makers))
        lost = {thing for thing, _ in before - await _describe(connection)}
        if is_shared and _EVERYBODY_USES_PUBLIC in lost:
            # Our baseline takes the schema from everybody, for elsewhere it is ours alone.
            await connection.execute("grant usage on schema public to public")
            lost.discard(_EVERYBODY_USES_PUBLIC)
        touched = sorted(
            thing for thing in lost if is_shared or not _OURS_WHEN_EMPTY.fullmatch(thing)
        )
        touched += [f"rows of {name}" for name in await _rows_changed(connection, tables)]
        if touched:
            named = ", ".join(touched[:_MOST_NAMED])
            more = len(touched) - _MOST_NAMED
            raise DatabaseNotUsable(
                f"What we install would change what is not ours in {where}: {named}"
                + (f" and {more} more" if more > 0 else "")
                + ". It was undone.",
                next_step="Give a database of its own for this client; or rename what is named.",
            )


@asynccontextmanager
async def remembering_ours(connection: Connection) -> AsyncIterator[None]:
    """What is made inside is written down as ours, in the caller's transaction: later, this is how it is told
    from what others have in the same database."""
    before = await _things(connection)
    yield
    await connection.execute("reset role")
    await connection.execute(THEIRS["create_ours"])
    await connection.execute(THEIRS["close_ours"])
    made = await _things(connection) - before
    await connection.execute(THEIRS["add_ours"], {"names": sorted(made)})


async def read_ours(connection: Connection) -> frozenset[str]:
    """What was written down; nothing, before anything was installed."""
    row = await (await connection.execute(THEIRS["remembers_ours"])).fetchone()
    if row is None or not row["holds"]:
        return frozenset()
    rows = await (await connection.execute(THEIRS["read_ours"])).fetchall()
    return frozenset(str(row["name"]) for row in rows)


async def _things(connection: Connection) -> frozenset[str]:
    rows = await (await connection.execute(THEIRS["things"])).fetchall()
    return frozenset(str(row["name"]) for row in rows)


def _taken(where: str, said: str) -> DatabaseNotUsable:
    return DatabaseNotUsable(
        f"A name that we need is taken in {where}, by something that is not ours: {said}. Nothing was changed.",
        next_step="Give a database of its own for this client; or rename what is named.",
    )


async def _describe(connection: Connection) -> Counter[tuple[str, str]]:
    # Names are written out in full only where nothing is on the search path.
    await connection.execute("set local search_path = ''")
    rows = await (await connection.execute(THEIRS["what_is_theirs"])).fetchall()
    return Counter((str(row["thing"]), str(row["state"])) for row in rows)


async def _their_tables(connection: Connection) -> list[int]:
    rows = await (await connection.execute(THEIRS["their_tables"])).fetchall()
    return [row["oid"] for row in rows]


async def _rows_changed(connection: Connection, tables: Sequence[int]) -> list[str]:
    rows = await (
        await connection.execute(THEIRS["rows_changed"], {"relations": list(tables)})
    ).fetchall()
    return sorted(str(row["name"]) for row in rows)


# --- what whoever makes things gives away with them -------------------------------------------------


async def _makers(connection: Connection) -> list[str]:
    """Who makes things there, and may go on to do so: the login that we were given is one of them."""
    rows = await (await connection.execute(THEIRS["makers"])).fetchall()
    return [str(row["maker"]) for row in rows]


async def _default_privileges(
    connection: Connection, makers: Sequence[str]
) -> frozenset[_DefaultPrivilege]:
    rows = await (
        await connection.execute(THEIRS["default_privileges"], {"makers": list(makers)})
    ).fetchall()
    return frozenset(_DefaultPrivilege(**row) for row in rows)


async def _give_again(
    connection: Connection,
    before: frozenset[_DefaultPrivilege],
    after: frozenset[_DefaultPrivilege],
) -> None:
    """What others will make with the same login is to be as open, or closed, as it would have been. Our
    own things do not rest on it: each migration says for itself who may what."""
    for each in _in_order(after - before):
        await _change_default(connection, each, give=False)
    for each in _in_order(before - after):
        await _change_default(connection, each, give=True)


def _in_order(privileges: Iterable[_DefaultPrivilege]) -> list[_DefaultPrivilege]:
    return sorted(privileges, key=repr)


async def _change_default(connection: Connection, each: _DefaultPrivilege, *, give: bool) -> None:
    in_schema, everybody = sql.SQL(" in schema {}"), sql.SQL("public")
    words = sql.SQL("grant {} on {} to {}") if give else sql.SQL("revoke {} on {} from {}")
    await connection.execute(
        sql.SQL("alter default privileges for role {}{} {}{}").format(
            sql.Identifier(each.maker),
            sql.SQL("") if each.place is None else in_schema.format(sql.Identifier(each.place)),
            words.format(
                _PRIVILEGES[each.privilege],
                _KINDS[each.kind],
                everybody if each.grantee is None else sql.Identifier(each.grantee),
            ),
            sql.SQL(" with grant option" if give and each.is_grantable else ""),
        )
    )
