"""The main job, through the three doors: the command, and the two functions."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import bcrypt
import jwt
import psycopg
import pytest
from psycopg.rows import dict_row

from ghostcrm_provisioning.errors import ClientIdInUse, DatabaseUrlMissing
from ghostcrm_provisioning.registration import (
    on_client_registration,
    on_client_registration_sync,
    trigger_client_provisioning,
)
from ghostcrm_provisioning.wiring import Installation
from tests.command import COMMAND, ghostcrm
from tests.conftest import Server

STEPS = [
    "acquire_database",
    "install_blueprint",
    "create_admin",
    "apply_plan_settings",
    "prove_isolation",
    "hand_over",
]


def test_provision_prints_the_contracts_document(
    environment: Callable[..., dict[str, str]],
) -> None:
    outcome = ghostcrm(
        "provision", "ACME Corp", "--admin-email", "Admin@ACME.com", "--plan", "professional", "--json",
        environment=environment(),
    )  # fmt: skip
    assert outcome.code == 0, outcome.stderr
    document = outcome.document
    assert document["name"] == "ACME Corp"
    assert document["plan"] == "professional"
    assert document["status"] == "ready"
    assert document["database"]["provider"] == "postgres"
    assert document["database"]["name"].startswith("ghostcrm_")
    assert document["admin"]["email"] == "admin@acme.com"
    assert len(document["admin"]["temporaryPassword"]) >= 16
    assert document["durationMs"] > 0
    assert [step["name"] for step in document["steps"]] == STEPS
    for step in document["steps"]:
        assert step["status"] == "done"
        assert step["attempt"] == 1
        assert step["durationMs"] >= 0


def test_connect_opens_the_database_and_only_that_one(
    environment: Callable[..., dict[str, str]],
) -> None:
    variables = environment()
    clients = [
        ghostcrm("provision", name, "--admin-email", "a@acme.com", "--json", environment=variables)
        for name in ("ACME", "Neighbour")
    ]
    first, second = (client.document for client in clients)
    connection = ghostcrm(
        "clients", "connect", first["id"], "--json", environment=variables
    ).document
    assert set(connection) == {"databaseUrl", "anonKey", "serviceRoleKey"}
    with psycopg.connect(connection["databaseUrl"], row_factory=dict_row) as app:
        rows = app.execute(
            "select relrowsecurity from pg_class where relnamespace = 'public'::regnamespace"
            " and relkind in ('r', 'p')"
        ).fetchall()
        assert len(rows) >= 22
        assert all(row["relrowsecurity"] for row in rows)
        row = app.execute("select count(*) as seen from public.profiles").fetchone()
        assert row is not None
        assert row["seen"] == 0, "nobody is signed in, so nobody is seen"
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(connection["databaseUrl"], dbname=second["database"]["name"])


@pytest.mark.parametrize(
    ("role", "acts_as"),
    [
        ("app", None),
        ("service", "service_role"),
        ("auth", "supabase_auth_admin"),
        ("owner", "ghostcrm_client_owner"),
    ],
)
def test_each_role_logs_in_as_what_it_is_for(
    environment: Callable[..., dict[str, str]], role: str, acts_as: str | None
) -> None:
    variables = environment()
    client = ghostcrm(
        "provision", "ACME", "--admin-email", "a@acme.com", "--json", environment=variables
    ).document
    outcome = ghostcrm(
        "clients", "connect", client["id"], "--role", role, "--json", environment=variables
    )
    assert outcome.code == 0, outcome.stderr
    with psycopg.connect(outcome.document["databaseUrl"], row_factory=dict_row) as connection:
        row = connection.execute("select current_user, session_user").fetchone()
        assert row is not None
        assert row["session_user"] == f"{client['database']['name']}_{role}"
        assert row["current_user"] == (acts_as or row["session_user"])


async def test_the_admin_can_sign_in_and_owns_the_crm(
    installation: Installation, server: Server
) -> None:
    registration = await on_client_registration(
        company_name="ACME Corp",
        admin_email="admin@acme.com",
        admin_password="secure-password",
        plan="professional",
        wait_seconds=120,
        installation=installation,
    )
    assert registration.status == "ready"
    assert registration.temporary_password is None
    row = await installation.control.fetch_one(
        "select name from client_databases where client_id = %(id)s", id=registration.client_id
    )
    assert row is not None
    with server.superuser(str(row["name"])) as inside:
        user = inside.execute("select * from auth.users").fetchone()
        identity = inside.execute("select * from auth.identities").fetchone()
        profile = inside.execute("select * from public.profiles").fetchone()
        plan = inside.execute("select * from public.client_plan").fetchone()
        company = inside.execute(
            "select value from public.client_settings where key = 'company.name'"
        ).fetchone()
    assert user is not None
    assert identity is not None
    assert profile is not None
    assert plan is not None
    assert company == {"value": "ACME Corp"}
    assert bcrypt.checkpw(b"secure-password", str(user["encrypted_password"]).encode())
    # What GoTrue looks a user up by, and the columns that it reads as text (supabase-facts, 3).
    assert str(user["instance_id"]) == "00000000-0000-0000-0000-000000000000"
    assert (user["email"], user["aud"], user["role"], user["is_sso_user"]) == (
        "admin@acme.com", "authenticated", "authenticated", False,
    )  # fmt: skip
    assert user["email_confirmed_at"] is not None
    for column in (
        "confirmation_token", "recovery_token", "email_change_token_new",
        "email_change_token_current", "email_change", "email_change_confirm_status",
        "phone_change", "phone_change_token", "reauthentication_token", "created_at", "updated_at",
    ):  # fmt: skip
        assert user[column] is not None, column
    assert identity["provider_id"] == str(user["id"])
    assert identity["provider"] == "email"
    assert identity["identity_data"] == {
        "sub": str(user["id"]),
        "email": "admin@acme.com",
        "email_verified": True,
        "phone_verified": False,
    }
    assert (profile["id"], profile["role_key"], profile["must_change_password"]) == (
        user["id"], "owner", False,
    )  # fmt: skip
    assert (plan["plan"], plan["max_users"], plan["max_contacts"]) == ("professional", 25, 10_000)


async def test_a_temporary_password_is_returned_once_and_must_be_changed(
    installation: Installation, server: Server
) -> None:
    first = await on_client_registration(
        company_name="ACME", admin_email="a@acme.com", wait_seconds=120, installation=installation
    )
    again = await on_client_registration(
        company_name="ACME", admin_email="a@acme.com", wait_seconds=120, installation=installation
    )
    assert first.temporary_password
    assert again.temporary_password is None
    assert (again.client_id, again.created) == (first.client_id, False)
    assert first.connection is not None
    with psycopg.connect(first.connection.database_url, row_factory=dict_row) as app:
        name = app.info.dbname
    with server.superuser(name) as inside:
        user = inside.execute("select encrypted_password from auth.users").fetchone()
        profile = inside.execute("select must_change_password from public.profiles").fetchone()
    assert user is not None
    assert profile is not None
    assert bcrypt.checkpw(
        first.temporary_password.encode(), str(user["encrypted_password"]).encode()
    )
    assert profile["must_change_password"] is True


async def test_api_keys_are_signed_with_the_clients_own_secret(installation: Installation) -> None:
    registrations = [
        await on_client_registration(
            company_name=name, admin_email="a@acme.com", wait_seconds=120, installation=installation
        )
        for name in ("ACME", "Neighbour")
    ]
    roles = []
    for registration in registrations:
        assert registration.connection is not None
        claims = jwt.decode(registration.connection.anon_key, options={"verify_signature": False})
        assert claims["iss"] == "supabase"
        roles.append(claims["role"])
    assert roles == ["anon", "anon"]
    first, second = (r.connection.anon_key for r in registrations if r.connection)
    assert first.rpartition(".")[2] != second.rpartition(".")[2]


async def test_trigger_with_the_same_id_gives_the_same_client(installation: Installation) -> None:
    client_id = uuid4()

    async def trigger(name: str) -> bool:
        registration = await trigger_client_provisioning(
            id=str(client_id),
            name=name,
            admin_email="admin@acme.com",
            admin_password="secure-password",
            installation=installation,
        )
        assert registration.client_id == client_id
        return registration.created

    assert await trigger("ACME Corp") is True
    assert await trigger("ACME Corp") is False
    with pytest.raises(ClientIdInUse):
        await trigger("Another Corp")


async def test_trigger_says_what_is_missing_of_a_database_that_is_there(
    installation: Installation,
) -> None:
    with pytest.raises(DatabaseUrlMissing, match="What is missing is the database URL"):
        await trigger_client_provisioning(
            id=uuid4(),
            name="ACME",
            admin_email="a@acme.com",
            database_url="https://abcdefghijklmnopqrst.supabase.co",
            database_key="sb_secret_of_the_project",
            installation=installation,
        )


def test_the_synchronous_face_works_without_an_event_loop(
    environment: Callable[..., dict[str, str]],
) -> None:
    environment()
    registration = on_client_registration_sync(
        company_name="ACME", admin_email="a@acme.com", wait_seconds=120
    )
    assert registration.status == "ready"
    assert registration.connection is not None


def test_any_url_that_libpq_understands_serves(
    environment: Callable[..., dict[str, str]],
) -> None:
    variables = environment()
    variables["GHOSTCRM_DATABASE_URL"] += "?connect_timeout=60&keepalives=1&sslmode=disable"
    outcome = ghostcrm(
        "provision", "ACME", "--admin-email", "a@acme.com", "--json", environment=variables
    )
    assert outcome.code == 0, outcome.stderr


def test_the_temporary_password_is_shown_even_when_the_watching_ends_early(
    environment: Callable[..., dict[str, str]],
) -> None:
    variables = environment()
    in_words = ghostcrm(
        "provision", "First", "--admin-email", "a@acme.com", "--timeout", "0.001",
        environment=variables,
    )  # fmt: skip
    assert in_words.code == 7, in_words.stderr
    assert "temporary password" in in_words.stdout
    as_json = ghostcrm(
        "provision", "Second", "--admin-email", "a@acme.com", "--timeout", "0.001", "--json",
        environment=variables,
    )  # fmt: skip
    assert as_json.code == 7
    assert as_json.document["admin"]["temporaryPassword"]


def test_the_admins_password_can_be_reset(
    environment: Callable[..., dict[str, str]], server: Server
) -> None:
    variables = environment()
    client = ghostcrm(
        "provision", "ACME", "--admin-email", "a@acme.com", "--password-stdin", "--json",
        environment=variables, stdin="the first password\n",
    ).document  # fmt: skip
    outcome = ghostcrm(
        "clients", "reset-admin-password", client["id"], "--json", environment=variables
    )
    assert outcome.code == 0, outcome.stderr
    password = outcome.document["admin"]["temporaryPassword"]
    with server.superuser(client["database"]["name"]) as inside:
        user = inside.execute("select encrypted_password from auth.users").fetchone()
        profile = inside.execute("select must_change_password from public.profiles").fetchone()
    assert user is not None
    assert bcrypt.checkpw(password.encode(), str(user["encrypted_password"]).encode())
    assert profile == {"must_change_password": True}


@pytest.mark.long
def test_output_that_nobody_takes_ends_without_a_traceback(
    environment: Callable[..., dict[str, str]],
) -> None:
    variables = environment() | {"PYTHONIOENCODING": "ascii"}
    odd = ghostcrm("provision", "Łódź 漢", "--admin-email", "a@acme.com", environment=variables)
    assert odd.code == 0, odd.stderr
    assert "Traceback" not in odd.stderr
    with Path("/dev/full").open("w") as full:
        outcome = subprocess.run(
            [*COMMAND, "clients", "list", "--json"],
            env=variables, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert outcome.returncode == 1
    assert "Traceback" not in outcome.stderr
    assert "cannot be written" in outcome.stderr
