"""The official CLI, against the local platform: through the Management API, as with an account."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Server
from tests.running_platform import RunningPlatform, new_home, running_platform, wait_for
from tests.supabase_cli.conftest import Finished, SupabaseCli

pytestmark = pytest.mark.long


@dataclass(frozen=True)
class Account:
    """The CLI as somebody who is signed in at the platform."""

    cli: SupabaseCli
    platform: RunningPlatform
    folder: Path

    def run(self, *arguments: str) -> Finished:
        finished = subprocess.run(
            [
                str(self.cli.program),
                *arguments,
                "--profile",
                str(self.platform.profile),
                "--agent",
                "no",
            ],
            cwd=self.folder,
            env={
                "PATH": os.environ["PATH"],
                "SUPABASE_ACCESS_TOKEN": self.platform.token,
                **self.cli.environment,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        return Finished(finished.returncode, finished.stdout, finished.stderr)

    def ask(self, *arguments: str) -> Any:
        finished = self.run(*arguments, "--output-format", "json")
        assert finished.code == 0, f"{arguments}: {finished.stdout}{finished.stderr}"
        return json.loads(finished.stdout)


@pytest.fixture(scope="module")
def account(
    supabase: SupabaseCli, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Account]:
    folder = tmp_path_factory.mktemp("account")
    (folder / "supabase").mkdir()
    (folder / "supabase" / "config.toml").write_text('project_id = "account"\n')
    environment = new_home(server, tmp_path_factory.mktemp("platform"))
    with running_platform(environment, "--coming-up", "0.2") as platform:
        yield Account(supabase, platform, folder)


@pytest.fixture(scope="module")
def caller(account: Account) -> Iterator[httpx.Client]:
    with account.platform.caller() as client:
        yield client


@pytest.fixture(scope="module")
def ref(account: Account, caller: httpx.Client) -> str:
    """A project that the CLI has made."""
    made = account.run(
        "projects", "create", "made by the CLI", "--org-id", account.platform.organization,
        "--db-password", "the owner's own password", "--region", "eu-west-1", "--yes",
    )  # fmt: skip
    assert made.code == 0, made.stderr
    found = caller.get("/v1/projects").json()
    assert [each["name"] for each in found] == ["made by the CLI"]
    wait_for(caller, found[0]["ref"])
    return str(found[0]["ref"])


def test_it_lists_organizations_and_projects(account: Account, ref: str) -> None:
    organizations = account.run("orgs", "list")
    assert organizations.code == 0
    assert account.platform.organization in organizations.stdout
    projects = account.ask("projects", "list")["projects"]
    assert [(each["ref"], each["status"]) for each in projects] == [(ref, "ACTIVE_HEALTHY")]
    assert "platform" in account.run("whoami").stdout


def test_it_shows_keys_masked_and_revealed(account: Account, ref: str) -> None:
    masked = account.run("projects", "api-keys", f"--remote={ref}").stdout
    revealed = account.run("projects", "api-keys", f"--remote={ref}", "--reveal").stdout
    for shown in (masked, revealed):
        for name in ("anon", "service_role", "sb_publishable_", "sb_secret_"):
            assert name in shown
    assert "·····" in masked
    assert "·····" not in revealed


def test_it_queries_and_sees_the_rows(account: Account, ref: str) -> None:
    statement = "create table public.seen (i int); insert into public.seen values (42)"
    written = account.run("db", "query", statement, f"--remote={ref}", "--yes")
    assert written.code == 0, written.stderr
    read = account.run("db", "query", "select i from public.seen", f"--remote={ref}", "--read-only")
    assert (read.code, "42" in read.stdout) == (0, True), read.stderr
    wrong = account.run("db", "query", "select * from nonsense", f"--remote={ref}", "--yes")
    assert wrong.code != 0
    assert "42P01" in wrong.stdout + wrong.stderr


def test_its_advisors_find_what_is_wrong(account: Account, ref: str, caller: httpx.Client) -> None:
    before = account.run("db", "advisors", f"--remote={ref}")
    assert "No issues found" in before.stderr
    statement = "create table public.open (i int primary key); grant select on public.open to anon"
    caller.post(f"/v1/projects/{ref}/database/query", json={"query": statement})
    found = account.run("db", "advisors", f"--remote={ref}")
    assert "rls_disabled_in_public" in found.stdout + found.stderr
    assert "public.open" in found.stdout + found.stderr


def test_it_generates_types(account: Account, ref: str, caller: httpx.Client) -> None:
    statement = "create table public.typed (id bigint primary key, words text not null)"
    caller.post(f"/v1/projects/{ref}/database/query", json={"query": statement})
    types = account.run("gen", "types", f"--remote={ref}")
    assert types.code == 0, types.stderr
    assert "words: string" in types.stdout
    assert "id: number" in types.stdout


def test_it_deletes_a_project(account: Account, caller: httpx.Client, ref: str) -> None:
    made = account.run(
        "projects", "create", "for a moment", "--org-id", account.platform.organization,
        "--db-password", "the owner's own password", "--region", "us-east-1", "--yes",
    )  # fmt: skip
    assert made.code == 0, made.stderr
    new = next(each for each in caller.get("/v1/projects").json() if each["ref"] != ref)
    wait_for(caller, new["ref"])
    deleted = account.run("projects", "delete", new["ref"], "--yes")
    assert deleted.code == 0, deleted.stderr
    gone = caller.get(f"/v1/projects/{new['ref']}")
    assert gone.json() == {"message": "Resource has been removed"}
