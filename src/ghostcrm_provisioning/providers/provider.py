"""Where client databases come from: the contract that every provider keeps.

A provider makes, finds and opens databases. It knows nothing of blueprints, plans or runs. What
every provider promises (and ``tests/providers`` checks of each):

* The database's id and name are chosen by the caller before the first call. Calling again with the
  same request, after a crash at any instant or beside another call, ends with one database.
* What it makes carries the caller's stamp: the installation's and the database's id. A thing of the
  right name with another stamp, or none, is never used, changed or deleted (``StampMismatch``).
* :meth:`Provider.observe` looks and changes nothing. Only what it has seen is true.
* Nobody but the database's own logins can connect to it, from the moment at which anybody can.
* A database can be closed (:meth:`Provider.close`): nobody enters it any more, its own logins, and
  whoever was let in by mistake, included; sessions that were open are ended. Its contents, logins and
  passwords stay, and the administrator still enters. It stays closed until :meth:`Provider.reopen`.
  To look at a closed database as its application does, one login may be admitted under a password
  that only the caller knows (:meth:`Provider.admit`); it is closed again afterwards. Each of these may
  be called again, after a crash at any instant, and ends the same.
* Knocking (:meth:`Provider.knock`) tries a login on a database and tells what came of it. It never
  guesses: what is neither a refusal nor an entry is an error.
* A database can be suspended (:meth:`Provider.suspend`): nobody enters, and where it can, it costs
  nothing meanwhile. It can be removed; what was not made by the provider is never removed with it, and
  :meth:`Provider.observe_absent` tells what was seen afterwards.
* What opens it can be exchanged (:meth:`Provider.set_password`, :meth:`ProjectServices.make_keys`): whoever
  calls has recorded the new password, or the number of the exchange, before; called again, it ends the same.
* No password is sent in clear text inside a statement, and none appears in an error.
* Errors are those of :mod:`ghostcrm_provisioning.errors`: transient, told to wait, or permanent. What a
  provider has not at all is ``NotOffered``, and says what there is instead: it is never silently left out.

Where databases come from, they differ in what comes with them. On a server of our own there is a login
for each purpose, and nothing else. At Supabase there is one login, the *owner* (and one for the application
where the owner may make it), and beside the database run Auth, REST and Storage:
:class:`ProjectServices`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from ghostcrm_provisioning.observation import Observation

Connection = AsyncConnection[DictRow]


@dataclass(frozen=True)
class Login:
    """A login that the database is to have. Without a password it exists, with its memberships, but
    nobody can log in with it until :meth:`Provider.enable_login`.

    Attributes:
        acts_as: the role that it is from the moment it has logged in.
        inherits: it has the rights of its groups by itself; otherwise only after a SET ROLE.
        creates: in this database, that role (or the login itself) may make schemas and install the
            extensions that PostgreSQL calls trusted.
        temporary: it may make temporary tables, types and functions. A login that is to be held back
            by policies may not: functions that run with their owner's rights meet what it made.
        search_path: where its sessions look for names; the server's own choice when empty. With
            ``settings``, it is what a session begins with: a group's settings are not inherited.
    """

    key: str
    password: str | None = field(default=None, repr=False)
    member_of: tuple[str, ...] = ()
    acts_as: str | None = None
    connection_limit: int = -1
    inherits: bool = True
    creates: bool = False
    temporary: bool = False
    search_path: tuple[str, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Template:
    """What a new database starts as. ``build`` fills an empty database through a connection;
    ``fingerprint`` names the result: equal fingerprints, equal contents."""

    fingerprint: str
    build: Callable[[Connection], Awaitable[None]] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Given:
    """A database that is there already, as whoever registered has named it.

    Attributes:
        database_url: a PostgreSQL URL, or the URL of a project at Supabase.
        database_key: the project's service role key.
        project_url: where the project's API is, when the database's URL does not tell.
        allow_other_tables: it may hold tables that are not ours; none of them is touched.
    """

    database_url: str = field(repr=False)
    database_key: str | None = field(default=None, repr=False)
    project_url: str | None = None
    allow_other_tables: bool = False


@dataclass(frozen=True)
class ServiceKeys:
    """Where the services beside a database are, and what opens them.

    Attributes:
        publishable, secret: Supabase's keys of today.
        anon, service_role: the older ones, where the project still has them.
    """

    url: str
    publishable: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    anon: str | None = field(default=None, repr=False)
    service_role: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class DatabaseRequest:
    """A database as it is wanted.

    Attributes:
        plan: by it, a provider may choose where the database is, and how large.
        region: where it is to be; None leaves it to the provider's settings.
        owner_password: of the owner, where that is the login that a provider gets with the database.
        next_owner_password: the one that is about to replace it: until that was seen, either may be the owner's.
        closed_password: the owner's while the database is closed, where a password is what closes it.
        given: for a provider that takes what there is already.
        keys: those of the services beside the database, once they are known.
    """

    installation_id: UUID
    database_id: UUID
    name: str
    template: Template
    logins: tuple[Login, ...]
    plan: str = ""
    region: str | None = None
    owner_password: str | None = field(default=None, repr=False)
    next_owner_password: str | None = field(default=None, repr=False)
    closed_password: str | None = field(default=None, repr=False)
    given: Given | None = field(default=None, repr=False)
    keys: ServiceKeys | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Knock:
    """What came of trying to enter a database with a login of another one.

    Attributes:
        refused: why it was not let in; None when it was.
        rights: what it may do inside, in words; empty when it was refused, or may do nothing.
    """

    refused: str | None
    rights: tuple[str, ...] = ()


@dataclass(frozen=True)
class WantedUser:
    """A user of the services beside a database, as they are wanted; the id was chosen before."""

    user_id: UUID
    email: str
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Exposure:
    """Something that a stranger was shown. ``caller`` is who asked, in words."""

    code: str
    sentence: str
    subject: str
    caller: str


@dataclass(frozen=True)
class ServiceKnocks:
    """What came of knocking at the services: how many questions were asked, and what they showed."""

    exposures: tuple[Exposure, ...] = ()
    attempts: int = 0


@dataclass(frozen=True)
class RetiredKeys:
    """What became of old keys, by their names: none holds a key. ``left`` are somebody else's."""

    gone: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


class ProjectServices(Protocol):
    """What runs beside a database at Supabase (Auth, REST, Storage), reached over HTTP.

    Every ``ensure`` may be called again, after a crash at any instant.
    """

    async def keys(self) -> ServiceKeys:
        """What opens them, as it is now; to be sealed."""

    @property
    def keys_are_ours(self) -> bool:
        """Whether we may make keys and delete them: those that were given to us, we may not."""

    async def make_keys(self, number: int) -> ServiceKeys:
        """New keys beside those there are: they are there, and were tried.

        Args:
            number: of this exchange; larger than that of any before. Called again with it, the same keys.

        Raises:
            NotOffered: they are not ours.
            Conflict: there are keys of a later exchange.
            ToldToWait: they open nothing yet.
        """

    async def observe_old_keys(self, number: int, *, legacy: bool) -> Observation:
        """Whether our keys from before that exchange are gone; with ``legacy``, Supabase's older ones as well."""

    async def retire_keys(self, number: int, *, legacy: bool) -> RetiredKeys:
        """Delete our keys from before that exchange, whose own were seen there first.

        Args:
            legacy: switch the keys ``anon`` and ``service_role`` off, too.
        """

    async def refused_keys(self) -> tuple[str, ...]:
        """Which of the keys that we know open nothing any more, in words; asked of the services themselves.

        Raises:
            SupabaseUnavailable: they do not answer.
        """

    async def observe_user(self, user: WantedUser) -> Observation:
        """Whether the user is there, with this id and email."""

    async def ensure_user(self, user: WantedUser, password_hash: str) -> None:
        """Make the user; the password leaves us as its bcrypt hash only.

        Raises:
            AdminEmailTaken: the email belongs to a user with another id.
        """

    async def set_password(self, user_id: UUID, password: str, password_hash: str) -> bool:
        """Give the user another password, to be changed; False when there is no such user."""

    async def observe_settings(self, storage_bytes: int | None) -> Observation:
        """Whether Auth, Storage and the network are set as our settings say."""

    async def ensure_settings(self, storage_bytes: int | None) -> None:
        """Set them so.

        Args:
            storage_bytes: as much as the plan allows for files; None for any number.
        """

    async def knock(self, tables: Sequence[str], functions: Sequence[str]) -> ServiceKnocks:
        """Ask as strangers do, with no key, with the public ones, and signed in as nobody we know, for
        rows of ``tables``, for users and for files.

        Args:
            functions: which signed-in users may execute, each as ``name``.

        Raises:
            TransientFailure, ToldToWait: it could not be tried; nothing was learned.
        """


class Provider(Protocol):
    """See the module's text for what is promised."""

    @property
    def kind(self) -> str:
        """What ``servers.provider`` calls it: postgres, supabase or existing."""

    @property
    def copies_templates(self) -> bool:
        """Whether a new database is a copy of its template, proven once; otherwise it begins empty, and
        the template's fingerprint and ``build`` play no part."""

    # --- making and finding -----------------------------------------------------------------------

    async def observe(self, request: DatabaseRequest) -> Observation:
        """Whether the database is there as requested."""

    async def create(self, request: DatabaseRequest) -> None:
        """Make it so."""

    async def remove(self, request: DatabaseRequest) -> None:
        """Have it gone, with what was made for it; there may be nothing (any more).

        Raises:
            StampMismatch: what has its name is not ours; it is left alone.
        """

    async def observe_absent(self, request: DatabaseRequest) -> Observation:
        """Whether nothing is left of what was made for it."""

    # --- getting in -------------------------------------------------------------------------------

    def administer(self, request: DatabaseRequest) -> AbstractAsyncContextManager[Connection]:
        """A connection as the one who may do most there, in autocommit mode, also while it is closed."""

    def ask_server(
        self, request: DatabaseRequest
    ) -> AbstractAsyncContextManager[Connection | None]:
        """A connection to the server of the database, as :meth:`administer`'s, in some other database: for what
        the whole server keeps. None where there is none at hand: then the database is asked for it."""

    async def administer_url(self, request: DatabaseRequest) -> str:
        """How :meth:`administer` connects, for a program of its own such as pg_dump. Holds the password."""

    async def is_supabase(self, request: DatabaseRequest) -> bool:
        """Whether Supabase's own schemas and roles are there already, and are left alone. Where they are
        not, we bring what a client database needs of them."""

    def installing(
        self, request: DatabaseRequest, connection: Connection
    ) -> AbstractAsyncContextManager[None]:
        """What is installed in the database is installed inside of this, through ``connection``, the
        administrator's. Where something else is in the database, it sees to it that it stays as it is.

        Raises:
            DatabaseNotUsable: something of somebody else would have been touched; nothing was.
        """

    async def ours_among_others(
        self, request: DatabaseRequest, connection: Connection
    ) -> frozenset[str] | None:
        """Where somebody else uses the database as well: the tables, views and functions that were installed
        in it, as "schema.name". None where all of it is the client's."""

    async def who_else_may_enter(
        self, request: DatabaseRequest, connection: Connection
    ) -> tuple[str, ...]:
        """Roles beside the database's own logins that its owner has let in by name, and who are nobody
        there. Where the database is ours, there are none."""

    async def offers_login(self, request: DatabaseRequest, key: str) -> bool:
        """Whether the database has, or can have, a login ``key`` of its own."""

    def log_in(
        self, request: DatabaseRequest, login: Login
    ) -> AbstractAsyncContextManager[Connection]:
        """A connection with one of the database's own logins, in autocommit mode.

        Raises:
            NotOffered: it has no such login.
        """

    async def login_url(self, request: DatabaseRequest, login: Login) -> str:
        """How ``login`` connects. Holds the password.

        Raises:
            NotOffered: it has no such login.
        """

    async def enable_login(self, request: DatabaseRequest, login: Login) -> None:
        """Let ``login`` log in with its password, from now on. It becomes as it is described here, and
        is made where an older version has not made it.

        Raises:
            DatabaseClosed: the database was closed, and stays so.
            NotOffered: it cannot have such a login.
        """

    async def enabled_logins(self, request: DatabaseRequest) -> frozenset[str]:
        """The keys of the database's logins that can log in now, and whose passwords are ours to change."""

    async def set_password(self, request: DatabaseRequest, login: Login) -> None:
        """Give one of :meth:`enabled_logins` its password instead of the one that it has, which stops opening
        the database. Nothing else about it changes; sessions that are open stay open.

        Raises:
            DatabaseClosed: the database was closed, and stays so.
            NotOffered: there is no such login, or its password is not ours to change.
            ToldToWait: it is set, and not known everywhere yet; call again.
        """

    async def opens(self, request: DatabaseRequest, login: Login) -> bool:
        """Whether ``login`` is let in with its password, as it was seen now; also while it has as many
        connections as it may.

        Raises:
            NotOffered: there is no such login.
        """

    async def end_sessions(self, request: DatabaseRequest, keys: Sequence[str]) -> None:
        """End the sessions that these of the database's logins have open. They may come again."""

    async def connection_limit(self, request: DatabaseRequest, key: str) -> int | None:
        """How many connections the login ``key`` may have at the same time, as it was seen now; -1 is
        any number, None is that there is no such login."""

    async def limit_connections(self, request: DatabaseRequest, login: Login) -> None:
        """Let ``login`` have ``login.connection_limit`` connections from now on. Nothing else about the
        login changes. Connections that are open stay open, also when they are more than that; new ones
        are refused until they are fewer."""

    def services(self, request: DatabaseRequest) -> ProjectServices | None:
        """What runs beside the database; None where nothing does."""

    # --- closing ----------------------------------------------------------------------------------

    async def close(self, request: DatabaseRequest) -> None:
        """Let nobody into the database any more, and end the sessions that are open."""

    async def observe_closed(self, request: DatabaseRequest) -> Observation:
        """Whether the database is closed, and nobody but the administrator is in it."""

    async def admit(self, request: DatabaseRequest, login: Login) -> None:
        """Let ``login`` into the closed database, with its password, which replaces the one that its users
        know until :meth:`reopen`. Nobody else gets in but those that were admitted likewise."""

    async def reopen(self, request: DatabaseRequest) -> None:
        """Let the database's own logins in again, with the passwords of the request; nobody else."""

    async def suspend(self, request: DatabaseRequest) -> None:
        """Have nobody enter it, and have it cost as little as can be, until :meth:`resume`."""

    async def observe_suspended(self, request: DatabaseRequest) -> Observation:
        """Whether it is suspended."""

    async def resume(self, request: DatabaseRequest) -> None:
        """Have it as :meth:`observe` wants it again; as closed as it was, where suspending it was more than
        closing it."""

    async def observe_running(self, request: DatabaseRequest) -> Observation:
        """Whether it runs, open or closed: whether :meth:`administer` has something to connect to."""

    # --- doors ------------------------------------------------------------------------------------

    @property
    def has_neighbours(self) -> bool:
        """Whether databases of several clients are on one server, so that the doors between them are to
        be tried."""

    async def knock(self, name: str, login: Login, *, at: str) -> Knock:
        """Try to enter the database ``at`` with ``login``, which is one of the database ``name`` beside it.

        Raises:
            WrongPassword: the login itself was not accepted, so nothing was learned about ``at``.
            NotOffered: there are no neighbours.
        """

    def shared_databases(self) -> tuple[str, ...]:
        """The names of databases beside the clients': the administrator's, and the server's own."""
