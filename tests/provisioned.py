"""A client as an operator has it: provisioned by the command, in an installation that several tests
share. For tests that ask what a client database is like, not how it comes into being.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from tests.command import ghostcrm
from tests.conftest import ADMIN, Server
from tests.prepared_control import PreparedControl, create_database

ADMIN_EMAIL = "admin@acme.com"
PASSWORD = "secure-password"


@dataclass(frozen=True)
class ProvisionedClient:
    """A client, and the environment in which the command knows it."""

    id: str
    database: str
    admin_id: str
    environment: dict[str, str]

    def env_file(self, role: str) -> str:
        """What ``clients connect --format env`` prints."""
        outcome = ghostcrm(
            "clients", "connect", self.id, "--role", role, "--format", "env",
            environment=self.environment,
        )  # fmt: skip
        assert outcome.code == 0, outcome.stderr
        return outcome.stdout

    def settings(self, role: str) -> dict[str, str]:
        return read_by_docker(self.env_file(role))

    def url(self, role: str) -> str:
        outcome = ghostcrm(
            "clients", "connect", self.id, "--role", role, "--json", environment=self.environment
        )
        assert outcome.code == 0, outcome.stderr
        return str(outcome.document["databaseUrl"])


def new_installation(server: Server, prepared: PreparedControl, folder: Path) -> dict[str, str]:
    """The environment of an installation without clients."""
    name = f"control_{uuid4().hex[:12]}"
    with server.superuser() as superuser:
        create_database(superuser, name, owner=ADMIN, template=prepared.database)
    shutil.copytree(prepared.keys, folder / "home" / "keys")
    return os.environ | {
        "GHOSTCRM_HOME": str(folder / "home"),
        "GHOSTCRM_DATABASE_URL": server.admin_url(name),
    }


def provision(company: str, environment: dict[str, str]) -> ProvisionedClient:
    outcome = ghostcrm(
        "provision", company, "--admin-email", ADMIN_EMAIL, "--password-stdin", "--json",
        environment=environment, stdin=f"{PASSWORD}\n",
    )  # fmt: skip
    assert outcome.code == 0, outcome.stderr
    document = outcome.document
    return ProvisionedClient(
        document["id"], document["database"]["name"], document["admin"]["userId"], environment
    )


def read_by_docker(text: str) -> dict[str, str]:
    """As ``docker run --env-file`` does: to the first ``=`` it is the name; quotes are kept."""
    pairs = [line.partition("=") for line in text.splitlines() if line[:1] not in {"", "#"}]
    return {name: value for name, _, value in pairs}
