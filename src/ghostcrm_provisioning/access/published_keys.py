"""The keys that the main project publishes (JWKS): fetched, kept for a while, fetched again.

Whoever sends tokens must not be able to make us fetch: between two attempts lies a minute, whatever is
asked. What a token must say is in ``main_project.py``.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt

from ghostcrm_provisioning.errors import MainProjectUnreachable

KEPT_SECONDS = 600.0  # as long as Supabase lets its own servers keep them
# When they cannot be fetched, the known ones serve on: they were right an hour ago.
SERVE_ON_SECONDS = 3600.0
FLOOR_SECONDS = 60.0  # between two attempts
FLOOR_WITHOUT_KEYS_SECONDS = 5.0  # while nothing is known, so that a start is not held up for long
_TIMEOUT_SECONDS = 3.0
_LARGEST_ANSWER = 256 * 1024  # bytes
_MOST_KEYS = 50
_SMALLEST_RSA = 2048  # bits; RFC 7518, 3.3


class PublishedKeys:
    """The keys at one address."""

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._lock = asyncio.Lock()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._trouble: str | None = None  # why the last attempt failed

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        """The key of that id; None when the main project has published none.

        Raises:
            MainProjectUnreachable: nobody can say whether there is one.
        """
        if not (self._is_fresh() and key_id in self._keys):
            async with self._lock:  # many wait for one answer
                if not (self._is_fresh() and key_id in self._keys) and self._may_try():
                    await self._try_to_fetch()
        found = self._keys.get(key_id) if self._serves() else None
        if found is None and (self._trouble is not None or not self._serves()):
            raise MainProjectUnreachable(
                f"The main project's keys cannot be read: {self._trouble or 'not tried yet'}."
            )
        return found

    def _age(self) -> float | None:
        return None if self._fetched_at is None else self._clock() - self._fetched_at

    def _is_fresh(self) -> bool:
        return (age := self._age()) is not None and age < KEPT_SECONDS

    def _serves(self) -> bool:
        return (age := self._age()) is not None and age < SERVE_ON_SECONDS

    def _may_try(self) -> bool:
        if self._tried_at is None:
            return True
        floor = FLOOR_SECONDS if self._serves() else FLOOR_WITHOUT_KEYS_SECONDS
        return self._clock() - self._tried_at >= floor

    async def _try_to_fetch(self) -> None:
        self._tried_at = self._clock()
        try:
            self._keys = _usable(await _fetch(self._url))
        except _NotFetched as problem:
            self._trouble = str(problem)
            return
        self._fetched_at = self._clock()
        self._trouble = None


class _NotFetched(Exception):
    """Why not, in words that may be shown."""


async def _fetch(url: str) -> list[Any]:
    """What stands at the address. No redirect is followed, nothing is unpacked, and it has an end."""
    body = bytearray()
    try:
        async with (
            asyncio.timeout(_TIMEOUT_SECONDS),
            httpx.AsyncClient(follow_redirects=False, timeout=_TIMEOUT_SECONDS) as client,
            client.stream(
                "GET", url, headers={"Accept": "application/json", "Accept-Encoding": "identity"}
            ) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                raise _NotFetched(f"it answered {answer.status_code}")
            async for piece in answer.aiter_raw():
                body += piece
                if len(body) > _LARGEST_ANSWER:
                    raise _NotFetched(f"its answer is larger than {_LARGEST_ANSWER} bytes")
    except TimeoutError:
        raise _NotFetched(f"it did not answer within {_TIMEOUT_SECONDS:.0f} s") from None
    except httpx.HTTPError as problem:
        raise _NotFetched(f"it does not answer ({type(problem).__name__})") from None
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise _NotFetched("its answer is no list of keys")
    return keys[:_MOST_KEYS]


def _usable(published: list[Any]) -> dict[str, jwt.PyJWK]:
    """The keys for ES256 and RS256, each for its own algorithm only. A symmetric key is none."""
    usable = {}
    for key in published:
        if not isinstance(key, dict) or not isinstance(key.get("kid"), str):
            continue
        match key:
            case {"kty": "EC", "crv": "P-256"}:
                algorithm = "ES256"
            case {"kty": "RSA"}:
                algorithm = "RS256"
            case _:
                continue
        if key.get("alg", algorithm) != algorithm:
            continue
        if key.get("use", "sig") != "sig":
            continue
        try:
            made = jwt.PyJWK(key, algorithm=algorithm)
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        if algorithm == "RS256" and made.key.key_size < _SMALLEST_RSA:
            continue
        usable[key["kid"]] = made
    return usable
