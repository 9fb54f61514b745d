"""A control database with clients that nobody has provisioned, for tests of what is read from it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from ghostcrm_provisioning.benchmarks.control_history import fill_control_database
from ghostcrm_provisioning.control_database.database import connection_options


def connect(url: str) -> psycopg.Connection[dict[str, Any]]:
    return psycopg.connect(
        connection_options(url, application_name="test"), autocommit=True, row_factory=dict_row
    )


def fill(url: str, *, clients: int, changes: int = 0) -> None:
    with connect(url) as connection:
        fill_control_database(connection, clients=clients, changes=changes)


@dataclass(frozen=True)
class Known:
    """A client as the tests know it: read plainly, without any of the ways of the list."""

    id: UUID
    name: str
    email: str
    status: str
    plan: str
    region: str | None
    server: str
    created_at: datetime

    @property
    def words(self) -> set[str]:
        return words_of(f"{self.name} {self.email}")

    def is_found_by(self, search: str) -> bool:
        beginning = search.strip().lower().replace("-", "")
        if re.fullmatch("[0-9a-f]{4,32}", beginning) and self.id.hex.startswith(beginning):
            return True
        return all(any(word.startswith(each) for word in self.words) for each in words_of(search))


def words_of(text: str) -> set[str]:
    plain = "".join(
        letter
        for letter in unicodedata.normalize("NFKD", text)
        if not unicodedata.combining(letter)
    )
    return {word for word in re.split(r"[ \t-\r!-/:-@\[-`{-~]+", plain.lower()) if word}


def known_clients(url: str) -> list[Known]:
    """All of them, newest first."""
    with connect(url) as connection:
        rows = connection.execute(
            "select c.id, c.name, a.email, c.status::text, c.plan, s.region, s.name as server, c.created_at"
            " from clients c join client_admins a on a.client_id = c.id"
            " join client_databases d on d.client_id = c.id join servers s on s.id = d.server_id"
        ).fetchall()
    return newest_first(Known(**row) for row in rows)


def newest_first(clients: Iterable[Known]) -> list[Known]:
    return sorted(clients, key=lambda client: (client.created_at, client.id), reverse=True)
