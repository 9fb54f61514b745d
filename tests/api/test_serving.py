"""``ghostcrm api`` and ``ghostcrm up`` as processes: they listen, say where, and leave in good order."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.command import ghostcrm, start

Start = Callable[..., "tuple[subprocess.Popen[str], dict[str, Any]]"]


@pytest.fixture
def service(environment: Callable[..., dict[str, str]]) -> Iterator[Start]:
    """Starts a service, and gives its process with the document that it prints when it listens."""
    started: list[subprocess.Popen[str]] = []

    def start_(*arguments: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        process = start(*arguments, "--port", "0", "--json", environment=environment())
        started.append(process)
        assert process.stdout is not None
        text = ""
        for line in process.stdout:
            text += line
            if line.startswith("}"):
                return process, json.loads(text)
        raise AssertionError(process.stderr.read() if process.stderr else "it said nothing")

    yield start_
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.long
def test_up_serves_and_works_and_leaves_in_good_order(service: Start) -> None:
    process, document = service("up")
    assert document["dashboardUrl"] == f"{document['url']}/admin"
    assert document["workerId"]
    assert document["firstAdmin"]["email"] == "admin@ghostcrm.internal"
    password = document["firstAdmin"]["temporaryPassword"]
    answer = httpx.get(
        f"{document['url']}/api/admin/clients/00000000-0000-0000-0000-000000000000", timeout=60
    )
    assert answer.status_code == 401
    process.send_signal(signal.SIGTERM)
    rest, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert rest == ""  # one document, and nothing after it
    assert document["url"] in said
    assert "Stopped." in said
    assert password not in said  # it is in the document


@pytest.mark.long
def test_a_taken_port_is_said_so_with_what_to_do(
    service: Start, environment: Callable[..., dict[str, str]]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = ghostcrm("api", "--port", str(port), environment=environment())
        assert outcome.code == 1
        assert f"Port {port} of 127.0.0.1 is taken" in outcome.stderr
        assert "--port" in outcome.stderr
        assert "Traceback" not in outcome.stderr
    process, document = service("api")
    assert "workerId" not in document
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 0
