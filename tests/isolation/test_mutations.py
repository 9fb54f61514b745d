"""The proof is tried by breaking things: each policy dropped, each opened, each grant added, and the rest.

``ghostcrm verify`` fails on anything that the comparison with the proven catalog finds, or that the
attack finds. The comparison must find everything; how much the attack finds by itself is counted too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

import pytest
from psycopg import sql

from ghostcrm_provisioning.client_database.blueprint import Blueprint
from ghostcrm_provisioning.client_database.isolation.attack import (
    Outcome,
    find_unlisted,
    insiders,
    prepared,
    strangers,
)
from ghostcrm_provisioning.client_database.isolation.catalog import (
    Fact,
    compare,
    read_facts,
    read_fingerprint,
    read_proven_facts,
)
from ghostcrm_provisioning.client_database.isolation.proof import whole_attack
from tests.isolation.conftest import Connection, as_owner, undone

Record = Callable[[str, object], None]

_GRANTEES = ("anon", "authenticated", "public")


async def _rows(connection: Connection, query: str) -> list[dict[str, object]]:
    return await (await connection.execute(query)).fetchall()


def _named(template: str, *names: str) -> sql.Composed:
    return sql.SQL(template).format(*map(sql.Identifier, names))


async def _mutated(
    connection: Connection, mutations: Sequence[sql.Composed]
) -> AsyncIterator[sql.Composed]:
    """Each mutation in its turn, made as a superuser and undone."""
    for mutation in mutations:
        async with undone(connection):
            await connection.execute(mutation)
            yield mutation


@pytest.fixture
async def proven(database: Connection) -> frozenset[Fact]:
    return await read_proven_facts(database)


async def _not_caught(
    connection: Connection, proven: frozenset[Fact], mutations: Sequence[sql.Composed]
) -> list[str]:
    missed = []
    async for mutation in _mutated(connection, mutations):
        if not compare(proven, await read_facts(connection)):
            missed.append(mutation.as_string(connection))
    return missed


async def _catch_each(
    connection: Connection, proven: frozenset[Fact], mutations: Sequence[sql.Composed]
) -> None:
    """Many at once, each of which is one finding of its own; one by one where the numbers differ."""
    for batch in (mutations[at : at + 50] for at in range(0, len(mutations), 50)):
        async with undone(connection):
            for mutation in batch:
                await connection.execute(mutation)
            findings = compare(proven, await read_facts(connection))
        if len(findings) != len(batch):
            assert await _not_caught(connection, proven, batch) == []
        assert len({finding.sentence for finding in findings}) == len(batch)


async def test_untouched_nothing_differs(breaking: Connection, proven: frozenset[Fact]) -> None:
    assert len(proven) > 1500
    assert compare(proven, await read_facts(breaking)) == []


async def test_every_policy_that_is_dropped_or_opened_is_caught(
    breaking: Connection, proven: frozenset[Fact], record_property: Record
) -> None:
    policies = await _rows(
        breaking,
        "select tablename, policyname, qual is not null as has_using,"
        " with_check is not null as has_check from pg_policies where schemaname = 'public'",
    )
    ways = (
        ("drop policy {} on public.{}", None),
        ("alter policy {} on public.{} to public", None),
        ("alter policy {} on public.{} using (true)", "has_using"),
        ("alter policy {} on public.{} with check (true)", "has_check"),
    )
    assert len(policies) > 130
    tried = 0
    for way, condition in ways:
        mutations = [
            _named(way, str(row["policyname"]), str(row["tablename"]))
            for row in policies
            if condition is None or row[condition]
        ]
        await _catch_each(breaking, proven, mutations)
        tried += len(mutations)
    record_property(
        "summary", f"mutations: {tried} of {tried} policies dropped or opened are caught"
    )


async def test_every_grant_that_is_added_is_caught(
    breaking: Connection, proven: frozenset[Fact], record_property: Record
) -> None:
    missing = await _rows(
        breaking,
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
        breaking,
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
        breaking,
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
    for schema in ("public", "private", "auth", "extensions", "supabase_migrations"):
        for grantee in ("anon", "public"):
            mutations.append(
                sql.SQL("grant create on schema {} to {}").format(
                    sql.Identifier(schema),
                    sql.SQL(grantee),
                )
            )
    assert len(mutations) > 1000
    await _catch_each(breaking, proven, mutations)
    record_property(
        "summary", f"mutations: {len(mutations)} of {len(mutations)} added grants are caught"
    )


_OTHERS = (
    "alter table public.contacts disable row level security",
    "alter table public.contacts owner to postgres",
    "create policy one_more on public.contacts for select to authenticated using (true)",
    "create policy one_more on public.contacts to anon using (true)",
    "alter function private.my_role() reset search_path",
    "alter function private.my_role() security invoker",
    "alter function public.delete_record(text, uuid) security definer",
    "create or replace function private.my_role() returns text language sql stable security definer"
    " set search_path = '' as $$ select 'owner' $$",
    "alter function private.my_id() owner to postgres",
    "alter table public.profiles disable trigger profiles_keep_an_owner_on_update",
    "drop trigger contacts_set_updated_at on public.contacts",
    "create rule open as on update to public.tags do instead nothing",
    "alter default privileges for role ghostcrm_client_owner grant select on tables to anon",
    "alter schema public owner to postgres",
    "alter role authenticated bypassrls",
    "alter role anon superuser",
    "grant service_role to authenticated",
    "grant ghostcrm_client_owner to anon",
)


@pytest.mark.parametrize("mutation", _OTHERS)
async def test_everything_else_that_decides_about_access_is_caught(
    breaking: Connection, proven: frozenset[Fact], mutation: str
) -> None:
    before = await read_fingerprint(breaking)
    async with undone(breaking):
        await breaking.execute(mutation)
        findings = compare(proven, await read_facts(breaking))
        assert findings
        assert all(finding.sentence.endswith(".") and finding.subject for finding in findings)
        # At birth the fingerprint alone is looked at.
        assert await read_fingerprint(breaking) != before


async def test_a_client_s_own_new_table_is_no_difference(
    breaking: Connection, proven: frozenset[Fact]
) -> None:
    """Whether it is safe is what the rules and the attack say."""
    for statement in (
        "create table public.own_things (id uuid primary key, owner_id uuid)",
        "alter table public.own_things enable row level security",
        "create policy own_things_select on public.own_things for select to authenticated"
        " using (owner_id = (select auth.uid()))",
        "grant select on table public.own_things to authenticated",
    ):
        await as_owner(breaking, sql.SQL(statement))
    assert compare(proven, await read_facts(breaking)) == []


async def test_a_new_function_with_its_owner_s_rights_is_a_difference(
    breaking: Connection, proven: frozenset[Fact]
) -> None:
    for schema, security, differs in (
        ("private", "definer", True),
        ("public", "definer", True),
        ("public", "invoker", False),
    ):
        async with undone(breaking):
            statement = (
                "create function {}.leak() returns setof public.profiles language sql stable security {}"
                " set search_path = pg_catalog, pg_temp as 'select * from public.profiles'"
            )
            await as_owner(
                breaking, sql.SQL(statement).format(sql.Identifier(schema), sql.SQL(security))
            )
            await as_owner(
                breaking, _named("grant execute on function {}.leak() to authenticated", schema)
            )
            codes = {each.code for each in compare(proven, await read_facts(breaking))}
            assert codes == ({"definer_added"} if differs else set())


async def test_a_new_parent_of_a_table_is_a_difference(
    breaking: Connection, proven: frozenset[Fact]
) -> None:
    for statement in (
        "create table public.anybody (id uuid)",
        "alter table public.contacts inherit public.anybody",
    ):
        await as_owner(breaking, sql.SQL(statement))
    findings = compare(proven, await read_facts(breaking))
    assert {finding.code for finding in findings} == {"inheritance_added"}


async def test_supabase_auth_may_replace_what_says_who_is_asking_but_it_must_say_so(
    breaking: Connection, proven: frozenset[Fact], blueprint: Blueprint
) -> None:
    for body, lies in (
        ("nullif(current_setting('request.jwt.claims', true), '')::json ->> 'sub'", False),
        ("null", True),
    ):
        async with undone(breaking):
            await breaking.execute("set local role supabase_auth_admin")
            await breaking.execute(
                sql.SQL(
                    "create or replace function auth.uid() returns uuid language sql stable as"
                    " $body$ select ({})::uuid $body$"
                ).format(sql.SQL(body))
            )
            await breaking.execute("reset role")
            assert compare(proven, await read_facts(breaking)) == []
            async with prepared(breaking, blueprint.access, blindly=False) as attacker:
                outcome = Outcome()
                for caller in strangers(blueprint.access):
                    await attacker.attack_as(caller, outcome, ["tags"])
            assert ("identity_differs" in {each.code for each in outcome.findings}) is lies


async def test_a_client_s_own_well_protected_table_withstands_the_whole_attack(
    breaking: Connection, proven: frozenset[Fact], blueprint: Blueprint
) -> None:
    for statement in (
        "create table public.own_notes (id integer primary key, owner_id uuid)",
        "alter table public.own_notes enable row level security",
        "create policy own_notes_select on public.own_notes for select to authenticated"
        " using (owner_id = (select private.my_id()))",
        "grant select on table public.own_notes to authenticated",
        "insert into public.own_notes values (1, gen_random_uuid())",
    ):
        await as_owner(breaking, sql.SQL(statement))
    outcome = await whole_attack(breaking, blueprint.access, together=False, of_ours=proven)
    assert outcome.findings == []
    # In a template, what the matrix does not name is somebody's mistake.
    assert blueprint.access is not None
    unlisted = await find_unlisted(breaking, blueprint.access)
    assert [each.code for each in unlisted] == ["table_unlisted"]


_ELSEWHERE = """
create schema reports;
grant usage on schema reports to authenticated;
create table reports.secrets (id integer primary key);
insert into reports.secrets values (1);
alter table reports.secrets enable row level security;
create policy secrets_select on reports.secrets for select to authenticated using (1 = 1);
grant select on table reports.secrets to authenticated;
"""


async def test_strangers_are_sent_into_every_schema(
    breaking: Connection, blueprint: Blueprint
) -> None:
    await as_owner(breaking, sql.SQL(_ELSEWHERE))
    async with prepared(breaking, None, blindly=False) as attacker:
        outcome = Outcome()
        for caller in strangers(None):
            await attacker.attack_as(caller, outcome, None)
    assert [(each.code, each.subject) for each in outcome.findings] == [
        ("row_seen", "reports.secrets")
    ]


async def _attacked(
    connection: Connection, blueprint: Blueprint, mutations: Sequence[tuple[str, sql.Composed]]
) -> list[str]:
    """The mutations that the attack alone does not find."""
    access = blueprint.access
    assert access is not None
    # Strangers get in where something was opened; what was dropped, a colleague misses.
    outsiders_first = (*strangers(access), *insiders(access))
    insiders_first = (*insiders(access), *strangers(access))
    missed = []
    async with prepared(connection, access, blindly=True) as attacker:
        for table, mutation in mutations:
            async with undone(connection):
                await as_owner(connection, mutation)
                outcome = Outcome()
                dropped = mutation.as_string(connection).startswith("drop")
                for caller in insiders_first if dropped else outsiders_first:
                    await attacker.attack_as(caller, outcome, [table])
                    if outcome.findings:
                        break
                if not outcome.findings:
                    missed.append(mutation.as_string(connection))
    return missed


async def test_the_attack_alone_finds_every_policy_that_is_dropped_or_opened(
    database: Connection, blueprint: Blueprint, record_property: Record
) -> None:
    policies = await _rows(
        database,
        "select tablename, policyname, cmd from pg_policies where schemaname = 'public'",
    )
    mutations = []
    for row in policies:
        table, policy = str(row["tablename"]), str(row["policyname"])
        mutations.append((table, _named("drop policy {} on public.{}", policy, table)))
        opened = {
            "SELECT": "alter policy {} on public.{} using (true)",
            "INSERT": "alter policy {} on public.{} with check (true)",
            "UPDATE": "alter policy {} on public.{} using (true) with check (true)",
            "DELETE": "alter policy {} on public.{} using (true)",
        }[str(row["cmd"])]
        mutations.append((table, _named(opened, policy, table)))
    missed = await _attacked(database, blueprint, mutations)
    record_property(
        "summary",
        f"mutations: the attack alone finds {len(mutations) - len(missed)} of {len(mutations)} "
        "policies dropped or opened",
    )
    assert missed == []
