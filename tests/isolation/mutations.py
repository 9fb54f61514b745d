"""Ways to break the isolation of the shipped blueprint, and whether it is noticed: each policy dropped, each
opened, each grant added.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from psycopg import AsyncConnection, sql
from psycopg.rows import DictRow

from ghostcrm_provisioning.client_database.blueprint import Blueprint
from ghostcrm_provisioning.client_database.ground import PLAIN, Ground
from ghostcrm_provisioning.client_database.isolation.attack import (
    Outcome,
    insiders,
    prepared,
    strangers,
)
from ghostcrm_provisioning.client_database.isolation.catalog import Fact, compare, read_facts

Connection = AsyncConnection[DictRow]


async def _rows(connection: Connection, query: str) -> list[dict[str, object]]:
    return await (await connection.execute(query)).fetchall()


def named(template: str, *names: str) -> sql.Composed:
    return sql.SQL(template).format(*map(sql.Identifier, names))


async def _mutated(
    connection: Connection, mutations: Sequence[sql.Composed]
) -> AsyncIterator[sql.Composed]:
    """Each mutation in its turn, made as a superuser and undone."""
    for mutation in mutations:
        async with connection.transaction(force_rollback=True):
            await connection.execute(mutation)
            yield mutation


async def _not_caught(
    connection: Connection,
    proven: frozenset[Fact],
    mutations: Sequence[sql.Composed],
    ground: Ground = PLAIN,
) -> list[str]:
    missed = []
    async for mutation in _mutated(connection, mutations):
        if not compare(proven, await read_facts(connection, ground=ground)):
            missed.append(mutation.as_string(connection))
    return missed


async def catch_each(
    connection: Connection,
    proven: frozenset[Fact],
    mutations: Sequence[sql.Composed],
    ground: Ground = PLAIN,
) -> None:
    """Many at once, each of which is one finding of its own; one by one where the numbers differ."""
    for batch in (mutations[at : at + 50] for at in range(0, len(mutations), 50)):
        async with connection.transaction(force_rollback=True):
            for mutation in batch:
                await connection.execute(mutation)
            findings = compare(proven, await read_facts(connection, ground=ground))
        if len(findings) != len(batch):
            assert await _not_caught(connection, proven, batch, ground) == []
        assert len({finding.sentence for finding in findings}) == len(batch)


async def policy_mutations(connection: Connection) -> list[list[sql.Composed]]:
    """Each policy dropped, given to everyone, and opened, in lists that can be made at once."""
    policies = await _rows(
        connection,
        "select tablename, policyname, qual is not null as has_using,"
        " with_check is not null as has_check from pg_policies where schemaname = 'public'",
    )
    assert len(policies) > 130
    ways = (
        ("drop policy {} on public.{}", None),
        ("alter policy {} on public.{} to public", None),
        ("alter policy {} on public.{} using (true)", "has_using"),
        ("alter policy {} on public.{} with check (true)", "has_check"),
    )
    return [
        [
            named(way, str(row["policyname"]), str(row["tablename"]))
            for row in policies
            if condition is None or row[condition]
        ]
        for way, condition in ways
    ]


async def grant_mutations(connection: Connection, schemas: Sequence[str]) -> list[sql.Composed]:
    """Each grant added that is not there, and the right to create in each of the schemas."""
    missing = await _rows(
        connection,
        """
        select c.relname as object, g.name as grantee, p.name as privilege, c.relkind = 'S' as is_sequence
        from pg_class c
        cross join unnest(array['anon', 'authenticated', 'public', 'service_role']) as g (name)
        cross join lateral unnest(case c.relkind
            when 'S' then array['select', 'usage', 'update']
            else array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']
        end) as p (name)
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v', 'S')
          and not exists (
              select from aclexplode(c.relacl) a
              where a.grantee = case g.name when 'public' then 0 else g.name::regrole::oid end
                and lower(a.privilege_type) = p.name
          )
        """,
    )
    mutations = [
        sql.SQL("grant {} on {} public.{} to {}").format(
            sql.SQL(str(row["privilege"])),
            sql.SQL("sequence" if row["is_sequence"] else "table"),
            sql.Identifier(str(row["object"])),
            sql.SQL("public")
            if row["grantee"] == "public"
            else sql.Identifier(str(row["grantee"])),
        )
        for row in missing
    ]
    columns = await _rows(
        connection,
        """
        select c.relname as object, a.attname as column, p.name as privilege
        from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        cross join unnest(array['insert', 'update']) as p (name)
        where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and a.attgenerated = ''
          and not has_column_privilege('authenticated', c.oid, a.attnum, p.name)
        """,
    )
    mutations += [
        sql.SQL("grant {} ({}) on table public.{} to authenticated").format(
            sql.SQL(str(row["privilege"])),
            sql.Identifier(str(row["column"])),
            sql.Identifier(str(row["object"])),
        )
        for row in columns
    ]
    functions = await _rows(
        connection,
        """
        select f.oid::regprocedure::text as object, g.name as grantee
        from pg_proc f cross join unnest(array['anon', 'authenticated', 'public']) as g (name)
        where f.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
          and not exists (
              select from pg_depend d
              where d.classid = 'pg_proc'::regclass and d.objid = f.oid and d.deptype = 'e'
          )
          and not exists (
              select from aclexplode(f.proacl) a
              where a.grantee = case g.name when 'public' then 0 else g.name::regrole::oid end
          )
        """,
    )
    mutations += [
        sql.SQL("grant execute on function {} to {}").format(
            sql.SQL(str(row["object"])),
            sql.SQL(str(row["grantee"])),
        )
        for row in functions
    ]
    for schema in schemas:
        for grantee in ("anon", "public"):
            mutations.append(
                sql.SQL("grant create on schema {} to {}").format(
                    sql.Identifier(schema),
                    sql.SQL(grantee),
                )
            )
    return mutations


async def opened_or_dropped(connection: Connection) -> list[tuple[str, sql.Composed]]:
    """Each policy dropped and each opened, with its table."""
    policies = await _rows(
        connection,
        "select tablename, policyname, cmd from pg_policies where schemaname = 'public'",
    )
    mutations = []
    for row in policies:
        table, policy = str(row["tablename"]), str(row["policyname"])
        mutations.append((table, named("drop policy {} on public.{}", policy, table)))
        opened = {
            "SELECT": "alter policy {} on public.{} using (true)",
            "INSERT": "alter policy {} on public.{} with check (true)",
            "UPDATE": "alter policy {} on public.{} using (true) with check (true)",
            "DELETE": "alter policy {} on public.{} using (true)",
        }[str(row["cmd"])]
        mutations.append((table, named(opened, policy, table)))
    return mutations


async def withstood(
    connection: Connection,
    blueprint: Blueprint,
    mutations: Sequence[tuple[str, sql.Composed]],
    ground: Ground = PLAIN,
) -> list[str]:
    """The mutations that the attack alone does not find."""
    access = blueprint.access
    assert access is not None
    # Strangers get in where something was opened; what was dropped, a colleague misses.
    outsiders_first = (*strangers(access), *insiders(access))
    insiders_first = (*insiders(access), *strangers(access))
    missed = []
    async with prepared(connection, access, blindly=True, ground=ground) as attacker:
        for table, mutation in mutations:
            async with connection.transaction(force_rollback=True):
                await _as_owner(connection, mutation, ground)
                outcome = Outcome()
                dropped = mutation.as_string(connection).startswith("drop")
                for caller in insiders_first if dropped else outsiders_first:
                    await attacker.attack_as(caller, outcome, [table])
                    if outcome.findings:
                        break
                if not outcome.findings:
                    missed.append(mutation.as_string(connection))
    return missed


async def _as_owner(connection: Connection, statement: sql.Composed, ground: Ground) -> None:
    await connection.execute(sql.SQL("set local role {}").format(sql.Identifier(ground.owner)))
    await connection.execute(statement)
    await connection.execute("reset role")
