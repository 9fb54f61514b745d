"""Streams of events and what they listen to: one connection for all, that comes back when it is lost; an end when the
process leaves; so many for each principal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi.responses import StreamingResponse

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.errors import DatabaseBusy, TooManyStreams
from ghostcrm_provisioning.serving import Serving
from ghostcrm_provisioning.web import streams as streams_module
from ghostcrm_provisioning.web.announcements import Announcements
from ghostcrm_provisioning.web.site import open_site
from ghostcrm_provisioning.web.snapshot import Snapshot
from ghostcrm_provisioning.web.streams import Look, Streams
from ghostcrm_provisioning.wiring import Installation
from tests.api.conftest import Calling
from tests.integration.waiting import eventually

_LISTENERS = "select pid from pg_stat_activity where application_name = 'ghostcrm announcements' and datname = current_database()"  # noqa: E501
SOMEBODY = Principal("account", uuid4(), "olga@example.com", frozenset())


async def announce(installation: Installation, about: UUID) -> None:
    await installation.control.fetch_one(
        "select pg_notify('ghostcrm_runs', %(about)s::text || ' run running')", about=about
    )


async def listeners(installation: Installation) -> list[int]:
    return [row["pid"] for row in await installation.control.fetch_all(_LISTENERS)]


@pytest.fixture
def announcements(installation: Installation) -> Announcements:
    return Announcements(installation.control.url, leaving=asyncio.Event())


async def test_one_connection_serves_all_and_is_closed_after_the_last(
    installation: Installation, announcements: Announcements
) -> None:
    one, other = uuid4(), uuid4()
    async with (
        announcements.watching(one) as first,
        announcements.watching(other) as second,
        announcements.watching() as everything,
    ):
        for watcher in (first, second, everything):
            assert await watcher.wait(60), "it stands: now is the time to look"
        assert len(await listeners(installation)) == 1
        await announce(installation, one)
        assert await first.wait(60)
        assert await everything.wait(60)
        assert not await second.wait(0), "that was none of its business"
        for _ in range(20):
            await announce(installation, other)
        assert await second.wait(60)
    assert announcements.watchers == 0
    await eventually(lambda: _none_of(installation), what="the connection is closed")


async def _none_of(installation: Installation) -> bool:
    return not await listeners(installation)


async def test_a_lost_connection_comes_back_and_everybody_looks_again(
    installation: Installation, announcements: Announcements
) -> None:
    run = uuid4()
    async with announcements.watching(run) as watcher:
        assert await watcher.wait(60)
        (pid,) = await listeners(installation)
        await installation.control.fetch_one("select pg_terminate_backend(%(pid)s)", pid=pid)
        assert await watcher.wait(60), "what was announced meanwhile is looked for"
        await announce(installation, run)
        assert await watcher.wait(60)
        assert await listeners(installation) != [pid]


async def test_waiting_ends_at_once_when_the_process_leaves(installation: Installation) -> None:
    leaving = asyncio.Event()
    announcements = Announcements(installation.control.url, leaving=leaving)

    async def never() -> int | None:
        return None

    waiting = asyncio.create_task(announcements.wait_until(never, about=None, seconds=600))
    await eventually(_is(lambda: announcements.watchers == 1), what="it waits")
    leaving.set()
    assert await asyncio.wait_for(waiting, 60) is None
    assert await announcements.wait_until(never, about=None, seconds=600) is None


def _is(condition: Callable[[], object]) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return bool(condition())

    return look


def parts_of(answer: object) -> AsyncGenerator[bytes]:
    """What a stream sends."""
    assert isinstance(answer, StreamingResponse)
    assert isinstance(answer.body_iterator, AsyncGenerator)
    return answer.body_iterator


async def test_a_stream_sends_what_has_changed_and_keeps_alive(
    announcements: Announcements, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams_module, "KEEPALIVE_SECONDS", 0.05)
    seen: list[object] = [1, 1, DatabaseBusy("The control database is busy."), 1, 2, 2, 3]

    async def look() -> Look:
        value = seen.pop(0) if len(seen) > 1 else seen[0]
        if isinstance(value, Exception):
            raise value
        return Look({"value": value}, is_last=value == 3)

    answer = await Streams(announcements).begin(
        look, event="thing", principal=SOMEBODY, last_event_id=None, debounce_seconds=0
    )
    assert answer.headers["cache-control"] == "no-store"
    text = b"".join([part async for part in parts_of(answer)]).decode()
    assert text.startswith(": hello\nretry: 3000\n\n")
    told = [json.loads(line[6:]) for line in text.splitlines() if line.startswith('data: {"value')]
    assert told == [{"value": 1}, {"value": 2}, {"value": 3}]
    assert 'event: problem\ndata: {"code": "database_busy"' in text
    assert text.endswith(f"event: end\ndata: {{}}\nid: {Look({'value': 3}).digest}\n\n")
    assert announcements.watchers == 0


async def test_what_a_browser_has_is_not_sent_again(announcements: Announcements) -> None:
    async def look() -> Look:
        return Look({"value": 3}, is_last=True)

    streams = Streams(announcements)
    known = Look({"value": 3}).digest
    answer = await streams.begin(look, event="thing", principal=SOMEBODY, last_event_id=known)
    assert answer.status_code == 204


async def test_so_many_streams_for_each_principal_and_no_more(
    announcements: Announcements,
) -> None:
    async def look() -> Look:
        return Look({"value": 1})

    streams = Streams(announcements)
    begun = []
    for _ in range(streams_module.MOST_PER_PRINCIPAL):
        stream = parts_of(await streams.begin(look, event="thing", principal=SOMEBODY))
        await anext(stream)
        begun.append(stream)
    with pytest.raises(TooManyStreams):
        await streams.begin(look, event="thing", principal=SOMEBODY)
    stranger = Principal("account", uuid4(), "else@example.com", frozenset())
    assert await streams.begin(look, event="thing", principal=stranger)
    await begun.pop().aclose()
    assert await streams.begin(look, event="thing", principal=SOMEBODY)
    for stream in begun:
        await stream.aclose()


async def test_those_who_come_together_are_counted_before_they_look(
    announcements: Announcements,
) -> None:
    may_look = asyncio.Event()

    async def look() -> Look:
        await may_look.wait()
        return Look({"value": 1})

    async def broken() -> Look:
        raise DatabaseBusy("Not now.")

    streams = Streams(announcements)
    for _ in range(streams_module.MOST_PER_PRINCIPAL):
        with pytest.raises(DatabaseBusy):  # what never began takes no place
            await streams.begin(broken, event="thing", principal=SOMEBODY)
    begun = [
        asyncio.create_task(streams.begin(look, event="thing", principal=SOMEBODY))
        for _ in range(3 * streams_module.MOST_PER_PRINCIPAL)
    ]
    await asyncio.sleep(0)
    may_look.set()
    answers = await asyncio.gather(*begun, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, TooManyStreams)]
    assert len(answers) - len(refused) == streams_module.MOST_PER_PRINCIPAL


async def test_a_stream_ends_with_the_token_the_session_or_the_account_that_it_was_begun_with(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams_module, "BELIEVED_SECONDS", 0.0)
    monkeypatch.setattr(streams_module, "KEEPALIVE_SECONDS", 0.1)
    site = open_site(installation)
    token = await site.tokens.create(
        name="watcher", scopes=frozenset({Scope.QUEUE_READ}), created_by="a test"
    )
    password = "correct horse battery"
    account = await site.accounts.create(
        email="olga@example.com",
        scopes=frozenset({Scope.QUEUE_READ}),
        by="a test",
        password=password,
    )
    principals = [
        await site.tokens.authenticate(token.token.get_secret_value()),
        await site.accounts.authenticate("olga@example.com", password, address="192.0.2.1"),
    ]
    new = await site.sessions.begin(principals[1], address="192.0.2.1", user_agent="a test")
    session = await site.sessions.find(new.cookie.get_secret_value())
    assert session is not None
    principals.append(session.principal)

    async def look() -> Look:
        return Look({"value": 1})

    streams = []
    for principal in principals:
        stream = parts_of(await site.streams.begin(look, event="thing", principal=principal))
        for _ in range(4):  # it goes on, also when nothing happens
            await anext(stream)
        streams.append(stream)
    await site.tokens.revoke(token.id, revoked_by="a test")
    await site.sessions.end(session)
    async with asyncio.timeout(60):
        assert len([part async for part in streams.pop()]) <= 1
    assert await anext(streams[1]), "that one has signed out, the other one has not"
    await site.accounts.set_scopes(account.id, frozenset({Scope.AUDIT_READ}), by="a test")
    async with asyncio.timeout(60):
        for stream in streams:
            assert len([part async for part in stream]) <= 1  # one that was on its way


async def test_a_reading_is_shared_by_those_who_come_together() -> None:
    begun: list[int] = []
    go_on = asyncio.Event()

    async def look() -> int:
        begun.append(len(begun))
        await go_on.wait()
        return begun[-1]

    snapshot = Snapshot(look)
    first = asyncio.create_task(snapshot.fresh())
    await eventually(_is(lambda: begun), what="it is being read")
    others = [asyncio.create_task(snapshot.fresh()) for _ in range(20)]
    await asyncio.sleep(0)
    others[0].cancel()
    go_on.set()
    assert await first == 0
    assert await asyncio.gather(*others[1:]) == [1] * 19, "read after they had asked, and once"
    assert len(begun) == 2


@asynccontextmanager
async def served(installation: Installation) -> AsyncIterator[Serving]:
    """The application behind a real uvicorn, in this process."""
    serving = Serving(installation, host="127.0.0.1", port=0)
    task = asyncio.create_task(serving.run())
    await serving.started()
    yield serving
    serving.stop()
    await asyncio.wait_for(task, 60)


async def test_the_queue_is_told_over_a_real_connection_until_the_server_leaves(
    installation: Installation, calling: Calling
) -> None:
    token = (await calling(Scope.QUEUE_READ, Scope.CLIENTS_WRITE)).headers["Authorization"]
    async with (
        served(installation) as serving,
        httpx.AsyncClient(
            base_url=serving.url, headers={"Authorization": token}, timeout=60
        ) as caller,
        caller.stream("GET", "/api/admin/queue/events") as stream,
    ):
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.aiter_lines()
        lengths = []
        async for line in lines:
            if line.startswith("data: "):
                lengths.append(json.loads(line[6:])["queueLength"])
                if lengths[-1] == 1:
                    break
                data = {"name": "ACME Corp", "adminEmail": "admin@acme.com"}
                await caller.post("/api/admin/provision-client", json={"clientData": data})
        assert lengths[0] == 0
        serving.stop()
        rest = [line async for line in lines]
        assert all(line == "" or line.startswith((":", "data", "event", "id")) for line in rest)
