"""What a database that was given is, and whether it can become a client's: looked at, never changed.

What stands against it is said in sentences, each with the SQL or the setting that would help.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row

from ghostcrm_provisioning.errors import (
    DatabaseNotUsable,
    GhostcrmError,
    OtherTablesFound,
    StampMismatch,
)
from ghostcrm_provisioning.given_database import GivenDatabase
from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.postgres_errors import translating
from ghostcrm_provisioning.providers.owned_database import begin_as_ourselves
from ghostcrm_provisioning.providers.provider import Connection
from ghostcrm_provisioning.providers.stamp import is_same_stamp

EXAMINATION = NamedSql(__package__, "examination.sql")

APPLICATION_NAME = "ghostcrm provider"
OLDEST_POSTGRES = 15
# As which people, and what works for them, act in client databases. A login of somebody else that is a
# member of one of these, and may connect, would be in this client's database what it is in its own.
ROLES_OF_CLIENTS = (
    "anon",
    "authenticated",
    "service_role",
    "authenticator",
    "supabase_admin",
    "supabase_auth_admin",
    "ghostcrm_client_owner",
)
_TO_BE_TRIED = ("anon", "authenticated")
_SERVERS_OWN = frozenset({"postgres", "template0", "template1"})
_MOST_NAMED = 5
_CONNECT_TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class Problem:
    """One thing that stands against it. ``error`` is the class of what is raised."""

    sentence: str
    next_step: str
    error: type[GhostcrmError] = DatabaseNotUsable


@dataclass(frozen=True)
class Thing:
    """Something in the database that is not ours."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"the {self.kind} {self.name}"


@dataclass(frozen=True)
class Examination:
    """What was seen.

    Attributes:
        claim: the stamp of the client whose database it is to be; somebody's when ``has_claim``.
        database_id: of the client whose database this is already; None when it is nobody's yet.
        has_stamp: something of ours was installed in it.
        cannot_become: roles that are not there, or that we may not act as.
        others: what is in it and not ours; empty, too, once it is a client's.
        other_logins: who else may enter, with the roles of client databases that they are members of.
    """

    given: GivenDatabase
    version: int
    login: str
    database: str
    owner: str
    is_standby: bool
    is_read_only: bool
    is_superuser: bool
    makes_roles: bool
    owns_database: bool
    makes_schemas: bool
    makes_tables: bool
    is_template: bool
    is_control_database: bool
    is_supabase: bool
    has_users: bool
    reads_users: bool
    writes_users: bool
    cannot_become: tuple[str, ...]
    lets_everybody_in: bool
    everybody_makes_tables: bool
    makes_open_things: bool
    stamp: str | None
    has_claim: bool
    claim: str | None
    has_stamp: bool
    database_id: UUID | None
    others: tuple[Thing, ...]
    other_logins: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def makes_logins(self) -> bool:
        """Whether it may make logins of the client's own. Their groups must be grantable, too, which is
        seen to where the server is prepared."""
        return self.is_superuser or self.makes_roles

    def is_of(self, stamp: str, database_id: UUID) -> bool:
        """Whether it is this client's database already.

        Raises:
            StampMismatch: it is another's.
        """
        whose = self._whose(stamp, database_id)
        if whose:
            raise _all_in_one(whose)
        return self.has_claim or self.has_stamp

    def problems(self, stamp: str | None = None, database_id: UUID | None = None) -> list[Problem]:
        """What stands against its becoming, or being, a client's database; the gravest first.

        Args:
            stamp, database_id: of the client; None before there is one.
        """
        whose = self._whose(stamp, database_id)
        if whose:
            return whose
        found = self._of_the_server()
        found += self._of_supabase() if self.is_supabase else self._of_postgres()
        if not self.has_stamp:  # else what is in it was looked at before, and much of it is ours
            found += self._of_what_is_in_it()
        return found + self._beside_others()

    def refuse(self, stamp: str | None = None, database_id: UUID | None = None) -> None:
        """Raises what stands against it, all in one: DatabaseNotUsable, OtherTablesFound, StampMismatch."""
        problems = self.problems(stamp, database_id)
        if problems:
            raise _all_in_one(problems)

    @property
    def sentence(self) -> str:
        """What it is, in words."""
        what = "a project's at Supabase" if self.is_supabase else f"PostgreSQL {self.version}"
        as_whom = (
            "a superuser" if self.is_superuser else "its owner" if self.owns_database else "a guest"
        )
        return f"{self.given.where} is {what}; we are {self.login}, {as_whom}"

    # --- what may stand against it ------------------------------------------------------------------

    def _whose(self, stamp: str | None, database_id: UUID | None) -> list[Problem]:
        where = _upper(self.given.where)
        leave = "Give a database of its own for this client."
        if self.is_control_database:
            said = "is a control database of GhostCRM, not a client's"
        elif self.has_claim and not (stamp is not None and is_same_stamp(self.claim, stamp)):
            said = "was given for another client"
        elif self.has_stamp and not self._may_be_of(database_id):
            said = (
                "belongs to another client"
                if self.database_id is not None
                else "is a template of GhostCRM, or another client's"
            )
        # Our own server's databases carry a comment; so do projects of our local platform, which may be used.
        elif self._is_unfinished and not self.is_supabase:
            said = "is a database of GhostCRM's own"
        else:
            return []
        return [Problem(f"{where} {said}.", leave, StampMismatch)]

    def _may_be_of(self, database_id: UUID | None) -> bool:
        if self.database_id is None:
            # Claimed, and what is installed does not say yet for whom.
            return self.has_claim
        return self.database_id == database_id

    @property
    def _is_unfinished(self) -> bool:
        is_stamped = self.stamp is not None and self.stamp.startswith('{"ghostcrm"')
        return is_stamped and not (self.has_stamp or self.has_claim)

    def _of_the_server(self) -> list[Problem]:
        found = []
        if self.version < OLDEST_POSTGRES:
            found.append(
                Problem(
                    f"{_upper(self.given.where)} is on PostgreSQL {self.version}; "
                    f"{OLDEST_POSTGRES} is the oldest that can be used.",
                    "Upgrade the server, or give a database on another one.",
                )
            )
        if self.is_standby:
            found.append(
                Problem(
                    f"{_upper(self.given.where)} is a standby, which takes no changes.",
                    "Give the address of the primary.",
                )
            )
        elif self.is_read_only:
            found.append(
                Problem(
                    f"{_upper(self.given.where)} is read-only for {self.login}.",
                    self._sql("alter role {} reset default_transaction_read_only", self.login)
                    + " Or give a login that may write. At Supabase, a full disk has the same effect.",
                )
            )
        return found

    def _of_postgres(self) -> list[Problem]:
        found = []
        where = _upper(self.given.where)
        if self.given.ref is not None or self.given.project_url is not None:
            return [
                Problem(
                    f"{where} is not a Supabase project's: there is no auth.users of Supabase Auth in it.",
                    "Check host, port and name of the database; a local stack is ready when `supabase status` "
                    "says so.",
                )
            ]
        if self.database in _SERVERS_OWN or self.is_template:
            found.append(
                Problem(
                    f"{where} is the server's own, for administration and new databases.",
                    self._sql("create database {} owner {}", "a_name", self.login)
                    + " And give that one.",
                )
            )
            return found
        if self.has_users and not self.has_stamp:
            found.append(
                Problem(
                    f"{where} has a table auth.users that is neither Supabase Auth's nor ours.",
                    "Give another database: Supabase Auth needs that name.",
                )
            )
        if not (self.owns_database or self.is_superuser):
            found.append(
                Problem(
                    f"{where} belongs to {self.owner}: {self.login} may not make the schemas of a client "
                    "database in it, nor say who may connect.",
                    self._sql("alter database {} owner to {}", self.database, self.login),
                )
            )
        return found

    def _of_supabase(self) -> list[Problem]:
        found = []
        where = _upper(self.given.where)
        if not self.makes_schemas:
            found.append(
                Problem(
                    f"{where}: {self.login} may not make schemas.",
                    self._sql("grant create on database {} to {}", self.database, self.login)
                    + " Or give the URL of the user postgres.",
                )
            )
        if not self.makes_tables:
            found.append(
                Problem(
                    f"{where}: {self.login} may not make tables in the schema public.",
                    self._sql("grant usage, create on schema public to {}", self.login)
                    + " Or give the URL of the user postgres.",
                )
            )
        cannot_try = [role for role in _TO_BE_TRIED if role in self.cannot_become]
        if cannot_try:
            roles = " and ".join(cannot_try)
            found.append(
                Problem(
                    f"{where}: {self.login} may not act as {roles}, so isolation cannot be proven.",
                    self._sql("grant {} to {}", cannot_try[0], self.login)
                    + " Or give the URL of the user postgres.",
                )
            )
        if self.given.key is None and not (self.writes_users or self.has_stamp):
            found.append(
                Problem(
                    f"{where}: {self.login} may not add a user to auth.users, and no key was given with which "
                    "Supabase Auth would.",
                    "Give the project's service role key or a secret key as the database key.",
                )
            )
        return found

    def _of_what_is_in_it(self) -> list[Problem]:
        if not self.others or self.given.allow_other_tables:
            return []
        named = ", ".join(f"{thing.kind} {thing.name}" for thing in self.others[:_MOST_NAMED])
        more = len(self.others) - _MOST_NAMED
        named += f" and {more} more" if more > 0 else ""
        return [
            Problem(
                f"{_upper(self.given.where)} holds what is not ours: {named}.",
                OtherTablesFound.default_next_step,
                OtherTablesFound,
            )
        ]

    def _beside_others(self) -> list[Problem]:
        """Of a database that is not the client's alone, we do not change who may enter and make what."""
        if not self.given.allow_other_tables:
            return []
        if self.is_supabase:
            return self._default_privileges()
        found = []
        if self.lets_everybody_in:
            found.append(
                Problem(
                    f"Everyone who has a login on the server may connect to {self.given.where}, which is not "
                    "the client's alone, so we do not change that.",
                    "Let in by name whoever needs it (grant connect on database … to …), then: "
                    + self._sql(
                        "revoke connect, temporary on database {} from public", self.database
                    ),
                )
            )
        if self.everybody_makes_tables:
            found.append(
                Problem(
                    f"Everyone may make tables in the schema public of {self.given.where}.",
                    self._sql("revoke create on schema public from public"),
                )
            )
        return found

    def _default_privileges(self) -> list[Problem]:
        """At Supabase, what is the client's and what is not are made by the same login."""
        if not self.makes_open_things:
            return []
        statements = (
            "alter default privileges for role {0} revoke execute on functions from public;\n"
            "alter default privileges for role {0} in schema public revoke all on tables from anon, authenticated;\n"
            "alter default privileges for role {0} in schema public revoke all on sequences from anon, authenticated;"
            "\nalter default privileges for role {0} in schema public revoke all on functions from public, anon, "
            "authenticated"
        )
        return [
            Problem(
                f"What {self.login} makes in {self.given.where} is open to everybody from the start, by default "
                "privileges. The database is not the client's alone, so we do not change that.",
                "Say in your own migrations who may use what they make, then run as that login:\n"
                + sql.SQL(statements).format(sql.Identifier(self.login)).as_string()
                + ";",
            )
        ]

    def exposing_logins(self) -> list[Problem]:
        """Logins of others that may enter, and would be somebody in there. Not at Supabase, where its own
        services log in."""
        if self.is_supabase:
            return []
        return [
            Problem(
                f"The login {login} may connect to {self.given.where}, and is a member of {', '.join(acts_as)}: "
                "it would be let in where the client's own people are.",
                self._sql("revoke connect on database {} from {}", self.database, login)
                + " (or from the role through which it has that right)",
            )
            for login, acts_as in self.other_logins
            if acts_as
        ]

    def _sql(self, statement: str, *names: str) -> str:
        text = sql.SQL(statement).format(*map(sql.Identifier, names)).as_string()
        return f"Have somebody who may do so run: {text};"


@asynccontextmanager
async def connect(given: GivenDatabase, **other: Any) -> AsyncIterator[Connection]:
    """A connection with the login that was given, in autocommit mode.

    Raises:
        DatabaseRejected, ServerUnreachable, DatabaseBusy, ToldToWait: without any part of a secret.
    """
    with translating(given.where):
        connection: Connection = await AsyncConnection.connect(
            **given.parameters
            | {
                "autocommit": True,
                "row_factory": dict_row,
                "connect_timeout": _CONNECT_TIMEOUT_SECONDS,
                "application_name": APPLICATION_NAME,
                # A pooler may hand a session's prepared statements to another.
                "prepare_threshold": None,
            }
            | other
        )
        async with connection:
            # Not as options of the connection: poolers do not pass them on.
            # Whoever gave a login that only reads, meant it.
            await begin_as_ourselves(connection, but=("default_transaction_read_only",))
            yield connection


async def examine(given: GivenDatabase, *, our_logins: tuple[str, ...] = ()) -> Examination:
    """Connect and look. Changes nothing.

    Args:
        our_logins: those that we made for this client, if any.

    Raises:
        As :func:`connect`.
    """
    async with connect(given) as connection:
        return await examine_inside(connection, given, our_logins=our_logins)


async def examine_inside(
    connection: Connection, given: GivenDatabase, *, our_logins: tuple[str, ...] = ()
) -> Examination:
    """The same, through a connection that there is."""
    with translating(given.where):
        row = await (
            await connection.execute(EXAMINATION["look_around"], {"roles": list(ROLES_OF_CLIENTS)})
        ).fetchone()
        if row is None:
            raise DatabaseNotUsable(f"{_upper(given.where)} does not say who is connected.")
        database_id = None
        if row["has_stamp"] and row["may_read_stamp"]:
            database_id = await _read_stamp(connection)
        others = []
        if not (row["has_stamp"] or row["has_claim"] or row["is_control_database"]):
            others = await (
                await connection.execute(
                    EXAMINATION["others_things"], {"is_supabase": bool(row["is_supabase"])}
                )
            ).fetchall()
        logins = await (
            await connection.execute(
                EXAMINATION["who_else_may_enter"],
                {"roles": list(ROLES_OF_CLIENTS), "ours": list(our_logins)},
            )
        ).fetchall()
    seen = {name: row[name] for name in Examination.__dataclass_fields__ if name in row}
    return Examination(
        **seen
        | {
            "given": given,
            "is_supabase": bool(row["is_supabase"]),
            "cannot_become": tuple(row["cannot_become"]),
            "database_id": database_id,
            "others": tuple(Thing(each["kind"], each["name"]) for each in others),
            "other_logins": tuple((each["login"], tuple(each["acts_as"])) for each in logins),
        }
    )


async def _read_stamp(connection: Connection) -> UUID | None:
    try:
        row = await (await connection.execute(EXAMINATION["read_stamp"])).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return None
    return row["database_id"] if row else None


def _all_in_one(problems: list[Problem]) -> GhostcrmError:
    sentences = " ".join(problem.sentence for problem in problems)
    steps = dict.fromkeys(problem.next_step for problem in problems)
    return problems[0].error(sentences, next_step="\n".join(steps))


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
