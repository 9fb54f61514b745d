"""The Supabase CLI changes a client database: it pushes migrations, takes them back, and resets all.

What belongs to the platform (``auth``, ``private``, the history, our own stamp) survives that, and
the blueprint comes back exactly as it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from ghostcrm_provisioning.client_database.install import observe_installation
from ghostcrm_provisioning.client_database.isolation.catalog import Fact, read_facts
from tests.conftest import Server
from tests.provisioned import ProvisionedClient
from tests.supabase_cli.conftest import SupabaseCli

pytestmark = pytest.mark.long

VERSION = "20260101000000"
MIGRATION = f"supabase/migrations/{VERSION}_reports.sql"
REPORTS = """
create schema reports;
create extension if not exists citext with schema extensions;
create extension if not exists btree_gist with schema extensions;

create table reports.subscriptions (
    id uuid primary key default gen_random_uuid(),
    email citext not null unique,
    profile_id uuid references public.profiles (id) on delete cascade
);
alter table reports.subscriptions enable row level security;
"""


def _catalog(server: Server, database: str) -> frozenset[Fact]:
    """All that decides who may do what in a database, in words."""

    async def read() -> frozenset[Fact]:
        connection = await psycopg.AsyncConnection.connect(
            server.running.url(database), autocommit=True, row_factory=dict_row
        )
        async with connection:
            assert await observe_installation(connection) is not None, "the stamp is there"
            return await read_facts(connection)

    return asyncio.run(read())


def _schemas(server: Server, database: str) -> set[str]:
    with server.superuser(database) as inside:
        rows = inside.execute("select nspname from pg_namespace where nspname !~ '^pg_'").fetchall()
    return {str(row["nspname"]) for row in rows}


def test_a_migration_is_pushed_and_taken_back(
    supabase: SupabaseCli,
    new_client: Callable[[str], ProvisionedClient],
    server: Server,
    project: Path,
) -> None:
    client = new_client("Pushing")
    url = client.url("owner")

    def run(*command: str) -> None:
        supabase.run(*command, url=url, folder=project)

    before, schemas = _catalog(server, client.database), _schemas(server, client.database)
    # A project begins with what is there: a version without its file would stop the push.
    run("migration", "fetch", "--yes")
    assert [path.name for path in (project / "supabase/migrations").iterdir()] == [
        "001_client_schema_template.sql"
    ]
    (project / MIGRATION).write_text(REPORTS)
    run("db", "push", "--yes")
    assert _schemas(server, client.database) == schemas | {"reports"}
    with server.superuser(client.database) as inside:
        extensions = inside.execute(
            "select extname, extowner::regrole::text as owner from pg_extension"
            " where extname in ('citext', 'btree_gist')"
        ).fetchall()
    assert {row["owner"] for row in extensions} == {"ghostcrm_client_owner"}
    assert len(extensions) == 2
    listed = supabase.ask("migration", "list", url=url, folder=project)["migrations"]
    assert [(each["local"], each["remote"]) for each in listed] == [("001", "001"), (VERSION,) * 2]

    run("migration", "down", "--last", "1", "--yes")
    assert _schemas(server, client.database) == schemas
    assert _catalog(server, client.database) == before
    listed = supabase.ask("migration", "list", url=url, folder=project)["migrations"]
    assert [each["remote"].strip() for each in listed] == ["001", ""]

    # It can be handed in again, and the client is reached as before.
    run("db", "push", "--yes")
    with psycopg.connect(client.url("app")) as app:
        app.execute("select from public.contacts")


def test_a_reset_brings_the_blueprint_back_as_it_was(
    supabase: SupabaseCli,
    new_client: Callable[[str], ProvisionedClient],
    server: Server,
    project: Path,
) -> None:
    client = new_client("Resetting")
    url = client.url("owner")
    # GoTrue makes tables of its own when it first starts.
    with psycopg.connect(client.url("auth"), autocommit=True) as gotrue:
        gotrue.execute("create table sessions (id uuid primary key, user_id uuid references users)")
        gotrue.execute("insert into sessions select gen_random_uuid(), id from users")
    supabase.run("migration", "fetch", "--yes", url=url, folder=project)
    before, schemas = _catalog(server, client.database), _schemas(server, client.database)
    with server.superuser(client.database) as inside:
        inside.execute("set role ghostcrm_client_owner")
        inside.execute("create table public.by_hand ()")
    supabase.run("db", "reset", "--yes", "--no-seed", url=url, folder=project)
    assert _schemas(server, client.database) == schemas
    assert _catalog(server, client.database) == before
    with server.superuser(client.database) as inside:
        left = inside.execute(
            "select (select count(*) from auth.users) as users,"
            " (select count(*) from auth.sessions) as sessions,"
            " (select count(*) from auth.schema_migrations) as auth_migrations,"
            " (select count(*) from supabase_migrations.schema_migrations) as migrations"
        ).fetchone()
    assert left == {"users": 0, "sessions": 0, "auth_migrations": 4, "migrations": 1}
