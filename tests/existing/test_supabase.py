"""A company registers with a project at Supabase that it has already: our local platform's."""

from __future__ import annotations

from typing import Any

import httpx
import psycopg
import pytest

from ghostcrm_provisioning.connecting import connect_to, reset_admin_password
from ghostcrm_provisioning.errors import (
    ClientQuarantined,
    DatabaseNotUsable,
    DatabaseUrlMissing,
)
from ghostcrm_provisioning.fleet.changing_plan import change_plan
from ghostcrm_provisioning.following import follow
from ghostcrm_provisioning.given_database import read_given_database
from ghostcrm_provisioning.providers.existing.examination import examine
from ghostcrm_provisioning.wiring import Installation
from tests.existing.conftest import SomebodysProject
from tests.existing.test_provisioning import register

pytestmark = pytest.mark.long


def given(project: SomebodysProject, *, key: bool = True) -> dict[str, Any]:
    return {"database_key": project.key, "project_url": project.url} if key else {}


async def test_it_is_seen_to_be_supabases(project: SomebodysProject) -> None:
    seen = await examine(read_given_database(project.database_url))
    assert seen.is_supabase
    assert seen.problems() == []
    assert not seen.makes_logins
    assert seen.others == ()
    with psycopg.connect(project.database_url, autocommit=True) as owner:
        owner.execute("create schema shop create table goods (id integer)")
        owner.execute("create table public.invoices (id integer)")
    seen = await examine(read_given_database(project.database_url))
    assert [str(each) for each in seen.others] == [
        "the table public.invoices", "the table shop.goods", "the schema shop",
    ]  # fmt: skip


async def test_its_url_with_the_key_alone_lacks_the_database_url(
    installation: Installation, project: SomebodysProject
) -> None:
    with pytest.raises(DatabaseUrlMissing) as missing:
        await register(installation, project.url, database_key=project.key)
    assert "config/database/pooler" in missing.value.next_step


async def test_with_the_key_auth_adds_the_admin(
    installation: Installation, project: SomebodysProject
) -> None:
    done = await register(installation, project.database_url, **given(project))
    assert done.status == "ready", done.error
    answer = sign_in(project)
    assert answer.status_code == 200, answer.text
    opened = await connect_to(installation, done.client_id, role="owner", requested_by="a test")
    assert opened.supabase_url == project.url
    assert opened.service_role_key == project.key
    verdict = await installation.verifier.verify(done.client_id, requested_by="a test")
    assert verdict.holds, verdict.findings


async def test_without_a_key_the_admin_is_added_by_sql(
    installation: Installation, project: SomebodysProject
) -> None:
    done = await register(installation, project.database_url)
    assert done.status == "ready", done.error
    answer = sign_in(project)
    assert answer.status_code == 200, answer.text


async def test_a_project_that_is_given_twice_is_refused(
    installation: Installation, project: SomebodysProject
) -> None:
    done = await register(installation, project.database_url, **given(project))
    assert done.status == "ready", done.error
    with pytest.raises(DatabaseNotUsable):
        await register(installation, project.database_url, **given(project))


def sign_in(project: SomebodysProject, password: str = "secure-password") -> httpx.Response:
    return httpx.post(
        f"{project.url}/auth/v1/token",
        params={"grant_type": "password"},
        json={"email": "admin@acme.com", "password": password},
        headers={"apikey": project.key, "Authorization": f"Bearer {project.key}"},
        timeout=60,
    )


async def test_beside_what_is_not_ours(
    installation: Installation, project: SomebodysProject
) -> None:
    with psycopg.connect(project.database_url, autocommit=True) as owner:
        owner.execute(
            "create table public.bills (id integer); insert into public.bills values (1);"
            " grant select on public.bills to anon, authenticated;"
            " create schema shop create table goods (id integer)"
        )
    how = given(project) | {"allow_other_tables": True}
    with pytest.raises(DatabaseNotUsable) as refused:
        await register(installation, project.database_url, **how)
    assert "open to everybody from the start" in refused.value.message
    with psycopg.connect(project.database_url, autocommit=True) as owner:
        owner.execute(refused.value.next_step.partition("\n")[2].encode())
    before = shop(project)
    done = await register(installation, project.database_url, **how)
    assert done.status == "ready", done.error
    assert shop(project) == before
    verdict = await installation.verifier.verify(done.client_id, requested_by="a test")
    assert verdict.holds, verdict.findings


async def test_a_name_that_is_taken_is_told(
    installation: Installation, project: SomebodysProject
) -> None:
    with psycopg.connect(project.database_url, autocommit=True) as owner:
        owner.execute("create table public.contacts (id integer)")
        owner.execute("alter default privileges revoke execute on functions from public")
    done = await register(installation, project.database_url, allow_other_tables=True)
    assert done.status == "failed"
    assert done.error is not None
    assert done.error["code"] == "database_not_usable"
    assert "contacts" in str(done.error["message"])
    with psycopg.connect(project.database_url) as owner:
        tables = owner.execute(
            "select tablename from pg_tables where schemaname = 'public'"
        ).fetchall()
    assert tables == [("contacts",)]


async def test_a_migration_of_others_under_our_number_is_told(
    installation: Installation, project: SomebodysProject
) -> None:
    with psycopg.connect(project.database_url, autocommit=True) as owner:
        owner.execute("create schema supabase_migrations")
        owner.execute(
            "create table supabase_migrations.schema_migrations"
            " (version text primary key, statements text[], name text)"
        )
        owner.execute(
            "insert into supabase_migrations.schema_migrations values ('001', '{}', 'theirs')"
        )
    done = await register(installation, project.database_url)
    assert done.status == "failed"
    assert done.error is not None
    assert done.error["code"] == "database_not_usable"
    assert "version 001" in str(done.error["message"])


async def test_another_password_and_another_plan(
    installation: Installation, project: SomebodysProject
) -> None:
    done = await register(installation, project.database_url)
    assert done.status == "ready", done.error
    password = await reset_admin_password(installation, done.client_id, requested_by="a test")
    assert sign_in(project).status_code == 400
    assert sign_in(project, password).status_code == 200
    accepted = await change_plan(
        installation, done.client_id, "professional", requested_by="a test"
    )
    assert accepted.run_id is not None
    run = await follow(installation, accepted.run_id, timeout_seconds=90)
    assert run.status == "succeeded", run.error


def shop(project: SomebodysProject) -> object:
    with psycopg.connect(project.database_url) as owner:
        return [
            owner.execute(question.encode()).fetchall()
            for question in (
                "select oid, relname, relacl::text from pg_class where relname in ('bills', 'goods')",
                "select * from public.bills",
                "select nspacl::text from pg_namespace where nspname in ('shop', 'public')",
                "select defaclobjtype, defaclnamespace, defaclacl::text from pg_default_acl"
                " where defaclrole = (select oid from pg_roles where rolname = session_user) order by 1, 2",
            )
        ]


async def test_what_cannot_be_closed_is_given_to_nobody_until_it_is_proven_again(
    installation: Installation, project: SomebodysProject
) -> None:
    done = await register(installation, project.database_url, **given(project))
    assert done.status == "ready", done.error
    with psycopg.connect(project.database_url, autocommit=True) as owner:
        owner.execute("create policy opened on contacts for select to authenticated using (true)")
        verdict = await installation.verifier.verify(done.client_id, requested_by="a test")
        assert not verdict.holds
        for _ in range(2):
            with pytest.raises(ClientQuarantined):
                await connect_to(installation, done.client_id, role="owner", requested_by="a test")
            verdict = await installation.verifier.release(done.client_id, requested_by="a test")
            assert not verdict.holds
        owner.execute("drop policy opened on contacts")
    verdict = await installation.verifier.release(done.client_id, requested_by="a test")
    assert verdict.holds, verdict.findings
    await connect_to(installation, done.client_id, role="owner", requested_by="a test")
