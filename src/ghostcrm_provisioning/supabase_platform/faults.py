"""Faults on request: what goes wrong at Supabase now and then, to be seen surviving it.

A fault meets requests by method and path, for a number of them or until it is taken back. It is
recorded in the platform's database, so it meets what comes to another process of the platform too.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from ghostcrm_provisioning.control_database.database import ControlDatabase
from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.supabase_platform.connections import hang_up
from ghostcrm_provisioning.supabase_platform.project import PROJECTS

FAULTS = NamedSql(__package__, "faults.sql")

# Those that the door sees to; "stuck" and "duplicate_name" are for whoever does the work.
AT_THE_DOOR = ("drop_reply", "error_before", "error_after", "too_many_requests", "silence")
KINDS = (*AT_THE_DOOR, "stuck", "duplicate_name")
_OWN_PATHS = "/platform/"
_WAIT_SECONDS = 1.0
_MESSAGES = {500: "Internal server error", 544: "Connection terminated due to connection timeout"}

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(eq=False)
class _Silence:
    """One request about which nothing is heard: whether that is over, and whether its work is done."""

    fault_id: UUID
    over: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Faults:
    """The faults that were asked for."""

    def __init__(self, records: ControlDatabase) -> None:
        self._records = records
        self._silent: set[_Silence] = set()

    async def all(self) -> list[dict[str, Any]]:
        return [document_of(row) for row in await self._records.fetch_all(FAULTS["list_faults"])]

    async def add(
        self,
        *,
        kind: str,
        method: str | None,
        path: str,
        times: int | None,
        status: int | None,
        seconds: float | None,
        state: str | None,
    ) -> dict[str, Any]:
        row = await self._records.fetch_one(
            FAULTS["insert_fault"],
            id=uuid4(),
            kind=kind,
            method=method,
            path=path,
            remaining=times,
            status=status,
            seconds=seconds,
            state=state,
        )
        assert row is not None
        return document_of(row)

    async def take_back(self, fault_id: Any | None = None) -> list[dict[str, Any]]:
        """One of them, or all. Projects that are stuck because of it go on; what was silent because of
        it, in this process, is done when this returns."""
        rows = (
            await self._records.fetch_all(FAULTS["delete_all_faults"])
            if fault_id is None
            else await self._records.fetch_all(FAULTS["delete_fault"], id=fault_id)
        )
        for row in rows:
            if row["kind"] == "stuck":
                await self._records.execute(PROJECTS["release_stuck"], state=row["state"])
        taken = {row["id"] for row in rows}
        ending = [each for each in self._silent if each.fault_id in taken]
        for each in ending:
            each.over.set()
        for each in ending:
            await each.done.wait()
        return [document_of(row) for row in rows]

    @asynccontextmanager
    async def silence(self, fault_id: UUID, seconds: float) -> AsyncIterator[None]:
        """Begins after so many seconds, or when the fault is taken back; whoever takes it back waits
        for what is done inside."""
        silence = _Silence(fault_id)
        self._silent.add(silence)
        try:
            # It may have been taken back since it was met.
            if await self._records.fetch_one(FAULTS["find_fault"], id=fault_id) is not None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await silence.over.wait()
            yield
        finally:
            self._silent.discard(silence)
            silence.done.set()

    async def meet(self, *kinds: str, method: str, path: str) -> Mapping[str, Any] | None:
        """The fault that this request meets; it is counted."""
        return await self._records.fetch_one(
            FAULTS["meet"], kinds=list(kinds), method=method, path=path
        )


def document_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """A fault as its endpoint answers it."""
    return {
        "id": str(row["id"]),
        "kind": row["kind"],
        "method": row["method"],
        "path": row["path"],
        "remaining": row["remaining"],
        "met": row["met"],
        "status": row["status"],
        "seconds": row["seconds"],
        "state": row["state"],
        "createdAt": row["created_at"].isoformat(),
    }


class FaultyDoor:
    """Stands before the application: lets a request in, or does to it what was asked for."""

    def __init__(self, application: Application, faults: Faults) -> None:
        self._application = application
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_OWN_PATHS):
            await self._application(scope, receive, send)
            return
        fault = await self._faults.meet(
            *AT_THE_DOOR, method=str(scope["method"]), path=str(scope["path"])
        )
        if fault is None:
            await self._application(scope, receive, send)
            return
        match fault["kind"]:
            case "drop_reply":
                await self._work_silently(scope, receive)
                await hang_up(scope, receive)
            case "error_before":
                await _answer_error(send, fault["status"] or 500)
            case "error_after":
                await self._work_silently(scope, receive)
                await _answer_error(send, fault["status"] or 500)
            case "too_many_requests":
                await _answer_too_many(send, fault["seconds"])
            case "silence":
                # What has arrived is done, even when nobody waits for the answer any more.
                arrived = await _received(receive)
                async with self._faults.silence(fault["id"], fault["seconds"] or 0):
                    await self._application(scope, _again(arrived, receive), send)

    async def _work_silently(self, scope: Scope, receive: Receive) -> None:
        """Do what was asked; nobody hears of it."""

        async def unheard(_: Message) -> None:
            return

        await self._application(scope, receive, unheard)


async def _received(receive: Receive) -> list[Message]:
    """The whole request."""
    arrived = [await receive()]
    while arrived[-1].get("more_body"):
        arrived.append(await receive())
    return arrived


def _again(arrived: list[Message], receive: Receive) -> Receive:
    """What has arrived, as if it did now; then whatever comes."""

    async def receive_again() -> Message:
        return arrived.pop(0) if arrived else await receive()

    return receive_again


async def _answer_error(send: Send, status: int) -> None:
    await _answer(send, status, _MESSAGES.get(status, "Internal server error"), {})


async def _answer_too_many(send: Send, seconds: float | None) -> None:
    wait = str(max(1, round(_WAIT_SECONDS if seconds is None else seconds)))
    headers = {
        "retry-after": wait,
        "x-ratelimit-limit": "120",
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": wait,
    }
    await _answer(send, 429, "ThrottlerException: Too Many Requests", headers)


async def _answer(send: Send, status: int, message: str, headers: Mapping[str, str]) -> None:
    body = json.dumps({"message": message}).encode()
    fields = {
        "content-type": "application/json; charset=utf-8",
        "content-length": str(len(body)),
        **headers,
    }
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})
