"""A command starts quickly: what takes long to load is loaded by those commands alone that need it."""

from __future__ import annotations

import subprocess
import sys

_NOT_FOR_EVERY_COMMAND = (
    "apprise",
    "asyncpg",
    "email_validator",
    "fastapi",
    "httpx",
    "jinja2",
    "jwt",
    "pgqueuer",
    "prometheus_client",
    "uvicorn",
)


def test_no_command_loads_what_only_a_few_need() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", "import sys, ghostcrm_provisioning.cli.main; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(finished.stdout.split()) & set(_NOT_FOR_EVERY_COMMAND) == set()
