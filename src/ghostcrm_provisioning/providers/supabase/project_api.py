"""A project's own API (Auth, REST, Storage): where it is, what a key needs, and its errors as ours.

It has a host of its own and other limits than the Management API, whose budget it is not counted in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from ghostcrm_provisioning.errors import GhostcrmError, SupabaseAccessDenied, ToldToWait
from ghostcrm_provisioning.providers.supabase.wire import (
    Answer,
    Request,
    ResourceMissing,
    Wire,
    error_of,
    object_in,
    sentence_of,
)

_SUPABASE = "https://api.supabase.com"
_NEW_KEYS = ("sb_publishable_", "sb_secret_")
_WAIT_SECONDS = 60.0  # of a 429 that does not say how long
_LONGEST_WAIT_SECONDS = 3600.0


def project_url(api_url: str, ref: str) -> str:
    """The address of a project's API: its host at Supabase; below the address of any other platform,
    where a project has a path.

    Args:
        api_url: of the Management API, as SUPABASE_API_URL has it.
    """
    address = api_url.rstrip("/")
    return f"https://{ref}.supabase.co" if address == _SUPABASE else f"{address}/project/{ref}"


def headers_of(key: str | None, token: str | None = None) -> dict[str, str]:
    """What opens a project's API.

    Every request names a key in ``apikey``. The older keys are JWTs, which Auth and PostgREST read out of
    ``Authorization``, so they stand in both. A new key is none: it stands in ``apikey`` alone, for which the
    gateway puts a token of its own; as a bearer it is refused (supabase.com/docs/guides/api/api-keys).

    Args:
        token: of somebody who has signed in; it then says who asks, and the key only that they may.
    """
    headers = {} if key is None else {"apikey": key}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    elif key is not None and not key.startswith(_NEW_KEYS):
        headers["Authorization"] = f"Bearer {key}"
    return headers


class ProjectApi:
    """Asks a project's API as one caller. Use it as a context manager."""

    def __init__(
        self,
        *,
        project_url: str,
        key: str | None,
        token: str | None = None,
        request_seconds: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._secrets = tuple(each for each in (key, token) if each)
        self._wire = Wire(
            url=project_url,
            headers=headers_of(key, token),
            request_seconds=request_seconds,
            transport=transport,
        )

    def __repr__(self) -> str:
        return f"ProjectApi(host={self.host!r})"

    @property
    def host(self) -> str:
        return self._wire.host

    async def __aenter__(self) -> ProjectApi:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._wire.__aexit__()

    async def send(self, request: Request) -> Answer:
        """Whatever is answered. Raises SupabaseUnavailable: nothing is."""
        return await self._wire.send(request)

    def document(self, request: Request, answer: Answer) -> Any:
        """What is answered, as JSON; None when it is empty. Raises SupabaseUnavailable: it is no JSON."""
        return self._wire.document(request, answer)

    def error(self, request: Request, answer: Answer) -> GhostcrmError | ResourceMissing:
        """What an answer means that is no success.

        Returns:
            ResourceMissing: 404.
            ToldToWait: 429, for as long as it says.
            SupabaseAccessDenied: 401, 403; the key is not taken.
            SupabaseUnavailable: a failure of theirs. ``may_be_done`` says more.
            SupabaseRejected: anything else; nothing was done.
        """
        said = sentence_of(answer, (*self._secrets, *request.secrets))
        where = f"The project's API at {self.host} ({request.endpoint})"
        match answer.status:
            case 404:
                return ResourceMissing(said or "not found")
            case 429:
                return ToldToWait(
                    f"{where} takes no more requests now.",
                    wait_seconds=_wait_seconds(answer.headers),
                )
            case 401 | 403:
                return SupabaseAccessDenied(
                    f"{where} answers {answer.status}: {said or 'no reason given'}.",
                    next_step="Check the project's key: it must be of this project, a secret key or "
                    "service_role for what administers, and neither deleted nor disabled under "
                    "Project Settings, API Keys.",
                )
        return error_of(
            request,
            answer.status,
            said,
            where=where,
            right_address="Use the address of the project's API itself: https://REF.supabase.co.",
        )


def code_of(answer: Answer) -> str:
    """The code of an error: Auth's ``error_code``, or ``code`` in its newer form, of PostgREST and of
    PostgreSQL; Storage's ``error``. Empty when there is none."""
    document = object_in(answer)
    for name in ("error_code", "code", "error"):
        # Auth's older form has the status in ``code``.
        if isinstance(found := document.get(name), str):
            return found
    return ""


def _wait_seconds(headers: Mapping[str, str]) -> float:
    text = headers.get("retry-after", "").strip()
    seconds = float(text) if text.isdecimal() and len(text) <= 9 else 0.0
    return min(seconds or _WAIT_SECONDS, _LONGEST_WAIT_SECONDS)
