"""What a step saw when it looked at the world."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Observation:
    """Whether the world is as wanted, and what was seen, in words for an operator."""

    holds: bool
    seen: str
