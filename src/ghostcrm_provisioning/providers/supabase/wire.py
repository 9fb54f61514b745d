"""One request over HTTP and what came back, bounded in time and size. Redirects are not followed.

Whose API it is, its keys, and what an answer means are for who sends: :mod:`exchange` for the Management
API, :mod:`project_api` for a project's own. An error says whether what was asked may have been done all
the same: whoever repeats something that is not idempotent looks first.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx

from ghostcrm_provisioning.errors import GhostcrmError, SupabaseRejected, SupabaseUnavailable

_LARGEST_ANSWER = 32 * 1024 * 1024  # bytes
_LONGEST_SENTENCE = 300
_MASK = "***"
_TEMPORARY = frozenset({408, 421, 423, 425})
# What the sentence of an error is called: by the Management API, PostgREST and Storage; by Auth, in its older
# and newer forms; by OAuth.
_SENTENCES = ("message", "msg", "error_description")

Query = Sequence[tuple[str, str]]


class ResourceMissing(Exception):
    """What a request is about is not there (any more)."""


@dataclass(frozen=True)
class Request:
    """What is asked. ``template`` is the path with ``{}`` for what varies: the endpoint, as Supabase counts.

    Attributes:
        counted_for: the project or organization that it is about; "user" for neither.
        secrets: what must not be seen in an error, though it was sent.
        seconds: how long it may take, when that is not what other requests may.
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


@dataclass(frozen=True)
class Answer:
    """What came back, whatever its status."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


@cache
def _trusted() -> ssl.SSLContext:
    """The certificates that are trusted; read once, which takes some hundredths of a second."""
    return httpx.create_ssl_context()


class Wire:
    """Sends requests to one address, with the same headers each time. Use it as a context manager."""

    def __init__(
        self,
        *,
        url: str,
        headers: Mapping[str, str],
        request_seconds: float,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._seconds = request_seconds
        self.host = httpx.URL(url).netloc.decode("ascii")
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={
                "Accept": "application/json",
                # Supabase refuses secret keys from what calls itself a browser.
                "User-Agent": "ghostcrm-provisioning",
                **headers,
            },
            follow_redirects=False,
            verify=_trusted(),
            transport=transport,
        )

    def __repr__(self) -> str:
        return f"Wire(host={self.host!r})"

    async def __aenter__(self) -> Wire:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def send(self, request: Request, headers: Mapping[str, str] | None = None) -> Answer:
        """The answer.

        Args:
            headers: for this request, beside those of every one.

        Raises:
            SupabaseUnavailable: there was none, or it is too large. ``may_be_done`` says more.
        """
        seconds = self._seconds if request.seconds is None else request.seconds
        try:
            async with (
                asyncio.timeout(seconds),
                self._client.stream(
                    request.method,
                    request.path,
                    params=list(request.query) or None,
                    json=request.body,
                    headers=headers,
                    timeout=seconds,
                ) as answer,
            ):
                content = bytearray()
                async for piece in answer.aiter_bytes():
                    content += piece
                    if len(content) > _LARGEST_ANSWER:
                        raise SupabaseUnavailable(
                            f"{self.host} answers more than {_LARGEST_ANSWER} bytes "
                            f"({request.endpoint}).",
                            may_be_done=not request.changes_nothing,
                        )
                return Answer(answer.status_code, answer.headers, bytes(content))
        except (httpx.ConnectError, httpx.ConnectTimeout) as problem:
            # Nothing was sent.
            raise SupabaseUnavailable(
                f"{self.host} cannot be reached ({type(problem).__name__}).", may_be_done=False
            ) from None
        except (TimeoutError, httpx.TimeoutException):
            raise SupabaseUnavailable(
                f"{self.host} has not answered within {seconds:g} s ({request.endpoint}).",
                may_be_done=not request.changes_nothing,
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as problem:
            # Its text may quote what was sent.
            raise SupabaseUnavailable(
                f"The connection to {self.host} was lost ({type(problem).__name__}, "
                f"{request.endpoint}).",
                may_be_done=not request.changes_nothing,
            ) from None

    def document(self, request: Request, answer: Answer) -> Any:
        """What is answered, as JSON; None when it is empty.

        Raises:
            SupabaseUnavailable: it is no JSON.
        """
        if not answer.content.strip():
            return None
        try:
            return json.loads(answer.content)
        except (ValueError, RecursionError):
            raise SupabaseUnavailable(
                f"{self.host} has answered something that is not JSON ({request.endpoint}).",
                may_be_done=not request.changes_nothing,
            ) from None


def object_in(answer: Answer) -> Mapping[str, Any]:
    """The object that an error answers; empty when it is none."""
    try:
        document = json.loads(answer.content)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def sentence_of(answer: Answer, secrets: Iterable[str]) -> str:
    """The sentence of an error, without what is secret. Only its first line: the others quote SQL."""
    document = object_in(answer)
    message = next((document[name] for name in _SENTENCES if document.get(name)), None)
    if isinstance(message, list):
        message = "; ".join(str(part) for part in message)
    if not isinstance(message, str):
        return ""
    text = (message.strip().splitlines() or [""])[0]
    for secret in secrets:
        if secret:
            text = text.replace(secret, _MASK)
    return text[:_LONGEST_SENTENCE].rstrip(".")


def error_of(
    request: Request, status: int, said: str, *, where: str, right_address: str
) -> GhostcrmError:
    """What an answer means that is no success, when its status has no meaning of its own to who asked.

    Args:
        said: the sentence of the error.
        right_address: what to do, when it sends us elsewhere.
    """
    if status >= 500 or status in _TEMPORARY:
        return SupabaseUnavailable(
            f"{where} answers {status}: {said or 'no reason given'}.",
            may_be_done=not request.changes_nothing,
        )
    if 300 <= status < 400:
        return SupabaseRejected(
            f"{where} sends us elsewhere ({status}); what opens it is not taken there.",
            next_step=right_address,
        )
    return SupabaseRejected(f"{where} answers {status}: {said or 'no reason given'}.")
