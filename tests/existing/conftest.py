"""Databases that somebody has already, on the server of the tests, and logins of every kind to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import DictRow, dict_row

from ghostcrm_provisioning.given_database import GivenDatabase, read_given_database
from ghostcrm_provisioning.providers.postgres_server import connection_url
from tests.conftest import Server
from tests.running_platform import (
    RunningPlatform,
    create_project,
    wait_for,
)

PASSWORD = "p@ss/w:rd#1?%"  # in a URL, all of it has a meaning


@dataclass
class SomebodysDatabase:
    """A database with an owner, who is no superuser and may make no logins."""

    server: Server
    name: str
    owner: str
    made: list[str] = field(default_factory=list)

    def login(self, attributes: str = "", *, owns: bool = False) -> str:
        """A login of its own; with ``owns``, a member of the owner."""
        name = f"somebody_{uuid4().hex[:8]}"
        self.do(
            "create role {} login {} password {}", name, sql.SQL(attributes), sql.Literal(PASSWORD)
        )
        self.made.append(name)
        if owns:
            self.do("alter database {} owner to {}", self.name, name)
        return name

    def url(self, login: str | None = None, password: str = PASSWORD) -> str:
        return connection_url(
            host=self.server.running.host,
            port=str(self.server.running.port),
            database=self.name,
            user=login or self.owner,
            password=password,
        )

    def given(self, login: str | None = None, *, allow_other_tables: bool = False) -> GivenDatabase:
        return read_given_database(self.url(login), allow_other_tables=allow_other_tables)

    @property
    def superusers_url(self) -> str:
        return self.server.running.url(self.name)

    def inside(self) -> psycopg.Connection[DictRow]:
        """As a superuser."""
        return psycopg.connect(self.superusers_url, autocommit=True, row_factory=dict_row)

    def do(self, statement: str, *parts: str | sql.Composable) -> None:
        """As a superuser, in there; what is text among the parts is an identifier."""
        with self.inside() as connection:
            connection.execute(
                sql.SQL(statement).format(
                    *(sql.Identifier(part) if isinstance(part, str) else part for part in parts)
                )
            )

    def give_up(self) -> None:
        with self.server.superuser() as superuser:
            # So that nobody comes, and whoever is there is waited for: "with (force)" does that for five seconds.
            name = sql.Identifier(self.name)
            superuser.execute(sql.SQL("alter database {} allow_connections false").format(name))
            superuser.execute(
                "select pg_terminate_backend(pid, 60000) from pg_stat_activity where datname = %s",
                (self.name,),
            )
            superuser.execute(sql.SQL("drop database {} with (force)").format(name))
            for role in self.made:
                superuser.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))


@pytest.fixture
def somebodys(server: Server) -> Iterator[Callable[[], SomebodysDatabase]]:
    """Makes databases that are somebody's; gone after the test."""
    made: list[SomebodysDatabase] = []

    def make() -> SomebodysDatabase:
        name, owner = f"theirs_{uuid4().hex[:8]}", f"somebody_{uuid4().hex[:8]}"
        with server.superuser() as superuser:
            superuser.execute(
                sql.SQL("create role {} login password {}").format(
                    sql.Identifier(owner), sql.Literal(PASSWORD)
                )
            )
            superuser.execute(
                sql.SQL("create database {} owner {} template template0").format(
                    sql.Identifier(name), sql.Identifier(owner)
                )
            )
        made.append(SomebodysDatabase(server, name, owner, [owner]))
        return made[-1]

    yield make
    for database in made:
        database.give_up()


@pytest.fixture
def theirs(somebodys: Callable[[], SomebodysDatabase]) -> SomebodysDatabase:
    """One of them, empty."""
    return somebodys()


@dataclass(frozen=True)
class SomebodysProject:
    """A project at the local platform, of which its owner knows password and keys."""

    url: str
    ref: str
    key: str
    database_url: str


@pytest.fixture
def project(platform: RunningPlatform) -> SomebodysProject:
    """A new one."""
    with platform.caller() as caller:
        ref = create_project(caller, platform.organization, db_pass=PASSWORD)["ref"]
        wait_for(caller, ref)
        (pooler,) = caller.get(f"/v1/projects/{ref}/config/database/pooler").json()
        keys = caller.get(f"/v1/projects/{ref}/api-keys", params={"reveal": "true"}).json()
    (key,) = [each["api_key"] for each in keys if each["name"] == "service_role"]
    return SomebodysProject(
        f"{platform.url}/project/{ref}",
        ref,
        key,
        connection_url(
            host=pooler["db_host"],
            port=str(pooler["db_port"]),
            database=pooler["db_name"],
            user=pooler["db_user"],
            password=PASSWORD,
        ),
    )
