"""The proof of isolation in a database at Supabase: at birth, and of a client in use. It complains of
nothing that is Supabase's own, and of everything that it complains of elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

import pytest
from psycopg import AsyncConnection, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row

from ghostcrm_provisioning.client_database.blueprint import Blueprint
from ghostcrm_provisioning.client_database.isolation.catalog import (
    Fact,
    compare,
    read_facts,
    read_fingerprint,
    read_proven_facts,
)
from ghostcrm_provisioning.client_database.isolation.proof import (
    prove_isolation,
    verify,
    whole_attack,
)
from ghostcrm_provisioning.client_database.isolation.verdict import Verdict
from ghostcrm_provisioning.errors import IsolationNotProven
from tests.isolation.mutations import (
    catch_each,
    grant_mutations,
    opened_or_dropped,
    policy_mutations,
    withstood,
)
from tests.supabase_ground.conftest import Connection, Place

pytestmark = pytest.mark.long

Record = Callable[[str, object], None]


async def _verify(connection: Connection, place: Place, blueprint: Blueprint) -> Verdict:
    return await verify(
        connection,
        caretaker=connection,
        application=None,
        logins=(),
        access=blueprint.access,
        ground=place.ground,
    )


async def test_at_birth_the_whole_attack_is_made_once(
    owner: Connection, place: Place, blueprint: Blueprint
) -> None:
    for words in ("exactly as proven here before", "attacks: none got further"):
        seen = await prove_isolation(
            owner, application=None, logins=(), access=blueprint.access, ground=place.ground
        )
        assert words in seen.seen
        # Whatever changes the catalog has it made again; the blueprint may have become a newer one.
        await owner.execute("comment on table public.tags is 'touched'")
        await owner.execute("alter table public.tags set (fillfactor = 90)")


async def test_a_client_in_use_is_verified(
    owner: Connection, place: Place, blueprint: Blueprint
) -> None:
    await prove_isolation(
        owner, application=None, logins=(), access=blueprint.access, ground=place.ground
    )
    verdict = await _verify(owner, place, blueprint)
    assert verdict.findings == ()
    assert verdict.holds
    assert verdict.attempts["select"] > 1000
    assert verdict.attempts["knock"] > 100
    assert "break out" not in verdict.attempts
    assert verdict.catalog_fingerprint == (await read_fingerprint(owner, ground=place.ground))[0]


_OPENED = (
    ("alter policy {policy} on public.contacts using (true)", "policy_differs"),
    ("grant select on table public.contacts to anon", "grant_added"),
    ("grant select on table public.contacts to public", "grant_added"),
    ("alter table public.contacts disable row level security", "relation_differs"),
    (
        "create function public.leak() returns setof public.profiles language sql security definer"
        " set search_path = '' as 'select * from public.profiles';"
        " grant execute on function public.leak() to authenticated",
        "definer_added",
    ),
    ("alter default privileges in schema public grant select on tables to anon", "default_added"),
    ("alter function private.my_role() reset search_path", "function_differs"),
    ("drop trigger contacts_set_updated_at on public.contacts", "trigger_missing"),
    ("grant usage on schema private to anon", "grant_added"),
)


@pytest.mark.parametrize(("mutation", "code"), _OPENED)
async def test_what_a_client_opens_is_found(
    breaking: Connection, place: Place, mutation: str, code: str
) -> None:
    proven = await read_proven_facts(breaking)
    names = await breaking.execute(
        "select policyname from pg_policies where tablename = 'contacts' and cmd = 'SELECT'"
    )
    policy = (await names.fetchone() or {})["policyname"]
    await breaking.execute(mutation.format(policy=policy).encode())
    findings = compare(proven, await read_facts(breaking, ground=place.ground))
    assert code in {each.code for each in findings}


async def test_every_policy_and_every_grant_that_is_changed_is_a_difference(
    place: Place, owner: Connection, record_property: Record
) -> None:
    proven: frozenset[Fact] = await read_proven_facts(owner)
    async with place.as_superuser() as superuser, superuser.transaction(force_rollback=True):
        policies = await policy_mutations(superuser)
        grants = await grant_mutations(superuser, ("public", "private"))
        assert len(grants) > 1000
        for mutations in (*policies, grants):
            await catch_each(superuser, proven, mutations, place.ground)
    record_property(
        "summary",
        f"mutations at Supabase: {sum(map(len, policies))} policies dropped or opened and {len(grants)}"
        " added grants are caught",
    )


async def test_the_attack_alone_finds_every_policy_that_is_dropped_or_opened(
    breaking: Connection, place: Place, blueprint: Blueprint, record_property: Record
) -> None:
    mutations = await opened_or_dropped(breaking)
    assert await withstood(breaking, blueprint, mutations, place.ground) == []
    record_property("summary", f"mutations at Supabase: the attack finds {len(mutations)} alone")


# What Supabase may do at any time, without having a client quarantined.
_UPGRADES = """
create function storage.added() returns int language sql security definer return 1;
alter function storage.added() owner to supabase_admin;
create table auth.added (id int);
alter table auth.added owner to supabase_auth_admin;
grant select on auth.added to authenticated;
create or replace function auth.role() returns text language sql stable as
    $$ select nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role' $$;
grant usage on schema public to supabase_auth_admin;
grant select on all tables in schema public to supabase_auth_admin;
alter default privileges for role supabase_admin in schema public grant all on tables to anon;
create schema pgmq authorization supabase_admin;
grant usage on schema pgmq to anon;
"""


async def test_what_supabase_changes_is_no_difference(place: Place, blueprint: Blueprint) -> None:
    async with place.as_superuser() as superuser, superuser.transaction(force_rollback=True):
        proven = await read_proven_facts(superuser)
        await superuser.execute(_UPGRADES)
        assert compare(proven, await read_facts(superuser, ground=place.ground)) == []
        outcome = await whole_attack(
            superuser, blueprint.access, together=False, of_ours=proven, ground=place.ground
        )
        assert outcome.findings == []


# What the rules and the attack find by themselves, as at birth.
_BORN_OPEN = (
    ("grant select on table public.contacts to anon", "Anon may select relation contacts"),
    (
        "create function public.leak() returns int language sql security definer return 1;"
        " grant execute on function public.leak() to anon",
        "Anon may execute the security definer function public.leak()",
    ),
    (
        "create policy open on public.contacts to authenticated using (true)",
        "Policy open on table contacts is always true",
    ),
    (
        "create table public.unprotected (id int);"
        " alter table public.unprotected disable row level security",
        "Row level security is off on table unprotected",
    ),
    (
        "alter default privileges in schema public grant all on tables to anon, authenticated",
        "are open to anon",
    ),
    ("alter default privileges grant execute on functions to public", "are open to everyone"),
    (
        "create schema reports; grant usage on schema reports to anon;"
        " create table reports.all_of_it (id int); grant select on reports.all_of_it to anon",
        "Anon may select relation reports.all_of_it",
    ),
    # In a schema of the platform's, which its things would hide.
    (
        "create function extensions.leak() returns int language sql security definer return 1;"
        " grant execute on function extensions.leak() to authenticated",
        "Authenticated may execute the security definer function extensions.leak()",
    ),
    (
        "create schema cron; grant usage on schema cron to anon;"
        " create table cron.hidden (id int); grant select on cron.hidden to anon",
        "Anon may select relation cron.hidden",
    ),
    (
        "create view public.users as select id, email from auth.users",
        "View users runs with its owner's",
    ),
)


@pytest.mark.parametrize(("mutation", "sentence"), _BORN_OPEN)
async def test_what_is_open_at_birth_is_found(
    breaking: Connection, place: Place, mutation: str, sentence: str
) -> None:
    await breaking.execute(mutation.encode())
    outcome = await whole_attack(breaking, None, together=True, ground=place.ground)
    assert any(sentence in each.sentence for each in outcome.findings), outcome.findings
    with pytest.raises(IsolationNotProven):
        await prove_isolation(
            breaking, application=None, logins=(), access=None, ground=place.ground
        )


async def test_the_attack_gets_in_where_a_policy_is_opened(
    breaking: Connection, place: Place, blueprint: Blueprint
) -> None:
    names = await breaking.execute(
        "select policyname from pg_policies where tablename = 'contacts' and cmd = 'SELECT'"
    )
    policy = (await names.fetchone() or {})["policyname"]
    await breaking.execute(
        sql.SQL("alter policy {} on public.contacts using (id is not null)").format(
            sql.Identifier(policy)
        )
    )
    outcome = await whole_attack(breaking, blueprint.access, together=True, ground=place.ground)
    codes = {(each.code, each.subject, each.caller) for each in outcome.findings}
    assert ("row_seen", "contacts", "a signed-in stranger") in codes


async def test_what_belongs_to_another_project_is_no_platform_s(place: Place) -> None:
    async with place.as_superuser() as superuser, superuser.transaction(force_rollback=True):
        somebody = f"supabase_{uuid4().hex[:12]}_postgres"  # other processes' tests have theirs
        await superuser.execute(f"create role {somebody}".encode())
        await superuser.execute(f"alter table public.tags owner to {somebody}".encode())
        outcome = await whole_attack(superuser, None, together=True, ground=place.ground)
        sentences = {each.sentence for each in outcome.findings}
        assert f"The relation public.tags belongs to {somebody}." in sentences


async def test_what_others_have_there_counts_where_it_shows_what_is_ours(
    breaking: Connection, place: Place
) -> None:
    ours = replace(place.ground, ours=frozenset({"public.contacts"}))
    for statement, is_found in (
        ("create view public.theirs as select 1 as id", False),
        ("create view public.theirs as select id from public.contacts", True),
        (
            "create schema hidden; create view hidden.inner_one as select id from public.contacts;"
            " create view public.theirs as select id from hidden.inner_one",
            True,
        ),
    ):
        async with breaking.transaction(force_rollback=True):
            await breaking.execute(statement.encode())
            outcome = await whole_attack(breaking, None, together=False, ground=ours)
            sentences = {each.sentence for each in outcome.findings}
            assert ("View theirs runs with its owner's rights." in sentences) is is_found


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ("bypassrls", "bypasses row level security by itself"),
        ("in role service_role", "may act as service_role"),
        ("in role {owner}", "may act as {owner}"),
    ],
)
async def test_a_login_of_the_application_that_may_more_is_found(
    owner: Connection, place: Place, blueprint: Blueprint, more: str, sentence: str
) -> None:
    """Such as one of that name that was there before."""
    login = f"app_{uuid4().hex[:12]}"
    async with place.as_superuser() as superuser:
        await superuser.execute(
            f"create role {login} login password 'a-password' {more.format(owner=place.ground.owner)}".encode()
        )
        await superuser.execute(f"grant anon, authenticated to {login}".encode())
        database = conninfo_to_dict(place.url)["dbname"]
        await superuser.execute(f"grant connect on database {database} to {login}".encode())
        try:
            url = make_conninfo(place.url, user=login, password="a-password")
            async with await AsyncConnection.connect(
                url, autocommit=True, row_factory=dict_row
            ) as application:
                with pytest.raises(IsolationNotProven, match=sentence.format(owner=".*")):
                    await prove_isolation(
                        owner,
                        application=application,
                        logins=(),
                        access=blueprint.access,
                        ground=place.ground,
                    )
        finally:
            await superuser.execute(f"drop owned by {login}; drop role {login}".encode())
