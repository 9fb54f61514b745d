"""The calls of the specification, as printed there but for host and token, against a server that runs: with the
real curl; and the registration of a web application, with the real Node.js."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.command import ghostcrm, start
from tests.conftest import Server
from tests.docs.pages import ROOT, blocks
from tests.prepared_control import PreparedControl
from tests.provisioned import new_installation

TRIGGER = r"""
# Trigger provisioning
curl -X POST /api/admin/provision-client \
  -H "Authorization: Bearer YOUR_ADMIN_TOKEN" \
  -H "Content-Type: application/json" \
  -d '{
    "clientData": {
      "name": "ACME Corp",
      "adminEmail": "admin@acme.com",
      "plan": "professional"
    }
  }'
"""
STATUS = r"""
# Check queue status
curl -X GET /api/admin/provision-client/status \
  -H "Authorization: Bearer YOUR_ADMIN_TOKEN"
"""


@dataclass(frozen=True)
class Running:
    """Everything, running: API, dashboard and worker."""

    url: str
    environment: dict[str, str]

    def token(self, scope: str) -> str:
        outcome = ghostcrm(
            "admin", "token", "create", "--name", f"for {scope}", "--scope", scope, "--json",
            environment=self.environment,
        )  # fmt: skip
        assert outcome.code == 0, outcome.stderr
        return str(outcome.document["token"])


@pytest.fixture(scope="module")
def running(
    server: Server, prepared_control: PreparedControl, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """``ghostcrm up``."""
    environment = new_installation(server, prepared_control, tmp_path_factory.mktemp("up"))
    environment["GHOSTCRM_LEASE_SECONDS"] = "60"  # a busy machine makes nobody dead
    process = start("up", "--port", "0", "--json", environment=environment)
    try:
        assert process.stdout is not None
        text = ""
        for line in process.stdout:
            text += line
            if line.startswith("}"):
                break
        yield Running(json.loads(text)["url"], environment)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)


def curl(command: str, running: Running, token: str, *options: str) -> Any:
    """What a command of the specification prints."""
    line = command.replace(" /api/", f" {running.url}/api/").replace("YOUR_ADMIN_TOKEN", token)
    line = line.replace("curl ", " ".join(["curl --silent --show-error", *options, ""]))
    finished = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, timeout=170, check=True
    )
    return json.loads(finished.stdout)


def test_the_two_calls_of_the_specification_work_as_printed(running: Running) -> None:
    token = running.token("admin")
    accepted = curl(TRIGGER, running, token)
    assert {"clientId", "runId", "status", "statusUrl"} <= set(accepted)
    queue = curl(STATUS, running, token)
    assert {"queueLength", "processing", "current"} <= set(queue)

    waited = curl(TRIGGER.replace("provision-client ", "provision-client?wait=60 "), running, token)
    assert curl(STATUS, running, token)["workers"], "somebody works"
    assert waited["clientId"] == accepted["clientId"]
    assert (waited["status"], waited["plan"]) == ("ready", "professional")
    seen = curl(f"curl {accepted['statusUrl']} -H 'Authorization: Bearer {token}'", running, token)
    assert seen["status"] == "ready"

    events = subprocess.run(
        ["curl", "--silent", "--no-buffer", "-H", f"Authorization: Bearer {token}",
         f"{running.url}/api/admin/runs/{accepted['runId']}/events"],
        capture_output=True, text=True, timeout=170, check=True,
    ).stdout  # fmt: skip
    assert "event: run\n" in events
    assert events.rstrip().split("\n\n")[-1].startswith("event: end")


def test_without_a_token_they_are_refused(running: Running) -> None:
    for command in (TRIGGER, STATUS):
        problem = curl(command, running, "gcp_abcdefgh_" + "x" * 43)
        assert (problem["status"], problem["code"]) == (401, "not_authenticated")


@pytest.mark.long
@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js")
def test_the_route_handler_of_the_documentation_registers_a_company(
    running: Running, tmp_path: Path
) -> None:
    (handler,) = blocks(ROOT / "docs" / "how-to" / "register-from-nextjs.md", "ts")
    # Without a compiler: its types are few, and all in the one signature.
    plain, count = re.subn(r"\(request: Request\): Promise<Response>", "(request)", handler.text)
    assert count == 1
    program = tmp_path / "route.mjs"
    program.write_text(plain + _CALLS, encoding="utf-8")
    finished = subprocess.run(
        ["node", str(program)],
        env=running.environment
        | {
            "PROVISIONING_URL": running.url,
            "PROVISIONING_TOKEN": running.token("registrations:write"),
        },
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    first, again, other, refused = (json.loads(line) for line in finished.stdout.splitlines())
    assert first["status"] == again["status"] == 202
    assert first["body"]["clientId"] == again["body"]["clientId"]
    assert (other["status"], other["body"]["code"]) == (409, "already_registered")
    assert (refused["status"], refused["body"]["code"]) == (422, "invalid_email")
    explained = ghostcrm(
        "clients", "explain", first["body"]["clientId"], "--json", environment=running.environment
    )
    assert explained.document["clientName"] == "Globex"


_CALLS = """
const registration = {
  registrationId: "form-1", companyName: "Globex", adminEmail: "hank@globex.com",
  adminPassword: "secure-password", plan: "starter",
};
for (const form of [
  registration,
  registration,
  { ...registration, registrationId: "form-2", plan: "enterprise" },
  { ...registration, registrationId: "form-3", adminEmail: "hank" },
]) {
  const answer = await POST(
    new Request("http://localhost/api/register", { method: "POST", body: JSON.stringify(form) }),
  );
  console.log(JSON.stringify({ status: answer.status, body: await answer.json() }));
}
"""
