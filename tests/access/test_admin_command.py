"""``ghostcrm admin``: tokens for programs, accounts for people; documents, exit codes, and no secret twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.cli.admin_tokens import read_time
from ghostcrm_provisioning.cli.main import app
from ghostcrm_provisioning.errors import InvalidInput, NotAuthenticated
from ghostcrm_provisioning.settings import read_settings
from ghostcrm_provisioning.web.site import Site, open_site
from ghostcrm_provisioning.wiring import open_installation

OLGA, IVO, HERE = "olga@example.com", "ivo@example.com", "192.0.2.1"
Made = TypeVar("Made")


@pytest.fixture(autouse=True)
def _an_installation(environment: Callable[..., dict[str, str]]) -> None:
    environment()


def ghostcrm(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ["admin", *arguments], input=stdin)


def document(*arguments: str, stdin: str | None = None) -> Any:
    """What a command that succeeds prints with --json, which is one document and nothing else."""
    result = ghostcrm(*arguments, "--json", stdin=stdin)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(code: int, *arguments: str, stdin: str | None = None) -> dict[str, Any]:
    result = ghostcrm(*arguments, "--json", stdin=stdin)
    assert result.exit_code == code, result.output
    error: dict[str, Any] = json.loads(result.stdout)["error"]
    assert error["message"] in result.stderr
    assert error["nextStep"]
    return error


def with_site(work: Callable[[Site], Awaitable[Made]]) -> Made:
    """As the API would see it."""

    async def opened() -> Made:
        async with open_installation(read_settings()) as installation:
            return await work(open_site(installation))

    return asyncio.run(opened())


@pytest.mark.long
def test_a_token_is_made_used_listed_and_revoked() -> None:
    made = document(
        "token", "create", "--name", "ci", "--scope", "clients:read", "--scope", "queue:read",
        "--expires-in", "30d",
    )  # fmt: skip
    assert made["scopes"] == ["clients:read", "queue:read"]
    until = datetime.fromisoformat(made["expiresAt"]) - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < until < timedelta(days=30, minutes=1)
    principal = with_site(lambda site: site.tokens.authenticate(made["token"]))
    assert principal.actor == "token:ci"
    assert principal.scopes == {Scope.CLIENTS_READ, Scope.QUEUE_READ}
    (listed,) = document("token", "list")["data"]
    assert listed["id"] == made["id"]
    assert listed["lastUsedAt"] is not None
    assert made["token"].startswith(f"gcp_{listed['prefix']}_")
    assert made["token"] not in json.dumps(listed)
    assert made["token"] not in ghostcrm("token", "list").output

    # Without --json, stdout is the token alone.
    plain = ghostcrm("token", "create", "--name", "website", "--scope", "registrations:write")
    assert plain.exit_code == 0
    website = plain.stdout.strip()
    assert with_site(lambda site: site.tokens.authenticate(website)).name == "website"
    assert "cannot see it again" in plain.stderr

    assert document("token", "revoke", "CI")["id"] == made["id"]
    assert document("token", "revoke", website.split("_")[1])["name"] == "website"
    for token in (made["token"], website):

        async def use(site: Site, token: str = token) -> None:
            await site.tokens.authenticate(token)

        with pytest.raises(NotAuthenticated):
            with_site(use)
    assert document("token", "list")["data"] == []
    assert len(document("token", "list", "--all")["data"]) == 2
    # The name is free again.
    document("token", "create", "--name", "ci", "--scope", "admin")


@pytest.mark.long
def test_what_is_wrong_with_a_token_is_said_with_its_exit_code() -> None:
    assert "there are" in refused(2, "token", "create", "--name", "x", "--scope", "all")["message"]
    refused(2, "token", "create", "--name", " ", "--scope", "admin")
    refused(2, "token", "create", "--name", "x", "--scope", "admin", "--expires-in", "soon")
    document("token", "create", "--name", "x", "--scope", "admin")
    refused(5, "token", "create", "--name", "X", "--scope", "admin")
    refused(3, "token", "revoke", "y")
    refused(3, "token", "revoke", str(uuid4()))


def test_the_scopes_are_listed_with_what_they_allow() -> None:
    listed = {row["scope"]: row["description"] for row in document("token", "scopes")["data"]}
    assert listed == {scope.value: scope.description for scope in Scope}
    shown = ghostcrm("token", "scopes").stdout
    assert all(scope in shown for scope in listed)


@pytest.mark.parametrize("text", ["", "30", "d", "0d", "-1d", "1y", "1d1h", "99999w", "１d"])
def test_a_time_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        read_time(text)


@pytest.mark.long
def test_an_admin_from_the_first_day_to_the_last() -> None:
    olga = document(
        "create", OLGA, "--scope", "admin", "--password-stdin", stdin="a long password\n"
    )
    assert "temporaryPassword" not in olga
    user = str(uuid4())
    ivo = document("create", IVO, "--scope", "clients:read", "--main-project-user", user)
    assert ivo["mainProjectUserId"] == user
    temporary = ivo["temporaryPassword"]

    async def sign_in(site: Site) -> None:
        principal = await site.accounts.authenticate(IVO, temporary, address=HERE)
        await site.sessions.begin(principal, address=HERE, user_agent="a browser")

    with_site(sign_in)
    (session,) = document("sessions", "list", IVO)["data"]
    assert session["address"] == HERE
    assert document("sessions", "end", IVO, "--session", session["id"])["ended"] == 1
    refused(3, "sessions", "end", IVO, "--session", session["id"])
    with_site(sign_in)
    assert document("sessions", "end", IVO)["ended"] == 1

    changed = document("scopes", "set", IVO, "--scope", "queue:read", "--scope", "audit:read")
    assert changed["scopes"] == ["audit:read", "queue:read"]
    assert document("scopes", "set", IVO, "--none")["scopes"] == []
    assert (
        document("set-password", IVO, "--password-stdin", stdin="quite another one\n")[
            "mustChangePassword"
        ]
        is False
    )
    assert len(document("set-password", ivo["id"])["temporaryPassword"]) == 20
    assert document("link", IVO, "--remove")["mainProjectUserId"] is None
    assert document("link", IVO, user)["mainProjectUserId"] == user
    assert document("disable", IVO)["disabledBy"] == "cli"
    assert document("enable", IVO)["disabledAt"] is None
    assert document("unlock", IVO)["email"] == IVO
    listed = ghostcrm("list")
    assert [row["email"] for row in document("list")["data"]] == [IVO, OLGA]
    assert temporary not in listed.output
    assert "has to change the password" in listed.stdout


@pytest.mark.long
def test_what_is_wrong_with_an_account_is_said_with_its_exit_code() -> None:
    refused(2, "create", "nobody", "--scope", "admin")
    refused(2, "create", OLGA, "--scope", "admin", "--password-stdin", stdin="short\n")
    refused(2, "create", OLGA, "--scope", "admin", "--main-project-user", "x")
    assert document("list")["data"] == []
    document("create", OLGA, "--scope", "admin")
    refused(5, "create", OLGA.upper(), "--scope", "admin")
    refused(3, "disable", IVO)
    refused(3, "disable", "nobody")
    assert refused(5, "disable", OLGA)["code"] == "last_admin"
    refused(5, "scopes", "set", OLGA, "--none")
    refused(2, "scopes", "set", OLGA)
    refused(2, "link", OLGA)


def test_each_command_says_what_it_is_for() -> None:
    for arguments in (
        [], ["token"], ["token", "create"], ["token", "revoke"], ["create"], ["set-password"],
        ["scopes", "set"], ["sessions", "end"], ["link"],
    ):  # fmt: skip
        result = ghostcrm(*arguments, "--help")
        assert result.exit_code == 0
        assert len(result.stdout) > 200
