"""The proof is tried by breaking things: each policy dropped, each opened, each grant added, and the rest.

``ghostcrm verify`` fails on anything that the comparison with the proven catalog finds, or that the
attack finds. The comparison must find everything; how much the attack finds by itself is counted too.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from psycopg import sql

from ghostcrm_provisioning.client_database.blueprint import Blueprint
from ghostcrm_provisioning.client_database.ground import PLAIN
from ghostcrm_provisioning.client_database.isolation.attack import (
    Outcome,
    find_unlisted,
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
from ghostcrm_provisioning.client_database.isolation.proof import (
    find_schema_exposures,
    verify,
    whole_attack,
)
from tests.isolation.conftest import Connection, as_owner, undone
from tests.isolation.mutations import (
    catch_each,
    grant_mutations,
    named,
    opened_or_dropped,
    policy_mutations,
    withstood,
)

pytestmark = pytest.mark.long

Record = Callable[[str, object], None]


@pytest.fixture
async def proven(database: Connection) -> frozenset[Fact]:
    return await read_proven_facts(database)


async def test_untouched_nothing_differs(breaking: Connection, proven: frozenset[Fact]) -> None:
    assert len(proven) > 1500
    assert compare(proven, await read_facts(breaking)) == []


async def test_every_policy_that_is_dropped_or_opened_is_caught(
    breaking: Connection, proven: frozenset[Fact], record_property: Record
) -> None:
    mutations = await policy_mutations(breaking)
    for each in mutations:
        await catch_each(breaking, proven, each)
    tried = sum(map(len, mutations))
    record_property(
        "summary", f"mutations: {tried} of {tried} policies dropped or opened are caught"
    )


async def test_every_grant_that_is_added_is_caught(
    breaking: Connection, proven: frozenset[Fact], record_property: Record
) -> None:
    schemas = ("public", "private", "auth", "extensions", "supabase_migrations")
    mutations = await grant_mutations(breaking, schemas)
    assert len(mutations) > 1000
    await catch_each(breaking, proven, mutations)
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


async def test_a_long_policy_is_shown_where_it_differs(
    breaking: Connection, proven: frozenset[Fact]
) -> None:
    cursor = await breaking.execute(
        "select qual from pg_policies where policyname = 'activities_update' and schemaname = 'public'"
    )
    (row,) = await cursor.fetchall()
    weaker = str(row["qual"]).replace("'sales'::text", "'viewer'::text")
    statement = "alter policy activities_update on public.activities using ({})"
    await breaking.execute(sql.SQL(statement).format(sql.SQL(weaker)))
    (finding,) = compare(proven, await read_facts(breaking))
    was, _, is_now = finding.sentence.partition("; it is: ")
    assert "'sales'::text" in was
    assert "'viewer'::text" in is_now


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
                breaking, named("grant execute on function {}.leak() to authenticated", schema)
            )
            codes = {each.code for each in compare(proven, await read_facts(breaking))}
            assert codes == ({"definer_added"} if differs else set())


async def test_an_extension_hides_no_function_with_its_owner_s_rights(
    breaking: Connection, proven: frozenset[Fact]
) -> None:
    """Whoever owns an extension may put what is theirs into it."""
    for statement in (
        "create function private.leak() returns setof public.profiles language sql stable"
        " security definer set search_path = pg_catalog, pg_temp as 'select * from public.profiles'",
        "grant execute on function private.leak() to authenticated",
        "alter extension pg_trgm add function private.leak()",
    ):
        await as_owner(breaking, sql.SQL(statement))
    codes = {each.code for each in compare(proven, await read_facts(breaking))}
    assert codes == {"definer_added"}


async def test_a_client_s_own_types_are_no_difference(
    breaking: Connection, proven: frozenset[Fact], blueprint: Blueprint
) -> None:
    """PostgreSQL gives the functions of a range to whoever made the server."""
    for statement in (
        "create type public.price_range as range (subtype = bigint)",
        "create type public.colour as enum ('red', 'green')",
        "create domain public.percent as numeric check (value between 0 and 100)",
        "create type public.point as (x integer, y integer)",
    ):
        await as_owner(breaking, sql.SQL(statement))
    assert compare(proven, await read_facts(breaking)) == []
    assert await find_schema_exposures(breaking) == []
    assert blueprint.access is not None
    assert await find_unlisted(breaking, blueprint.access) == []


async def test_a_client_tunes_and_extends_what_came_with_the_blueprint(
    breaking: Connection, proven: frozenset[Fact]
) -> None:
    for statement in (
        "alter table public.contacts set (autovacuum_vacuum_scale_factor = 0.02)",
        "alter table public.contacts add column nickname text",
        "grant insert (nickname), update (nickname) on public.contacts to authenticated",
        "create index contacts_nickname_idx on public.contacts (nickname)",
        "create view private.for_us as select id from public.contacts",
    ):
        await as_owner(breaking, sql.SQL(statement))
    # As its operator, for the Supabase CLI's `inspect db`.
    await breaking.execute("create extension pg_stat_statements schema extensions")
    assert compare(proven, await read_facts(breaking)) == []
    assert await find_schema_exposures(breaking) == []
    # A column that was there is another matter, also when it was taken away in between.
    for statement in (
        "grant update (deleted_at) on public.contacts to authenticated",
        "alter table public.files drop column state;"
        "alter table public.files add column state text;"
        "grant update (state) on public.files to authenticated",
        "grant select on private.for_us to authenticated",
    ):
        async with undone(breaking):
            await as_owner(breaking, sql.SQL(statement))
            findings = compare(proven, await read_facts(breaking))
            assert findings + await find_schema_exposures(breaking), statement


async def test_an_aggregate_lends_what_it_is_made_of(
    breaking: Connection, proven: frozenset[Fact]
) -> None:
    """Who may execute an aggregate need not be allowed its parts, which may run with their owner's rights."""
    for statement in (
        "create function private.part(text, int) returns text language sql security definer"
        " set search_path = '' as 'select string_agg(email, chr(44)) from public.profiles'",
        "create aggregate private.leak(int) (sfunc = private.part, stype = text)",
        "grant execute on function private.leak(int) to authenticated",
    ):
        await as_owner(breaking, sql.SQL(statement))
    findings = compare(proven, await read_facts(breaking))
    assert {(each.code, each.subject) for each in findings} == {
        ("definer_added", "private.leak(integer)")
    }
    await as_owner(breaking, sql.SQL("grant execute on function private.leak(int) to anon"))
    found = [each.sentence for each in await find_schema_exposures(breaking)]
    assert found == ["Anon may execute the security definer function private.leak(integer)."]


async def test_a_grant_of_one_column_is_a_grant(breaking: Connection) -> None:
    """Of what a client has made itself: the rules are asked, not the comparison."""
    for statement, said in (
        (
            "create materialized view private.copied as select email from public.profiles;"
            "grant select (email) on private.copied to authenticated",
            "materialized view private.copied",
        ),
        (
            "create table private.kept (email text); grant select (email) on private.kept to authenticated",
            "row level security is off on table private.kept",
        ),
        (
            "create table public.own (email text); alter table public.own enable row level security;"
            "grant select (email) on public.own to anon",
            "anon may select relation own",
        ),
    ):
        async with undone(breaking):
            await as_owner(breaking, sql.SQL(statement))
            found = await find_schema_exposures(breaking)
        assert [said in each.sentence.lower() for each in found] == [True], (said, found)


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


@pytest.mark.parametrize(
    "body",
    [
        "coalesce(nullif(current_setting('request.headers', true), '')::json ->> 'x-sub',"
        " nullif(current_setting('request.jwt.claims', true), '')::json ->> 'sub')",
        "coalesce((select id from auth.users limit 1)::text,"
        " nullif(current_setting('request.jwt.claims', true), '')::json ->> 'sub')",
    ],
)
async def test_what_says_who_is_asking_rests_on_the_token_alone(
    breaking: Connection, proven: frozenset[Fact], body: str
) -> None:
    """The attack cannot know what somebody would have to send to be let in."""
    await breaking.execute("set local role supabase_auth_admin")
    await breaking.execute(
        sql.SQL(
            "create or replace function auth.uid() returns uuid language sql stable as"
            " $body$ select ({})::uuid $body$"
        ).format(sql.SQL(body))
    )
    await breaking.execute("reset role")
    findings = compare(proven, await read_facts(breaking))
    assert [each.subject for each in findings] == ["auth.uid()"]


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


async def test_the_attack_alone_finds_every_policy_that_is_dropped_or_opened(
    database: Connection, blueprint: Blueprint, record_property: Record
) -> None:
    mutations = await opened_or_dropped(database)
    missed = await withstood(database, blueprint, mutations)
    record_property(
        "summary",
        f"mutations: the attack alone finds {len(mutations) - len(missed)} of {len(mutations)} "
        "policies dropped or opened",
    )
    assert missed == []


async def test_nothing_that_runs_with_the_owner_s_rights_rests_on_what_auth_s_login_can_replace(
    breaking: Connection,
) -> None:
    """Supabase Auth's login owns auth.uid() and its kin: a body of its own choice must not run as the owner."""
    await breaking.execute("set local role supabase_auth_admin")
    for name, kind in (("uid", "uuid"), ("role", "text"), ("email", "text"), ("jwt", "jsonb")):
        await breaking.execute(
            sql.SQL(
                "create or replace function {}() returns {} language plpgsql as"
                " $$ begin raise exception 'called by %', current_user; end $$"
            ).format(sql.Identifier("auth", name), sql.SQL(kind))
        )
    await breaking.execute("set local role authenticated")
    await breaking.execute(
        "select set_config('request.jwt.claims', %s, true)",
        ('{"sub": "5a0f7d1c-3f5e-4c57-9d0f-3b6a7c1f0e11", "role": "authenticated"}',),
    )
    for table in ("roles", "profiles", "appointments", "activities"):
        await breaking.execute(named("select from public.{}", table))
    await as_owner(breaking, sql.SQL("insert into public.tags (name) values ('audited')"))
    cursor = await breaking.execute(
        "select actor_id::text, actor_role from public.audit_logs where new_values ->> 'name' = 'audited'"
    )
    assert await cursor.fetchall() == [
        {"actor_id": "5a0f7d1c-3f5e-4c57-9d0f-3b6a7c1f0e11", "actor_role": "authenticated"}
    ]
    cursor = await breaking.execute(
        "select oid::regprocedure::text as calls from pg_proc"
        " where prosecdef and pronamespace in ('public'::regnamespace, 'private'::regnamespace)"
        r" and prosrc ~ '\mauth\.'"
    )
    assert await cursor.fetchall() == []


async def test_whoever_keeps_the_attack_from_being_made_is_found_by_the_catalog(
    breaking: Connection,
) -> None:
    await breaking.execute(
        "create or replace function auth.uid() returns uuid language plpgsql as"
        " $$ begin raise exception 'not today'; end $$"
    )
    verdict = await verify(
        breaking, caretaker=breaking, application=None, logins=(), access=None, ground=PLAIN
    )
    assert not verdict.holds
    assert {each.code for each in verdict.findings} >= {"function_differs", "attack_not_made"}
    assert "not today" in verdict.findings[-1].sentence
