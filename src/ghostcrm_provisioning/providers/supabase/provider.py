"""Client databases as projects at Supabase: the provider ``supabase``.

A project is made, found, paused and deleted by :mod:`.projects`; in its database we are its owner, through
the session pooler (which is reached over IPv4 as well), and beside it run Auth, REST and Storage.

A project is closed by what its owner can change: REST shows no schema of ours, the owner's password is
another one, which only we know, and the application's own login is shut out, like those that the owner has
made (:mod:`.other_logins`). Auth and Storage go on answering; who must not be answered at all is suspended,
which pauses the project.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from urllib.parse import quote

from ghostcrm_provisioning.control_database.database import ControlDatabase
from ghostcrm_provisioning.errors import (
    DatabaseClosed,
    DatabaseRejected,
    GhostcrmError,
    NotOffered,
    PostconditionNotMet,
    ProjectGone,
    ProjectUnusable,
    ServerUnreachable,
    SupabaseAccessDenied,
    SupabaseRejected,
    ToldToWait,
    TransientFailure,
    WrongPassword,
)
from ghostcrm_provisioning.observation import Observation
from ghostcrm_provisioning.providers import owned_database as owned
from ghostcrm_provisioning.providers.owned_database import Place
from ghostcrm_provisioning.providers.provider import (
    Connection,
    DatabaseRequest,
    Knock,
    Login,
    ProjectServices,
)
from ghostcrm_provisioning.providers.supabase import other_logins
from ghostcrm_provisioning.providers.supabase.documents import HEALTHY, Pooler, Project
from ghostcrm_provisioning.providers.supabase.key_rotation import KeyRotation
from ghostcrm_provisioning.providers.supabase.management_api import REGION_GROUPS, ManagementApi
from ghostcrm_provisioning.providers.supabase.patience import (
    FAILED,
    GOING,
    PAUSED,
    PAUSING,
    unusable,
)
from ghostcrm_provisioning.providers.supabase.project_records import ProjectRecords
from ghostcrm_provisioning.providers.supabase.project_settings import CLOSED_SCHEMA
from ghostcrm_provisioning.providers.supabase.projects import (
    ProjectKeys,
    SupabaseProjects,
    WantedProject,
)
from ghostcrm_provisioning.providers.supabase.services import Services
from ghostcrm_provisioning.provisioning_log import get_logger
from ghostcrm_provisioning.settings import Settings

_EVERYTHING = "public,graphql_public"  # Supabase's default
# All states together, from one to the next.
_LONGEST_WAY_SECONDS = 6 * 3600.0
_TRANSACTION_PORT, _SESSION_PORT = 6543, 5432
_GROUPS = {
    "us": "americas", "ca": "americas", "sa": "americas", "eu": "emea", "me": "emea", "af": "emea", "ap": "apac",
}  # fmt: skip


class SupabaseProvider:
    """Projects in one organization.

    Args:
        projects: of that organization.
        api_url: where its Management API answers.
    """

    def __init__(
        self,
        api: ManagementApi,
        projects: SupabaseProjects,
        control: ControlDatabase,
        *,
        settings: Settings,
        api_url: str,
        organization_slug: str,
    ) -> None:
        self._slug = organization_slug
        self._recommended: str | None = None
        self._api = api
        self._projects = projects
        self._records = ProjectRecords(control)
        self._settings = settings
        self._api_url = api_url
        self._places: dict[str, Place] = {}

    @property
    def kind(self) -> str:
        return "supabase"

    @property
    def copies_templates(self) -> bool:
        return False

    @property
    def has_neighbours(self) -> bool:
        return False

    # --- making and finding -----------------------------------------------------------------------

    async def observe(self, request: DatabaseRequest) -> Observation:
        project = await self._projects.observe(request.database_id)
        if project is None:
            return Observation(False, "there is no project yet")
        if project.status != HEALTHY:
            return Observation(False, f"the project {project.ref} is {project.status}")
        if await self._is_closed(request):
            return Observation(False, f"the project {project.ref} is closed")
        return Observation(True, f"the project {project.ref} runs in {project.region}")

    async def create(self, request: DatabaseRequest) -> None:
        wanted = await self._wanted(request)
        with _in_its_own_time():
            project = await self._projects.ensure_project(wanted)
        refuse_elsewhere(project, wanted.region)
        async with self.administer(request) as connection:
            for login in request.logins:
                if login.key == owned.APPLICATION and login.password is not None:
                    await owned.ensure_application_login(connection, login)

    async def remove(self, request: DatabaseRequest) -> None:
        with _in_its_own_time():
            await self._projects.delete(request.database_id)

    async def observe_absent(self, request: DatabaseRequest) -> Observation:
        project = await self._projects.observe(request.database_id)
        if project is not None and project.status != "REMOVED":
            return Observation(False, f"the project {project.ref} is {project.status}")
        return Observation(True, "the project is not there")

    # --- getting in -------------------------------------------------------------------------------

    @asynccontextmanager
    async def administer(self, request: DatabaseRequest) -> AsyncIterator[Connection]:
        place = await self._place(request)
        passwords = await self._passwords(request)
        async with AsyncExitStack() as inside:
            try:
                connection = await self._first_let_in(inside, place, passwords)
            except (DatabaseRejected, ServerUnreachable) as problem:
                raise await self._why_not(request, problem) from None
            yield connection

    async def _first_let_in(
        self, inside: AsyncExitStack, place: Place, passwords: list[str]
    ) -> Connection:
        """As owner, with the first of these passwords that is taken. What is refused later, in there, is
        somebody else's to handle, whatever it says of passwords."""
        for password in passwords:
            try:
                return await inside.enter_async_context(
                    owned.connect_as_owner(place, password, where=_where(place))
                )
            except DatabaseRejected as refused:
                if "password" not in refused.message.lower():
                    raise
                # Between the wish that another one open it and its being so, either may be the one.
                if password == passwords[-1]:
                    raise DatabaseRejected(
                        refused.message,
                        next_step="Somebody has changed the project's database password, in Supabase's "
                        "dashboard perhaps: the one that we know does not open it any more. Set it back there, "
                        "or give the client new passwords.",
                    ) from None
        raise PostconditionNotMet("There is no password of the project's owner.")

    async def _why_not(self, request: DatabaseRequest, problem: GhostcrmError) -> GhostcrmError:
        """Why its database lets nobody in, where the project tells: somebody has paused or deleted it."""
        try:
            project = await self._projects.observe(request.database_id)
        except (TransientFailure, ToldToWait, SupabaseAccessDenied):
            return problem
        if project is None or project.status in GOING:
            return ProjectGone(
                f"The project of the database {request.database_id} is not at Supabase any more."
            )
        if project.status in {PAUSED, PAUSING, *FAILED}:
            return unusable(project.ref, project.status)
        return problem

    def installing(
        self, request: DatabaseRequest, connection: Connection
    ) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    @asynccontextmanager
    async def ask_server(self, _request: DatabaseRequest) -> AsyncIterator[None]:
        yield None

    async def administer_url(self, request: DatabaseRequest) -> str:
        place = await self._place(request)
        opening = await self._opening(request, await self._passwords(request))
        url = place.url(place.owner, opening)
        if place.certificates is None:
            return url
        return f"{url}{'&' if '?' in url else '?'}sslrootcert={quote(place.certificates, safe='')}"

    async def _passwords(self, request: DatabaseRequest) -> list[str]:
        """Those that may be its owner's now, the most likely first."""
        known = [request.owner_password, request.next_owner_password, request.closed_password]
        if await self._is_closed(request):
            known.reverse()  # it is closed, or about to be
        return [each for each in known if each]

    async def _opening(self, request: DatabaseRequest, passwords: list[str]) -> str:
        """Which of them opens it. None is tried while it is plain that the first one does."""
        if request.next_owner_password is not None:
            for password in passwords:
                if await self._lets_in(request, password):
                    return password
        return passwords[0] if passwords else ""

    async def is_supabase(self, request: DatabaseRequest) -> bool:
        return True

    async def ours_among_others(
        self, request: DatabaseRequest, connection: Connection
    ) -> frozenset[str] | None:
        return None

    async def who_else_may_enter(
        self, request: DatabaseRequest, connection: Connection
    ) -> tuple[str, ...]:
        return ()

    async def offers_login(self, request: DatabaseRequest, key: str) -> bool:
        if key == owned.APPLICATION:
            async with self.administer(request) as connection:
                return await owned.find_connection_limit(connection) is not None
        return key == owned.OWNER

    @asynccontextmanager
    async def log_in(self, request: DatabaseRequest, login: Login) -> AsyncIterator[Connection]:
        place = await self._place(request)
        where = _where(place)
        if login.key == owned.OWNER:
            password = await self._opening(request, _given_out(request))
            async with owned.connect_as_owner(place, password, where=where) as connection:
                yield connection
        elif await self.offers_login(request, login.key):
            async with owned.log_in(
                place, owned.APPLICATION_LOGIN, login.password or "", where=where
            ) as connection:
                yield connection
        else:
            raise owned.not_offered(login.key)

    async def login_url(self, request: DatabaseRequest, login: Login) -> str:
        place = await self._place(request)
        return await owned.url_of(
            place,
            login,
            owner_password=await self._opening(request, _given_out(request)),
            has_application_login=login.key == owned.APPLICATION
            and await self.offers_login(request, login.key),
            where=_where(place),
        )

    async def enable_login(self, request: DatabaseRequest, login: Login) -> None:
        if login.key not in {owned.OWNER, owned.APPLICATION, "service"}:
            raise owned.not_offered(login.key)
        await self._refuse_closed(request)
        if login.key == owned.APPLICATION:
            async with self.administer(request) as connection:
                if not await owned.ensure_application_login(connection, login):
                    raise owned.not_offered(login.key)

    async def enabled_logins(self, request: DatabaseRequest) -> frozenset[str]:
        try:
            async with self.administer(request) as connection:
                if await owned.application_may_log_in(connection):
                    return frozenset({owned.OWNER, owned.APPLICATION})
        except DatabaseRejected as refused:
            # The owner's is set from outside: also when nobody knows any more which one it has.
            if "password" not in refused.message.lower():
                raise
        return frozenset({owned.OWNER})

    async def set_password(self, request: DatabaseRequest, login: Login) -> None:
        if login.password is None:
            raise ValueError("a password is set to one")
        await self._refuse_closed(request)
        if login.key == owned.OWNER:
            project = await self._running(request)
            rotation = KeyRotation(self._api, _tries_nothing)
            await rotation.set_database_password(
                project.ref, login.password, opens=lambda _: self._refuse_shut(request, login)
            )
        elif login.key in await self.enabled_logins(request):
            async with self.administer(request) as connection:
                await owned.set_application_password(connection, login.password)
        else:
            raise owned.not_offered(login.key)

    async def opens(self, request: DatabaseRequest, login: Login) -> bool:
        place = await self._place(request)
        names = {owned.OWNER: place.owner, owned.APPLICATION: owned.APPLICATION_LOGIN}
        if login.key not in names:
            raise owned.not_offered(login.key)
        return await owned.lets_in(
            place, names[login.key], login.password or "", where=_where(place)
        )

    async def _refuse_shut(self, request: DatabaseRequest, login: Login) -> None:
        if not await self.opens(request, login):
            raise WrongPassword(f"The login {login.key} is not let in.")

    async def end_sessions(self, request: DatabaseRequest, keys: Sequence[str]) -> None:
        async with self.administer(request) as connection:
            await owned.end_sessions(await self._place(request), connection, keys)

    async def connection_limit(self, request: DatabaseRequest, key: str) -> int | None:
        if key != owned.APPLICATION:
            return None
        async with self.administer(request) as connection:
            return await owned.find_connection_limit(connection)

    async def limit_connections(self, request: DatabaseRequest, login: Login) -> None:
        if login.key != owned.APPLICATION:
            raise owned.not_offered(login.key)
        async with self.administer(request) as connection:
            if await owned.find_connection_limit(connection) is None:
                raise owned.not_offered(login.key)
            await owned.limit_application(connection, login.connection_limit)

    def services(self, request: DatabaseRequest) -> ProjectServices:
        return Services(
            self._api, self._projects, request, settings=self._settings, api_url=self._api_url
        )

    # --- closing ----------------------------------------------------------------------------------

    async def close(self, request: DatabaseRequest) -> None:
        project = await self._running(request)
        if request.closed_password is None:
            raise PostconditionNotMet("There is no password to close the project with.")
        shown = (await self._api.postgrest(project.ref)).schemas or _EVERYTHING
        await self._records.keep_schemas(
            request.database_id, _EVERYTHING if shown == CLOSED_SCHEMA else shown
        )
        if shown != CLOSED_SCHEMA:
            await self._api.set_postgrest(project.ref, db_schema=CLOSED_SCHEMA)
        await self._api.set_database_password(project.ref, request.closed_password)
        async with self.administer(request) as connection:
            await owned.shut_application_out(connection)
            others = await other_logins.find_others(connection)
            await self._records.keep_logins(
                request.database_id, [each.name for each in others if each.may_log_in]
            )
            await other_logins.shut_out(connection, others)
            await owned.end_sessions(await self._place(request), connection)

    async def observe_closed(self, request: DatabaseRequest) -> Observation:
        project = await self._running(request)
        shown = (await self._api.postgrest(project.ref)).schemas
        if shown != CLOSED_SCHEMA:
            return Observation(False, f"its REST API shows {shown or 'what it shows by default'}")
        for password in (request.owner_password, request.next_owner_password):
            if password is not None and await self._lets_in(request, password):
                return Observation(
                    False, "the owner's password is still the one that was given out"
                )
        async with self.administer(request) as connection:
            if await owned.application_may_log_in(connection):
                return Observation(False, "the application may still log in")
            others = await other_logins.find_others(connection)
            if still_open := await other_logins.still_open(connection, others):
                return Observation(False, f"the login {still_open[0]} may still enter it")
            inside = await owned.others_inside(
                await self._place(request), connection, also=[each.name for each in others]
            )
            if inside:
                return Observation(False, f"{', '.join(inside)} is still connected to it")
        return Observation(True, "REST shows nothing, nobody may enter it, and nobody is in it")

    async def admit(self, request: DatabaseRequest, login: Login) -> None:
        """What is tried in a closed project, its owner tries."""
        raise owned.not_offered(login.key)

    async def reopen(self, request: DatabaseRequest) -> None:
        project = await self._running(request)
        if request.owner_password is None:
            raise PostconditionNotMet("There is no password to open the project with.")
        # The application's login gets its password before anybody may enter.
        async with self.administer(request) as connection:
            for login in request.logins:
                if login.key == owned.APPLICATION and login.password is not None:
                    await owned.ensure_application_login(connection, login)
            await other_logins.let_in(
                connection, await self._records.logins_before_closing(request.database_id)
            )
        await self._api.set_database_password(project.ref, request.owner_password)
        shown = await self._records.schemas_before_closing(request.database_id)
        await self._api.set_postgrest(project.ref, db_schema=shown or _EVERYTHING)
        if (await self._api.postgrest(project.ref)).schemas == CLOSED_SCHEMA:
            raise PostconditionNotMet(f"The project {project.ref} shows nothing yet.")
        await self._records.forget_logins(request.database_id)
        await self._records.forget_schemas(request.database_id)
        await self._records.forget_refused_pause(request.database_id)

    async def suspend(self, request: DatabaseRequest) -> None:
        """Paused; where Supabase pauses no project (of a paid plan), closed, and it goes on to cost."""
        with _in_its_own_time():
            try:
                await self._projects.pause(request.database_id)
            except SupabaseRejected as refused:
                get_logger("supabase").warning(
                    "project_closed_instead_of_paused",
                    databaseId=str(request.database_id),
                    error=refused.as_record(),
                )
                await self._records.pause_is_refused(request.database_id)
                await self.close(request)

    async def observe_suspended(self, request: DatabaseRequest) -> Observation:
        project = await self._projects.observe(request.database_id)
        if project is None:
            return Observation(False, "there is no project")
        refused = await self._records.was_pause_refused(request.database_id)
        if refused and project.status == HEALTHY and await self._is_closed(request):
            seen = await self.observe_closed(request)
            return Observation(seen.holds, f"not paused; {seen.seen}")
        return Observation(
            project.status == PAUSED, f"the project {project.ref} is {project.status}"
        )

    async def resume(self, request: DatabaseRequest) -> None:
        with _in_its_own_time():
            await self._projects.restore(request.database_id)
        # What was closed for another reason stays closed.
        if await self._records.was_pause_refused(request.database_id):
            await self.reopen(request)

    async def observe_running(self, request: DatabaseRequest) -> Observation:
        project = await self._projects.observe(request.database_id)
        if project is None:
            return Observation(False, "there is no project")
        if project.status != HEALTHY:
            return Observation(False, f"the project {project.ref} is {project.status}")
        if waiting := await self._projects.services_coming_up(project):
            return Observation(
                False, f"of the project {project.ref}, {', '.join(waiting)} is coming up"
            )
        return Observation(True, f"the project {project.ref} is {project.status}")

    # --- doors ------------------------------------------------------------------------------------

    async def knock(self, name: str, login: Login, *, at: str) -> Knock:
        raise NotOffered(
            f"{at} is a project of its own: there is no door between it and {name}.",
            next_step="Nothing; each project has a server of its own.",
        )

    def shared_databases(self) -> tuple[str, ...]:
        return ()

    # --- where it is ------------------------------------------------------------------------------

    async def _wanted(self, request: DatabaseRequest) -> WantedProject:
        return WantedProject(
            database_id=request.database_id,
            region=await self._region(request),
            database_password=request.owner_password or "",
            instance_size=self._settings.supabase_instance_size(request.plan),
        )

    async def _region(self, request: DatabaseRequest) -> str | None:
        """As the client or its plan wants it; else the one that Supabase recommends from here."""
        region = request.region or self._settings.supabase_region_for(request.plan)
        if region is None and self._recommended is None:
            self._recommended = await self._api.recommended_region(self._slug)
        return region or self._recommended

    async def _is_closed(self, request: DatabaseRequest) -> bool:
        """Whether it is, or is to be."""
        return await self._records.schemas_before_closing(request.database_id) is not None

    async def _running(self, request: DatabaseRequest) -> Project:
        project = await self._projects.observe(request.database_id)
        if project is None:
            raise ProjectGone(f"The database {request.database_id} has no project at Supabase.")
        return project

    async def _place(self, request: DatabaseRequest) -> Place:
        """Where its database is: as Supabase says, not as we would put it together."""
        record = await self._records.find(request.database_id)
        if record is None or record.ref is None:
            raise ProjectGone(f"The database {request.database_id} has no project at Supabase.")
        if record.ref not in self._places:
            poolers = await self._api.poolers(record.ref)
            primary = next(
                (each for each in poolers if each.kind in {None, "PRIMARY"}),
                next(iter(poolers), None),
            )
            if primary is None:
                raise PostconditionNotMet(f"The project {record.ref} has no pooler.")
            certificates = self._settings.supabase_ca_file
            self._places[record.ref] = place_of(
                primary,
                record.ref,
                certificates=None if certificates is None else str(certificates),
            )
        return self._places[record.ref]

    async def _refuse_closed(self, request: DatabaseRequest) -> None:
        if await self._is_closed(request):
            raise DatabaseClosed(
                f"The project of {request.name} is closed: no login is let in.",
                database=request.name,
            )

    async def _lets_in(self, request: DatabaseRequest, password: str) -> bool:
        place = await self._place(request)
        try:
            async with owned.connect_as_owner(place, password, where="the project's database"):
                return True
        except DatabaseRejected:
            return False


@contextmanager
def _in_its_own_time() -> Iterator[None]:
    """How long a project may take is known for each of its states (:mod:`.patience`): what has come to its end
    is not told to wait any more. So whoever waits for one need not be impatient."""
    try:
        yield
    except ToldToWait as told:
        told.patience_seconds = _LONGEST_WAY_SECONDS
        raise


def refuse_elsewhere(project: Project, wanted: str | None) -> None:
    """Where a client's data lie, was promised to somebody; and a project does not move. What was asked for may have
    changed since it was made.

    Raises:
        ProjectUnusable: it lies somewhere else than is wanted.
    """
    if wanted is None or project.region is None or wanted == project.region:
        return
    if wanted in REGION_GROUPS and _group_of(project.region) in {None, wanted}:
        return
    raise ProjectUnusable(
        f"The project {project.ref} lies in {project.region}, and is wanted in {wanted}.",
        next_step="A project does not move: delete the client (`ghostcrm clients delete ID`) and register it again; "
        "or, where GHOSTCRM_SUPABASE_REGION was changed meanwhile, set it back and `ghostcrm clients retry ID`.",
        ref=project.ref,
        status=project.status,
    )


def _group_of(region: str) -> str | None:
    """Of which group of regions it is, by the part of the world that begins its code; None: not known."""
    return _GROUPS.get(region.partition("-")[0])


def _given_out(request: DatabaseRequest) -> list[str]:
    """The owner's passwords that others know, or will."""
    return [each for each in (request.owner_password, request.next_owner_password) if each]


async def _tries_nothing(_: ProjectKeys) -> None:
    """Where only a password is exchanged, there are no keys to try."""


def _where(place: Place) -> str:
    return f"the database of the project {place.tenant.lstrip('.') or place.database}"


def place_of(pooler: Pooler, ref: str, *, certificates: str | None = None) -> Place:
    """Where sessions are pooled. Supavisor pools transactions on port 6543 and sessions on 5432 of the
    same host (Supabase's documentation, *Connect to your database*); what is told is often the former."""
    tenant = f".{ref}" if pooler.user.endswith(f".{ref}") else ""
    return Place(
        host=pooler.host,
        port=_SESSION_PORT if pooler.port == _TRANSACTION_PORT else pooler.port,
        database=pooler.database,
        owner=pooler.user.removesuffix(tenant) if tenant else pooler.user,
        tenant=tenant,
        certificates=certificates,
    )
