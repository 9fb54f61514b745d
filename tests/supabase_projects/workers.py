"""A worker that keeps projects at the platform, as the tests need it: watched, judged, impatient."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, TypeVar
from uuid import UUID

import httpx

from ghostcrm_provisioning.control_database.database import ControlDatabase
from ghostcrm_provisioning.errors import ToldToWait, TransientFailure
from ghostcrm_provisioning.providers.supabase.exchange import Exchange
from ghostcrm_provisioning.providers.supabase.management_api import ManagementApi
from ghostcrm_provisioning.providers.supabase.patience import Patience
from ghostcrm_provisioning.providers.supabase.projects import SupabaseProjects, WantedProject
from ghostcrm_provisioning.providers.supabase.rate_budget import RateBudget
from tests.supabase_platform.official import FOLDER, Description

T = TypeVar("T")
OPERATIONS = ("ensure", "keys", "pause", "restore", "delete")
PASSWORD = "the-projects-own-password"
_DESCRIPTION = FOLDER / "management_api_v1.json"


@dataclass(frozen=True)
class Place:
    """Where a worker works."""

    control_url: str
    api_url: str
    token: str
    organization: str
    installation_id: str
    request_seconds: float = 5.0
    create_grace: float = 3.0


class Watched(httpx.AsyncHTTPTransport):
    """Sends requests as ever; notes them, has them judged, and breaks connections when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, str]] = []
        self.refuse: tuple[str, str] | None = None
        self.refused = 0
        self._description = Description(_DESCRIPTION) if _DESCRIPTION.exists() else None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.sent.append((request.method, template_of(path)))
        if self._description is not None:
            judge_request(self._description, request)
        if self.refuse == (request.method, template_of(path)):
            self.refuse = None
            self.refused += 1
            request.url = request.url.copy_with(port=1)  # where nobody listens
        return await super().handle_async_request(request)


def judge_request(description: Description, request: httpx.Request) -> None:
    """Raises AssertionError when it is not one that the official description has."""
    path = request.url.path
    description.judge_request(request.method, path, request.content)
    operation = description.find(request.method, path)
    known = {
        parameter["name"]: parameter.get("required", False)
        for parameter in operation.document.get("parameters", [])
        if parameter["in"] == "query"
    }
    sent = set(request.url.params.keys())
    assert sent <= set(known), f"{operation.key}: {sent - set(known)}"
    assert {name for name, required in known.items() if required} <= sent, operation.key


def template_of(path: str) -> str:
    """The endpoint of a path: ``/v1/projects/*/health``."""
    parts = path.split("/")
    if len(parts) > 3 and parts[3] != "available-regions":
        parts[3] = "*"
    if len(parts) > 5 and parts[4] == "api-keys" and parts[5] != "legacy":
        parts[5] = "*"
    return "/".join(parts)


@dataclass
class Worker:
    """Carries out operations on projects."""

    api: ManagementApi
    projects: SupabaseProjects
    watched: Watched
    errors: list[str] = field(default_factory=list)

    async def once(self, operation: str, database_id: UUID) -> Any:
        match operation:
            case "ensure":
                return await self.projects.ensure_project(
                    WantedProject(database_id, "eu-central-1", PASSWORD)
                )
            case "keys":
                return await self.projects.keys(database_id)
            case "pause":
                return await self.projects.pause(database_id)
            case "restore":
                return await self.projects.restore(database_id)
        return await self.projects.delete(database_id)

    async def until_done(self, operation: str, database_id: UUID, *, seconds: float = 60) -> Any:
        """As a run does: told to wait, it comes back; after a failure that may pass, too."""
        return await self.repeat(lambda: self.once(operation, database_id), seconds=seconds)

    async def repeat(self, work: Callable[[], Awaitable[T]], *, seconds: float = 60) -> T:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    return await work()
                except ToldToWait as told:
                    self.errors.append(told.code)
                    await asyncio.sleep(min(told.wait_seconds, 0.1))
                except TransientFailure as failure:
                    self.errors.append(failure.code)
                    await asyncio.sleep(0.05)


@asynccontextmanager
async def working(place: Place, **patience: Any) -> AsyncIterator[Worker]:
    """A worker with connections of its own."""
    async with AsyncExitStack() as resources:
        control = await resources.enter_async_context(
            ControlDatabase(place.control_url, largest_pool=4)
        )
        watched = Watched()
        exchange = await resources.enter_async_context(
            Exchange(
                api_url=place.api_url,
                access_token=place.token,
                budget=RateBudget(control, api_url=place.api_url, access_token=place.token),
                request_seconds=place.request_seconds,
                transport=watched,
            )
        )
        api = ManagementApi(exchange)
        projects = SupabaseProjects(
            api,
            control,
            installation_id=UUID(place.installation_id),
            organization_slug=place.organization,
            patience=Patience(
                first_look=0.05, longest_look=0.2, create_grace=place.create_grace, **patience
            ),
        )
        yield Worker(api, projects, watched)


def carry_out(place: Place, operation: str, database_id: UUID, answers: Connection) -> None:
    """What a process of its own does."""

    async def carry_out_() -> None:
        async with working(place) as worker:
            done = await worker.until_done(operation, database_id)
            answers.send(getattr(done, "ref", None))

    asyncio.run(carry_out_())
