"""Idempotency-Key: the same POST sent twice happens once, and is answered the same way twice.

A key counts for one caller, one address and 24 hours. Two at once: one is worked on, the other is told
so (409). A process that dies in between leaves a claim that runs out; whoever sends the request again
then has it done, and what is done converges. Only answers that say that it was done are kept; after a
refusal or a failure nothing was changed, and the key is free again. Keys of callers are ours: they are
not passed on to the registrar, whose own keys would be shared by all callers.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from base64 import b64decode, b64encode
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID, uuid4

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.errors import (
    GhostcrmError,
    IdempotencyKeyMismatch,
    MalformedRequest,
    RequestStillRunning,
)
from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.provisioning_log import get_logger
from ghostcrm_provisioning.web.site import Site

IDEMPOTENCY = NamedSql(__package__, "idempotency.sql")

KEEP_HOURS = 24
_HEADER = b"idempotency-key"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_KEPT_HEADERS = frozenset({"content-type", "location", "retry-after"})
# After the time of a request is up, nobody works on it any more.
_SLACK_SECONDS = 15.0
_SECONDS_BETWEEN_CLEANINGS = 600.0


@dataclass(frozen=True)
class _Claim:
    """The right to work on one request."""

    principal: str
    route: str
    key: str
    claimed_by: UUID

    @property
    def parameters(self) -> dict[str, Any]:
        return vars(self).copy()

    @property
    def seal_name(self) -> str:
        return f"idempotent_requests/{self.principal}/{self.route}/{self.key}"


class Idempotency:
    """The layer around the routes of the API."""

    def __init__(self, app: ASGIApp, *, site: Site) -> None:
        self._app = app
        self._site = site
        self._cleaned_at = -_SECONDS_BETWEEN_CLEANINGS
        self._log = get_logger("web")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        claim = _claim_of(scope) if scope["type"] == "http" else None
        if claim is None:
            await self._app(scope, receive, send)
            return
        await self._clean()
        known = await self._begin(claim, scope)
        if known is not None:
            await known(scope, receive, send)
            return
        answer = _Held()
        try:
            await self._app(scope, receive, answer)
            if answer.says_done:
                await self._keep(claim, answer)
        finally:
            if not answer.says_done:
                # Should that not be possible, the claim runs out.
                with suppress(GhostcrmError, TimeoutError):
                    async with asyncio.timeout(5):
                        await self._site.installation.control.execute(
                            IDEMPOTENCY["release"], **claim.parameters
                        )
        await answer.pass_on(send)

    async def _begin(self, claim: _Claim, scope: Scope) -> Response | None:
        """None when it is ours to do, else the answer that was given before.

        Raises:
            IdempotencyKeyMismatch: the key came with another request.
            RequestStillRunning: somebody is at it.
        """
        sealer = self._site.installation.sealer
        digest = _digest(scope)
        parameters = claim.parameters | {
            "sealed_digest": sealer.seal(digest, belongs_to=f"{claim.seal_name}/digest"),
            "lease_seconds": scope["state"]["seconds"] + _SLACK_SECONDS,
            "keep_hours": KEEP_HOURS,
        }
        async with self._site.installation.control.transaction() as connection:
            begun = await connection.execute(IDEMPOTENCY["begin"], parameters)
            if await begun.fetchone() is not None:
                return None
            cursor = await connection.execute(IDEMPOTENCY["find_for_update"], parameters)
            row = await cursor.fetchone()
            if row is None:  # it was released at this very moment
                raise RequestStillRunning
            if not row["is_old"]:
                known = sealer.open(
                    bytes(row["sealed_digest"]), belongs_to=f"{claim.seal_name}/digest"
                )
                if known != digest:
                    raise IdempotencyKeyMismatch
                if row["sealed_answer"] is not None:
                    return _replayed(
                        sealer.open(bytes(row["sealed_answer"]), belongs_to=claim.seal_name)
                    )
                if row["is_claimed"]:
                    raise RequestStillRunning
            await connection.execute(IDEMPOTENCY["claim_again"], parameters)
        return None

    async def _keep(self, claim: _Claim, answer: _Held) -> None:
        sealed = self._site.installation.sealer.seal(answer.as_text(), belongs_to=claim.seal_name)
        try:
            await self._site.installation.control.execute(
                IDEMPOTENCY["keep_answer"], **claim.parameters, sealed_answer=sealed
            )
        except GhostcrmError as problem:
            # It was done: to say otherwise would be worse than not being able to say it twice.
            self._log.error("idempotent_answer_lost", error=problem.message, route=claim.route)

    async def _clean(self) -> None:
        if monotonic() - self._cleaned_at < _SECONDS_BETWEEN_CLEANINGS:
            return
        self._cleaned_at = monotonic()
        await self._site.installation.control.execute(
            IDEMPOTENCY["delete_old"], keep_hours=KEEP_HOURS
        )


class _Held:
    """An answer that is kept back until it is sealed; called as ``send``."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._is_whole = False

    async def __call__(self, message: Message) -> None:
        self._messages.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._is_whole = True

    @property
    def says_done(self) -> bool:
        return self._is_whole and 200 <= self._messages[0]["status"] < 300

    def as_text(self) -> str:
        start = self._messages[0]
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]
        }
        body = b"".join(message.get("body", b"") for message in self._messages[1:])
        return json.dumps(
            {
                "status": start["status"],
                "headers": {k: v for k, v in headers.items() if k.lower() in _KEPT_HEADERS},
                "body": b64encode(body).decode(),
            }
        )

    async def pass_on(self, send: Send) -> None:
        for message in self._messages:
            await send(message)


def _claim_of(scope: Scope) -> _Claim | None:
    """None when the request is not one for which a key counts.

    Raises:
        MalformedRequest: the key cannot be one.
    """
    principal = scope["state"].get("principal")
    if scope["method"] != "POST" or not scope["path"].startswith("/api/"):
        return None
    if "\0" in scope["path"]:  # there is nothing at such an address, and PostgreSQL keeps none
        return None
    sent = [value for name, value in scope["headers"] if name == _HEADER]
    if not sent or not isinstance(principal, Principal):
        return None
    key = sent[0].decode("latin-1")
    if len(sent) > 1 or not _KEY.fullmatch(key):
        raise MalformedRequest(
            "The Idempotency-Key is not one.",
            next_step="Send one with 1 to 255 printable ASCII characters without blanks, such as a UUID.",
        )
    # By id: a name may be given to another token later.
    return _Claim(f"{principal.kind}:{principal.id}", scope["path"][:500], key, uuid4())


def _digest(scope: Scope) -> str:
    """What two requests have in common that are the same: not the spelling of their JSON, and not how
    long the caller is willing to wait."""
    body: bytes = scope["state"].get("body", b"")
    with suppress(ValueError, RecursionError):
        body = json.dumps(json.loads(body), sort_keys=True).encode()
    query = sorted(
        pair
        for pair in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if pair[0] != "wait"
    )
    return hashlib.sha256(json.dumps(query).encode() + b"\n" + body).hexdigest()


def _replayed(text: str) -> Response:
    kept = json.loads(text)
    return Response(
        b64decode(kept["body"]),
        status_code=kept["status"],
        headers=kept["headers"] | {"Idempotent-Replayed": "true"},
    )
