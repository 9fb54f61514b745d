"""One request to Supabase's Management API and its answer: the token, the budget, and errors as ours.

What the requests are is in :mod:`management_api`, how they are sent in :mod:`wire`.
"""

from __future__ import annotations

import re
from typing import Any

import httpx

from ghostcrm_provisioning.errors import GhostcrmError, SupabaseAccessDenied, ToldToWait
from ghostcrm_provisioning.postgres_errors import from_sqlstate
from ghostcrm_provisioning.providers.supabase.rate_budget import RateBudget
from ghostcrm_provisioning.providers.supabase.wire import (
    Answer,
    Request,
    ResourceMissing,
    Wire,
    error_of,
    object_in,
    sentence_of,
)

_REMOVED = "Resource has been removed"
_MOST_PERMISSIONS = 20
# "Failed to run sql query: ERROR: 42P01: relation …"
_SQL_ERROR = re.compile(r"ERROR:\s+(?P<sqlstate>[0-9A-Z]{5}): (?P<said>.*)")


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
        self._wire = Wire(
            url=api_url,
            headers={"Authorization": f"Bearer {access_token}"},
            request_seconds=request_seconds,
            transport=transport,
        )

    def __repr__(self) -> str:
        return f"Exchange(host={self._wire.host!r})"

    async def __aenter__(self) -> Exchange:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._wire.__aexit__()

    async def ask(self, request: Request) -> Any:
        """The document that is answered; None when the answer is empty.

        Raises:
            ResourceMissing: 404, or 400 "Resource has been removed": what it is about is not there.
            ToldToWait: the budget is used up, here or there; nothing was done.
            SupabaseAccessDenied, SupabaseRejected: it was refused; nothing was done.
            SupabaseUnavailable: no answer, or a failure of theirs. ``may_be_done`` says more.
            DatabaseRejected, DatabaseBusy …: what PostgreSQL says to SQL that was run.
        """
        await self._budget.take(request.endpoint, request.counted_for)
        answer = await self._wire.send(request)
        refused = answer.status == httpx.codes.TOO_MANY_REQUESTS
        wait = await self._budget.hear(
            request.endpoint, request.counted_for, answer.headers, refused=refused
        )
        if answer.is_success:
            return self._wire.document(request, answer)
        raise self._error(request, answer, wait)

    def _error(
        self, request: Request, answer: Answer, wait_seconds: float
    ) -> GhostcrmError | ResourceMissing:
        status = answer.status
        said = sentence_of(answer, (self._token, *request.secrets))
        where = f"Supabase ({request.endpoint})"
        if status == httpx.codes.NOT_FOUND or (status == 400 and said == _REMOVED):
            return ResourceMissing(said or "not found")
        if status == httpx.codes.TOO_MANY_REQUESTS:
            return ToldToWait(f"{where} takes no more requests now.", wait_seconds=wait_seconds)
        if status in {401, 403}:
            return _denied(f"{where} answers {status}: {said or 'no reason given'}", answer)
        if found := _SQL_ERROR.search(said):
            return from_sqlstate(found["sqlstate"], found["said"].strip(), where=where)
        return error_of(
            request,
            status,
            said,
            where=where,
            right_address="Set SUPABASE_API_URL to the address of the Management API itself.",
        )


def _denied(sentence: str, answer: Answer) -> SupabaseAccessDenied:
    """A token that was made for some purposes only is told which permissions it lacks."""
    missing = object_in(answer).get("missing_permissions")
    if not isinstance(missing, list) or not missing:
        return SupabaseAccessDenied(f"{sentence}.")
    names = ", ".join(str(each)[:60] for each in missing[:_MOST_PERMISSIONS])
    return SupabaseAccessDenied(
        f"{sentence}. The access token lacks: {names}.",
        next_step="Make another access token that has them (one that is there cannot be changed), and set "
        "SUPABASE_ACCESS_TOKEN to it.",
    )
