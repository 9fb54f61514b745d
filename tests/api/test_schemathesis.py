"""Whatever ``/openapi.json`` allows, and much that it does not, is answered as it says: Schemathesis with all its
checks against a real server, as an admin, with a token that opens nothing, and without a token."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.access.tokens import Tokens
from ghostcrm_provisioning.clients.run import find_latest_run
from tests.api.conftest import Inhabited
from tests.command import start

pytestmark = pytest.mark.long

# A value may be valid by its schema and refused by its meaning: a cursor of another list, a plan that the
# blueprint does not have, an address that email-validator does not take.
_CONFIGURATION = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "400", "401", "403", "404", "409", "422", "429", "503"]

[parameters]
wait = 0
"path.client_id" = "{client_id}"
"path.run_id" = "{run_id}"
"path.token_id" = "{token_id}"
"""
_CASES = re.compile(r"(\d+) generated")
# Streams have no end (test_runs_and_events.py follows them); without a worker, which would provision
# whatever is registered here, the process is not ready, and says so with a 503 (test_health.py).
_LEFT_OUT = "/events$|^/readyz$"
_WITHOUT_LIMITS = {
    "GHOSTCRM_REQUESTS_PER_MINUTE": "0",
    "GHOSTCRM_REQUESTS_PER_MINUTE_AND_ADDRESS": "0",
    "GHOSTCRM_REFUSALS_PER_MINUTE_AND_ADDRESS": "0",
    "GHOSTCRM_REQUEST_SECONDS": "120",  # a machine may be slow; what is asked is what is answered
}
CALLERS = {
    "an admin": Scope.ADMIN,
    "a token that opens nothing": Scope.METRICS_READ,
    "nobody": None,
}


@pytest.mark.timeout(1800)  # a minute on a machine of its own
async def test_every_answer_is_as_the_document_says(
    inhabited: Inhabited, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    control = inhabited.installation.control
    async with control.connection() as connection:
        run = await find_latest_run(connection, UUID(inhabited.client.id))
    tokens = Tokens(control)
    # Ids are learned from answers: left to itself, it would revoke its own token.
    other = await tokens.create(
        name="to be revoked", scopes=frozenset({Scope.QUEUE_READ}), created_by="a test"
    )
    configuration = tmp_path / "schemathesis.toml"
    configuration.write_text(
        _CONFIGURATION.format(client_id=inhabited.client.id, run_id=run.id, token_id=other.id),
        encoding="utf-8",
    )
    server = start(
        "api", "--port", "0", "--json", environment=inhabited.client.environment | _WITHOUT_LIMITS
    )
    assert server.stdout is not None
    try:
        url = await asyncio.to_thread(_url, server)
        counted = []
        for name, scope in CALLERS.items():
            arguments = ["--phases", "coverage,fuzzing", "--max-examples", "2"]
            if scope is not Scope.ADMIN:  # nothing of it is read: a few of each do
                arguments = ["--phases", "fuzzing", "--max-examples", "5"]
            new = None
            if scope is not None:
                new = await tokens.create(
                    name=f"schemathesis {scope}", scopes=frozenset({scope}), created_by="a test"
                )
                arguments += ["--header", f"Authorization: Bearer {new.token.get_secret_value()}"]
            counted.append(f"{await _run(url, configuration, arguments)} as {name}")
            if new is not None:
                await tokens.authenticate(new.token.get_secret_value())  # it was valid to the end
        record_property("summary", f"Schemathesis: {', '.join(counted)}; all as documented")
    finally:
        server.send_signal(signal.SIGTERM)
        await asyncio.to_thread(server.communicate, timeout=120)


def _url(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    for line in server.stdout:
        if '"url"' in line:
            return line.split('"')[3]
    raise AssertionError("the API did not start")


async def _run(url: str, configuration: Path, arguments: list[str]) -> int:
    """How many cases were tried; fails with the report when one of them was not as documented."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli",
        "--config-file", str(configuration), "run", f"{url}/openapi.json",
        "--checks", "all", "--seed", "1", "--no-shrink", "--no-color", "--generation-database", "none",
        "--exclude-path-regex", _LEFT_OUT, "--request-timeout", "180",
        "--suppress-health-check", "too_slow,large_base_example", *arguments,
        cwd=configuration.parent,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    report = output.decode()
    found = _CASES.search(report)
    assert process.returncode == 0, report
    assert found is not None, report
    return int(found[1])
