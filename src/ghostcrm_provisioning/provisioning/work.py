"""What the steps of one run work with."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from uuid import UUID

from ghostcrm_provisioning.client_database.blueprint import Blueprint, Plan
from ghostcrm_provisioning.client_database.ground import PLAIN, Ground
from ghostcrm_provisioning.client_database.install import (
    install_blueprint,
    install_platform,
    platform_fingerprint,
)
from ghostcrm_provisioning.client_database.isolation.proof import prove_template
from ghostcrm_provisioning.client_database.isolation.verdict import Finding
from ghostcrm_provisioning.client_database.roles import (
    APPLICATION,
    CARETAKER,
    LOGIN_ROLES,
    OWNER,
    LoginRole,
    login_role,
)
from ghostcrm_provisioning.clients.client import CLIENTS, Client, names_of_seals
from ghostcrm_provisioning.clients.credentials import CLOSED, Credentials
from ghostcrm_provisioning.clients.run import HeldRun
from ghostcrm_provisioning.clients.verdict import StoredVerdict
from ghostcrm_provisioning.errors import ClientDeleted
from ghostcrm_provisioning.providers.provider import (
    Connection,
    DatabaseRequest,
    Given,
    Login,
    ProjectServices,
    Provider,
    ServiceKeys,
    ServiceKnocks,
    Template,
)
from ghostcrm_provisioning.sealing import Sealer


@dataclass(frozen=True)
class Surroundings:
    """What steps need of what is around them.

    Attributes:
        prove: the full attack on a client that is closed, which leaves a verdict; by whom it was asked for.
        exports: the folder of exports.
        binaries: the operator's folder with PostgreSQL's programs, if there is one.
    """

    prove: Callable[[UUID, str], Awaitable[StoredVerdict]]
    exports: Path
    binaries: Path | None


@dataclass
class Work:
    """One client's run in the hands of one worker."""

    held: HeldRun
    client: Client
    known_blueprint: Blueprint | None
    known_plan: Plan | None
    provider: Provider
    request: DatabaseRequest
    owner: Login
    password_hash: str | None = field(repr=False)
    sealer: Sealer = field(repr=False)
    around: Surroundings
    _ground: Ground | None = None
    _resources: AsyncExitStack = field(default_factory=AsyncExitStack, repr=False)
    _connecting: dict[str, asyncio.Task[Connection]] = field(default_factory=dict, repr=False)

    @property
    def blueprint(self) -> Blueprint:
        """Of the client; a run that does without it has not read it."""
        if self.known_blueprint is None:
            raise LookupError("this run does not read the client's blueprint")
        return self.known_blueprint

    @property
    def plan(self) -> Plan:
        """The one that is wished for; likewise."""
        if self.known_plan is None:
            raise LookupError("this run does not read the client's blueprint")
        return self.known_plan

    @property
    def services(self) -> ProjectServices | None:
        """What runs beside the client database."""
        return self.provider.services(self.request)

    async def connect_soon(self) -> None:
        """Begin to connect to the client database, as administrator and as its application, so that
        the steps to come need not wait for it."""
        self._connect("administrator")
        if await self.provider.offers_login(self.request, APPLICATION):
            self._connect(APPLICATION)

    async def client_database(self) -> Connection:
        """A connection to the client database as its administrator, kept for the whole run."""
        return await self._connect("administrator")

    async def ground(self) -> Ground:
        """What the client database stands on."""
        if self._ground is None:
            self._ground = await ground_of(
                self.provider, self.request, await self.client_database()
            )
        return self._ground

    def look_at_ground_again(self) -> None:
        """Something was installed."""
        self._ground = None

    async def as_application(self) -> Connection | None:
        """A connection to the client database with its application's own login, kept as well; None where
        there is no such login."""
        if not await self.provider.offers_login(self.request, APPLICATION):
            return None
        return await self._connect(APPLICATION)

    async def as_owner(self) -> Connection:
        """A connection to the client database with the login of its schema's owner, kept as well.

        For a database that was handed over: its owner may have put triggers and functions into it,
        and what these do, they must not do with our administrator's rights (not even ``set role``
        keeps them from that). Enables the login."""
        if OWNER not in self._connecting:
            async with self.held.connection() as control, control.transaction():
                self.owner = await enable_login_as_sealed(
                    control, self.sealer, self.client, self.provider, self.request, OWNER
                )
        return await self._connect(OWNER)

    async def keep_service_keys(self, keys: ServiceKeys) -> None:
        """Seal what opens the services beside the database, before anything rests on it."""
        async with self.held.holding() as control:
            await seal_service_keys(control, self.sealer, self.client, keys)
        self.request = replace(self.request, keys=keys)

    async def close(self) -> None:
        await asyncio.gather(*self._connecting.values(), return_exceptions=True)
        await self._resources.aclose()

    def _connect(self, login_key: str) -> asyncio.Task[Connection]:
        if login_key not in self._connecting:
            logins = {each.key: each for each in (*self.request.logins, self.owner)}
            login = logins.get(login_key)
            connection = (
                self.provider.administer(self.request)
                if login is None
                else self.provider.log_in(self.request, login)
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


async def ground_of(provider: Provider, request: DatabaseRequest, connection: Connection) -> Ground:
    """What the database stands on; ``connection`` is its administrator's."""
    ours = await provider.ours_among_others(request, connection)
    if not await provider.is_supabase(request):
        return PLAIN if ours is None else replace(PLAIN, ours=ours)
    row = await (await connection.execute("select session_user::text as owner")).fetchone()
    return Ground(owner=str(row["owner"]) if row else "postgres", is_supabase=True, ours=ours)


def findings_of(knocks: ServiceKnocks) -> list[Finding]:
    """What strangers were shown by the services beside a database, as findings of a proof."""
    return [
        Finding(each.code, each.sentence, subject=each.subject, caller=each.caller)
        for each in knocks.exposures
    ]


async def ensure_caretaker(
    provider: Provider, request: DatabaseRequest, credentials: Credentials
) -> Login | None:
    """Our own login in a client's database, which can log in: see
    :data:`~ghostcrm_provisioning.client_database.roles.CARETAKER`. None where there is none: there the
    administrator has no more rights than the database's owner."""
    if not await provider.offers_login(request, CARETAKER):
        return None
    if CARETAKER in credentials.passwords:
        login = login_of(login_role(CARETAKER), password=credentials.password_to_set(CARETAKER))
        if login.password != credentials.passwords[CARETAKER]:
            await provider.enable_login(request, login)
        return login
    # Of a client from before there were caretakers: anew at each use.
    login = login_of(login_role(CARETAKER), password=secrets.token_urlsafe(24))
    await provider.enable_login(request, login)
    return login


async def enable_login_as_sealed(
    control: Connection,
    sealer: Sealer,
    client: Client,
    provider: Provider,
    request: DatabaseRequest,
    key: str,
) -> Login:
    """Let a login log in, with the password that is sealed for it now.

    Args:
        control: in a transaction. Until it ends, the password is not replaced by another one; so nobody sets one
            that was replaced meanwhile.
    """
    await control.execute(CLIENTS["hold_credentials"], {"database_id": client.database_id})
    credentials, _ = await open_secrets(control, sealer, client)
    login = login_of(login_role(key), password=credentials.password_to_set(key))
    await provider.enable_login(request, login)
    return login


async def find_what_opens(
    provider: Provider, request: DatabaseRequest, credentials: Credentials, key: str
) -> str:
    """The password with which a login is let in now: while it is being exchanged, either may be the one."""
    new = credentials.password_to_set(key)
    if new != credentials.passwords[key]:
        login = login_of(login_role(key), password=new)
        if key in await provider.enabled_logins(request) and await provider.opens(request, login):
            return new
    return credentials.passwords[key]


@asynccontextmanager
async def as_caretaker(
    provider: Provider, request: DatabaseRequest, credentials: Credentials
) -> AsyncIterator[Connection]:
    """A connection to a database that was handed over, for our own work in it."""
    login = await ensure_caretaker(provider, request, credentials)
    async with (
        provider.administer(request) if login is None else provider.log_in(request, login)
    ) as connection:
        yield connection


def request_of(
    client: Client,
    credentials: Credentials,
    *,
    installation_id: UUID,
    blueprint: Blueprint | None = None,
    plan: Plan | None = None,
) -> DatabaseRequest:
    """The client's database as it is wanted.

    Args:
        blueprint, plan: what is needed to make it; without them it can be found, entered and closed.
    """
    given, keys = credentials.given, credentials.services
    return DatabaseRequest(
        installation_id=installation_id,
        database_id=client.database_id,
        name=client.database_name,
        template=Template("", _builds_nothing) if blueprint is None else template_of(blueprint),
        logins=() if plan is None else logins_of(credentials, plan),
        plan=client.wanted_plan,
        region=client.region,
        owner_password=credentials.passwords.get(OWNER),
        next_owner_password=(
            None if credentials.pending is None else credentials.pending.passwords.get(OWNER)
        ),
        closed_password=credentials.passwords.get(CLOSED),
        given=None if given is None else Given(**given),
        keys=None if keys is None else ServiceKeys(**keys),
    )


async def _builds_nothing(_: Connection) -> None:
    raise NotImplementedError("what is only looked for is not built")


async def find_request(
    control: Connection, sealer: Sealer, client: Client, *, installation_id: UUID
) -> tuple[DatabaseRequest, Credentials]:
    """How a client's database is found, entered and closed, and its credentials."""
    credentials, _ = await open_secrets(control, sealer, client)
    return request_of(client, credentials, installation_id=installation_id), credentials


async def seal_service_keys(
    control: Connection, sealer: Sealer, client: Client, keys: ServiceKeys
) -> None:
    """Put the keys of the services beside a client's database among its credentials."""
    await change_credentials(
        control, sealer, client, lambda known: replace(known, services=asdict(keys))
    )


async def change_credentials(
    control: Connection,
    sealer: Sealer,
    client: Client,
    change: Callable[[Credentials], Credentials],
) -> Credentials:
    """Seal a client's credentials as ``change`` has them; returns them. Whoever else changes them, or sets them
    in the database, comes before or after.

    Args:
        control: in a transaction.
    """
    await control.execute(CLIENTS["lock_credentials"], {"database_id": client.database_id})
    credentials, _ = await open_secrets(control, sealer, client)
    changed = change(credentials)
    if changed != credentials:
        _, of_database = names_of_seals(client.id, client.database_id)
        sealed = sealer.seal(changed.as_text(), belongs_to=of_database)
        await control.execute(
            CLIENTS["replace_credentials"],
            {"database_id": client.database_id, "credentials_sealed": sealed},
        )
    return changed


async def open_secrets(
    control: Connection, sealer: Sealer, client: Client
) -> tuple[Credentials, str | None]:
    """A client's credentials, and its admin's password hash while it is still needed."""
    row = (
        await (await control.execute(CLIENTS["find_secrets"], {"client_id": client.id})).fetchone()
        or {}
    )
    if row["credentials_sealed"] is None:
        raise ClientDeleted(f"{client.name} is deleted; what opened its database was erased.")
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
    blueprint: Blueprint | None,
    provider: Provider,
    installation_id: UUID,
    around: Surroundings,
) -> Work:
    """Everything that the steps of a run need.

    Args:
        blueprint: None for a workflow that does without it.
    """
    async with held.connection() as control:
        credentials, password_hash = await open_secrets(control, sealer, client)
    plan = None if blueprint is None else blueprint.plan(client.wanted_plan)
    return Work(
        held=held,
        client=client,
        known_blueprint=blueprint,
        known_plan=plan,
        provider=provider,
        request=request_of(
            client,
            credentials,
            installation_id=installation_id,
            blueprint=blueprint,
            plan=plan,
        ),
        owner=login_of(login_role(OWNER), password=credentials.passwords[OWNER]),
        password_hash=password_hash,
        sealer=sealer,
        around=around,
    )
