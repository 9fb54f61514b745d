"""The budget of requests at Supabase, shared by all workers through the control database.

Taken before a request is sent, so that we seldom hear a 429; corrected by what the answers say, because
others may use the same account. Counted as Supabase does: for each endpoint, and the project or
organization that it is about.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping

from ghostcrm_provisioning.control_database.database import ControlDatabase
from ghostcrm_provisioning.errors import ToldToWait
from ghostcrm_provisioning.named_sql import NamedSql

BUDGET = NamedSql(__package__, "rate_budget.sql")

WINDOW_SECONDS = 60.0
ALLOWED = 120  # what Supabase documents; its answers say it anew each time
_LONGEST_WAIT_SECONDS = 3600.0
_FORGET_ONE_IN = 500


class RateBudget:
    """The budget of one account: an access token at one address."""

    def __init__(
        self, control: ControlDatabase, *, api_url: str, access_token: str, allowed: int = ALLOWED
    ) -> None:
        self._control = control
        self._allowed = allowed
        self._account = hashlib.sha256(f"{api_url} {access_token}".encode()).hexdigest()[:32]

    async def take(self, endpoint: str, counted_for: str) -> None:
        """Take one request from the budget.

        Raises:
            ToldToWait: nothing is left in this minute; nothing was sent.
        """
        key = self._key(endpoint, counted_for)
        if random.randrange(_FORGET_ONE_IN) == 0:  # noqa: S311
            await self._control.execute(BUDGET["forget_old"])
        taken = await self._control.fetch_one(
            BUDGET["take"], allowed=self._allowed, window_seconds=WINDOW_SECONDS, **key
        )
        if taken is None:
            row = await self._control.fetch_one(BUDGET["seconds_to_wait"], **key)
            seconds = float(row["seconds"]) if row else 0.0
            raise ToldToWait(
                f"The requests that Supabase allows in this minute are used up ({endpoint}).",
                # Not all at the same instant.
                wait_seconds=seconds + random.uniform(0.1, 1.0),  # noqa: S311
            )

    async def hear(
        self, endpoint: str, counted_for: str, headers: Mapping[str, str], *, refused: bool
    ) -> float:
        """Correct the budget by the headers of an answer.

        Args:
            refused: it was a 429.

        Returns:
            How long to wait, in seconds; 0 when it was not a 429.
        """
        key = self._key(endpoint, counted_for)
        reset = _number(headers.get("x-ratelimit-reset"))
        if refused:
            wait = max(_number(headers.get("retry-after")) or 0.0, reset or 0.0)
            # A 429 that does not say how long: the minute it is about is over in a minute.
            wait = min(wait or WINDOW_SECONDS, _LONGEST_WAIT_SECONDS)
            await self._control.execute(BUDGET["exhaust"], wait_seconds=wait, **key)
            return wait
        limit = _number(headers.get("x-ratelimit-limit"))
        remaining = _number(headers.get("x-ratelimit-remaining"))
        if limit and remaining is not None and reset is not None and remaining <= limit:
            await self._control.execute(
                BUDGET["correct"],
                allowed=int(limit),
                spent=int(limit - remaining),
                reset_seconds=min(reset, _LONGEST_WAIT_SECONDS),
                **key,
            )
        return 0.0

    def _key(self, endpoint: str, counted_for: str) -> dict[str, str]:
        return {"account": self._account, "endpoint": endpoint, "counted_for": counted_for}


def _number(text: str | None) -> float | None:
    """Seconds or a count; what is neither says nothing (a Retry-After may be a date, too)."""
    if text is None or not text.strip().isdecimal() or len(text.strip()) > 9:
        return None
    return float(text)
