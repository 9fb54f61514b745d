"""One request to Supabase and its answer: the token, the budget, time-outs, and errors as ours.

What the requests are is in :mod:`management_api`. An error says whether what was asked may have been done
all the same: whoever repeats something that is not idempotent looks first.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from ghostcrm_provisioning.errors import (
    GhostcrmError,
    SupabaseAccessDenied,
    SupabaseRejected,
    SupabaseUnavailable,
    ToldToWait,
)
from ghostcrm_provisioning.postgres_errors import from_sqlstate
from ghostcrm_provisioning.providers.supabase.rate_budget import RateBudget

_LARGEST_ANSWER = 32 * 1024 * 1024  # bytes
_LONGEST_SENTENCE = 300
_MASK = "***"
_REMOVED = "Resource has been removed"
_TEMPORARY = frozenset({408, 421, 423, 425})
# "Failed to run sql query: ERROR: 42P01: relation …"
_SQL_ERROR = re.compile(r"ERROR:\s+(?P<sqlstate>[0-9A-Z]{5}): (?P<said>.*)")

Query = Sequence[tuple[str, str]]


class ResourceMissing(Exception):
    """404, or 400 "Resource has been removed": it is not there (any more)."""


@dataclass(frozen=True)
class Request:
    """What is asked. ``template`` is the path with ``{}`` for what varies: the endpoint, as Supabase counts.

    Attributes:
        counted_for: the project or organization that it is about; "user" for neither.
        secrets: what must not be seen in an error, though it was sent.
    """

    method: str
    template: str
    path: str
    counted_for: str = "user"
    query: Query = ()
    body: Mapping[str, Any] | None = None
    secrets: tuple[str, ...] = ()
    seconds: float | None = None

    def __repr__(self) -> str:
        return f"Request({self.endpoint})"

    @property
    def endpoint(self) -> str:
        return f"{self.method} {self.template}"

    @property
    def changes_nothing(self) -> bool:
        return self.method == "GET"


class Exchange:
    """Sends requests with one access token. Use it as a context manager."""

    def __init__(
        self,
        *,
        api_url: str,
        access_token: str,
        budget: RateBudget,
        request_seconds: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._token = access_token
        self._budget = budget
        self._seconds = request_seconds
        self._host = httpx.URL(api_url).netloc.decode("ascii")
        self._client = httpx.AsyncClient(
            base_url=api_url,
            headers={
                "Authorization": f"Bearer {access_token}",
                "Accept": "application/json",
                "User-Agent": "ghostcrm-provisioning",
            },
            follow_redirects=False,
            transport=transport,
        )

    def __repr__(self) -> str:
        return f"Exchange(host={self._host!r})"

    async def __aenter__(self) -> Exchange:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def ask(self, request: Request) -> Any:
        """The document that is answered; None when the answer is empty.

        Raises:
            ResourceMissing: what it is about is not there.
            ToldToWait: the budget is used up, here or there; nothing was done.
            SupabaseAccessDenied, SupabaseRejected: it was refused; nothing was done.
            SupabaseUnavailable: no answer, or a failure of theirs. ``may_be_done`` says more.
            DatabaseRejected, DatabaseBusy …: what PostgreSQL says to SQL that was run.
        """
        await self._budget.take(request.endpoint, request.counted_for)
        answer, content = await self._send(request)
        refused = answer.status_code == httpx.codes.TOO_MANY_REQUESTS
        wait = await self._budget.hear(
            request.endpoint, request.counted_for, answer.headers, refused=refused
        )
        if answer.is_success:
            return self._document(request, content)
        raise self._error(request, answer.status_code, content, wait)

    async def _send(self, request: Request) -> tuple[httpx.Response, bytes]:
        seconds = self._seconds if request.seconds is None else request.seconds
        try:
            async with (
                asyncio.timeout(seconds),
                self._client.stream(
                    request.method,
                    request.path,
                    params=list(request.query) or None,
                    json=request.body,
                    timeout=seconds,
                ) as answer,
            ):
                content = bytearray()
                async for piece in answer.aiter_bytes():
                    content += piece
                    if len(content) > _LARGEST_ANSWER:
                        raise SupabaseUnavailable(
                            f"{self._host} answers more than {_LARGEST_ANSWER} bytes "
                            f"({request.endpoint}).",
                            may_be_done=not request.changes_nothing,
                        )
                return answer, bytes(content)
        except (httpx.ConnectError, httpx.ConnectTimeout) as problem:
            # Nothing was sent.
            raise SupabaseUnavailable(
                f"{self._host} cannot be reached ({type(problem).__name__}).", may_be_done=False
            ) from None
        except (TimeoutError, httpx.TimeoutException):
            raise SupabaseUnavailable(
                f"{self._host} has not answered within {seconds:g} s ({request.endpoint}).",
                may_be_done=not request.changes_nothing,
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as problem:
            # Its text may quote what was sent.
            raise SupabaseUnavailable(
                f"The connection to {self._host} was lost ({type(problem).__name__}, "
                f"{request.endpoint}).",
                may_be_done=not request.changes_nothing,
            ) from None

    def _document(self, request: Request, content: bytes) -> Any:
        if not content.strip():
            return None
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise SupabaseUnavailable(
                f"{self._host} has answered something that is not JSON ({request.endpoint}).",
                may_be_done=not request.changes_nothing,
            ) from None

    def _error(
        self, request: Request, status: int, content: bytes, wait_seconds: float
    ) -> GhostcrmError | ResourceMissing:
        said = self._said(content, request.secrets)
        where = f"Supabase ({request.endpoint})"
        if status == httpx.codes.NOT_FOUND or (status == 400 and said == _REMOVED):
            return ResourceMissing(said or "not found")
        if status == httpx.codes.TOO_MANY_REQUESTS:
            return ToldToWait(f"{where} takes no more requests now.", wait_seconds=wait_seconds)
        if status in {401, 403}:
            return SupabaseAccessDenied(f"{where} answers {status}: {said or 'no reason given'}.")
        if found := _SQL_ERROR.search(said):
            return from_sqlstate(found["sqlstate"], found["said"].strip(), where=where)
        if status >= 500 or status in _TEMPORARY:
            return SupabaseUnavailable(
                f"{where} answers {status}: {said or 'no reason given'}.",
                may_be_done=not request.changes_nothing,
            )
        if 300 <= status < 400:
            return SupabaseRejected(
                f"{where} sends us elsewhere ({status}); the access token is not taken there.",
                next_step="Set SUPABASE_API_URL to the address of the Management API itself.",
            )
        return SupabaseRejected(f"{where} answers {status}: {said or 'no reason given'}.")

    def _said(self, content: bytes, secrets: Iterable[str]) -> str:
        """The sentence of an error, without what is secret. Only its first line: the others quote SQL."""
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            return ""
        message = document.get("message") if isinstance(document, dict) else None
        if isinstance(message, list):
            message = "; ".join(str(part) for part in message)
        if not isinstance(message, str):
            return ""
        text = (message.strip().splitlines() or [""])[0]
        for secret in (self._token, *secrets):
            if secret:
                text = text.replace(secret, _MASK)
        return text[:_LONGEST_SENTENCE].rstrip(".")
