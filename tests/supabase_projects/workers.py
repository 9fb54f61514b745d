"""A worker that keeps projects at the platform, as the tests need it: watched, judged, impatient."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from multiprocessing.connection import Connection
from typing import Any, TypeVar
from uuid import UUID

import httpx
import psycopg

from ghostcrm_provisioning.control_database.database import ControlDatabase
from ghostcrm_provisioning.errors import ToldToWait, TransientFailure, WrongPassword
from ghostcrm_provisioning.mail_server import MailServer
from ghostcrm_provisioning.providers.supabase.exchange import Exchange
from ghostcrm_provisioning.providers.supabase.key_rotation import KeyRotation, trying_at
from ghostcrm_provisioning.providers.supabase.management_api import ManagementApi
from ghostcrm_provisioning.providers.supabase.patience import Patience
from ghostcrm_provisioning.providers.supabase.project_api import ProjectApi, project_url
from ghostcrm_provisioning.providers.supabase.project_settings import (
    ProjectSettings,
    WantedSettings,
)
from ghostcrm_provisioning.providers.supabase.projects import SupabaseProjects, WantedProject
from ghostcrm_provisioning.providers.supabase.rate_budget import RateBudget
from ghostcrm_provisioning.providers.supabase.storage import ClientFiles, WantedBucket
from tests.supabase_platform.official import FOLDER, Description

T = TypeVar("T")
OPERATIONS = ("ensure", "keys", "pause", "restore", "delete")
PASSWORD = "the-projects-own-password"
NEW_PASSWORD = "another password of its own"
SETTINGS = WantedSettings(
    site_url="https://crm.example.com",
    redirect_urls=("https://*.example.com/**",),
    mail_server=MailServer("smtp.example.com", 587, "apikey", "the mail's own", "crm@example.com"),
    allowed_networks=(ip_network("203.0.113.0/24"), ip_network("2001:db8::/32")),
)
BUCKET = WantedBucket("files", 60 * 1024**2)
_DESCRIPTION = FOLDER / "management_api_v1.json"


@dataclass(frozen=True)
class Place:
    """Where a worker works."""

    control_url: str
    api_url: str
    token: str
    organization: str
    installation_id: str
    # Longer than this machine stands still: who is to lose patience, or to wait in vain, says so.
    request_seconds: float = 30.0
    create_grace: float = 60.0


class Watched(httpx.AsyncHTTPTransport):
    """Sends requests as ever; notes them, has them judged, and breaks connections when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, str]] = []
        self.refuse: tuple[str, str] | None = None
        self.refused = 0
        # What happens behind our back just before such a request is sent, once.
        self.meanwhile: dict[tuple[str, str], Callable[[], Awaitable[object]]] = {}
        self._description = Description(_DESCRIPTION) if _DESCRIPTION.exists() else None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.sent.append((request.method, template_of(path)))
        if self._description is not None and path.startswith("/v1/"):
            judge_request(self._description, request)
        if (happens := self.meanwhile.pop((request.method, template_of(path)), None)) is not None:
            await happens()
        if self.refuse == (request.method, template_of(path)):
            self.refuse = None
            self.refused += 1
            request.url = request.url.copy_with(port=1)  # where nobody listens
        return await super().handle_async_request(request)


class Shared(httpx.AsyncBaseTransport):
    """Stays open when one of those that use it is closed."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._transport.handle_async_request(request)


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
    if parts[1] == "project":  # a project's own API
        parts[2] = "*"
        if len(parts) > 6 and parts[5] == "bucket":
            parts[6] = "*"
        return "/".join(parts)
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
    place: Place
    errors: list[str] = field(default_factory=list)

    async def once(self, operation: str, database_id: UUID) -> Any:
        match operation.split():
            case ["ensure"]:
                return await self.projects.ensure_project(
                    WantedProject(database_id, "eu-central-1", PASSWORD)
                )
            case ["keys"]:
                return await self.projects.keys(database_id)
            case ["pause"]:
                return await self.projects.pause(database_id)
            case ["restore"]:
                return await self.projects.restore(database_id)
            case ["delete"]:
                return await self.projects.delete(database_id)
        project = await self.projects.observe(database_id)
        assert project is not None
        return await self._set(operation.split(), project.ref)

    async def _set(self, operation: list[str], ref: str) -> Any:
        """What is set in a project; a rotation has its number behind its name."""
        url = project_url(self.place.api_url, ref)
        rotation = KeyRotation(self.api, trying_at(url, transport=Shared(self.watched)))
        match operation:
            case ["settings"]:
                seen = await ProjectSettings(self.api, SETTINGS).apply(ref)
                assert seen.holds, seen.seen
            case ["bucket", secret_key]:
                async with ProjectApi(
                    project_url=url,
                    key=secret_key,
                    request_seconds=self.place.request_seconds,
                    transport=Shared(self.watched),
                ) as project:
                    seen = await ClientFiles(self.api, project, ref).ensure(BUCKET)
                assert seen.holds, seen.seen
            case ["make_keys", number]:
                await rotation.make_keys(ref, int(number))
            case ["retire_keys", number]:
                await rotation.retire_keys(ref, int(number))
            case ["legacy"]:
                assert (await rotation.retire_legacy_keys(ref)).holds
            case ["password"]:
                await rotation.set_database_password(
                    ref, NEW_PASSWORD, opens=lambda password: self.open_database(ref, password)
                )

    async def open_database(self, ref: str, password: str) -> None:
        """Raises WrongPassword."""
        pooler = (await self.api.poolers(ref))[0]
        try:
            connection = await psycopg.AsyncConnection.connect(
                host=pooler.host,
                port=pooler.port,
                user=pooler.user,
                dbname=pooler.database,
                password=password,
            )
        except psycopg.OperationalError:
            raise WrongPassword from None
        await connection.close()

    async def until_done(self, operation: str, database_id: UUID, *, seconds: float = 150) -> Any:
        """As a run does: told to wait, it comes back; after a failure that may pass, too."""
        return await self.repeat(lambda: self.once(operation, database_id), seconds=seconds)

    async def repeat(self, work: Callable[[], Awaitable[T]], *, seconds: float = 150) -> T:
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
        yield Worker(api, projects, watched, place)


def carry_out(place: Place, operation: str, database_id: UUID, answers: Connection) -> None:
    """What a process of its own does."""

    async def carry_out_() -> None:
        async with working(place) as worker:
            done = await worker.until_done(operation, database_id)
            answers.send(getattr(done, "ref", None))

    asyncio.run(carry_out_())


def spend_budget(control_url: str, allowed: int, tries: int, talk: Connection) -> None:
    """What a process of its own does: it says that it is ready; told to, it spends what it can, all at once; it
    says how much that was."""

    async def spend_() -> None:
        async with ControlDatabase(control_url, largest_pool=4) as control:
            budget = RateBudget(control, api_url="https://x", access_token="t", allowed=allowed)
            talk.send("ready")
            await asyncio.to_thread(talk.recv)

            async def spend() -> float:
                """How many seconds were to be waited instead."""
                try:
                    await budget.take("GET /v1/projects", "user")
                except ToldToWait as told:
                    return told.wait_seconds
                return 0

            waits = await asyncio.gather(*(spend() for _ in range(tries)))
            assert max(waits) <= 62, waits
            talk.send(waits.count(0))

    asyncio.run(spend_())
