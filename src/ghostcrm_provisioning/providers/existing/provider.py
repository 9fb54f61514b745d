"""Client databases that were there already: the provider ``existing``.

What we do in such a database, and what we leave to whoever gave it:

* Nothing is made but a claim, logins, and what is installed afterwards; nothing of theirs is changed
  (:mod:`.theirs`), and it is never dropped. The claim is an empty schema whose comment is our stamp: there
  can only be one, so a database becomes one client's.
* On plain PostgreSQL, where the login that was given may make logins, the client gets its own, as on a server
  of ours; elsewhere the given login is the *owner*, and the one there is. At Supabase, the application gets a
  login of its own where the owner may make it.
* Who may enter: on plain PostgreSQL nobody but our logins, the given one, superusers, and whom its owner has
  named; none of those may be somebody in client databases. A database that is the client's alone is closed to
  everybody else by us; of one that it shares, its owner has to have done that.
* Closing shuts out the logins that we made. The login that was given is its giver's: we never change its
  password. Where it is the only one, closing is not offered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from uuid import UUID

import psycopg
from psycopg import sql

from ghostcrm_provisioning.errors import (
    DatabaseClosed,
    DatabaseNotUsable,
    DatabaseRejected,
    GhostcrmError,
    NotOffered,
    PostconditionNotMet,
    StampMismatch,
)
from ghostcrm_provisioning.given_database import GivenDatabase, read_given_database
from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.observation import Observation
from ghostcrm_provisioning.postgres_errors import translating
from ghostcrm_provisioning.providers import owned_database as owned
from ghostcrm_provisioning.providers import postgres_doors
from ghostcrm_provisioning.providers.existing.examination import (
    Examination,
    connect,
    examine_inside,
)
from ghostcrm_provisioning.providers.existing.theirs import (
    leaving_theirs_alone,
    read_ours,
    remembering_ours,
)
from ghostcrm_provisioning.providers.postgres_logins import (
    creators,
    ensure_logins,
    give_password,
    is_as_wanted,
    let_log_in,
    login_name,
    make_scram_verifier,
)
from ghostcrm_provisioning.providers.postgres_server import POSTGRES, repeated_when_undone
from ghostcrm_provisioning.providers.provider import (
    Connection,
    DatabaseRequest,
    Knock,
    Login,
    ProjectServices,
)
from ghostcrm_provisioning.providers.stamp import stamp_of

EXISTING = NamedSql(__package__, "provider.sql")

_OWNER = "owner"
_CLAIM = sql.Identifier("ghostcrm_claim")

# Sees to it that a PostgreSQL server has the roles that client databases share, as the login of that
# connection. Raises ServerNotPrepared.
Prepare = Callable[[Connection], Awaitable[None]]


class ExistingProvider:
    """Databases that callers have named.

    Args:
        prepare: what client databases need of a server is not known here.
        open_services: what runs beside a project's database, reached with the key that was given.
    """

    def __init__(
        self,
        *,
        prepare: Prepare,
        open_services: Callable[[GivenDatabase, UUID], ProjectServices] | None = None,
    ) -> None:
        self._prepare = prepare
        self._open_services = open_services
        self._seen: dict[UUID, Examination] = {}

    @property
    def kind(self) -> str:
        return "existing"

    @property
    def copies_templates(self) -> bool:
        return False

    @property
    def has_neighbours(self) -> bool:
        return False

    # --- making and finding -----------------------------------------------------------------------

    async def observe(self, request: DatabaseRequest) -> Observation:
        given = _given(request)
        async with _enter(given) as connection:
            with translating(given.where):
                return await self._observe(connection, given, request)

    @repeated_when_undone
    async def create(self, request: DatabaseRequest) -> None:
        given = _given(request)
        async with _enter(given) as connection:
            with translating(given.where):
                await self._create(connection, given, request)

    @repeated_when_undone
    async def remove(self, request: DatabaseRequest) -> None:
        given = _given(request)
        async with _enter(given) as connection:
            with translating(given.where):
                seen = await self._examine(connection, given, request)
                if not seen.is_of(_stamp(request), request.database_id):
                    return
                await self._shut_out(connection, given, request)
                async with self._working_on(connection, request):
                    for login in await _our_logins(connection, request):
                        await connection.execute(
                            sql.SQL("drop role if exists {}").format(sql.Identifier(login))
                        )
                    if seen.has_claim:
                        await connection.execute(sql.SQL("drop schema {}").format(_CLAIM))

    async def observe_absent(self, request: DatabaseRequest) -> Observation:
        given = _given(request)
        async with _enter(given) as connection:
            with translating(given.where):
                seen = await self._examine(connection, given, request)
                logins = await _our_logins(connection, request)
        if logins:
            return Observation(False, f"the login {next(iter(logins))} is there")
        if seen.has_claim and seen.is_of(_stamp(request), request.database_id):
            return Observation(False, "our claim to the database is there")
        return Observation(
            True, "no login of ours is there; the database, and what is in it, is left to its owner"
        )

    def installing(
        self, request: DatabaseRequest, connection: Connection
    ) -> AbstractAsyncContextManager[None]:
        """What is installed in the database is installed inside of this: in one transaction, which is undone
        when something would be touched that is not ours.

        Raises:
            DatabaseNotUsable: naming it; or the name that we need and is taken.
            StampMismatch: it became another client's.
        """
        return self._installing(request, connection)

    @asynccontextmanager
    async def _installing(
        self, request: DatabaseRequest, connection: Connection
    ) -> AsyncIterator[None]:
        given = _given(request)
        with translating(given.where):
            async with self._working_on(connection, request):
                seen = await self._examine(connection, given, request)
                if not seen.is_of(_stamp(request), request.database_id):
                    raise PostconditionNotMet(f"There is no claim of ours to {given.where}.")
                async with AsyncExitStack() as watching:
                    if given.allow_other_tables:
                        await watching.enter_async_context(remembering_ours(connection))
                    if not seen.has_stamp:
                        # Later it cannot be told any more, of what is there, what is not ours.
                        await watching.enter_async_context(
                            leaving_theirs_alone(
                                connection, is_shared=given.allow_other_tables, where=given.where
                            )
                        )
                    yield

    # --- getting in -------------------------------------------------------------------------------

    def administer(self, request: DatabaseRequest) -> AbstractAsyncContextManager[Connection]:
        return _enter(_given(request))

    @asynccontextmanager
    async def ask_server(self, _request: DatabaseRequest) -> AsyncIterator[None]:
        yield None

    async def administer_url(self, request: DatabaseRequest) -> str:
        return _given(request).database_url

    async def is_supabase(self, request: DatabaseRequest) -> bool:
        return (await self._known(request)).is_supabase

    async def ours_among_others(
        self, request: DatabaseRequest, connection: Connection
    ) -> frozenset[str] | None:
        if not _given(request).allow_other_tables:
            return None
        return await read_ours(connection)

    async def who_else_may_enter(
        self, request: DatabaseRequest, connection: Connection
    ) -> tuple[str, ...]:
        seen = await self._examine(connection, _given(request), request)
        if seen.is_supabase or seen.exposing_logins():
            return ()  # those at least are not among them
        rows = await (
            await connection.execute(EXISTING["let_in_by_name"], {"prefix": f"{request.name}_"})
        ).fetchall()
        return tuple(row["name"] for row in rows)

    async def offers_login(self, request: DatabaseRequest, key: str) -> bool:
        seen = await self._known(request)
        if seen.is_supabase:
            if key != owned.APPLICATION:
                return key == _OWNER
            async with _enter(seen.given) as connection:
                return await owned.find_connection_limit(connection) is not None
        return seen.makes_logins or key == _OWNER

    @asynccontextmanager
    async def log_in(self, request: DatabaseRequest, login: Login) -> AsyncIterator[Connection]:
        given = await self._given_for(request, login)
        async with connect(given) as connection:
            # As the login itself begins its sessions, not as our administrator does.
            await connection.execute("reset all")
            yield connection

    async def login_url(self, request: DatabaseRequest, login: Login) -> str:
        return (await self._given_for(request, login)).database_url

    @repeated_when_undone
    async def enable_login(self, request: DatabaseRequest, login: Login) -> None:
        if not await self.offers_login(request, login.key) and not (
            login.key == owned.APPLICATION and await self.is_supabase(request)
        ):
            raise _not_offered(login.key)
        seen = await self._known(request)
        if login.password is None:
            raise ValueError("a login is enabled with its password")
        async with self.administer(request) as connection:
            with translating(seen.given.where):
                if not seen.is_supabase and seen.makes_logins:
                    await self._let_in(connection, seen.given, request, (login,))
                elif login.key == owned.APPLICATION and not await owned.ensure_application_login(
                    connection, login
                ):
                    raise _not_offered(login.key)

    async def enabled_logins(self, request: DatabaseRequest) -> frozenset[str]:
        seen = await self._known(request)
        prefix = login_name(request.name, "")
        async with self.administer(request) as connection:
            with translating(seen.given.where):
                if seen.is_supabase:
                    may = await owned.application_may_log_in(connection)
                    return frozenset({owned.APPLICATION} if may else ())
                rows = await (
                    await connection.execute(EXISTING["our_logins"], {"prefix": prefix})
                ).fetchall()
        return frozenset(row["login"].removeprefix(prefix) for row in rows if row["may_log_in"])

    @repeated_when_undone
    async def set_password(self, request: DatabaseRequest, login: Login) -> None:
        if login.password is None:
            raise ValueError("a password is set to one")
        if login.key not in await self.enabled_logins(request):
            raise _not_ours_to_change(login.key)
        seen = await self._known(request)
        verifier = await asyncio.to_thread(make_scram_verifier, login.password)
        async with self.administer(request) as connection:
            with translating(seen.given.where):
                await self._refuse_what_is_not_ours(connection, seen.given, request)
                if seen.is_supabase:
                    await owned.set_application_password(connection, login.password)
                    return
                async with self._working_on(connection, request):
                    await _refuse_closed(connection, request)
                    role = sql.Identifier(login_name(request.name, login.key))
                    await connection.execute(give_password(role, verifier))

    async def opens(self, request: DatabaseRequest, login: Login) -> bool:
        given = await self._given_for(request, login)
        return await postgres_doors.lets_in(given.database_url, where=given.where)

    async def end_sessions(self, request: DatabaseRequest, keys: Sequence[str]) -> None:
        seen = await self._known(request)
        ours = await self.enabled_logins(request)
        async with self.administer(request) as connection:
            with translating(seen.given.where):
                for key in ours.intersection(keys):
                    name = login_name(request.name, key)
                    await postgres_doors.end_sessions_of(
                        connection,
                        seen.given.database,
                        owned.APPLICATION_LOGIN if seen.is_supabase else name,
                    )

    async def connection_limit(self, request: DatabaseRequest, key: str) -> int | None:
        seen = await self._known(request)
        async with self.administer(request) as connection:
            with translating(seen.given.where):
                if seen.is_supabase:
                    if key != owned.APPLICATION:
                        return None
                    return await owned.find_connection_limit(connection)
                row = await (
                    await connection.execute(
                        POSTGRES["connection_limit"], {"login": login_name(request.name, key)}
                    )
                ).fetchone()
        return None if row is None else int(row["rolconnlimit"])

    async def limit_connections(self, request: DatabaseRequest, login: Login) -> None:
        if not await self.offers_login(request, login.key):
            raise _not_offered(login.key)
        seen = await self._known(request)
        async with self.administer(request) as connection:
            with translating(seen.given.where):
                if seen.is_supabase:
                    if login.key != owned.APPLICATION:
                        raise _not_offered(login.key)
                    await owned.limit_application(connection, login.connection_limit)
                    return
                if not seen.makes_logins:
                    raise _not_offered(login.key)
                await connection.execute(
                    sql.SQL("alter role {} connection limit {}").format(
                        sql.Identifier(login_name(request.name, login.key)),
                        sql.Literal(login.connection_limit),
                    )
                )

    def services(self, request: DatabaseRequest) -> ProjectServices | None:
        given = _given(request)
        if given.key is None or self._open_services is None:
            return None
        return self._open_services(given, request.database_id)

    # --- closing ----------------------------------------------------------------------------------

    @repeated_when_undone
    async def close(self, request: DatabaseRequest) -> None:
        seen = await self._known(request)
        async with self.administer(request) as connection:
            with translating(seen.given.where):
                if seen.is_supabase:
                    await owned.shut_application_out(connection)
                await self._refuse_what_is_not_ours(connection, seen.given, request)
                if seen.is_supabase or not seen.makes_logins:
                    raise _not_closed(seen)
                await self._shut_out(connection, seen.given, request)

    async def observe_closed(self, request: DatabaseRequest) -> Observation:
        seen = await self._known(request)
        async with self.administer(request) as connection:
            with translating(seen.given.where):
                await self._refuse_what_is_not_ours(connection, seen.given, request)
                if seen.is_supabase or not seen.makes_logins:
                    return Observation(False, f"{seen.login} may still enter it")
                logins = await _our_logins(connection, request)
                if admitted := [login for login, may_enter in logins.items() if may_enter]:
                    return Observation(False, f"{', '.join(admitted)} may still enter it")
                if present := await _who_is_in(connection, list(logins)):
                    return Observation(False, f"{', '.join(present)} is still connected to it")
        return Observation(
            True, f"none of the client's logins may enter it, or is in it; {seen.login} may"
        )

    @repeated_when_undone
    async def admit(self, request: DatabaseRequest, login: Login) -> None:
        if login.password is None:
            raise ValueError("a login is admitted with its password")
        seen = await self._known(request)
        if seen.is_supabase or not seen.makes_logins:
            raise _not_offered(login.key)
        role = login_name(request.name, login.key)
        verifier = await asyncio.to_thread(make_scram_verifier, login.password)
        async with self.administer(request) as connection:
            with translating(seen.given.where):
                await self._refuse_what_is_not_ours(connection, seen.given, request)
                async with self._working_on(connection, request):
                    await postgres_doors.admit(
                        connection,
                        seen.given.database,
                        role,
                        let_log_in(sql.Identifier(role), verifier),
                        temporary=login.temporary,
                    )

    @repeated_when_undone
    async def reopen(self, request: DatabaseRequest) -> None:
        seen = await self._known(request)
        async with self.administer(request) as connection:
            with translating(seen.given.where):
                await self._refuse_what_is_not_ours(connection, seen.given, request)
                if seen.is_supabase or not seen.makes_logins:
                    await self._make_application_login(connection, request)
                    return
                await _take_away(connection, seen.given, await _our_logins(connection, request))
                await self._ensure_logins(connection, request, request.logins)
                await self._grant(connection, seen.given, request, request.logins)

    async def suspend(self, request: DatabaseRequest) -> None:
        await self.close(request)

    async def observe_suspended(self, request: DatabaseRequest) -> Observation:
        return await self.observe_closed(request)

    async def resume(self, request: DatabaseRequest) -> None:
        await self.reopen(request)

    async def observe_running(self, request: DatabaseRequest) -> Observation:
        async with self.administer(request):
            return Observation(True, "its server runs")

    # --- doors ------------------------------------------------------------------------------------

    async def knock(self, name: str, login: Login, *, at: str) -> Knock:
        raise NotOffered(
            f"{at} is not beside {name}: what else is on a server that was given is not ours to try.",
            next_step="Nothing; who may enter the database is looked at in its catalog.",
        )

    def shared_databases(self) -> tuple[str, ...]:
        return ()

    # --- looking ----------------------------------------------------------------------------------

    async def _known(self, request: DatabaseRequest) -> Examination:
        """What was seen of the database when it was last looked at; that it is Supabase's, say, does not
        change. Under another URL it is looked at again."""
        given = _given(request)
        seen = self._seen.get(request.database_id)
        if seen is None or seen.given != given:
            async with _enter(given) as connection:
                await self._examine(connection, given, request)
        return self._seen[request.database_id]

    async def _examine(
        self, connection: Connection, given: GivenDatabase, request: DatabaseRequest
    ) -> Examination:
        logins = await _our_logins(connection, request)
        seen = await examine_inside(connection, given, our_logins=tuple(logins))
        self._seen[request.database_id] = seen
        return seen

    async def _refuse_what_is_not_ours(
        self, connection: Connection, given: GivenDatabase, request: DatabaseRequest
    ) -> None:
        """Raises StampMismatch when it is another client's, PostconditionNotMet when it is nobody's."""
        seen = await self._examine(connection, given, request)
        if not seen.is_of(_stamp(request), request.database_id):
            raise PostconditionNotMet(f"There is no claim of ours to {given.where}.")

    async def _observe(
        self, connection: Connection, given: GivenDatabase, request: DatabaseRequest
    ) -> Observation:
        seen = await self._examine(connection, given, request)
        if not seen.is_of(_stamp(request), request.database_id):
            return Observation(False, f"there is no claim of ours to {given.where} yet")
        problems = seen.problems(_stamp(request), request.database_id)
        if not seen.is_supabase:
            problems += seen.exposing_logins()
        if problems:
            return Observation(False, problems[0].sentence)
        if seen.is_supabase:
            return Observation(True, seen.sentence)
        if seen.cannot_become:
            return Observation(False, f"we cannot act as {seen.cannot_become[0]} there")
        if seen.lets_everybody_in:
            return Observation(False, "everybody may connect to the database")
        if not seen.makes_logins:
            return Observation(True, f"{seen.sentence}, and the only login of the client's")
        wanted = {login_name(request.name, login.key): login for login in request.logins}
        rows = await (
            await connection.execute(POSTGRES["observe_logins"], {"names": list(wanted)})
        ).fetchall()
        described = {row["rolname"]: row for row in rows}
        may_enter = await _our_logins(connection, request)
        for name, login in wanted.items():
            if name not in described:
                return Observation(False, f"the login {name} is not there")
            if not is_as_wanted(described[name], login):
                return Observation(False, f"the login {name} is not as it should be")
            if not may_enter[name]:
                return Observation(False, f"the login {name} may not enter")
        return Observation(True, f"{seen.sentence}; {len(wanted)} logins of the client's own")

    # --- making -----------------------------------------------------------------------------------

    async def _create(
        self, connection: Connection, given: GivenDatabase, request: DatabaseRequest
    ) -> None:
        seen = await self._examine(connection, given, request)
        seen.refuse(_stamp(request), request.database_id)
        if not seen.is_supabase:
            await self._prepare(connection)
        if not seen.has_claim:
            await self._claim(connection, given, request)
        if seen.is_supabase:
            await self._make_application_login(connection, request)
            return
        if not given.allow_other_tables:
            # What we were given empty, is the client's alone.
            await connection.execute(
                sql.SQL("revoke connect, temporary on database {} from public").format(
                    sql.Identifier(given.database)
                )
            )
        exposing = (await self._examine(connection, given, request)).exposing_logins()
        if exposing:
            raise DatabaseNotUsable(exposing[0].sentence, next_step=exposing[0].next_step)
        if seen.makes_logins:
            await self._ensure_logins(connection, request, request.logins)
            await self._grant(connection, given, request, request.logins)

    async def _claim(
        self, connection: Connection, given: GivenDatabase, request: DatabaseRequest
    ) -> None:
        """An empty schema with our stamp: whoever is second, finds that it is there."""
        try:
            async with connection.transaction():
                await connection.execute(sql.SQL("create schema {}").format(_CLAIM))
                await connection.execute(
                    sql.SQL("comment on schema {} is {}").format(
                        _CLAIM, sql.Literal(_stamp(request))
                    )
                )
        except (psycopg.errors.DuplicateSchema, psycopg.errors.UniqueViolation):
            seen = await self._examine(connection, given, request)
            if not seen.is_of(_stamp(request), request.database_id):
                raise StampMismatch(f"{given.where} was given for another client.") from None

    async def _make_application_login(
        self, connection: Connection, request: DatabaseRequest
    ) -> None:
        for login in request.logins:
            if login.key == owned.APPLICATION and login.password is not None:
                await owned.ensure_application_login(connection, login)

    async def _let_in(
        self,
        connection: Connection,
        given: GivenDatabase,
        request: DatabaseRequest,
        logins: tuple[Login, ...],
    ) -> None:
        await _refuse_closed(connection, request)
        await self._ensure_logins(connection, request, logins)
        await self._grant(connection, given, request, logins)

    async def _ensure_logins(
        self, connection: Connection, request: DatabaseRequest, logins: tuple[Login, ...]
    ) -> None:
        verifiers = {
            login.key: await asyncio.to_thread(make_scram_verifier, login.password)
            for login in logins
            if login.password is not None
        }
        async with self._working_on(connection, request):
            existing = set(await _our_logins(connection, request))
            await ensure_logins(connection, request.name, logins, verifiers, existing)

    async def _grant(
        self,
        connection: Connection,
        given: GivenDatabase,
        request: DatabaseRequest,
        logins: tuple[Login, ...],
    ) -> None:
        database = sql.Identifier(given.database)
        granted = (
            (sql.SQL("connect"), [login_name(request.name, login.key) for login in logins]),
            (
                sql.SQL("temporary"),
                [login_name(request.name, login.key) for login in logins if login.temporary],
            ),
            (sql.SQL("create"), creators(request.name, logins)),
        )
        async with self._working_on(connection, request):
            for privilege, names in granted:
                for name in names:
                    await connection.execute(
                        sql.SQL("grant {} on database {} to {}").format(
                            privilege, database, sql.Identifier(name)
                        )
                    )

    async def _shut_out(
        self, connection: Connection, given: GivenDatabase, request: DatabaseRequest
    ) -> None:
        """Our own logins, and nobody else: who else may enter is their owner's affair."""
        logins = await _our_logins(connection, request)
        async with self._working_on(connection, request):
            await _take_away(connection, given, logins)
        for login in await _who_is_in(connection, list(logins)):
            await postgres_doors.end_sessions_of(connection, given.database, login)

    @asynccontextmanager
    async def _working_on(
        self, connection: Connection, request: DatabaseRequest
    ) -> AsyncIterator[None]:
        """A transaction in which nobody else works on the same client's database."""
        async with connection.transaction():
            await connection.execute(EXISTING["lock_claim"], {"name": request.name})
            yield

    # --- which login ------------------------------------------------------------------------------

    async def _given_for(self, request: DatabaseRequest, login: Login) -> GivenDatabase:
        """How a login of the client's comes to its database."""
        if not await self.offers_login(request, login.key):
            raise _not_offered(login.key)
        seen = await self._known(request)
        if not seen.is_supabase and seen.makes_logins:
            return seen.given.as_login(login_name(request.name, login.key), login.password or "")
        if login.key == _OWNER:
            return seen.given
        return seen.given.as_login(owned.APPLICATION_LOGIN, login.password or "")


def _given(request: DatabaseRequest) -> GivenDatabase:
    if request.given is None:
        raise PostconditionNotMet("Which database was given is not among the client's credentials.")
    given = request.given
    return read_given_database(
        given.database_url,
        given.database_key,
        project_url=given.project_url,
        allow_other_tables=given.allow_other_tables,
    )


def _stamp(request: DatabaseRequest) -> str:
    return stamp_of(request.installation_id, database=str(request.database_id))


async def _our_logins(connection: Connection, request: DatabaseRequest) -> dict[str, bool]:
    """The logins that we made for the client, with whether each may enter."""
    rows = await (
        await connection.execute(EXISTING["our_logins"], {"prefix": f"{request.name}_"})
    ).fetchall()
    return {row["login"]: row["may_enter"] for row in rows}


async def _refuse_closed(connection: Connection, request: DatabaseRequest) -> None:
    may_enter = await _our_logins(connection, request)
    if may_enter and not any(may_enter.values()):
        raise DatabaseClosed(
            f"The database of {request.name} is closed: no login is let in.",
            database=request.name,
        )


async def _who_is_in(connection: Connection, logins: list[str]) -> list[str]:
    rows = await (await connection.execute(EXISTING["who_is_in"], {"logins": logins})).fetchall()
    return [row["login"] for row in rows]


async def _take_away(connection: Connection, given: GivenDatabase, logins: dict[str, bool]) -> None:
    for login in logins:
        await connection.execute(
            sql.SQL("revoke all on database {} from {}").format(
                sql.Identifier(given.database), sql.Identifier(login)
            )
        )


@asynccontextmanager
async def _enter(given: GivenDatabase) -> AsyncIterator[Connection]:
    """As the login that was given."""
    async with AsyncExitStack() as inside:
        try:
            connection = await inside.enter_async_context(connect(given))
        except DatabaseRejected as refused:
            raise _changed_by_its_giver(refused) from None
        yield connection


def _changed_by_its_giver(refused: DatabaseRejected) -> DatabaseRejected:
    if "password" not in refused.message.lower():
        return refused
    return DatabaseRejected(
        refused.message,
        next_step="Has its giver changed the password? Tell the new URL with `ghostcrm clients rotate ID "
        "--database-url-file FILE`; of a client that is not ready yet, register it again with the new URL, then "
        "`ghostcrm clients retry ID`.",
    )


def _not_offered(key: str) -> GhostcrmError:
    instead = {
        "app": "Connect as owner and `set role authenticated`, or use the project's API. The client has a "
        "login for its application where the login that was given may make it (createrole).",
        "service": "Use the project's API with its secret (service role) key, or connect as owner.",
        "auth": "Where the database is Supabase's, Auth runs already. Elsewhere, give a login that may make "
        "logins (createrole).",
        "api": "Where the database is Supabase's, PostgREST runs already. Elsewhere, give a login that may make "
        "logins (createrole).",
    }
    return NotOffered(
        f"This client's database was given to us, and has no login {key!r}.",
        next_step=instead.get(key, "Use --role owner: it is the login that was given."),
    )


def _not_ours_to_change(key: str) -> GhostcrmError:
    return NotOffered(
        f"This client's database was given to us, and has no login {key!r} of ours: the password of the login "
        "that was given is not ours to change.",
        next_step="Have whoever gave the database change it, and tell the new URL with `ghostcrm clients rotate ID "
        "--database-url-file FILE`.",
    )


def _not_closed(seen: Examination) -> GhostcrmError:
    return NotOffered(
        f"{seen.given.where[:1].upper()}{seen.given.where[1:]} cannot be closed by us: the login {seen.login}, "
        "which was given to us, is the client's as well, and its password is not ours to change.",
        next_step="Have whoever gave the database change that password"
        + (" and the project's keys, or pause the project." if seen.is_supabase else "."),
    )
