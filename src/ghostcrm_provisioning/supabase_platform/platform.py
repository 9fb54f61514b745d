"""A platform that is open: projects are made, paused, restored and removed here.

A project's row is written first, in the state that says what is going on; the work follows, and what
a process leaves undone when it ends, the next one does (:meth:`Platform.resume`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
from psycopg.types.json import Jsonb

from ghostcrm_provisioning.client_database.roles import check_server
from ghostcrm_provisioning.control_database.database import ControlDatabase
from ghostcrm_provisioning.errors import GhostcrmError, PermanentFailure
from ghostcrm_provisioning.home_server import HomeServer, open_home_server
from ghostcrm_provisioning.providers.postgres import PostgresProvider
from ghostcrm_provisioning.provisioning_log import get_logger
from ghostcrm_provisioning.sealing import Sealer
from ghostcrm_provisioning.settings import Settings
from ghostcrm_provisioning.supabase_platform.faults import Faults
from ghostcrm_provisioning.supabase_platform.identity import Identity, open_identity
from ghostcrm_provisioning.supabase_platform.keys import ApiKeys
from ghostcrm_provisioning.supabase_platform.project import (
    PROJECTS,
    Project,
    ProjectSecrets,
    Times,
    new_ref,
    new_secrets,
    read_project,
    seal,
    seal_secrets,
)
from ghostcrm_provisioning.supabase_platform.project_database import ProjectDatabases
from ghostcrm_provisioning.supabase_platform.rate_limit import RateLimit
from ghostcrm_provisioning.supabase_platform.records import open_records
from ghostcrm_provisioning.supabase_platform.refusal import Refusal, removed

_ATTEMPTS = 5
_FIRST_WAIT_SECONDS = 0.2
_FIRST_ORGANIZATION = "ghostcrm"


@dataclass(frozen=True)
class NewProject:
    """A project as it is asked for."""

    name: str
    organization_slug: str
    region: str
    instance_size: str
    database_password: str
    stuck_as: str | None = None
    shares_name: bool = False


class Platform:
    """Everything that the routes work with."""

    def __init__(
        self,
        *,
        identity: Identity,
        home: HomeServer,
        records: ControlDatabase,
        databases: ProjectDatabases,
        times: Times,
        rate_limit: RateLimit,
        first_organization: str,
    ) -> None:
        self.identity = identity
        self.home = home
        self.records = records
        self.databases = databases
        self.times = times
        self.rate_limit = rate_limit
        self.first_organization = first_organization
        self.faults = Faults(records)
        self.keys = ApiKeys(records, identity.sealer)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def _sealer(self) -> Sealer:
        return self.identity.sealer

    # --- organizations ----------------------------------------------------------------------------

    async def organizations(self) -> list[dict[str, str]]:
        rows = await self.records.fetch_all(PROJECTS["list_organizations"])
        return [{"slug": row["slug"], "name": row["name"]} for row in rows]

    async def organization(self, slug: str) -> dict[str, str]:
        """Raises Refusal: 404, there is none."""
        row = await self.records.fetch_one(PROJECTS["find_organization"], slug=slug)
        if row is None:
            raise Refusal(404, "Organization not found")
        return {"slug": row["slug"], "name": row["name"]}

    async def create_organization(self, name: str) -> dict[str, str]:
        slug = new_ref()
        await self.records.execute(PROJECTS["insert_organization"], slug=slug, name=name)
        return {"slug": slug, "name": name}

    # --- projects ---------------------------------------------------------------------------------

    async def projects(self) -> list[Project]:
        rows = await self.records.fetch_all(PROJECTS["list_projects"])
        return [read_project(row, self._sealer) for row in rows]

    async def projects_of(self, slug: str, *, search: str | None) -> list[Project]:
        rows = await self.records.fetch_all(
            PROJECTS["list_projects_of_organization"], slug=slug, search=search
        )
        return [read_project(row, self._sealer) for row in rows]

    async def project(self, ref: str) -> Project:
        """Raises Refusal: there is none (404), or it was removed (400)."""
        row = await self.records.fetch_one(PROJECTS["find_project"], ref=ref)
        if row is None:
            raise Refusal(404, "Project not found")
        if row["state"] == "removed":
            raise removed()
        return read_project(row, self._sealer)

    async def create(self, new: NewProject) -> Project:
        """Accept a project; its database is made afterwards.

        Raises:
            Refusal: 400, the organization has a project of that name.
        """
        await self.organization(new.organization_slug)
        project_id = uuid4()
        opened = new_secrets(new.database_password)
        try:
            row = await self.records.fetch_one(
                PROJECTS["insert_project"],
                id=project_id,
                ref=new_ref(),
                organization_slug=new.organization_slug,
                name=new.name,
                region=new.region,
                instance_size=new.instance_size,
                secrets=seal_secrets(self._sealer, project_id, opened),
                stuck_as=new.stuck_as,
                shares_name=new.shares_name,
            )
        except GhostcrmError as error:
            if isinstance(error.__cause__, psycopg.errors.UniqueViolation):
                raise Refusal(
                    400, f'Project with name "{new.name}" already exists in your organization.'
                ) from None
            raise
        assert row is not None
        project = read_project(row, self._sealer)
        await self.keys.ensure_first(project)
        self._begin(self._make, project)
        return project

    async def rename(self, project: Project, name: str) -> None:
        await self.records.execute(PROJECTS["rename_project"], id=project.id, name=name)

    async def pause(self, project: Project, *, stuck_as: str | None) -> None:
        """Raises Refusal: 400, it is not running."""
        changed = await self._change(project, "pausing", ("active",), stuck_as=stuck_as)
        self._begin(self._close, changed)

    async def restore(self, project: Project, *, stuck_as: str | None) -> None:
        """Raises Refusal: 400, it is not paused."""
        changed = await self._change(project, "restoring", ("paused",), stuck_as=stuck_as)
        self._begin(self._reopen, changed)

    async def remove(self, project: Project) -> None:
        """Gone when this returns: database and logins.

        Raises:
            Refusal: 400, it is still being made.
        """
        try:
            changed = await self._change(
                project, "removing", ("active", "paused", "failed", "removing")
            )
        except Refusal:
            raise Refusal(400, "Project not ready for deletion.") from None
        await self._remove(changed)

    async def set_database_password(self, project: Project, password: str) -> None:
        changed = ProjectSecrets(**{**vars(project.secrets), "database_password": password})
        # The wish first: whoever comes after a crash here sets it again.
        await self.records.execute(
            PROJECTS["set_secrets"],
            id=project.id,
            secrets=seal_secrets(self._sealer, project.id, changed),
        )
        await self.databases.set_owner_password(project, password)

    async def set_auth_settings(self, project: Project, settings: Mapping[str, Any]) -> None:
        sealed = seal(self._sealer, project.id, "auth_settings", settings)
        await self.records.execute(PROJECTS["set_auth_settings"], id=project.id, settings=sealed)

    async def set_postgrest_settings(
        self, project: Project, settings: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        row = await self.records.fetch_one(
            PROJECTS["set_postgrest_settings"], id=project.id, settings=Jsonb(dict(settings))
        )
        return {} if row is None else dict(row["postgrest_settings"])

    async def set_storage_settings(self, project: Project, settings: Mapping[str, Any]) -> None:
        await self.records.execute(
            PROJECTS["set_storage_settings"], id=project.id, settings=Jsonb(dict(settings))
        )

    async def set_network_restrictions(
        self, project: Project, restrictions: Mapping[str, Any]
    ) -> None:
        await self.records.execute(
            PROJECTS["set_network_restrictions"],
            id=project.id,
            restrictions=Jsonb(dict(restrictions)),
        )

    async def set_legacy_keys_enabled(self, project: Project, enabled: bool) -> None:
        await self.records.execute(
            PROJECTS["set_legacy_keys_enabled"], id=project.id, enabled=enabled
        )

    # --- the work ---------------------------------------------------------------------------------

    async def resume(self) -> None:
        """Go on with what another process has begun and not finished."""
        work = {
            "creating": self._make,
            "pausing": self._close,
            "restoring": self._reopen,
            "removing": self._remove,
        }
        for row in await self.records.fetch_all(PROJECTS["list_unfinished"]):
            self._begin(work[row["state"]], read_project(row, self._sealer))

    async def finish(self) -> None:
        """Wait for the work that is going on."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, work: Callable[[Project], Awaitable[None]], project: Project) -> None:
        task = asyncio.create_task(self._persist(work, project))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _persist(self, work: Callable[[Project], Awaitable[None]], project: Project) -> None:
        """Do it, again if need be; a project that cannot be made is shown as one that failed."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                await work(project)
            except GhostcrmError as error:
                get_logger("platform").warning(
                    "project_work_failed", ref=project.ref, attempt=attempt, error=error.message
                )
                if attempt == _ATTEMPTS or isinstance(error, PermanentFailure):
                    if project.state == "creating":
                        await self._settle(project, "failed", ("creating",), failure=error.message)
                    return
                await asyncio.sleep(_FIRST_WAIT_SECONDS * 2 ** (attempt - 1))
            else:
                return

    async def _make(self, project: Project) -> None:
        # Again, for a process that was killed before it made them.
        await self.keys.ensure_first(project)
        await self.databases.make(project)
        settles_at = project.created_at + self.times.settled("creating")
        await self._settle(project, "active", ("creating",), settles_at=settles_at)

    async def _close(self, project: Project) -> None:
        await self.databases.close(project)
        await self._settle(project, "paused", ("pausing",), settles_at=self._after("pausing"))

    async def _reopen(self, project: Project) -> None:
        await self.databases.reopen(project)
        await self._settle(project, "active", ("restoring",), settles_at=self._after("restoring"))

    async def _remove(self, project: Project) -> None:
        await self.databases.remove(project)
        await self.keys.forget(project)
        await self._settle(project, "removed", ("removing",))

    def _after(self, what: str) -> datetime:
        return datetime.now(UTC) + self.times.settled(what)

    async def _change(
        self,
        project: Project,
        state: str,
        states: tuple[str, ...],
        *,
        stuck_as: str | None = None,
    ) -> Project:
        row = await self._settle(project, state, states, stuck_as=stuck_as)
        if row is None:
            raise Refusal(
                400,
                f"Project is {project.shown_status(self.times)}; this cannot be done now.",
            )
        return read_project(row, self._sealer)

    async def _settle(
        self,
        project: Project,
        state: str,
        states: tuple[str, ...],
        *,
        settles_at: datetime | None = None,
        stuck_as: str | None = None,
        failure: str | None = None,
    ) -> dict[str, Any] | None:
        return await self.records.fetch_one(
            PROJECTS["change_state"],
            id=project.id,
            state=state,
            states=list(states),
            settles_at=settles_at,
            stuck_as=stuck_as,
            failure=failure,
        )


@asynccontextmanager
async def open_platform(
    settings: Settings, *, times: Times | None = None, per_minute: int = 120
) -> AsyncIterator[Platform]:
    """The platform of this GHOSTCRM_HOME, on its home server.

    Raises:
        ConfigurationError: something must be set up first; the error says what.
        TransientFailure: the server does not answer.
    """
    home = await open_home_server(settings)
    identity = await asyncio.to_thread(open_identity, settings.home)
    async with AsyncExitStack() as resources:
        records = await resources.enter_async_context(open_records(home.control_url, identity))
        async with records.connection() as connection:
            await check_server(connection)
        provider = await resources.enter_async_context(
            PostgresProvider(home.control_url, server_name=home.name)
        )
        databases = ProjectDatabases(provider, home.control_url, identity.id)
        await databases.prepare()
        await records.execute(
            PROJECTS["ensure_first_organization"], slug=_FIRST_ORGANIZATION, name="GhostCRM"
        )
        platform = Platform(
            identity=identity,
            home=home,
            records=records,
            databases=databases,
            times=times or Times(),
            rate_limit=RateLimit(per_minute),
            first_organization=_FIRST_ORGANIZATION,
        )
        await platform.resume()
        try:
            yield platform
        finally:
            await platform.finish()
