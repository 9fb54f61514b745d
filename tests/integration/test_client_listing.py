"""The list of clients: what is asked for, all of it, and each client once, whichever way it is found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from importlib.resources import files
from itertools import product
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg import sql

from ghostcrm_provisioning.clients import listing
from ghostcrm_provisioning.clients.documents import client_row_document
from ghostcrm_provisioning.clients.listing import (
    LISTING,
    STATUSES,
    ClientFilter,
    Place,
    count_by_status,
    list_clients,
)
from ghostcrm_provisioning.control_database.database import ControlDatabase
from ghostcrm_provisioning.wiring import Installation
from tests.command import ghostcrm
from tests.conftest import Server
from tests.integration.control import fetch, register
from tests.integration.filled_control import (
    Known,
    connect,
    fill,
    known_clients,
    words_of,
)
from tests.prepared_control import PreparedControl
from tests.provisioned import new_installation

CLIENTS = 220
SEARCHES = (
    "",
    "gmbh",
    "MÖBEL",
    "mobel gm",
    "falken",
    "office@firma",
    "anna.berg@firma000",
    "000117",
    "b",
    "nobody-has-this",
)


@pytest.fixture(scope="module")
def filled_url(
    server: Server, prepared_control: PreparedControl, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """A control database with clients; these tests only read it."""
    environment = new_installation(server, prepared_control, tmp_path_factory.mktemp("listing"))
    url = environment["GHOSTCRM_DATABASE_URL"]
    fill(url, clients=CLIENTS)
    with connect(url) as connection:
        # Some of the same moment: the id decides.
        connection.execute(
            "update clients set created_at = date_trunc('day', created_at), status = case"
            " when id::text < '2' then 'provisioning' when id::text < '3' then 'registered'"
            " else status end where status = 'ready'"
        )
        connection.execute(
            "update clients set status = 'deleted', wanted_status = 'deleted', deleted_at = now()"
            " where id::text between '3' and '4'"
        )
        connection.execute("truncate client_words")
        connection.execute(
            "insert into client_words select word, c.created_at, c.id from clients c,"
            " unnest(string_to_array(c.search_words, ' ')) as word where word <> ''"
        )
    return url


@pytest.fixture(scope="module")
def known(filled_url: str) -> list[Known]:
    return known_clients(filled_url)


@pytest.fixture(params=[0, 3000], ids=["every word is common", "words are rare"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """From how many clients on a word is called common: it decides the way that is taken."""
    monkeypatch.setattr(listing, "_COMMON", request.param)
    return int(request.param)


def are_wanted(known: list[Known], wanted: ClientFilter) -> list[Known]:
    return [
        client
        for client in known
        if client.is_found_by(wanted.search)
        and (not wanted.statuses or client.status in wanted.statuses)
        and (client.status != "deleted" or wanted.with_deleted or wanted.statuses)
        and (not wanted.plans or client.plan in wanted.plans)
        and (not wanted.regions or client.region in wanted.regions)
        and (not wanted.servers or client.server in wanted.servers)
    ]


FILTERS = [
    ClientFilter(search, *rest)
    for search, rest in product(
        SEARCHES,
        [
            (statuses, plans, regions, servers)
            for statuses in (
                (),
                ("failed",),
                ("quarantined", "ready"),
                ("provisioning", "deleted"),
            )
            for plans in ((), ("enterprise",), ("starter", "professional"))
            for regions in ((), ("eu-west",), ("us-east", "nowhere"))
            for servers in ((), ("bench-03", "bench-04"))
        ],
    )
]


@pytest.mark.usefixtures("way")
async def test_every_combination_of_filters_finds_what_a_plain_look_at_all_clients_finds(
    filled_url: str, known: list[Known]
) -> None:
    found = 0
    async with ControlDatabase(filled_url) as control, control.connection() as connection:
        for wanted in FILTERS[::3]:
            page = await list_clients(connection, wanted, limit=CLIENTS)
            expected = [client.id for client in are_wanted(known, wanted)]
            assert [row["id"] for row in page.rows] == expected, wanted
            assert not page.has_more
            assert page.next_place is None
            found += len(expected)
    assert found > 500


@pytest.mark.usefixtures("way")
async def test_counts_by_status_honour_the_other_filters(
    filled_url: str, known: list[Known]
) -> None:
    async with ControlDatabase(filled_url) as control, control.connection() as connection:
        for wanted in FILTERS[::7]:
            counted = await count_by_status(connection, wanted)
            others = ClientFilter(
                wanted.search, (), wanted.plans, wanted.regions, wanted.servers, with_deleted=True
            )
            expected = Counter(client.status for client in are_wanted(known, others))
            for count in counted:
                if count.is_capped:
                    assert count.clients == 100 < expected[count.status]
                else:
                    assert count.clients == expected[count.status], (wanted, count)
            assert {count.status for count in counted} == set(STATUSES)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("limit", [1, 7, 50])
async def test_the_pages_of_a_list_are_the_list(
    filled_url: str, known: list[Known], limit: int
) -> None:
    async with ControlDatabase(filled_url) as control, control.connection() as connection:
        for wanted in (
            ClientFilter(),
            ClientFilter(with_deleted=True),
            ClientFilter("gmbh"),
            ClientFilter(statuses=("failed", "quarantined")),
            ClientFilter(plans=("starter", "enterprise")),
            ClientFilter("falken", regions=("eu-west", "us-east")),
        ):
            seen: list[UUID] = []
            place: Place | None = None
            while True:
                page = await list_clients(connection, wanted, limit=limit, after=place)
                assert len(page.rows) <= limit
                seen += [row["id"] for row in page.rows]
                place = page.next_place
                if place is None:
                    break
            assert seen == [client.id for client in are_wanted(known, wanted)]


async def test_whoever_pages_while_others_register_sees_each_client_once(
    installation: Installation,
) -> None:
    fill(installation.control.url, clients=60)
    before = {client.id for client in known_clients(installation.control.url)}
    seen: list[UUID] = []
    place: Place | None = None
    async with installation.control.connection() as connection:
        while True:
            page = await list_clients(connection, ClientFilter(), limit=7, after=place)
            seen += [row["id"] for row in page.rows]
            place = page.next_place
            if place is None:
                break
            await register(
                installation, f"Came {len(seen)} later", email=f"it@x{len(seen)}.example.com"
            )
    assert len(seen) == len(set(seen))
    assert set(seen) == before


@pytest.mark.parametrize("beginning", [4, 8, 9, 13, 20, 36])
async def test_a_client_is_found_by_the_beginning_of_its_id(
    filled_url: str, known: list[Known], beginning: int
) -> None:
    async with ControlDatabase(filled_url) as control, control.connection() as connection:
        for client in known[::40]:
            text = str(client.id)[:beginning]
            wanted = ClientFilter(text.upper(), with_deleted=True)
            page = await list_clients(connection, wanted, limit=200)
            expected = [each.id for each in are_wanted(known, wanted)]
            assert client.id in expected
            assert [row["id"] for row in page.rows] == expected


async def test_a_search_for_nothing_but_signs_finds_nothing(filled_url: str) -> None:
    async with ControlDatabase(filled_url) as control, control.connection() as connection:
        page = await list_clients(connection, ClientFilter("?!"), limit=5)
        assert page.rows == []
        counted = await count_by_status(connection, ClientFilter("%_"))
        assert {count.clients for count in counted} == {0}
        everybody = await list_clients(connection, ClientFilter("  "), limit=5)
        assert len(everybody.rows) == 5


async def test_what_a_search_holds_is_never_a_part_of_the_statement(filled_url: str) -> None:
    async with ControlDatabase(filled_url) as control, control.connection() as connection:
        for text in (
            "'; drop table clients; --",
            "{found}",
            "%(search)s",
            "a" * 5000,
            "\\",
            "$1",
            "a\0b",
            "\udcff",
        ):
            await list_clients(
                connection, ClientFilter(text, (), (text,), (text,), (text,)), limit=5
            )
            await count_by_status(connection, ClientFilter(text))


@hypothesis_settings(max_examples=40, deadline=None)
@given(text=st.text(max_size=60))
def test_words_are_cut_as_the_manual_says(filled_url: str, text: str) -> None:
    if "\x00" in text or any(0xD800 <= ord(letter) < 0xE000 for letter in text):
        return
    with connect(filled_url) as connection:
        row = connection.execute("select words_of(%s) as words", (text,)).fetchone()
    assert row is not None
    ascii_only = text.isascii()
    if ascii_only:  # of other scripts, PostgreSQL and Python know other versions of Unicode
        assert set(row["words"]) == words_of(text)
    assert row["words"] == sorted(set(row["words"]), key=str.encode) or not ascii_only
    assert "" not in row["words"]


async def test_a_registered_client_is_found_by_name_email_server_and_region(
    installation: Installation,
) -> None:
    registered = await register(
        installation, "Müller & Söhne OHG", email="Chef.Ei@Mueller.example.com"
    )
    row = await fetch(
        installation,
        "select s.name, c.search_words from clients c join servers s on s.id = c.server_id"
        " where c.id = %(id)s",
        id=registered.client_id,
    )
    assert row["search_words"] == " chef com ei example mueller muller ohg sohne"
    async with installation.control.connection() as connection:
        for text in ("muller", "SÖHNE", "chef", "mueller.example", "ohg mül"):
            page = await list_clients(connection, ClientFilter(text), limit=5)
            assert [each["id"] for each in page.rows] == [registered.client_id], text
            document = client_row_document(page.rows[0])
            assert document["adminEmail"].lower() == "chef.ei@mueller.example.com"
            assert document["database"]["server"] == row["name"]
        assert (await list_clients(connection, ClientFilter("üller"), limit=5)).rows == []
        page = await list_clients(connection, ClientFilter(servers=(row["name"],)), limit=5)
        assert len(page.rows) == 1


async def test_what_changes_is_found_as_it_is_now(installation: Installation) -> None:
    registered = await register(installation, "Old Name GmbH", email="old@before.example.com")
    control = installation.control

    async def finds(text: str) -> int:
        async with control.connection() as connection:
            return len((await list_clients(connection, ClientFilter(text), limit=5)).rows)

    id_ = {"id": registered.client_id}
    await control.execute("update clients set name = 'New Name AG' where id = %(id)s", **id_)
    assert [await finds(text) for text in ("old", "new", "gmbh", "ag", "name")] == [1, 1, 0, 1, 1]
    await control.execute(
        "update client_admins set email = 'new@after.example.com' where client_id = %(id)s", **id_
    )
    assert [await finds(text) for text in ("old", "before", "after", "new")] == [0, 0, 1, 1]
    await control.execute(
        "insert into servers (name, provider, region) values ('other', 'postgres', 'far-away')"
    )
    await control.execute(
        "update client_databases set server_id = (select id from servers where name = 'other')"
        " where client_id = %(id)s",
        **id_,
    )
    async with control.connection() as connection:
        page = await list_clients(connection, ClientFilter(regions=("far-away",)), limit=5)
        assert [row["server_name"] for row in page.rows] == ["other"]
    await control.execute("delete from runs where client_id = %(id)s", **id_)
    await control.execute("delete from client_databases where client_id = %(id)s", **id_)
    await control.execute("delete from client_admins where client_id = %(id)s", **id_)
    await control.execute("delete from clients where id = %(id)s", **id_)
    assert (await fetch(installation, "select count(*) as words from client_words"))["words"] == 0


def test_clients_from_before_the_search_are_found_by_it(empty_control_url: str) -> None:
    folder = files("ghostcrm_provisioning.control_database").joinpath("sql")
    migrations = sorted(
        (entry for entry in folder.iterdir() if entry.name.endswith(".sql")),
        key=lambda entry: entry.name,
    )
    with connect(empty_control_url) as connection:
        connection.execute("create schema ghostcrm")
        for migration in migrations:
            if migration.name == "007_client_search.sql":
                connection.execute(
                    "insert into servers (name, provider) values ('home', 'postgres');"
                    "insert into clients (id, name, plan, wanted_plan, blueprint, registration_digest,"
                    " registered_by) values (gen_random_uuid(), 'Früher AG', 'a', 'a', 'b', '', 'test');"
                    "insert into client_admins select id, gen_random_uuid(), 'it@frueher.de', true"
                    " from clients;"
                    "insert into client_databases (id, client_id, server_id, name, credentials_sealed)"
                    " select gen_random_uuid(), c.id, s.id, 'x', '' from clients c, servers s"
                )
            connection.execute(migration.read_text(encoding="utf-8").encode())
        words = connection.execute("select word from client_words order by word").fetchall()
        assert [row["word"] for row in words] == ["ag", "de", "frueher", "fruher", "it"]
        assert connection.execute("select from clients where server_id is null").rowcount == 0


def test_the_command_searches_filters_and_goes_on(
    filled_url: str, known: list[Known], environment: Callable[..., dict[str, str]]
) -> None:
    variables = environment() | {"GHOSTCRM_DATABASE_URL": filled_url}
    wanted = ClientFilter("gmbh", ("ready", "failed"), ("starter",), ("eu-west",))
    expected = [str(client.id) for client in are_wanted(known, wanted)]
    options = (
        "--search", "gmbh", "--status", "ready", "--status", "failed", "--plan", "starter",
        "--region", "eu-west",
    )  # fmt: skip
    first = ghostcrm("clients", "list", *options, "--limit", "2", "--json", environment=variables)
    assert first.code == 0, first.stderr
    document = first.document
    assert document["hasMore"] is True
    assert document["nextCursor"] == document["data"][-1]["id"]
    rest = ghostcrm(
        "clients", "list", *options, "--after", document["nextCursor"], "--limit", "1000", "--json",
        environment=variables,
    ).document  # fmt: skip
    assert [row["id"] for row in document["data"] + rest["data"]] == expected
    shown = ghostcrm("clients", "list", *options, "--limit", "2", environment=variables).stdout
    assert (
        "More: ghostcrm clients list --search gmbh --status ready --status failed"
        in shown.replace("\n", " ")
    )
    nobody = ghostcrm("clients", "list", "--server", "nowhere", environment=variables)
    assert "No client is as asked for." in nobody.stdout
    deleted = next(client for client in known if client.status == "deleted")
    asked = ("clients", "list", "--search", str(deleted.id))
    hidden = ghostcrm(*asked, environment=variables).stdout
    assert "And 1 deleted: ghostcrm clients list --search" in hidden.replace("\n", " ")
    shown = ghostcrm(*asked, "--with-deleted", "--json", environment=variables).document
    assert [row["id"] for row in shown["data"]] == [str(deleted.id)]


LOOKED_AT = ("clients", "client_words", "client_admins", "client_databases", "isolation_verdicts")


async def test_no_list_reads_a_whole_table(
    server: Server,
    prepared_control: PreparedControl,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With so many clients that going through all of them would be the dearer way."""
    environment = new_installation(server, prepared_control, tmp_path)
    url = environment["GHOSTCRM_DATABASE_URL"]
    fill(url, clients=3000)
    monkeypatch.setattr(listing, "_COMMON", 300)
    async with ControlDatabase(url) as control, control.connection() as connection:
        for plans, wanted in product(("force_custom_plan", "force_generic_plan"), FILTERS[::7]):
            await connection.execute(
                sql.SQL("set plan_cache_mode = {}").format(sql.Identifier(plans))
            )
            search = await listing._measure(connection, wanted.search)
            if search is not None and search.finds_nothing:
                continue
            found = listing._found(wanted, search, limit=51, after=None)
            statement = sql.SQL("explain ") + sql.SQL(LISTING["page"]).format(found=found)
            parameters = listing._parameters(wanted, search, None)
            plan = await (await connection.execute(statement, parameters, prepare=True)).fetchall()
            text = "\n".join(row["QUERY PLAN"] for row in plan)
            for table in LOOKED_AT:
                assert f"Seq Scan on {table} " not in text, (wanted, text)
