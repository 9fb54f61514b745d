"""A local platform as a user starts it: the command, in a process of its own.

Several tests share one; each makes the projects that it needs.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from tests.command import start
from tests.conftest import ADMIN, Server
from tests.prepared_control import create_database

_PATIENCE_SECONDS = 300.0


@dataclass(frozen=True)
class RunningPlatform:
    """What the command has printed, and its process."""

    url: str
    token: str
    organization: str
    profile: Path
    process: subprocess.Popen[str]

    def caller(self, **headers: str) -> httpx.Client:
        """Somebody with the access token."""
        return httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.token}"} | headers,
            timeout=_PATIENCE_SECONDS,
        )

    def stop(self) -> int:
        """In good order; how it ended."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(_PATIENCE_SECONDS)
        self.close()
        return code

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(_PATIENCE_SECONDS)
        self.close()

    def close(self) -> None:
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


def new_home(server: Server, folder: Path) -> dict[str, str]:
    """The environment of an installation of its own, on the server of the tests."""
    name = f"control_{uuid4().hex[:12]}"
    with server.superuser() as superuser:
        create_database(superuser, name, owner=ADMIN, template="template0")
    return os.environ | {
        "GHOSTCRM_HOME": str(folder / "home"),
        "GHOSTCRM_DATABASE_URL": server.admin_url(name),
    }


def start_platform(environment: dict[str, str], *options: str) -> RunningPlatform:
    """Start it; it answers when this returns."""
    process = start("platform", "--port", "0", "--json", *options, environment=environment)
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line.rstrip() == "}":
            break
    else:
        assert process.stderr is not None
        raise AssertionError(f"the platform did not start: {lines} {process.stderr.read()}")
    document = json.loads("".join(lines))
    return RunningPlatform(
        document["url"],
        document["accessToken"],
        document["organizationSlug"],
        Path(document["profile"]),
        process,
    )


@contextmanager
def running_platform(environment: dict[str, str], *options: str) -> Iterator[RunningPlatform]:
    """Started, and stopped afterwards."""
    platform = start_platform(environment, *options)
    try:
        yield platform
    finally:
        platform.stop()


def create_project(caller: httpx.Client, organization: str, **fields: Any) -> dict[str, Any]:
    """A project that is being made."""
    body = {
        "name": f"project {uuid4().hex[:8]}",
        "db_pass": "the owner's own password",
        "organization_slug": organization,
        "region": "eu-central-1",
    } | fields
    answer = caller.post("/v1/projects", json=body)
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document


def wait_for(caller: httpx.Client, ref: str, status: str = "ACTIVE_HEALTHY") -> list[str]:
    """Until the project has that status; which ones were seen on the way."""
    seen: list[str] = []
    between_looks = 0.02
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until:
        answer = caller.get(f"/v1/projects/{ref}")
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            # On a slow machine a project takes longer than 120 such looks, which are all in a minute.
            time.sleep(float(answer.headers["retry-after"]))
            continue
        now = str(answer.json()["status"])
        if now not in seen[-1:]:
            seen.append(now)
        if now == status:
            return seen
        time.sleep(between_looks)
        between_looks = min(1.1 * between_looks, 0.5)
    raise AssertionError(f"{ref} was {seen}, never {status}")
