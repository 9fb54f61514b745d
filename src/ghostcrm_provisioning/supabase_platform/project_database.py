"""The database of a project: made, opened and dropped on our own server.

The ``postgres`` provider makes it: born closed, stamped, with logins of its own. What it begins with
is the baseline of client databases, made into what a new project on Supabase has
(``project_template.sql``). Four logins: the owner, whose password is the project's ``db_pass``; one
that runs SQL for the Management API, as the owner; one for Auth, which keeps the users; and one for REST
and Storage, which becomes whoever a request is from, and nobody else: what the project's owner has put
into its functions and triggers runs in these sessions.
"""

from __future__ import annotations

import hashlib
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib.resources import files
from uuid import UUID

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from ghostcrm_provisioning.client_database.install import install_platform, platform_fingerprint
from ghostcrm_provisioning.client_database.roles import AUTH_ROLE
from ghostcrm_provisioning.errors import PostconditionNotMet
from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.providers.postgres import PostgresProvider
from ghostcrm_provisioning.providers.postgres_logins import login_name
from ghostcrm_provisioning.providers.provider import (
    Connection,
    DatabaseRequest,
    Login,
    Template,
)
from ghostcrm_provisioning.supabase_platform.project import Project

PROJECT_DATABASE = NamedSql(__package__, "project_database.sql")

OWNER = "postgres"
_QUERY = "query"
_SERVICES = "services"
_AUTH = "auth"
_SEARCH_PATH = ("$user", "public", "extensions")


@dataclass(frozen=True)
class Place:
    """Where a project's database is, for a direct connection."""

    host: str
    port: int
    database: str
    user: str


class ProjectDatabases:
    """The databases of a platform's projects, on its home server."""

    def __init__(self, provider: PostgresProvider, home_url: str, platform_id: UUID) -> None:
        self._provider = provider
        self._home_url = home_url
        self._platform_id = platform_id
        self._template = Template(_template_fingerprint(), _build_template)

    async def prepare(self) -> None:
        """Build the template before the first project needs it."""
        await self._provider.prepare_template(self._platform_id, self._template)

    async def make(self, project: Project) -> None:
        """Make it, or what is missing of it."""
        request = self._request(project)
        await self._provider.create(request)
        async with self._provider.administer(request) as connection:
            statement = sql.SQL(PROJECT_DATABASE["let_owner_in"]).format(
                owner=sql.Identifier(login_name(project.database, OWNER))
            )
            async with connection.transaction():
                await connection.execute(statement)
        seen = await self._provider.observe(request)
        if not seen.holds:
            raise PostconditionNotMet(f"The database of project {project.ref}: {seen.seen}.")

    async def close(self, project: Project) -> None:
        """Let nobody in, and end the sessions that are open."""
        request = self._request(project)
        await self._provider.close(request)
        seen = await self._provider.observe_closed(request)
        if not seen.holds:
            raise PostconditionNotMet(f"The database of project {project.ref}: {seen.seen}.")

    async def reopen(self, project: Project) -> None:
        """Let its logins in again."""
        await self._provider.reopen(self._request(project))

    async def set_owner_password(self, project: Project, password: str) -> None:
        """From now on the owner logs in with that password.

        Raises:
            ValueError: it holds something else than ASCII.
        """
        await self._provider.enable_login(self._request(project), _owner(password))

    async def remove(self, project: Project) -> None:
        """Drop the database and its logins; seen to be gone afterwards.

        Raises:
            StampMismatch: a database of that name is there, but not this one.
        """
        request = self._request(project)
        await self._provider.remove(request)
        seen = await self._provider.observe_absent(request)
        if not seen.holds:
            raise PostconditionNotMet(f"The database of project {project.ref}: {seen.seen}.")

    def as_owner(self, project: Project) -> AbstractAsyncContextManager[Connection]:
        """A connection for SQL of the Management API: the owner's rights, and no others."""
        return self._provider.log_in(
            self._request(project), _query(project.database, project.secrets.query_password)
        )

    def as_services(self, project: Project) -> AbstractAsyncContextManager[Connection]:
        """A connection for the project's services, without rights until it becomes somebody."""
        return self._provider.log_in(
            self._request(project), _services(project.secrets.services_password)
        )

    def as_auth(self, project: Project) -> AbstractAsyncContextManager[Connection]:
        """A connection of Auth, to whom the users' tables belong."""
        return self._provider.log_in(self._request(project), _auth(project.secrets.auth_password))

    def place(self, project: Project) -> Place:
        """How to get there directly."""
        parameters = conninfo_to_dict(self._home_url)
        return Place(
            host=str(parameters.get("host", "localhost")),
            port=int(str(parameters.get("port", "5432"))),
            database=project.database,
            user=login_name(project.database, OWNER),
        )

    def _request(self, project: Project) -> DatabaseRequest:
        return DatabaseRequest(
            installation_id=self._platform_id,
            database_id=project.id,
            name=project.database,
            template=self._template,
            logins=(
                _owner(project.secrets.database_password),
                _query(project.database, project.secrets.query_password),
                _services(project.secrets.services_password),
                _auth(project.secrets.auth_password),
            ),
        )


def _owner(password: str) -> Login:
    return Login(
        OWNER,
        password,
        member_of=("anon", "authenticated", "service_role"),
        creates=True,
        temporary=True,
        search_path=_SEARCH_PATH,
    )


def _query(database: str, password: str) -> Login:
    owner = login_name(database, OWNER)
    return Login(
        _QUERY,
        password,
        member_of=(owner,),
        acts_as=owner,
        creates=True,
        temporary=True,
        search_path=_SEARCH_PATH,
        settings=(("statement_timeout", "60s"),),
    )


def _services(password: str) -> Login:
    return Login(
        _SERVICES,
        password,
        member_of=("anon", "authenticated", "service_role"),
        inherits=False,
        search_path=("pg_catalog",),
        settings=(("statement_timeout", "8s"),),
    )


def _auth(password: str) -> Login:
    return Login(
        _AUTH,
        password,
        member_of=(AUTH_ROLE,),
        acts_as=AUTH_ROLE,
        search_path=("auth",),
        settings=(("idle_in_transaction_session_timeout", "60s"),),
    )


def _template_sql() -> str:
    return files(__package__).joinpath("project_template.sql").read_text(encoding="utf-8")


def _template_fingerprint() -> str:
    return hashlib.sha256(f"{platform_fingerprint()}\0{_template_sql()}".encode()).hexdigest()


async def _build_template(connection: Connection) -> None:
    await install_platform(connection)
    async with connection.transaction():
        await connection.execute(_template_sql())
