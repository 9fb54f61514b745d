"""A full attack leaves a verdict; one that fails closes the client, until it is proven again."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from ghostcrm_provisioning.cli.doctor import examine
from ghostcrm_provisioning.connecting import connect_to, reset_admin_password
from ghostcrm_provisioning.errors import (
    ClientNotReady,
    ClientQuarantined,
    Conflict,
    DatabaseBusy,
    DatabaseRejected,
    NotFound,
    PostconditionNotMet,
)
from ghostcrm_provisioning.explanation import explain
from ghostcrm_provisioning.wiring import Installation
from tests.command import COMMAND
from tests.conftest import OpenInstallation, Server
from tests.integration.control import at_work, fetch, register
from tests.integration.isolation import (
    BREAKS,
    as_superuser,
    audited,
    is_let_in,
    now,
    ready_client,
    url_of,
    verdicts_on,
)
from tests.integration.processes import Processes
from tests.integration.waiting import eventually

Environment = Callable[..., dict[str, str]]


@pytest.fixture
async def small(opened: OpenInstallation, small_blueprint: Path) -> Installation:
    """An installation whose clients have one table."""
    return await opened(blueprint=small_blueprint, lease_seconds=1)


# --- verdicts -------------------------------------------------------------------------------------


async def test_a_proof_that_holds_leaves_a_dated_verdict_and_changes_nothing(
    small: Installation,
) -> None:
    client = await ready_client(small)
    assert client.verified_at is None
    verdict = await small.verifier.verify(client.id, requested_by="test")
    assert verdict.holds, verdict.sentences
    assert verdict.findings == []
    assert sum(verdict.attempts.values()) > 10, verdict.attempts
    assert verdict.catalog_fingerprint
    assert verdict.blueprint_fingerprint == client.blueprint_fingerprint
    assert (verdict.requested_by, verdict.client_id) == ("test", client.id)
    assert await verdicts_on(small, client) == [verdict]
    after = await now(small, client.id)
    assert (after.verified_at, after.isolation_holds) == (verdict.began_at, True)
    assert after.is_open
    assert await audited(small, client) == ["client.verified"]
    assert await is_let_in(await url_of(small, client))
    assert await small.control.fetch_all("select from notifications") == []


async def test_verdicts_cannot_be_changed_afterwards(small: Installation) -> None:
    client = await ready_client(small)
    await small.verifier.verify(client.id, requested_by="test")
    for statement in (
        "update isolation_verdicts set holds = holds",
        "delete from isolation_verdicts",
        "truncate isolation_verdicts cascade",
    ):
        with pytest.raises(DatabaseRejected, match="append-only"):
            await small.control.execute(statement)
    assert len(await verdicts_on(small, client)) == 1


async def test_doors_are_tried_as_another_client_where_there_is_one(small: Installation) -> None:
    client = await ready_client(small, "Alone")
    alone = await small.verifier.verify(client.id, requested_by="test")
    assert (alone.attempts["connect"], alone.attempts["connectAsAnotherClient"]) == (3, 0)
    await ready_client(small, "Neighbour")
    beside = await small.verifier.verify(client.id, requested_by="test")
    assert (beside.attempts["connect"], beside.attempts["connectAsAnotherClient"]) == (5, 1)
    assert beside.holds


async def test_a_client_that_is_not_ready_has_nothing_to_verify(small: Installation) -> None:
    registered = await register(small)
    with pytest.raises(ClientNotReady):
        await small.verifier.verify(registered.client_id, requested_by="test")
    with pytest.raises(Conflict):
        await small.verifier.release(registered.client_id, requested_by="test")
    with pytest.raises(NotFound):
        await small.verifier.verify(registered.run_id, requested_by="test")
    assert await small.control.fetch_all("select from isolation_verdicts") == []


# --- quarantine -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BREAKS)
async def test_a_failed_proof_closes_the_client_and_a_release_needs_a_proof(
    small: Installation, server: Server, name: str
) -> None:
    breaks, mends = BREAKS[name]
    client, other = await ready_client(small), await ready_client(small, "Other")
    app, service = await url_of(small, client), await url_of(small, client, "service")
    as_superuser(server, client.database_name, breaks)
    session = await psycopg.AsyncConnection.connect(app, autocommit=True)

    verdict = await small.verifier.verify(client.id, requested_by="test")
    assert not verdict.holds
    assert any("things" in sentence for sentence in verdict.sentences)
    closed = await now(small, client.id)
    assert (closed.status, closed.wanted_status) == ("quarantined", "quarantined")
    assert closed.quarantined_at is not None
    with pytest.raises(psycopg.OperationalError):
        await session.execute("select 1")
    await session.close()
    assert not await is_let_in(app)
    assert not await is_let_in(service)
    for refused in (
        connect_to(small, client.id, role="app", requested_by="test"),
        reset_admin_password(small, client.id, requested_by="test"),
    ):
        with pytest.raises(ClientQuarantined, match="isolation is not proven"):
            await refused
    (notification,) = await small.control.fetch_all("select * from notifications")
    assert notification["severity"] == "critical"
    assert client.name in notification["subject"]
    assert verdict.sentences[0] in notification["body"]
    assert f"ghostcrm clients release {client.id}" in notification["body"]
    explained = await explain(small.control, client.id, lease_seconds=1, max_attempts=3)
    assert (explained.status, explained.ready) == ("quarantined", False)
    assert explained.since == closed.quarantined_at
    assert list(explained.findings) == verdict.findings
    (isolation,) = [each for each in await examine(small.settings) if each.name == "Isolation"]
    assert isolation.status == "warning"
    assert "1 in quarantine" in isolation.seen
    log = "".join(path.read_text() for path in small.settings.logs.iterdir())
    assert '"client_quarantined"' in log
    assert (await now(small, other.id)).is_open, "others do not notice"

    still = await small.verifier.release(client.id, requested_by="test")
    assert not still.holds
    assert (await now(small, client.id)).status == "quarantined"
    assert not await is_let_in(app)
    assert len(await small.control.fetch_all("select from notifications")) == 1, "told once"

    as_superuser(server, client.database_name, mends)
    mended = await small.verifier.verify(client.id, requested_by="test")
    assert mended.holds
    assert (await now(small, client.id)).status == "quarantined", "only a release opens it"
    assert not await is_let_in(app)
    assert (await small.verifier.release(client.id, requested_by="test")).holds
    released = await now(small, client.id)
    assert released.is_open
    assert released.quarantined_at is None
    assert await is_let_in(app)
    assert await is_let_in(service), "what was enabled is enabled again"
    with pytest.raises(Conflict, match="not in quarantine"):
        await small.verifier.release(client.id, requested_by="test")
    assert [verdict.holds for verdict in await verdicts_on(small, client)] == [
        True,
        True,
        False,
        False,
    ]
    assert await audited(small, client) == [
        "client.verified",
        "client.quarantine_wanted",
        "client.quarantined",
        "client.verified",
        "client.verified",
        "client.verified",
        "client.release_wanted",
        "client.released",
    ]


async def test_a_door_that_was_left_open_is_found_from_the_neighbours_side(
    small: Installation, server: Server
) -> None:
    client, other = await ready_client(small), await ready_client(small, "Other")
    as_superuser(
        server, "postgres", f'grant connect on database "{client.database_name}" to public'
    )
    verdict = await small.verifier.verify(client.id, requested_by="test")
    codes = {finding["code"]: finding for finding in verdict.findings}
    assert codes["connect_open"]["caller"] == f"{other.database_name}_app"
    assert (await now(small, client.id)).status == "quarantined"
    # The closing has mended it; so the next proof holds, and only its own logins get in.
    assert (await small.verifier.release(client.id, requested_by="test")).holds
    assert (await small.verifier.verify(client.id, requested_by="test")).holds


async def test_a_login_that_opens_other_doors_is_found(small: Installation, server: Server) -> None:
    client, other = await ready_client(small), await ready_client(small, "Other")
    control = (await fetch(small, "select current_database() as name"))["name"]
    app = f"{client.database_name}_app"
    as_superuser(
        server, "postgres", f'grant connect on database "{other.database_name}" to "{app}"'
    )
    as_superuser(
        server,
        control,
        f'grant connect on database "{control}" to public',
        "grant usage on schema ghostcrm to public",
        "grant select (name) on ghostcrm.clients to public",
    )
    verdict = await small.verifier.verify(client.id, requested_by="test")
    found = {finding["code"]: finding["subject"] for finding in verdict.findings}
    assert found == {"connect_elsewhere": other.database_name, "rights_elsewhere": control}
    assert "select ghostcrm.clients" in str(verdict.findings)


async def test_a_neighbour_whose_password_was_changed_proves_nothing(
    small: Installation, server: Server
) -> None:
    client, other = await ready_client(small), await ready_client(small, "Other")
    as_superuser(server, "postgres", f"alter role \"{other.database_name}_app\" password 'another'")
    verdict = await small.verifier.verify(client.id, requested_by="test")
    assert verdict.holds
    assert verdict.attempts["connectAsAnotherClient"] == 0


# --- what is no failed proof ----------------------------------------------------------------------


async def test_what_could_not_be_tried_is_told_and_quarantines_nobody(
    small: Installation, server: Server
) -> None:
    client = await ready_client(small)
    as_superuser(server, client.database_name, BREAKS["row level security is off"][0])
    app = f"{client.database_name}_app"
    as_superuser(server, "postgres", f'alter role "{app}" connection limit 0')
    with pytest.raises(DatabaseBusy):
        await small.verifier.verify(client.id, requested_by="test")
    assert await verdicts_on(small, client) == []
    assert (await now(small, client.id)).is_open
    assert await small.control.fetch_all("select from notifications") == []
    assert await audited(small, client) == []
    tried = await fetch(small, "select verification_tried_at is not null as tried from clients")
    assert tried["tried"], "others come first in the next round"


async def test_an_attack_that_takes_too_long_is_broken_off(
    opened: OpenInstallation, small_blueprint: Path
) -> None:
    installation = await opened(blueprint=small_blueprint, verify_deadline_seconds=0.001)
    client = await ready_client(installation)
    with pytest.raises(DatabaseBusy):
        await installation.verifier.verify(client.id, requested_by="test")
    assert await verdicts_on(installation, client) == []
    assert (await now(installation, client.id)).is_open


# --- crashes --------------------------------------------------------------------------------------


@pytest.mark.long
async def test_killed_between_the_wish_and_its_making_a_worker_finishes_it(
    small: Installation,
    server: Server,
    environment: Environment,
    processes: Processes,
    small_blueprint: Path,
) -> None:
    client = await ready_client(small)
    app = await url_of(small, client)
    as_superuser(server, client.database_name, BREAKS["a table is granted to anon"][0])
    # Whoever has changed the database's rights and has not ended yet keeps others from doing so.
    with server.superuser() as superuser, superuser.transaction(force_rollback=True):
        superuser.execute(
            f'grant connect on database "{client.database_name}" to postgres'.encode()
        )
        verifying = processes.start(
            [*COMMAND, "verify", str(client.id)],
            environment(blueprint=small_blueprint, lease_seconds=1),
        )

        async def is_wished_for() -> bool:
            return (await now(small, client.id)).wanted_status == "quarantined"

        await eventually(is_wished_for, what="the wish is written")
        verifying.send_signal(signal.SIGKILL)
        verifying.wait()
        half_way = await now(small, client.id)
        assert half_way.status == "ready"
        with pytest.raises(ClientQuarantined):
            await connect_to(small, client.id, role="app", requested_by="test")
        explained = await explain(small.control, client.id, lease_seconds=1, max_attempts=3)
        assert explained.ready is False
        assert "being closed" in explained.sentence
    assert await is_let_in(app), "it has not been made yet"
    async with at_work(small):

        async def is_made() -> bool:
            return (await now(small, client.id)).status == "quarantined"

        await eventually(is_made, what="the worker has closed it")
    assert not await is_let_in(app)
    assert len(await verdicts_on(small, client)) == 1
    assert len(await small.control.fetch_all("select from notifications")) == 1


async def test_killed_between_the_wish_and_the_opening_a_worker_finishes_the_release(
    small: Installation, server: Server
) -> None:
    """What a process leaves behind that dies between the two: the wish, and closed doors."""
    breaks, mends = BREAKS["a table is granted to anon"]
    client = await ready_client(small)
    app = await url_of(small, client)
    as_superuser(server, client.database_name, breaks)
    await small.verifier.verify(client.id, requested_by="test")
    as_superuser(server, client.database_name, mends)
    await small.control.execute(
        "update clients set wanted_status = 'ready', updated_at = updated_at - interval '1 minute'"
    )
    async with at_work(small):

        async def is_open() -> bool:
            return (await now(small, client.id)).is_open

        await eventually(is_open, what="the worker has opened it")
    assert await is_let_in(app)


async def test_somebody_who_cannot_be_sent_away_keeps_the_status_from_being_set(
    small: Installation, server: Server
) -> None:
    with server.superuser() as superuser:
        if superuser.info.server_version < 160000:
            pytest.skip("before PostgreSQL 16, our login may send away everybody but superusers")
    breaks, _ = BREAKS["a table is granted to anon"]
    client = await ready_client(small)
    stranger = f"stranger_of_{client.database_name}"
    as_superuser(
        server,
        client.database_name,
        breaks,
        f"create role \"{stranger}\" login password 'its own'",
        f'grant connect on database "{client.database_name}" to "{stranger}"',
    )
    url = server.admin_url(client.database_name)
    parts = psycopg.conninfo.conninfo_to_dict(url) | {"user": stranger, "password": "its own"}
    session = await psycopg.AsyncConnection.connect(psycopg.conninfo.make_conninfo("", **parts))
    with pytest.raises(PostconditionNotMet, match=stranger):
        await small.verifier.verify(client.id, requested_by="test")
    waiting = await now(small, client.id)
    assert (waiting.status, waiting.wanted_status) == ("ready", "quarantined")
    assert len(await verdicts_on(small, client)) == 1
    await session.close()

    async def is_closed() -> bool:
        await small.verifier.look_after(client.id, 0)
        return (await now(small, client.id)).status == "quarantined"

    await eventually(is_closed, what="it was closed once the stranger had left")
    as_superuser(server, client.database_name, f'drop role "{stranger}"')


async def test_a_closed_client_whose_door_was_opened_behind_our_back_is_closed_again(
    small: Installation, server: Server
) -> None:
    client = await ready_client(small)
    app = await url_of(small, client)
    as_superuser(server, client.database_name, BREAKS["a table is granted to anon"][0])
    await small.verifier.verify(client.id, requested_by="test")
    as_superuser(
        server, "postgres", f'grant connect on database "{client.database_name}" to public'
    )
    assert await is_let_in(app)
    await small.verifier.look_after(client.id, 0)
    assert not await is_let_in(app)
    assert len(await verdicts_on(small, client)) == 1, "it was not attacked, only closed"
