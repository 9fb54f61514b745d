"""Proves that a client database keeps strangers out, and its own people to what they may.

Three proofs, each the cheapest that proves enough:

* **The template**, once for each version of a blueprint: no exposure in the catalog, and the whole
  attack (:mod:`.attack`) on every table, as every caller. It ends with a fingerprint of everything in
  the catalog that decides who may do what, and with the same in words.
* **Each client at birth**: a database whose fingerprint is the proven one differs from its template
  only in its data, its logins and who may connect. So: the same fingerprint, no exposure among
  those, and a knock with the application's own login. With any other fingerprint the catalog is
  compared in words, and every table is tried.
* **Any client on demand**, and a sample every night: the catalog compared in words, the rules, and
  the whole attack on the live database; the answer is a dated verdict.

At Supabase there is no template: there the whole proof is made at birth, on the client's own project,
which nobody uses yet.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from time import perf_counter
from typing import LiteralString
from uuid import uuid4

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import DictRow

from ghostcrm_provisioning.client_database.access_matrix import AccessMatrix
from ghostcrm_provisioning.client_database.ground import PLAIN, Ground
from ghostcrm_provisioning.client_database.isolation.attack import (
    ATTACK,
    Outcome,
    attack,
    find_unlisted,
    try_canary,
)
from ghostcrm_provisioning.client_database.isolation.catalog import (
    Fact,
    compare,
    named_in_full,
    read_facts,
    read_fingerprint,
    read_proven,
    read_proven_facts,
    write_proven,
)
from ghostcrm_provisioning.client_database.isolation.server import SERVER, MadeLogin, expected
from ghostcrm_provisioning.client_database.isolation.verdict import CATALOG, Finding, Verdict
from ghostcrm_provisioning.client_database.roles import SHARED_ROLES
from ghostcrm_provisioning.errors import InvalidBlueprint, IsolationNotProven
from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.observation import Observation

PROOF = NamedSql(__package__, "proof.sql")

Connection = AsyncConnection[DictRow]

# At so many tables a stranger knocks when the catalog is the proven one.
_TABLES_PROBED = 2


async def prove_template(
    connection: Connection, access: AccessMatrix | None, *, ground: Ground = PLAIN
) -> Observation:
    """The whole proof, on a template, or on a database that nobody uses yet; what was proven is written
    into it.

    Raises:
        IsolationNotProven: naming the first finding.
    """
    names = [name for name in await _table_names(connection) if ground.is_ours(name)]
    outcome = await whole_attack(connection, access, together=True, ground=ground)
    _refuse(outcome.findings)
    async with connection.transaction(force_rollback=True):
        await connection.execute(sql.SQL("set local role {}").format(sql.Identifier(ground.owner)))
        with_rows = await _visible(connection, names)
    async with connection.transaction(force_rollback=True):
        await connection.execute("set local role authenticated")
        readable = await _readable(connection, ground)
    rows_in = [name for name in with_rows if name in readable]
    await write_proven(connection, rows_in, ground=ground)
    attempts = sum(outcome.attempts.values())
    return Observation(
        True, f"{len(names)} tables, {attempts} attacks: none got further than it may"
    )


async def prove_isolation(
    connection: Connection,
    *,
    application: Connection | None,
    logins: tuple[str, ...],
    access: AccessMatrix | None = None,
    server: Connection | None = None,
    ground: Ground = PLAIN,
) -> Observation:
    """The proof of one client database at birth.

    Args:
        connection: to the client database, as its administrator; at Supabase as the project's owner.
        application: with the application's own login, which is bound by RLS; None where there is none.
        logins: the only ones of ours that may connect to this database.
        access: what the blueprint promises; at Supabase, where no template has been attacked.
        server: to the same server, in whatever database, as its administrator.

    Raises:
        IsolationNotProven: naming the first finding.
        InvalidBlueprint: at Supabase, the rows of the access matrix cannot be made.
    """
    if ground.is_supabase:
        return await _prove_at_supabase(connection, application, logins, access, ground)
    if application is None:
        raise IsolationNotProven("There is no login of the application to knock with.")
    proven = await read_proven(connection)
    probed = proven.with_rows_in[:_TABLES_PROBED] if proven else ()
    # The catalog is read while somebody looks at the server, and a stranger knocks.
    (fingerprint, tables), exposures, tried = await asyncio.gather(
        read_fingerprint(connection, server=server, ground=ground),
        _database_exposures(connection, logins, server=server, ground=ground),
        _knock(application, probed),
    )
    _refuse(exposures)
    is_proven_catalog = proven is not None and proven.fingerprint == fingerprint
    if not is_proven_catalog:
        if proven is not None:
            facts = await read_facts(connection, ground=ground)
            _refuse(compare(await read_proven_facts(connection), facts))
        _refuse(await find_schema_exposures(connection, ground=ground))
        tried = await _knock(application, None, ground=ground)
    how = "exactly as proven on the template" if is_proven_catalog else "proven from the ground up"
    return Observation(
        True, f"{tables} tables {how}; a stranger saw nothing in the {tried} tried here"
    )


async def _prove_at_supabase(
    connection: Connection,
    application: Connection | None,
    logins: tuple[str, ...],
    access: AccessMatrix | None,
    ground: Ground,
) -> Observation:
    """The whole proof, unless exactly this catalog was proven before: by us, since nobody else has been
    let in yet."""
    _refuse(await _database_exposures(connection, logins, ground=ground))
    if application is not None:
        _refuse(await _exposures(application, "application_exposures", ground))
    proven = await read_proven(connection)
    fingerprint, tables = await read_fingerprint(connection, ground=ground)
    attacked = None
    if proven is None or proven.fingerprint != fingerprint:
        attacked = await prove_template(connection, access, ground=ground)
    tried = await _knock_as_whom_there_is(connection, application, ground)
    how = attacked.seen if attacked else f"{tables} tables exactly as proven here before"
    return Observation(True, f"{how}; a stranger saw nothing in the {tried} tried here")


async def verify(
    connection: Connection,
    *,
    caretaker: Connection,
    application: Connection | None,
    logins: tuple[str, ...],
    access: AccessMatrix | None,
    made: Sequence[MadeLogin] = (),
    ground: Ground = PLAIN,
) -> Verdict:
    """The whole attack on a client database in use. All of it is rolled back; what it locks is its own
    rows, for a fraction of a second at a time.

    Args:
        connection: to the client database, as its administrator; only the catalog is read with it.
        caretaker: with the login that may become whoever works in this database and nobody else, in
            autocommit mode: what the client has put into its database runs with these rights, not
            with the administrator's.
        application: with the application's own login.
        logins: the only ones that may connect to this database.
        access: what the blueprint promises; without it, strangers attack and nobody else.
        made: those of the logins that we have made, as we have made them.

    Raises:
        psycopg.Error: something kept the attack from being made, though nothing was found until then; nothing
            is said about isolation.
        InvalidBlueprint: the access matrix cannot be tried on this database, though its catalog is as
            it was proven.
    """
    began_at, began = datetime.now(UTC), perf_counter()
    findings: list[Finding] = []
    attempts: Counter[str] = Counter()
    proven = await read_proven(connection)
    facts = await read_facts(connection, ground=ground)
    attempts[CATALOG] = len(facts)
    of_ours = await read_proven_facts(connection)
    if proven is not None:
        findings += compare(of_ours, facts)
    findings += await _database_exposures(connection, logins, ground=ground)
    if made and not ground.is_supabase:
        findings += await find_server_exposures(connection, made, ground=ground)
    try:
        outcome = await whole_attack(
            caretaker, access, together=False, of_ours=of_ours, ground=ground
        )
        findings += outcome.findings
        attempts += outcome.attempts
        attempts["knock"] += await _knock_as_whom_there_is(caretaker, application, ground)
    except IsolationNotProven as exposed:
        findings.append(_finding_of(exposed))
    except (InvalidBlueprint, psycopg.Error) as impossible:
        # What the catalog says is a verdict by itself, and whoever weakened it may also keep the attack from
        # being made; without it, nothing is said.
        if not findings:
            raise
        findings.append(
            Finding("attack_not_made", f"The attack could not be made: {_why(impossible)}.")
        )
    if application is not None:
        if ground.is_supabase:
            findings += await _exposures(application, "application_exposures", ground)
        findings += await _try_to_break_out(application, attempts)
    fingerprint, _ = await read_fingerprint(connection, ground=ground)
    return Verdict(
        holds=not findings,
        findings=tuple(findings),
        attempts=dict(sorted(attempts.items())),
        catalog_fingerprint=fingerprint,
        began_at=began_at,
        duration_ms=(perf_counter() - began) * 1000,
    )


async def whole_attack(
    connection: Connection,
    access: AccessMatrix | None,
    *,
    together: bool,
    of_ours: frozenset[Fact] = frozenset(),
    ground: Ground = PLAIN,
) -> Outcome:
    """The rules, the canary, and the attack.

    Args:
        of_ours: what was proven on the template, or at birth: what a client has made itself need
            not be in the access matrix.
    """
    findings = await find_schema_exposures(connection, ground=ground)
    findings += await try_canary(connection, ground=ground)
    if access is not None:
        unlisted = await find_unlisted(connection, access)
        findings += [
            finding
            for finding in unlisted
            if not (_is_own(finding, of_ours) or _is_of_others(finding, ground))
        ]
        if missing := [finding for finding in findings if finding.code == "table_missing"]:
            # The rows of the matrix could not be made.
            return Outcome([*findings[: findings.index(missing[0])], *missing])
    outcome = await attack(connection, access, together=together, ground=ground)
    outcome.findings[:0] = findings
    return outcome


def _is_own(finding: Finding, of_ours: frozenset[Fact]) -> bool:
    """Whether it is about a table or function of public that the client has made itself."""
    if not of_ours or finding.code not in {"table_unlisted", "function_unlisted"}:
        return False
    name = f"public.{str(finding.subject).partition('(')[0]}"
    return all(subject.partition("(")[0] != name for _, subject, _ in of_ours)


def _is_of_others(finding: Finding, ground: Ground) -> bool:
    """Whether it is about a table or function of public that is not the client's at all."""
    is_unlisted = finding.code in {"table_unlisted", "function_unlisted"}
    return is_unlisted and not ground.is_ours(str(finding.subject))


def _why(impossible: InvalidBlueprint | psycopg.Error) -> str:
    if isinstance(impossible, InvalidBlueprint):
        return impossible.message.removesuffix(".")
    return impossible.diag.message_primary or type(impossible).__name__


def _refuse(findings: Sequence[Finding]) -> None:
    if findings:
        more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
        sentence = findings[0].sentence.removesuffix(".")
        raise IsolationNotProven(f"{sentence}{more}.", exposures=len(findings))


def _finding_of(exposed: IsolationNotProven) -> Finding:
    table = exposed.details.get("table")
    return Finding("row_seen", exposed.message, subject=str(table) if table else None)


async def find_server_exposures(
    connection: Connection, made: Sequence[MadeLogin], *, ground: Ground = PLAIN
) -> list[Finding]:
    """How the server's logins of this database differ from those that we made, to the worse."""
    async with named_in_full(connection):
        cursor = await connection.execute(
            SERVER["server_exposures"], {**ground.rules, **expected(made)}
        )
        return _as_findings(await cursor.fetchall())


async def find_schema_exposures(connection: Connection, *, ground: Ground = PLAIN) -> list[Finding]:
    """Whatever in the schemas lets in somebody who must stay out, whoever has made it."""
    async with named_in_full(connection):
        return await _exposures(connection, "schema_exposures", ground)


async def _database_exposures(
    connection: Connection,
    logins: Sequence[str],
    *,
    server: Connection | None = None,
    ground: Ground,
) -> list[Finding]:
    """Who else than these may connect to the database of the connection; the whole server can be asked."""
    return await _exposures(
        server or connection,
        "database_exposures",
        ground,
        logins=list(logins),
        database=connection.info.dbname,
    )


async def _exposures(
    connection: Connection, look: str, ground: Ground, **parameters: list[str] | str
) -> list[Finding]:
    rows = await (await connection.execute(PROOF[look], {**ground.rules, **parameters})).fetchall()
    return _as_findings(rows)


def _as_findings(exposures: Sequence[DictRow]) -> list[Finding]:
    sentences = [str(row["exposure"]) for row in exposures]
    return [Finding("exposure", f"{text[:1].upper()}{text[1:]}.") for text in sentences]


async def _try_to_break_out(application: Connection, attempts: Counter[str]) -> list[Finding]:
    """With the application's own login: become somebody else, and change the protection itself."""
    findings = []
    names = [role.name for role in SHARED_ROLES if role.name not in {"anon", "authenticated"}]
    tries = [
        ("role_taken", name, sql.SQL("set local role {}").format(sql.Identifier(name)))
        for name in names
    ]
    for table in await _table_names(application):
        target = sql.Identifier("public", table)
        tries += [
            (
                "protection_lifted",
                table,
                sql.SQL("alter table {} disable row level security").format(target),
            ),
            (
                "protection_lifted",
                table,
                sql.SQL("create policy ghostcrm_canary on {} using (true)").format(target),
            ),
            ("protection_lifted", table, sql.SQL("grant all on table {} to anon").format(target)),
        ]
    for code, subject, statement in tries:
        attempts["break out"] += 1
        try:
            async with application.transaction(force_rollback=True):
                await application.execute("set local lock_timeout = '5s'")
                await application.execute(statement)
                if code == "protection_lifted" and not await _grants_anything(application, subject):
                    continue
        except psycopg.errors.InsufficientPrivilege:
            continue
        sentence = f"The application's login may run: {statement.as_string(application)}."
        findings.append(Finding(code, sentence, subject=subject, caller="the application's login"))
    return findings


async def _grants_anything(application: Connection, table: str) -> bool:
    """GRANT by somebody without the right only warns; what counts is what it did."""
    row = await (await application.execute(PROOF["is_owner_of"], {"table": table})).fetchone()
    return row is not None and bool(row["holds"])


async def list_tables(connection: Connection, *, ground: Ground = PLAIN) -> list[str]:
    """The client's tables of public, of which strangers must see nothing."""
    return [name for name in await _table_names(connection) if ground.is_ours(name)]


async def list_functions_for_users(connection: Connection, *, ground: Ground = PLAIN) -> list[str]:
    """The names of the client's functions of public that signed-in users may execute."""
    rows = await (await connection.execute(ATTACK["functions_for_users"], {})).fetchall()
    names = {str(row["function"]).partition("(")[0] for row in rows}
    return sorted(name for name in names if ground.is_ours(name))


async def _table_names(connection: Connection) -> list[str]:
    rows = await (await connection.execute(PROOF["tables"])).fetchall()
    if not rows:
        raise IsolationNotProven("There is no table in public to prove anything about.")
    return [row["name"] for row in rows]


async def _knock_as_whom_there_is(
    owner: Connection, application: Connection | None, ground: Ground
) -> int:
    """Knock at every table: with the application's own login, or where there is none, with the
    owner's, which takes on the role that the application would."""
    if application is not None:
        return await _knock(application, None, ground=ground)
    return await _knock(owner, None, become="set local role authenticated", ground=ground)


async def _knock(
    application: Connection,
    probed: Sequence[str] | None,
    *,
    become: LiteralString | None = None,
    ground: Ground = PLAIN,
) -> int:
    """Knock with this login; returns at how many tables.

    Args:
        become: what a login must run that is not bound by RLS itself.
    """
    stranger = await _knock_as_unknown_user(application, ground, probed, become)
    await _knock_as_anon(application, ground, probed)
    return stranger


async def _knock_as_unknown_user(
    connection: Connection,
    ground: Ground,
    probed: Sequence[str] | None,
    become: LiteralString | None,
) -> int:
    """As a signed-in user whom this client does not know; returns how many tables were tried."""
    claims = {"sub": str(uuid4()), "role": "authenticated", "aud": "authenticated"}
    caller = [
        *([sql.SQL(become)] if become is not None else []),
        sql.SQL("select set_config('request.jwt.claims', {}, true)").format(json.dumps(claims)),
    ]
    if probed is None:
        probed = await _readable(connection, ground, *caller)
    try:
        seen = await _visible(connection, probed, *caller)
    except psycopg.errors.InsufficientPrivilege as refused:
        raise IsolationNotProven(
            f"The application's own login cannot be tried: {refused.diag.message_primary}."
        ) from refused
    if seen:
        raise IsolationNotProven(
            f"A stranger who is signed in sees rows of the table {seen[0]}.", table=seen[0]
        )
    return len(probed)


async def _knock_as_anon(
    connection: Connection, ground: Ground, probed: Sequence[str] | None
) -> None:
    caller = sql.SQL("set local role anon")
    if probed:
        try:
            await _visible(connection, probed[:1], caller)
        except psycopg.errors.InsufficientPrivilege:
            return
        raise IsolationNotProven(f"anon may read the table {probed[0]}.", table=probed[0])
    if readable := await _readable(connection, ground, caller):
        raise IsolationNotProven(f"anon may read the table {readable[0]}.", table=readable[0])


async def _readable(connection: Connection, ground: Ground, *caller: sql.Composable) -> list[str]:
    """The client's tables that this caller may read at all."""
    rows = await _ask(connection, *caller, sql.SQL(PROOF["readable_tables"]))
    return [row["name"] for row in rows if ground.is_ours(row["name"])]


async def _visible(
    connection: Connection, names: Sequence[str], *caller: sql.Composable
) -> list[str]:
    """Those of the tables in which this caller sees a row."""
    if not names:
        return []
    question = sql.SQL(" union all ").join(
        sql.SQL("select {} as name where exists (select from public.{})").format(
            sql.Literal(name), sql.Identifier(name)
        )
        for name in names
    )
    return [row["name"] for row in await _ask(connection, *caller, question)]


async def _ask(connection: Connection, *statements: sql.Composable) -> list[DictRow]:
    """The rows of the last of the statements. All are one message to the server, and outside of a
    transaction a transaction of their own: who is asking ends with it."""
    cursor = await connection.execute(sql.SQL(";\n").join(statements), prepare=False)
    while cursor.nextset():
        pass
    return await cursor.fetchall()
