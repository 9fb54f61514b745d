"""What a client does on its first day: 10,000 contacts come in, with everything that guards them."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator

import psutil
import psycopg
import pytest
from psycopg.errors import FeatureNotSupported

from tests.blueprint.conftest import Server
from tests.blueprint.people import Crm
from tests.blueprint.test_plan_limits import NO_DRIFT, drift, set_plan

COUNT = 10_000
_SERVICE, _SALESPERSON = "batches of 1,000, service", "batches of 1,000, salesperson"
COLUMNS = ("owner_id", "first_name", "last_name", "email", "phone", "job_title", "custom_fields")


def lines(crm: Crm, *, custom: bool) -> list[tuple[object, ...]]:
    return [
        (
            str(crm.ids["sales"]), "Ada", f"Lovelace {n}", f"ada{n}@example.com", f"+43 1 {n}",
            "Countess", json.dumps({"city": f"City {n % 100}", "size": n} if custom else {}),
        )
        for n in range(COUNT)
    ]  # fmt: skip


def copied(connection: psycopg.Connection, rows: list[tuple[object, ...]]) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy(f"copy public.contacts ({', '.join(COLUMNS)}) from stdin") as copy,
    ):
        for row in rows:
            copy.write_row(row)


def inserted(connection: psycopg.Connection, rows: list[tuple[object, ...]]) -> None:
    """As PostgREST does it: a document with 1,000 rows for each statement."""
    names = ", ".join(COLUMNS)
    for start in range(0, COUNT, 1_000):
        document = json.dumps([
            {**dict(zip(COLUMNS, row, strict=True)), "custom_fields": json.loads(str(row[-1]))}
            for row in rows[start : start + 1_000]
        ])  # fmt: skip
        connection.execute(
            f"insert into public.contacts ({names})"
            f" select {names} from json_populate_recordset(null::public.contacts, %s)", [document],
        )  # fmt: skip


@contextlib.contextmanager
def people(server: Server, database: str) -> Iterator[Crm]:
    with server.connect(database, "blueprint_admin") as connection:
        connection.execute("set role ghostcrm_client_owner")
        crm = Crm(connection)
        set_plan(connection, contacts=COUNT)
        for key, type_ in (("city", "text"), ("size", "number")):
            crm.insert(
                "custom_field_definitions", entity="contacts", key=key, title=key, type=type_
            )
        yield crm


@pytest.mark.alone
def test_10_000_contacts_come_in_within_seconds(server: Server, own_database: str) -> None:
    """Prints seconds on the clock and of the server's process; asserts what does not depend on the
    machine: row level security and its triggers cost a salesperson little more than the service."""
    ways: dict[str, tuple[str, Callable[..., None], bool]] = {
        "COPY, service": ("service", copied, False),
        "COPY, service, 2 custom fields": ("service", copied, True),
        _SERVICE: ("service", inserted, False),
        _SALESPERSON: ("sales", inserted, False),
        "batches of 1,000, salesperson, 2 custom fields": ("sales", inserted, True),
    }
    worked: dict[str, float] = {}
    with people(server, own_database) as crm:
        backend = psutil.Process(crm.connection.info.backend_pid)

        def measured(way: str) -> tuple[float, float]:
            who, load, custom = ways[way]
            rows = lines(crm, custom=custom)
            with crm.connection.transaction(force_rollback=True):
                crm.connection.execute("set local role service_role")
                if who == "sales":
                    crm.connection.execute("set local role authenticated")
                    claims = json.dumps({"sub": str(crm.ids[who]), "role": "authenticated"})
                    crm.connection.execute(
                        "select set_config('request.jwt.claims', %s, true)", [claims]
                    )
                began, clock = sum(backend.cpu_times()[:2]), time.perf_counter()
                load(crm.connection, rows)
                crm.connection.execute("set constraints all immediate")
                return sum(backend.cpu_times()[:2]) - began, time.perf_counter() - clock

        for way in ways:
            worked[way], clock = min(measured(way) for _ in range(2))
            print(f"{way}: {worked[way]:.2f} s of the server, {clock:.2f} s on the clock")

        def costs_little_more() -> bool:
            return worked[_SALESPERSON] <= 1.5 * worked[_SERVICE]

        # What else the machine does makes either slower now and then: a few more rounds show their best.
        for _ in range(10):
            if costs_little_more():
                break
            for way in (_SALESPERSON, _SERVICE):
                worked[way] = min(worked[way], measured(way)[0])
        assert costs_little_more(), worked


def test_an_import_is_guarded_like_every_single_row(server: Server, own_database: str) -> None:
    with people(server, own_database) as crm:
        rows = lines(crm, custom=True)
        # COPY and row level security do not go together in PostgreSQL: people import in batches.
        with pytest.raises(FeatureNotSupported), crm.acting_as("sales") as connection:
            copied(connection, rows[:1])
        with crm.acting_as("sales") as connection:
            inserted(connection, rows)
        counts = (
            "select count(*), (select count(*) from public.contact_field_values),"
            " (select count(*) from public.audit_logs where table_name = 'contacts')"
            " from public.contacts"
        )
        assert crm.connection.execute(counts).fetchone() == (COUNT, 2 * COUNT, COUNT)
        assert drift(crm.connection) == NO_DRIFT
        with pytest.raises(psycopg.Error) as caught, crm.connection.transaction():
            copied(crm.connection, rows[:1])
        assert caught.value.sqlstate == "PT402"
