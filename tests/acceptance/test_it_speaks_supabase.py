"""Promise 6: Supabase Auth and PostgREST work on what is provisioned, with the settings we print.

Neither program can be had here, so these tests connect with their settings and say to the database
what the programs say to it: unqualified names in GoTrue's case, ``set role`` and the claims of a
verified token in PostgREST's. The Supabase CLI has tests of its own, in ``tests/supabase_cli``.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import bcrypt
import jwt
import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

from ghostcrm_provisioning.clients.client import CLIENTS, find_client, names_of_seals
from ghostcrm_provisioning.clients.credentials import Credentials
from ghostcrm_provisioning.connecting import connect_to, program_settings
from ghostcrm_provisioning.provisioning.work import open_secrets
from ghostcrm_provisioning.registration import on_client_registration
from ghostcrm_provisioning.wiring import Installation
from tests.command import ghostcrm
from tests.conftest import Server
from tests.integration.small_blueprint import write_small_blueprint
from tests.prepared_control import PreparedControl
from tests.provisioned import (
    ADMIN_EMAIL,
    PASSWORD,
    ProvisionedClient,
    new_installation,
    provision,
    read_by_docker,
)


def read_by_a_shell(text: str, folder: Path) -> dict[str, str]:
    (folder / "settings.env").write_text(text)
    said = subprocess.run(
        ["/bin/sh", "-euc", "set -a; . ./settings.env; env -0"],
        cwd=folder,
        env={},
        capture_output=True,
        text=True,
        check=True,
    )
    found = dict(entry.split("=", 1) for entry in said.stdout.split("\0") if entry)
    return {
        name: value for name, value in found.items() if name not in {"PWD", "SHLVL", "_", "PATH"}
    }


@pytest.fixture(scope="module")
def client(
    server: Server, prepared_control: PreparedControl, tmp_path_factory: pytest.TempPathFactory
) -> ProvisionedClient:
    folder = tmp_path_factory.mktemp("speaking")
    return provision("ACME", new_installation(server, prepared_control, folder))


class PostgRest:
    """What PostgREST does with a request: verify the token, become whom it names, then ask."""

    def __init__(self, settings: dict[str, str]) -> None:
        self._settings = settings

    @contextmanager
    def request(self, token: str | None) -> Iterator[psycopg.Connection[DictRow]]:
        claims: dict[str, Any] = {"role": self._settings["PGRST_DB_ANON_ROLE"]}
        if token is not None:
            claims = jwt.decode(
                token,
                self._settings["PGRST_JWT_SECRET"],
                algorithms=["HS256"],
                options={"verify_aud": False},
            )
        uri = self._settings["PGRST_DB_URI"]
        path = (
            f"{self._settings['PGRST_DB_SCHEMAS']}, {self._settings['PGRST_DB_EXTRA_SEARCH_PATH']}"
        )
        with psycopg.connect(uri, row_factory=dict_row) as connection, connection.transaction():
            connection.execute(
                "select set_config('search_path', %s, true), set_config('role', %s, true),"
                " set_config('request.jwt.claims', %s, true)",
                (path, claims["role"], json.dumps(claims)),
            )
            yield connection


def token_of_gotrue(settings: dict[str, str], user_id: str, **claims: object) -> str:
    """As GoTrue signs it in somebody's name."""
    now = int(time.time())
    claims = {
        "sub": user_id,
        "aud": settings["GOTRUE_JWT_AUD"],
        "role": settings["GOTRUE_JWT_DEFAULT_GROUP_NAME"],
        "iss": f"{settings['API_EXTERNAL_URL']}",
        "iat": now,
        "exp": now + int(settings["GOTRUE_JWT_EXP"]),
    } | claims
    return jwt.encode(claims, settings["GOTRUE_JWT_SECRET"], algorithm="HS256")


@pytest.mark.parametrize("role", ["app", "service", "auth", "owner", "api"])
def test_a_shell_and_docker_read_the_same_settings(
    client: ProvisionedClient, tmp_path: Path, role: str
) -> None:
    text = client.env_file(role)
    settings = read_by_docker(text)
    assert read_by_a_shell(text, tmp_path) == settings
    assert all(settings.values())
    as_json = ghostcrm(
        "clients", "connect", client.id, "--role", role, "--format", "env", "--json",
        environment=client.environment,
    )  # fmt: skip
    assert as_json.document == {"environment": settings}
    (url,) = {settings.get("DATABASE_URL")} - {None} or {
        settings.get("GOTRUE_DB_DATABASE_URL") or settings["PGRST_DB_URI"]
    }
    with psycopg.connect(str(url), row_factory=dict_row) as connection:
        row = connection.execute("select session_user, current_database() as name").fetchone()
    assert row == {"session_user": f"{client.database}_{role}", "name": client.database}


def test_supabase_auth_finds_its_tables_and_the_admin(
    client: ProvisionedClient, server: Server
) -> None:
    client = provision("With GoTrue", client.environment)  # which changes the functions of `auth`
    settings = client.settings("auth")
    assert settings["GOTRUE_DB_DRIVER"] == "postgres"
    url = settings["GOTRUE_DB_DATABASE_URL"]
    with psycopg.connect(url, row_factory=dict_row) as gotrue:
        # Its password sign-in; no name says its schema.
        user = gotrue.execute(
            "select * from users where instance_id = %s and lower(email) = %s and aud = %s"
            " and is_sso_user = false",
            (UUID(int=0), ADMIN_EMAIL, settings["GOTRUE_JWT_AUD"]),
        ).fetchone()
        assert user is not None
        assert str(user["id"]) == client.admin_id
        assert bcrypt.checkpw(PASSWORD.encode(), str(user["encrypted_password"]).encode())
        # Its migrations: a table of their own memory, new tables, functions that they replace.
        gotrue.execute("insert into schema_migrations (version) values ('20990101000000')")
        gotrue.execute("create table if not exists refresh_tokens (id bigserial primary key)")
        gotrue.execute("alter table users add column if not exists later text")
        gotrue.execute("create index if not exists later_idx on users (later)")
        gotrue.execute(
            "create or replace function auth.uid() returns uuid language sql stable as"
            " $$ select nullif(current_setting('request.jwt.claim.sub', true), '')::uuid $$"
        )
        gotrue.execute("grant select on refresh_tokens to postgres")
        gotrue.commit()
        limit = gotrue.execute("show idle_in_transaction_session_timeout").fetchone()
    assert limit == {"idle_in_transaction_session_timeout": "1min"}
    with server.superuser(client.database) as inside:
        rows = inside.execute(
            "select tablename, tableowner from pg_tables where tablename = 'refresh_tokens'"
        ).fetchall()
        schemas = inside.execute(
            "select distinct schemaname from pg_tables where tableowner = 'supabase_auth_admin'"
        ).fetchall()
    assert rows == [{"tablename": "refresh_tokens", "tableowner": "supabase_auth_admin"}]
    assert schemas == [{"schemaname": "auth"}]
    largest = int(settings["GOTRUE_DB_MAX_POOL_SIZE"])
    connections = [psycopg.connect(url) for _ in range(2 * largest)]  # the old one and the new one
    for connection in connections:
        connection.close()


def test_postgrest_becomes_whom_a_token_names(client: ProvisionedClient) -> None:
    settings = client.settings("app")
    assert settings["PGRST_DB_SCHEMAS"] == "public"
    postgrest = PostgRest(settings)

    with postgrest.request(token_of_gotrue(client.settings("auth"), client.admin_id)) as admin:
        row = admin.execute(
            "select current_user as role, auth.uid()::text as id, (select role_key from profiles"
            " where id = auth.uid()) as in_the_crm"
        ).fetchone()
        assert row == {"role": "authenticated", "id": client.admin_id, "in_the_crm": "owner"}
        admin.execute("insert into contacts (first_name, last_name) values ('Ada', 'Lovelace')")
        assert len(admin.execute("select from contacts").fetchall()) == 1

    stranger = token_of_gotrue(client.settings("auth"), str(UUID(int=7)))
    with postgrest.request(stranger) as nobody:
        assert nobody.execute("select from contacts").fetchall() == []

    for token in (None, settings["SUPABASE_ANON_KEY"]):
        with postgrest.request(token) as anon:
            row = anon.execute("select current_user as role").fetchone()
            assert row == {"role": "anon"}
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                anon.execute("select from contacts")

    # With the service key, supabase-js steps over row level security.
    with postgrest.request(client.settings("service")["SUPABASE_SERVICE_ROLE_KEY"]) as service:
        assert len(service.execute("select from contacts").fetchall()) == 1

    with (
        psycopg.connect(settings["DATABASE_URL"]) as app,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        app.execute("set role service_role")


def test_postgrest_becomes_nobody_else(client: ProvisionedClient) -> None:
    settings = client.settings("api")
    postgrest = PostgRest(settings)
    signing = client.settings("auth")
    for role in (
        "postgres", "authenticator", "supabase_admin", "supabase_auth_admin",
        "ghostcrm_client_owner", f"{client.database}_owner",
    ):  # fmt: skip
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            postgrest.request(token_of_gotrue(signing, client.admin_id, role=role)),
        ):
            pass
    forged = jwt.encode({"role": "service_role"}, "another client's secret" * 2, algorithm="HS256")
    with pytest.raises(jwt.InvalidSignatureError), postgrest.request(forged):
        pass
    with psycopg.connect(settings["PGRST_DB_URI"], autocommit=True) as itself:
        for statement in ("select from public.contacts", "select from auth.users"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                itself.execute(statement.encode())
        itself.execute("listen pgrst")  # how it hears of a changed schema
    # Whatever a session of some client does to the roles that all share, PostgREST does not look.
    assert settings["PGRST_DB_CONFIG"] == "false"


def test_nobody_logs_in_as_postgrest_before_somebody_asks(
    client: ProvisionedClient, server: Server
) -> None:
    client = provision("Unasked", client.environment)

    def can_log_in() -> object:
        with server.superuser() as connection:
            row = connection.execute(
                "select rolcanlogin from pg_roles where rolname = %s", (f"{client.database}_api",)
            ).fetchone()
        assert row is not None
        return row["rolcanlogin"]

    assert can_log_in() is False
    ghostcrm("clients", "connect", client.id, "--json", environment=client.environment)
    assert can_log_in() is False
    client.settings("app")
    assert can_log_in() is True


def test_a_blueprint_makes_schemas_and_installs_trusted_extensions(
    client: ProvisionedClient, server: Server, tmp_path: Path
) -> None:
    blueprint = write_small_blueprint(
        tmp_path / "reporting",
        _002_reports="create schema reports;\n"
        "create extension if not exists citext with schema extensions;\n"
        "create table reports.recipients (email citext primary key);\n"
        "alter table reports.recipients enable row level security;\n",
    )
    outcome = ghostcrm(
        "provision", "Reporting", "--admin-email", ADMIN_EMAIL, "--blueprint", str(blueprint), "--json",
        environment=client.environment,
    )  # fmt: skip
    assert outcome.code == 0, outcome.stdout + outcome.stderr
    with server.superuser(outcome.document["database"]["name"]) as inside:
        rows = inside.execute(
            "select extname as name, extowner::regrole::text as owner from pg_extension"
            " where extname = 'citext' union all"
            " select nspname, nspowner::regrole::text from pg_namespace where nspname = 'reports'"
        ).fetchall()
    assert {(row["name"], row["owner"]) for row in rows} == {
        ("citext", "ghostcrm_client_owner"),
        ("reports", "ghostcrm_client_owner"),
    }


def test_a_format_that_does_not_exist_is_refused(client: ProvisionedClient) -> None:
    outcome = ghostcrm(
        "clients", "connect", client.id, "--format", "yaml", environment=client.environment
    )
    assert outcome.code == 2
    assert outcome.stdout == ""


async def test_a_client_that_was_registered_before_there_was_such_a_login_gets_it(
    installation: Installation, server: Server
) -> None:
    registered = await on_client_registration(
        company_name="ACME", admin_email="a@acme.com", wait_seconds=120, installation=installation
    )
    client_id = registered.client_id
    async with installation.control.connection() as control:
        client = await find_client(control, client_id)
        credentials, _ = await open_secrets(control, installation.sealer, client)
        del credentials.passwords["api"]
        _, of_database = names_of_seals(client.id, client.database_id)
        await control.execute(
            CLIENTS["replace_credentials"],
            {
                "database_id": client.database_id,
                "credentials_sealed": installation.sealer.seal(
                    credentials.as_text(), belongs_to=of_database
                ),
            },
        )
    with server.superuser(client.database_name) as superuser:
        login = f"{client.database_name}_api"
        superuser.execute(f"drop owned by {login}".encode())
        superuser.execute(f"drop role {login}".encode())

    async def ask() -> dict[str, str]:
        return await program_settings(installation, client_id, role="app", requested_by="a test")

    settings = await ask()
    assert await ask() == settings, "the password is made once"
    assert (
        await connect_to(installation, client_id, role="api", requested_by="a test")
    ).database_url == (settings["PGRST_DB_URI"])
    with PostgRest(settings).request(credentials.service_role_key) as service:
        assert len(service.execute("select from profiles").fetchall()) == 1
    async with installation.control.connection() as control:
        now, _ = await open_secrets(control, installation.sealer, client)
    assert now == Credentials(
        credentials.passwords | {"api": now.passwords["api"]},
        credentials.jwt_secret,
        credentials.anon_key,
        credentials.service_role_key,
    )
    rows = await installation.control.fetch_all(
        "select details from audit_log where action = 'client.connected' and actor = 'a test'"
    )
    assert {"role": "app", "format": "env", "logins": ["app", "api"]} in [
        row["details"] for row in rows
    ]
