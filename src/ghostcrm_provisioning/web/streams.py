"""Server-sent events: what somebody looks at, sent again whenever it has changed.

An event is the whole of what is seen, not a difference: whoever reconnects, or missed ten events, is
right again with the next one. Its ``id`` is the digest of what it holds, so a browser that comes back
with ``Last-Event-ID`` is sent nothing that it has.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from time import monotonic
from typing import Any
from uuid import UUID

from fastapi.responses import Response, StreamingResponse
from fastapi.sse import format_sse_event
from starlette.types import Receive, Scope, Send

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.errors import GhostcrmError, TooManyStreams
from ghostcrm_provisioning.web.announcements import Announcements, Watcher

RETRY_MS = 3000
KEEPALIVE_SECONDS = 15.0
DEBOUNCE_SECONDS = 0.1
# Then it ends, and the browser comes back by itself: with a token that may have been revoked since.
LONGEST_SECONDS = 300.0
MOST_PER_PRINCIPAL = 12
# For so long it is believed that whoever is told things may still know them.
BELIEVED_SECONDS = 2.0

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass(frozen=True)
class Look:
    """What is seen at one moment; ``is_last`` when it will not change any more."""

    document: dict[str, Any]
    is_last: bool = False

    @property
    def text(self) -> str:
        return json.dumps(self.document, separators=(",", ":"))

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]


class Streams:
    """The streams of this process: how many each principal has open, and what ends them."""

    def __init__(
        self,
        announcements: Announcements,
        *,
        may_go_on: Callable[[Principal], Awaitable[bool]] | None = None,
    ) -> None:
        self._announcements = announcements
        self._may_go_on = may_go_on  # None: whoever has begun
        self._open: Counter[UUID] = Counter()

    async def begin(
        self,
        look: Callable[[], Awaitable[Look]],
        *,
        event: str,
        principal: Principal,
        about: UUID | None = None,
        last_event_id: str | None = None,
        debounce_seconds: float = DEBOUNCE_SECONDS,
    ) -> Response:
        """The answer that keeps telling what ``look`` sees, under the event's name; after the last one
        comes ``end``. Nothing (204), at which a browser stops to ask, when the last one is known.

        Args:
            about: the run that is looked at; None when anything may change what is seen.
            last_event_id: what the browser has, by its own account.
            debounce_seconds: changes that come faster than this are sent as one.

        Raises:
            TooManyStreams: the principal has as many open as one may have.
            Whatever the first look raises.
        """
        if self._open[principal.id] >= MOST_PER_PRINCIPAL:
            raise TooManyStreams(
                f"{principal.name} has {MOST_PER_PRINCIPAL} streams of events open already."
            )
        # Counted before anything is waited for: those who come at the same time see one another.
        place = _Place(self._open, principal.id)
        try:
            first = await look()
        except BaseException:
            place.give_back()
            raise
        if first.is_last and first.digest == last_event_id:
            place.give_back()
            return Response(status_code=204, headers=_HEADERS)
        telling = self._looking_for(principal, look)
        return _Stream(
            self._run(telling, event, place, about, last_event_id, debounce_seconds), place
        )

    def _looking_for(
        self, principal: Principal, look: Callable[[], Awaitable[Look]]
    ) -> Callable[[], Awaitable[Look | None]]:
        """``look``, or None once the principal's token, or account, is not what it was."""
        asked_at = monotonic()

        async def look_if_he_may() -> Look | None:
            nonlocal asked_at
            if self._may_go_on is not None and monotonic() - asked_at >= BELIEVED_SECONDS:
                if not await self._may_go_on(principal):
                    return None
                asked_at = monotonic()
            return await look()

        return look_if_he_may

    async def _run(
        self,
        look: Callable[[], Awaitable[Look | None]],
        event: str,
        place: _Place,
        about: UUID | None,
        known: str | None,
        debounce_seconds: float,
    ) -> AsyncGenerator[bytes]:
        try:
            async with self._announcements.watching(about) as watcher:
                yield format_sse_event(retry=RETRY_MS, comment="hello")
                telling = _tell(look, event, watcher, known, debounce_seconds)
                async with aclosing(telling):
                    async for part in telling:
                        yield part
        finally:
            place.give_back()


class _Place:
    """One of the streams that a principal may have open."""

    def __init__(self, taken: Counter[UUID], principal_id: UUID) -> None:
        self._taken = taken
        self._principal_id = principal_id
        self._is_held = True
        taken[principal_id] += 1

    def give_back(self) -> None:
        """Once; however often it is called."""
        if not self._is_held:
            return
        self._is_held = False
        self._taken[self._principal_id] -= 1
        if not self._taken[self._principal_id]:
            del self._taken[self._principal_id]


class _Stream(StreamingResponse):
    """One that lets go of what it holds when the browser has gone, and not some time later."""

    def __init__(self, parts: AsyncGenerator[bytes], place: _Place) -> None:
        super().__init__(parts, media_type="text/event-stream", headers=_HEADERS)
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            if isinstance(self.body_iterator, AsyncGenerator):
                await self.body_iterator.aclose()
            self._place.give_back()  # also when it was never begun to be read


async def _tell(
    look: Callable[[], Awaitable[Look | None]],
    event: str,
    watcher: Watcher,
    known: str | None,
    debounce_seconds: float,
) -> AsyncGenerator[bytes]:
    until = monotonic() + LONGEST_SECONDS
    while not watcher.is_over and monotonic() < until:
        try:
            seen = await look()
        except GhostcrmError as problem:
            # The control database does not answer, say. The page keeps what it has, and knows how old it is.
            failure = json.dumps({"code": problem.code, "message": problem.message})
            yield format_sse_event(event="problem", data_str=failure)
            if not problem.retryable:
                return
        else:
            if seen is None:
                return  # whoever comes back is told why
            if seen.digest != known:
                known = seen.digest
                yield format_sse_event(event=event, data_str=seen.text, id=known)
            if seen.is_last:
                yield format_sse_event(event="end", data_str="{}", id=known)
                return
        if await watcher.wait(KEEPALIVE_SECONDS):
            await asyncio.sleep(debounce_seconds)
        else:
            yield format_sse_event(comment="still here")
