"""An organization at the local platform, and a control database, for each test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.forked import FORKED
from tests.odd_server import Odd
from tests.running_platform import RunningPlatform
from tests.supabase_projects.projects import ReadyProject, new_project
from tests.supabase_projects.workers import Place, Worker, carry_out, working


@dataclass(frozen=True)
class OtherProcess:
    """A worker in a process of its own."""

    process: ForkServerProcess
    answers: Connection

    def kill(self) -> None:
        self.process.kill()
        self.process.join(120)

    def ref(self) -> str:
        """Of the project that it has ended with."""
        assert self.answers.poll(120), "it has not ended"
        return str(self.answers.recv())


Asking = Callable[..., dict[str, Any]]
Starting = Callable[[Place, str, UUID], OtherProcess]


@pytest.fixture
def caller(platform: RunningPlatform) -> Iterator[httpx.Client]:
    """Somebody with the access token, who is not us."""
    with platform.caller() as client:
        yield client


@pytest.fixture(scope="module")
def project(platform: RunningPlatform) -> ReadyProject:
    """A project that the tests of a module share."""
    return new_project(platform)


@pytest.fixture
def place(platform: RunningPlatform, caller: httpx.Client, control_url: str) -> Place:
    """An organization without projects, and an installation without clients."""
    made = caller.post("/v1/organizations", json={"name": "an organization"}).json()
    return Place(control_url, platform.url, platform.token, made["slug"], str(uuid4()))


@pytest.fixture
async def worker(place: Place) -> AsyncIterator[Worker]:
    async with working(place) as worker:
        yield worker


@pytest.fixture
def fault(caller: httpx.Client) -> Iterator[Asking]:
    """Asks for faults; takes all of them back afterwards."""

    def ask(**wanted: Any) -> dict[str, Any]:
        answer = caller.post("/platform/faults", json=wanted)
        assert answer.status_code == 201, answer.text
        document: dict[str, Any] = answer.json()
        return document

    yield ask
    caller.delete("/platform/faults")


@pytest.fixture
async def odd() -> AsyncIterator[Odd]:
    odd = Odd()
    server = await asyncio.start_server(odd.serve, "127.0.0.1", 0)
    odd.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield odd
    server.close()
    await odd.close()


@pytest.fixture
def in_another_process() -> Iterator[Starting]:
    """Starts a worker in a process of its own; it has its libraries loaded already."""
    started: list[OtherProcess] = []

    def start(place: Place, operation: str, database_id: UUID) -> OtherProcess:
        answers, sending = FORKED.Pipe(duplex=False)
        process = FORKED.Process(target=carry_out, args=(place, operation, database_id, sending))
        process.start()
        sending.close()
        started.append(OtherProcess(process, answers))
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.answers.close()
        each.process.close()


def projects_in(caller: httpx.Client, place: Place) -> list[dict[str, Any]]:
    """What is really there."""
    answer = caller.get(f"/v1/organizations/{place.organization}/projects")
    found: list[dict[str, Any]] = answer.json()["projects"]
    return found
