"""What is put into a database in which Supabase's platform stands already, and what is left alone."""

from __future__ import annotations

from uuid import uuid4

import pytest
from psycopg import sql

from ghostcrm_provisioning.client_database.admin_user import (
    AdminUser,
    create_profile,
    demand_password_change,
    observe_profile,
    observe_user,
)
from ghostcrm_provisioning.client_database.blueprint import Blueprint
from ghostcrm_provisioning.client_database.install import (
    install_blueprint,
    install_platform,
    observe_installation,
    stamp_database,
)
from ghostcrm_provisioning.client_database.isolation.catalog import read_facts
from ghostcrm_provisioning.client_database.plan_settings import apply_plan, observe_plan
from ghostcrm_provisioning.errors import PostconditionNotMet
from tests.supabase_ground.conftest import Connection, Place

# Everything in the schemas that are not ours.
_THEIRS = """
select n.nspname || ' ' || n.nspowner::regrole || coalesce(n.nspacl::text, '') as thing
from pg_namespace n
where n.nspname !~ '^pg_'
  and n.nspname not in ('public', 'private', 'ghostcrm_provisioning', 'supabase_migrations')
union all
select c.oid::regclass || ' ' || c.relowner::regrole || coalesce(c.relacl::text, '')
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname !~ '^pg_'
  and n.nspname not in ('public', 'private', 'ghostcrm_provisioning', 'supabase_migrations')
union all
select f.oid::regprocedure || ' ' || f.proowner::regrole || coalesce(f.proacl::text, '')
from pg_proc f join pg_namespace n on n.oid = f.pronamespace
where n.nspname !~ '^pg_'
  and n.nspname not in ('public', 'private', 'ghostcrm_provisioning', 'supabase_migrations')
  and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass
                  and d.objid = f.oid and d.deptype = 'e')
union all
select format('policy %s on %s', p.polname, p.polrelid::regclass) from pg_policy p
join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
where n.nspname not in ('public', 'private')
order by 1
"""


async def _theirs(place: Place) -> list[str]:
    async with place.as_superuser() as superuser:
        return [row["thing"] for row in await (await superuser.execute(_THEIRS)).fetchall()]


async def _holds(connection: Connection, query: str) -> bool:
    row = await (await connection.execute(f"select {query} as holds".encode())).fetchone()
    assert row is not None
    return bool(row["holds"])


@pytest.mark.long
async def test_the_blueprint_is_installed_and_the_platform_left_alone(
    empty_place: Place, blueprint: Blueprint
) -> None:
    theirs = await _theirs(empty_place)
    database_id = uuid4()
    async with empty_place.entered() as owner:
        assert await observe_installation(owner) is None
        for _ in range(2):  # what is there is left alone
            await install_platform(owner, ground=empty_place.ground)
            await install_blueprint(owner, blueprint, ground=empty_place.ground)
            await stamp_database(owner, database_id)
        installed = await observe_installation(owner)
        assert installed is not None
        assert installed.database_id == database_id
        assert installed.fingerprint == blueprint.fingerprint
        assert {each.version for each in blueprint.migrations} <= installed.versions
        for role in ("anon", "authenticated", "service_role", "authenticator"):
            assert not await _holds(
                owner, f"has_schema_privilege('{role}', 'ghostcrm_provisioning', 'usage')"
            )
        assert not await _holds(owner, "has_schema_privilege('anon', 'private', 'usage')")
    assert await _theirs(empty_place) == theirs


async def test_what_is_made_later_is_closed_until_it_is_granted(empty_place: Place) -> None:
    async with empty_place.entered() as owner:
        await install_platform(owner, ground=empty_place.ground)
        await owner.execute("create table public.later (id integer generated always as identity)")
        await owner.execute("create function public.later_on() returns int return 1")
        for role in ("anon", "authenticated", "service_role"):
            for way in (
                f"has_table_privilege('{role}', 'public.later', 'select')",
                f"has_sequence_privilege('{role}', 'public.later_id_seq', 'usage')",
                f"has_function_privilege('{role}', 'public.later_on()', 'execute')",
            ):
                assert not await _holds(owner, way), way


@pytest.mark.long
async def test_the_admin_s_profile_and_the_plan(place: Place, blueprint: Blueprint) -> None:
    admin = AdminUser(uuid4(), f"{uuid4().hex}@example.com", "Example Ltd", True)
    async with place.entered() as owner, owner.transaction(force_rollback=True):
        with pytest.raises(PostconditionNotMet, match="Auth knows no user"):
            await create_profile(owner, admin, ground=place.ground)
        assert not (await observe_profile(owner, admin)).holds
        await _sign_up(owner, admin)
        for _ in range(2):
            await create_profile(owner, admin, ground=place.ground)
        assert (await observe_profile(owner, admin)).holds
        user = await observe_user(owner, admin)
        assert user is not None
        assert user.seen == "the admin has no identity for signing in by email"
        await owner.execute("update public.profiles set must_change_password = false")
        await demand_password_change(owner, admin.user_id, ground=place.ground)
        assert await _holds(owner, "(select bool_and(must_change_password) from public.profiles)")

        plan = blueprint.plan("starter")
        assert not (await observe_plan(owner, "starter", plan, company_name="Example Ltd")).holds
        await apply_plan(owner, "starter", plan, company_name="Example Ltd", ground=place.ground)
        assert (await observe_plan(owner, "starter", plan, company_name="Example Ltd")).holds


async def test_users_who_cannot_be_read_are_auth_s_to_ask_about(empty_place: Place) -> None:
    admin = AdminUser(uuid4(), "admin@example.com", "Example Ltd", True)
    another = AdminUser(uuid4(), "another@example.com", "Example Ltd", True)
    async with empty_place.entered() as owner, empty_place.as_superuser() as superuser:
        assert await observe_user(owner, admin) is None  # nobody is there, or nobody is shown
        await _sign_up(owner, another)
        seen = await observe_user(owner, admin)
        assert seen is not None
        assert seen.seen == "the admin is not in auth.users"
        await superuser.execute(
            sql.SQL("revoke all on auth.users from {}").format(
                sql.Identifier(empty_place.ground.owner)
            )
        )
        assert await observe_user(owner, admin) is None


async def _sign_up(owner: Connection, admin: AdminUser) -> None:
    """As Auth would, as far as a profile needs it."""
    await owner.execute(
        "insert into auth.users (instance_id, id, aud, role, email, encrypted_password,"
        " email_confirmed_at) values ('00000000-0000-0000-0000-000000000000', %s,"
        " 'authenticated', 'authenticated', %s, '$2a$10$x', now())",
        (admin.user_id, admin.email),
    )


async def test_the_facts_say_nothing_of_the_platform(owner: Connection, place: Place) -> None:
    facts = await read_facts(owner, ground=place.ground)
    assert len(facts) > 1000
    text = "\n".join(" ".join(fact) for fact in facts)
    for theirs in ("storage.", "realtime.", "net.http_get", "auth.users", "supabase_admin"):
        assert not any(subject.startswith(theirs) for _, subject, _ in facts), theirs
    assert "public.contacts" in text
    assert "private.my_role" in text
