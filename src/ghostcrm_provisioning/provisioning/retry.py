"""When a step is tried again, and how long to wait before."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ghostcrm_provisioning.errors import GhostcrmError, ToldToWait


@dataclass(frozen=True)
class RetryPolicy:
    """Three attempts by default, with exponential backoff and jitter.

    Waits are in seconds. Jitter keeps clients that failed together from coming back together.
    """

    max_attempts: int = 3
    first_wait: float = 2.0
    longest_wait: float = 60.0
    longest_told_to_wait: float = 900.0

    def wait_after(self, attempt: int) -> float:
        """How long to wait after the failure of ``attempt`` (from 1): between half and the whole of
        ``first_wait`` × 2^(attempt − 1), never more than ``longest_wait``."""
        whole = min(self.longest_wait, self.first_wait * 2.0 ** min(attempt - 1, 30))
        return float(random.uniform(whole / 2, whole))  # noqa: S311 - jitter, not a secret

    def decide(self, error: GhostcrmError, *, attempt: int, waited: float) -> Decision:
        """What follows from ``error`` in that attempt, when the step was started ``waited`` seconds
        ago for the first time."""
        if isinstance(error, ToldToWait):
            longest = max(self.longest_told_to_wait, error.patience_seconds or 0.0)
            if waited > longest:
                return Decision(None, attempt, "failed")
            return Decision(max(error.wait_seconds, 0.1), attempt, "told_to_wait")
        if not error.retryable or attempt >= self.max_attempts:
            return Decision(None, attempt, "failed")
        return Decision(self.wait_after(attempt), attempt + 1, "failed")


@dataclass(frozen=True)
class Decision:
    """``wait_seconds`` is None when the run has failed."""

    wait_seconds: float | None
    next_attempt: int
    outcome: str
