"""Which provider looks after which place: servers of ours, an organization at Supabase, given databases.

Made when it is first needed, and closed with the installation. A client stays where it was placed,
whatever the settings say now; they only choose where the next one goes.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

from ghostcrm_provisioning.client_database.roles import prepare_given_server
from ghostcrm_provisioning.clients.client import CLIENTS
from ghostcrm_provisioning.control_database.database import Connection, ControlDatabase
from ghostcrm_provisioning.errors import (
    ConfigurationError,
    InvalidInput,
    InvalidSetting,
    NoServerAvailable,
)
from ghostcrm_provisioning.providers.postgres import PostgresProvider
from ghostcrm_provisioning.providers.provider import Provider
from ghostcrm_provisioning.registration_form import RegistrationForm
from ghostcrm_provisioning.settings import Settings

_LONGEST_NAME = 63


class ServerProviders:
    """The providers of one installation.

    Args:
        home_url, home_name: of the home server.
        installation_id: known when :meth:`belong_to` was called.
    """

    def __init__(
        self,
        control: ControlDatabase,
        settings: Settings,
        resources: AsyncExitStack,
        *,
        home_url: str,
        home_name: str,
    ) -> None:
        self._control = control
        self._settings = settings
        self._resources = resources
        self._home_url = home_url
        self._home_name = home_name
        self._installation_id: UUID | None = None
        self._home_server_id: UUID | None = None
        self._home: PostgresProvider | None = None
        self._known: dict[UUID, Provider] = {}
        self._lock = asyncio.Lock()

    def belong_to(self, installation_id: UUID, *, home_server_id: UUID) -> None:
        """Say whose they are, and which row of ``servers`` is the home server."""
        self._installation_id = installation_id
        self._home_server_id = home_server_id

    async def home(self) -> PostgresProvider:
        """The provider of the home server."""
        if self._home_server_id is None:
            raise ConfigurationError("The home server is not set up.")
        async with self._lock:
            if self._home is None:
                self._home = await self._resources.enter_async_context(
                    PostgresProvider(self._home_url, server_name=self._home_name)
                )
            return self._home

    async def of_server(self, server_id: UUID) -> Provider:
        """Raises ConfigurationError when it is not one that this process can use, as it is set."""
        if server_id == self._home_server_id:
            return await self.home()
        async with self._lock:
            if server_id not in self._known:
                row = await self._control.fetch_one(CLIENTS["find_server"], server_id=server_id)
                self._known[server_id] = await self._open(server_id, row)
            return self._known[server_id]

    async def _open(self, server_id: UUID, row: dict[str, Any] | None) -> Provider:
        match None if row is None else row["provider"]:
            case "supabase":
                assert row is not None
                return await self._open_organization(row["organization_slug"], row["api_url"])
            case "existing":
                return self._open_given()
            case _:
                raise ConfigurationError(f"The server {server_id} cannot be reached from here.")

    def _open_given(self) -> Provider:
        # Slow to load, and most installations have no database that was given.
        from ghostcrm_provisioning.providers.existing.provider import (  # noqa: PLC0415
            ExistingProvider,
        )
        from ghostcrm_provisioning.providers.existing.services import (  # noqa: PLC0415
            GivenServices,
        )

        seconds = self._settings.supabase_request_seconds
        return ExistingProvider(
            prepare=prepare_given_server,
            open_services=lambda given, database_id: GivenServices(
                given, database_id, request_seconds=seconds
            ),
        )

    async def _open_organization(self, slug: str, api_url: str) -> Provider:
        # Slow to load, and most installations have no project.
        from ghostcrm_provisioning.providers.supabase.examination import (  # noqa: PLC0415
            open_management_api,
        )
        from ghostcrm_provisioning.providers.supabase.patience import (  # noqa: PLC0415
            patience_for,
        )
        from ghostcrm_provisioning.providers.supabase.projects import (  # noqa: PLC0415
            SupabaseProjects,
        )
        from ghostcrm_provisioning.providers.supabase.provider import (  # noqa: PLC0415
            SupabaseProvider,
        )

        settings = self._settings
        if settings.supabase_access_token is None:
            raise ConfigurationError(
                f"This client's database is a project of the organization {slug} at Supabase, and "
                "SUPABASE_ACCESS_TOKEN is not set.",
                next_step="Set SUPABASE_ACCESS_TOKEN to a token of somebody in that organization.",
            )
        if settings.supabase_api_url != api_url:
            # A token is for whom it was made; it is sent to nobody else.
            raise ConfigurationError(
                f"This client's project is at {api_url}, and SUPABASE_API_URL is "
                f"{settings.supabase_api_url}.",
                next_step=f"Set SUPABASE_API_URL={api_url}, and SUPABASE_ACCESS_TOKEN to a token of there.",
            )
        if self._installation_id is None:
            raise ConfigurationError("The installation is not set up.")
        api = await self._resources.enter_async_context(
            open_management_api(settings, self._control)
        )
        projects = SupabaseProjects(
            api,
            self._control,
            installation_id=self._installation_id,
            organization_slug=slug,
            patience=patience_for(settings.supabase_request_seconds),
        )
        return SupabaseProvider(
            api, projects, self._control, settings=settings, api_url=api_url, organization_slug=slug
        )


async def place(connection: Connection, settings: Settings, form: RegistrationForm) -> UUID:
    """Where a new client's database is to be: a row of ``servers``.

    Raises:
        NoServerAvailable: no server takes another one.
        InvalidSetting: the settings name a provider, and not all that it needs.
        InvalidInput: a region was asked for where there are none.
    """
    if form.given is not None:
        return await _place_of_given(connection)
    if form.region is not None and settings.provider != "supabase":
        raise InvalidInput(
            "A region can be chosen for projects at Supabase, and new databases are made on servers of yours.",
            next_step="Leave the region out, or set GHOSTCRM_PROVIDER=supabase.",
        )
    organization = None
    if settings.provider == "supabase":
        organization = await find_organization(connection, settings)
    await connection.execute(CLIENTS["lock_limited_servers"])
    row = await (
        await connection.execute(
            CLIENTS["place"], {"provider": settings.provider, "server_id": organization}
        )
    ).fetchone()
    if row is None:
        raise NoServerAvailable
    return UUID(str(row["id"]))


async def _place_of_given(connection: Connection) -> UUID:
    await connection.execute(CLIENTS["insert_place_of_given"])
    row = await (
        await connection.execute(CLIENTS["place"], {"provider": "existing", "server_id": None})
    ).fetchone()
    if row is None:
        raise NoServerAvailable
    return UUID(str(row["id"]))


async def find_organization(connection: Connection, settings: Settings) -> UUID:
    """The row of ``servers`` for the organization at Supabase that the settings name.

    Raises:
        InvalidSetting: something is missing of them.
    """
    slug, api_url = settings.supabase_organization_slug, settings.supabase_api_url
    missing = [
        variable
        for variable, value in (
            ("SUPABASE_ACCESS_TOKEN", settings.supabase_access_token),
            ("SUPABASE_ORGANIZATION_SLUG", slug),
        )
        if not value
    ]
    if missing or slug is None:
        raise InvalidSetting(
            f"GHOSTCRM_PROVIDER is supabase, and {' and '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not set.",
            next_step="Set what is missing, then look with `ghostcrm doctor`.",
        )
    wanted = {"organization_slug": slug, "api_url": api_url}
    row = await (await connection.execute(CLIENTS["find_organization"], wanted)).fetchone()
    if row is None:
        name = _name_of_organization(slug, api_url)
        await connection.execute(CLIENTS["insert_organization"], {**wanted, "name": name})
        row = await (await connection.execute(CLIENTS["find_organization"], wanted)).fetchone()
    if row is None:
        raise ConfigurationError("The organization at Supabase cannot be recorded.")
    return UUID(str(row["id"]))


def _name_of_organization(slug: str, api_url: str) -> str:
    """What operators read in lists; another one for the same slug at another address."""
    plain = re.sub(r"[^a-z0-9-]", "-", slug.lower())
    if api_url == Settings.model_fields["supabase_api_url"].default and plain == slug:
        return f"supabase-{plain}"[:_LONGEST_NAME]
    digest = hashlib.sha256(f"{api_url} {slug}".encode()).hexdigest()[:8]
    return f"supabase-{plain}"[: _LONGEST_NAME - 9] + f"-{digest}"
