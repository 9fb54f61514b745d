"""Where each provider makes its databases, and what the suite sees and does there behind its back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from ghostcrm_provisioning.client_database.roles import prepare_given_server
from ghostcrm_provisioning.control_database.database import ControlDatabase
from ghostcrm_provisioning.embedded import RunningPostgres
from ghostcrm_provisioning.providers.existing.provider import ExistingProvider
from ghostcrm_provisioning.providers.postgres import PostgresProvider
from ghostcrm_provisioning.providers.postgres_server import connection_url
from ghostcrm_provisioning.providers.provider import (
    Connection,
    DatabaseRequest,
    Given,
    Login,
    Provider,
    Template,
)
from ghostcrm_provisioning.providers.supabase.examination import open_management_api
from ghostcrm_provisioning.providers.supabase.patience import Patience
from ghostcrm_provisioning.providers.supabase.projects import SupabaseProjects
from ghostcrm_provisioning.providers.supabase.provider import SupabaseProvider
from ghostcrm_provisioning.settings import Settings
from tests.conftest import ADMIN, ADMIN_PASSWORD, Server
from tests.running_platform import RunningPlatform

OWNER_PASSWORD = "the owner's own-password"
APP_PASSWORD = "the application's own-password"


async def builds_nothing(_: Connection) -> None:
    """The template of a suite that has no blueprint."""


class World(ABC):
    """One provider's."""

    kind: str

    @abstractmethod
    async def provider(self) -> Provider:
        """One more, as another process would have it."""

    @abstractmethod
    async def provider_of_nothing(self) -> Provider:
        """One whose other side does not answer."""

    @abstractmethod
    def count(self, request: DatabaseRequest) -> int:
        """How many databases there are for it."""

    @abstractmethod
    def state(self, request: DatabaseRequest) -> object:
        """Everything about it that looking must not change."""

    @abstractmethod
    def make_strange(self, request: DatabaseRequest) -> None:
        """Make what is there for the request somebody else's: its stamp is not ours any more."""

    def request(self) -> DatabaseRequest:
        """For a new database, of a new installation."""
        database_id = uuid4()
        return DatabaseRequest(
            installation_id=self.installation_id,
            database_id=database_id,
            name=f"ghostcrm_{database_id.hex}",
            template=Template(self.installation_id.hex * 2, builds_nothing),
            logins=(
                Login("app", APP_PASSWORD, ("authenticated", "anon"), connection_limit=7),
                Login(
                    "owner", OWNER_PASSWORD, (), creates=True, temporary=True, connection_limit=5
                ),
            ),
            plan="starter",
            owner_password=OWNER_PASSWORD,
            closed_password="only we know this one",
        )

    def __init__(self) -> None:
        self.installation_id: UUID = uuid4()


class OnPostgres(World):
    """A PostgreSQL server: the embedded one, or any other."""

    kind = "postgres"

    def __init__(self, running: RunningPostgres, url: str, resources: AsyncExitStack) -> None:
        super().__init__()
        self._running = running
        self._url = url
        self._resources = resources

    async def provider(self) -> Provider:
        return await self._resources.enter_async_context(
            PostgresProvider(self._url, server_name="test")
        )

    async def provider_of_nothing(self) -> Provider:
        return await self._resources.enter_async_context(
            PostgresProvider(
                "postgresql://nobody:a-secret@127.0.0.1:1/postgres", server_name="nowhere"
            )
        )

    def count(self, request: DatabaseRequest) -> int:
        return len(self._ask("select from pg_database where datname = %s", request.name))

    def state(self, request: DatabaseRequest) -> object:
        return self._ask(
            "select to_jsonb(d) - 'datfrozenxid' - 'datminmxid' as row,"
            " shobj_description(oid, 'pg_database') as stamp from pg_database d where datname = %s"
            " union all select to_jsonb(a) - 'rolpassword', null from pg_authid a where starts_with(rolname, %s)"
            " order by 1",
            request.name,
            f"{request.name}_",
        )

    def make_strange(self, request: DatabaseRequest) -> None:
        with self._superuser() as connection:
            connection.execute(
                sql.SQL("comment on database {} is 'somebody else''s'").format(
                    sql.Identifier(request.name)
                )
            )

    def _superuser(self) -> psycopg.Connection[dict[str, Any]]:
        return psycopg.connect(self._running.url(), autocommit=True, row_factory=dict_row)

    def _ask(self, statement: str, *parameters: object) -> list[dict[str, Any]]:
        with self._superuser() as connection:
            return connection.execute(statement.encode(), parameters).fetchall()


class OnSupabase(World):
    """An organization of its own at the local platform."""

    kind = "supabase"

    def __init__(
        self,
        platform: RunningPlatform,
        control_url: str,
        home: Path,
        resources: AsyncExitStack,
    ) -> None:
        super().__init__()
        self._platform = platform
        self._control_url = control_url
        self._resources = resources
        with platform.caller() as caller:
            self._slug = caller.post("/v1/organizations", json={"name": "a world"}).json()["slug"]
        self._home = home

    async def provider(self) -> Provider:
        return await self._at(self._platform.url)

    async def provider_of_nothing(self) -> Provider:
        return await self._at("http://127.0.0.1:1")

    def count(self, request: DatabaseRequest) -> int:
        return len(self.projects(request))

    def state(self, request: DatabaseRequest) -> object:
        found = self.projects(request)
        with self._platform.caller() as caller:
            return [caller.get(f"/v1/projects/{each['ref']}").json() for each in found]

    def make_strange(self, request: DatabaseRequest) -> None:
        (project,) = self.projects(request)
        with self._platform.caller() as caller:
            answer = caller.patch(f"/v1/projects/{project['ref']}", json={"name": "mine now"})
            assert answer.is_success, answer.text

    async def _at(self, api_url: str) -> Provider:
        settings = Settings.model_validate(
            {
                "home": self._home,
                "provider": "supabase",
                "SUPABASE_API_URL": api_url,
                "SUPABASE_ACCESS_TOKEN": self._platform.token,
                "SUPABASE_ORGANIZATION_SLUG": self._slug,
            }
        )
        control = await self._resources.enter_async_context(
            ControlDatabase(self._control_url, largest_pool=20)
        )
        api = await self._resources.enter_async_context(open_management_api(settings, control))
        projects = SupabaseProjects(
            api,
            control,
            installation_id=self.installation_id,
            organization_slug=self._slug,
            patience=Patience(first_look=0.05, longest_look=0.2, create_grace=60.0),
        )
        return SupabaseProvider(
            api, projects, control, settings=settings, api_url=api_url, organization_slug=self._slug
        )

    def projects(self, request: DatabaseRequest) -> list[dict[str, Any]]:
        """As the platform tells of them."""
        with self._platform.caller() as caller:
            answer: httpx.Response = caller.get(f"/v1/organizations/{self._slug}/projects")
            found: list[dict[str, Any]] = answer.json()["projects"]
        return [
            each
            for each in found
            if request.database_id.hex in each["name"] and each["status"] != "REMOVED"
        ]


def with_password(login: Login, password: str) -> Login:
    """The same login with another password."""
    return replace(login, password=password)


class OnExisting(World):
    """Databases that somebody has already, on the server that comes with us; each request gives one, with a
    login that may make logins."""

    kind = "existing"

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server
        self._port: int | None = None

    async def provider(self) -> Provider:
        return ExistingProvider(prepare=prepare_given_server)

    async def provider_of_nothing(self) -> Provider:
        self._port = 1
        return await self.provider()

    def request(self) -> DatabaseRequest:
        name = f"theirs_{uuid4().hex[:8]}"
        if self._port is None:
            with self._server.superuser() as superuser:
                superuser.execute(
                    sql.SQL("create database {} owner {} template template0").format(
                        sql.Identifier(name), sql.Identifier(ADMIN)
                    )
                )
        given = Given(
            connection_url(
                host=self._server.running.host,
                port=str(self._port or self._server.running.port),
                database=name,
                user=ADMIN,
                password="a-secret" if self._port else ADMIN_PASSWORD,
            )
        )
        return replace(super().request(), given=given)

    def count(self, request: DatabaseRequest) -> int:
        with self._inside(request) as connection:
            return len(
                connection.execute(
                    "select from pg_namespace where nspname = 'ghostcrm_claim'"
                ).fetchall()
            )

    def state(self, request: DatabaseRequest) -> object:
        with self._inside(request) as connection:
            return connection.execute(
                "select to_jsonb(d) - 'datfrozenxid' - 'datminmxid' as row, null as stamp"
                " from pg_database d where datname = current_database()"
                " union all select to_jsonb(n), obj_description(oid, 'pg_namespace') from pg_namespace n"
                " union all select to_jsonb(a) - 'rolpassword', null from pg_authid a"
                " where starts_with(rolname, %s) order by 1",
                (f"{request.name}_",),
            ).fetchall()

    def make_strange(self, request: DatabaseRequest) -> None:
        with self._inside(request) as connection:
            connection.execute("comment on schema ghostcrm_claim is 'somebody else''s'")

    def _inside(self, request: DatabaseRequest) -> psycopg.Connection[dict[str, Any]]:
        assert request.given is not None
        name = str(conninfo_to_dict(request.given.database_url)["dbname"])
        return self._server.superuser(name)
