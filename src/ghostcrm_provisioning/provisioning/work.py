"""What the steps of one run work with."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from ghostcrm_provisioning.client_database.blueprint import Blueprint, Plan
from ghostcrm_provisioning.client_database.install import (
    install_blueprint,
    install_platform,
    platform_fingerprint,
)
from ghostcrm_provisioning.client_database.isolation.proof import prove_template
from ghostcrm_provisioning.client_database.roles import (
    APPLICATION,
    CARETAKER,
    LOGIN_ROLES,
    OWNER,
    LoginRole,
    login_role,
)
from ghostcrm_provisioning.clients.client import CLIENTS, Client, names_of_seals
from ghostcrm_provisioning.clients.credentials import Credentials
from ghostcrm_provisioning.clients.run import HeldRun
from ghostcrm_provisioning.providers.provider import (
    Connection,
    DatabaseRequest,
    Login,
    Provider,
    Template,
)
from ghostcrm_provisioning.sealing import Sealer


@dataclass
class Work:
    """One client's run in the hands of one worker."""

    held: HeldRun
    client: Client
    blueprint: Blueprint
    plan: Plan
    provider: Provider
    request: DatabaseRequest
    owner: Login
    password_hash: str | None = field(repr=False)
    _resources: AsyncExitStack = field(default_factory=AsyncExitStack, repr=False)
    _connecting: dict[str, asyncio.Task[Connection]] = field(default_factory=dict, repr=False)

    def connect_soon(self) -> None:
        """Begin to connect to the client database, as administrator and as its application, so that
        the steps to come need not wait for it."""
        self._connect("administrator")
        self._connect(APPLICATION)

    async def client_database(self) -> Connection:
        """A connection to the client database as its administrator, kept for the whole run."""
        return await self._connect("administrator")

    async def as_application(self) -> Connection:
        """A connection to the client database with its application's own login, kept as well."""
        return await self._connect(APPLICATION)

    async def as_owner(self) -> Connection:
        """A connection to the client database with the login of its schema's owner, kept as well.

        For a database that was handed over: its owner may have put triggers and functions into it,
        and what these do, they must not do with our administrator's rights (not even ``set role``
        keeps them from that). Enables the login."""
        if OWNER not in self._connecting:
            await self.provider.enable_login(self.request.name, self.owner)
        return await self._connect(OWNER)

    async def close(self) -> None:
        await asyncio.gather(*self._connecting.values(), return_exceptions=True)
        await self._resources.aclose()

    def _connect(self, login_key: str) -> asyncio.Task[Connection]:
        if login_key not in self._connecting:
            name = self.request.name
            logins = {each.key: each for each in (*self.request.logins, self.owner)}
            login = logins.get(login_key)
            connection = (
                self.provider.administer(name)
                if login is None
                else self.provider.log_in(name, login)
            )
            self._connecting[login_key] = asyncio.create_task(
                self._resources.enter_async_context(connection)
            )
        return self._connecting[login_key]


def template_of(blueprint: Blueprint) -> Template:
    """What a new client database of this blueprint starts as: the platform and the blueprint."""

    async def build(connection: Connection) -> None:
        await install_platform(connection)
        await install_blueprint(connection, blueprint)
        await prove_template(connection, blueprint.access)

    access = blueprint.access.fingerprint if blueprint.access else ""
    all_of_it = f"{platform_fingerprint()} {blueprint.fingerprint} {access}"
    return Template(hashlib.sha256(all_of_it.encode()).hexdigest(), build)


def logins_of(credentials: Credentials, plan: Plan) -> tuple[Login, ...]:
    """The logins of a client database; the plan limits how often the application may connect. Beside
    the application's, and our own, they are enabled when somebody first asks for them: what nobody
    uses, nobody can steal."""
    limits = {APPLICATION: plan.connection_limit}
    enabled = {APPLICATION, CARETAKER}
    return tuple(
        login_of(
            role,
            password=credentials.passwords.get(role.key) if role.key in enabled else None,
            connection_limit=limits.get(role.key),
        )
        for role in LOGIN_ROLES
    )


def login_of(
    role: LoginRole, *, password: str | None = None, connection_limit: int | None = None
) -> Login:
    """The login of this role; with a password it is one that can log in."""
    return Login(
        key=role.key,
        password=password,
        member_of=role.member_of,
        inherits=role.inherits,
        acts_as=role.acts_as,
        creates=role.creates,
        temporary=role.temporary,
        connection_limit=role.connection_limit if connection_limit is None else connection_limit,
        search_path=role.search_path,
        settings=role.settings,
    )


async def ensure_caretaker(provider: Provider, name: str, credentials: Credentials) -> Login:
    """Our own login in a client's database, which can log in: see
    :data:`~ghostcrm_provisioning.client_database.roles.CARETAKER`."""
    password = credentials.passwords.get(CARETAKER)
    if password is not None:
        return login_of(login_role(CARETAKER), password=password)
    # Of a client from before there were caretakers: anew at each use.
    login = login_of(login_role(CARETAKER), password=secrets.token_urlsafe(24))
    await provider.enable_login(name, login)
    return login


@asynccontextmanager
async def as_caretaker(
    provider: Provider, name: str, credentials: Credentials
) -> AsyncIterator[Connection]:
    """A connection to a database that was handed over, for our own work in it."""
    login = await ensure_caretaker(provider, name, credentials)
    async with provider.log_in(name, login) as connection:
        yield connection


async def open_secrets(
    control: Connection, sealer: Sealer, client: Client
) -> tuple[Credentials, str | None]:
    """A client's credentials, and its admin's password hash while it is still needed."""
    row = (
        await (await control.execute(CLIENTS["find_secrets"], {"client_id": client.id})).fetchone()
        or {}
    )
    of_admin, of_database = names_of_seals(client.id, client.database_id)
    credentials = Credentials.from_text(
        sealer.open(bytes(row["credentials_sealed"]), belongs_to=of_database)
    )
    sealed_hash = row["password_hash_sealed"]
    if sealed_hash is None:
        return credentials, None
    return credentials, sealer.open(bytes(sealed_hash), belongs_to=of_admin)


async def gather_work(
    held: HeldRun,
    client: Client,
    *,
    sealer: Sealer,
    blueprint: Blueprint,
    provider: Provider,
    installation_id: UUID,
) -> Work:
    """Everything that the steps of a run need."""
    async with held.connection() as control:
        credentials, password_hash = await open_secrets(control, sealer, client)
    plan = blueprint.plan(client.wanted_plan)
    return Work(
        held=held,
        client=client,
        blueprint=blueprint,
        plan=plan,
        provider=provider,
        request=DatabaseRequest(
            installation_id=installation_id,
            database_id=client.database_id,
            name=client.database_name,
            template=template_of(blueprint),
            logins=logins_of(credentials, plan),
        ),
        owner=login_of(login_role(OWNER), password=credentials.passwords[OWNER]),
        password_hash=password_hash,
    )
