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
* No password is sent in clear text inside a statement, and none appears in an error.
* Errors are those of :mod:`ghostcrm_provisioning.errors`: transient, told to wait, or permanent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol
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
class DatabaseRequest:
    """A database as it is wanted."""

    installation_id: UUID
    database_id: UUID
    name: str
    template: Template
    logins: tuple[Login, ...]


@dataclass(frozen=True)
class Knock:
    """What came of trying to enter a database with a login of another one.

    Attributes:
        refused: why it was not let in; None when it was.
        rights: what it may do inside, in words; empty when it was refused, or may do nothing.
    """

    refused: str | None
    rights: tuple[str, ...] = ()


class Provider(Protocol):
    """See the module's text for what is promised."""

    async def observe(self, request: DatabaseRequest) -> Observation:
        """Whether the database is there as requested."""

    async def create(self, request: DatabaseRequest) -> None:
        """Make it so."""

    async def enable_login(self, name: str, login: Login) -> None:
        """Let ``login`` log in to the database ``name`` with its password, from now on. It becomes
        as it is described here, and is made where an older version has not made it.

        Raises:
            DatabaseClosed: the database was closed, and stays so.
        """

    async def connection_limit(self, name: str, key: str) -> int | None:
        """How many connections the login ``key`` of the database ``name`` may have at the same time,
        as it was seen now; -1 is any number, None is that there is no such login."""

    async def limit_connections(self, name: str, login: Login) -> None:
        """Let ``login`` have ``login.connection_limit`` connections to the database ``name`` from now
        on. Nothing else about the login changes. Connections that are open stay open, also when they
        are more than that; new ones are refused until they are fewer."""

    def administer(self, name: str) -> AbstractAsyncContextManager[Connection]:
        """A connection to the database ``name`` as its administrator, in autocommit mode."""

    def log_in(self, name: str, login: Login) -> AbstractAsyncContextManager[Connection]:
        """A connection to the database ``name`` with one of its own logins, in autocommit mode."""

    def login_url(self, name: str, login: Login) -> str:
        """How ``login`` connects to the database ``name``. Holds the password."""

    async def close(self, request: DatabaseRequest) -> None:
        """Let nobody into the database any more, and end the sessions that are open."""

    async def observe_closed(self, request: DatabaseRequest) -> Observation:
        """Whether the database is closed, and nobody but the administrator is in it."""

    async def admit(self, request: DatabaseRequest, login: Login) -> None:
        """Let ``login`` into the closed database, with its password, which replaces the one that its users
        know until :meth:`reopen`. Nobody else gets in but those that were admitted likewise."""

    async def reopen(self, request: DatabaseRequest) -> None:
        """Let the database's own logins in again, with the passwords of the request; nobody else."""

    async def knock(self, name: str, login: Login, *, at: str) -> Knock:
        """Try to enter the database ``at`` with ``login``, which is one of the database ``name``.

        Raises:
            WrongPassword: the login itself was not accepted, so nothing was learned about ``at``.
        """

    def shared_databases(self) -> tuple[str, ...]:
        """The names of databases beside the clients': the administrator's, and the server's own."""
