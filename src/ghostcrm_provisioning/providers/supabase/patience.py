"""How long a project may be on its way, when to look again, and what to say meanwhile.

Waiting is not failing: whoever waits is told to come back later. Each status may last only so long, for
projects do get stuck; then it is said which one, since when, and what to do.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from ghostcrm_provisioning.errors import ProjectStuck, ProjectUnusable, ToldToWait

_MINUTE = 60.0
_HOUR = 3600.0

# Nothing more will come of these by itself.
FAILED = frozenset({"INIT_FAILED", "RESTORE_FAILED", "PAUSE_FAILED"})
PAUSED = "INACTIVE"
PAUSING = "PAUSING"
GOING = frozenset({"GOING_DOWN", "REMOVED"})
# A word of ours, for a project whose status is ACTIVE_HEALTHY while a service of it is not yet.
SERVICES = "SERVICES_COMING_UP"

_REQUESTS_OF_GRACE = 3
_LEAST_GRACE = 30.0  # seconds: that we do not wait for long does not make Supabase any quicker

_DEADLINES = {
    # Usually two minutes; three quarters of an hour have been reported.
    "UNKNOWN": _HOUR,
    "COMING_UP": _HOUR,
    SERVICES: _HOUR / 2,
    "PAUSING": _HOUR,
    "RESTORING": 2 * _HOUR,
    "RESTARTING": _HOUR / 2,
    "RESIZING": _HOUR,
    "UPGRADING": 2 * _HOUR,
    "PROMOTING": _HOUR,
    "ACTIVE_UNHEALTHY": _HOUR / 2,
    "GOING_DOWN": 15 * _MINUTE,
    # Asked for, and nothing is to be seen of it yet.
    "PAUSE_ASKED": 15 * _MINUTE,
    "RESTORE_ASKED": 15 * _MINUTE,
    "DELETE_ASKED": 15 * _MINUTE,
}
_OTHER_DEADLINE = _HOUR  # of a status that is not known
_MEANINGS = {
    "UNKNOWN": "its creation was accepted",
    "COMING_UP": "it is being made",
    SERVICES: "its services are coming up",
    "PAUSING": "it is being paused",
    "RESTORING": "it is being restored",
    "RESTARTING": "it is restarting",
    "RESIZING": "its size is being changed",
    "UPGRADING": "it is being upgraded",
    "ACTIVE_UNHEALTHY": "it runs, and is not well",
    "GOING_DOWN": "it is being deleted",
    "REMOVED": "it is not there any more",
    "PAUSE_ASKED": "it was asked to pause, and does not yet",
    "RESTORE_ASKED": "it was asked to come back, and does not yet",
    "DELETE_ASKED": "it was asked to be deleted, and is still there",
}
# Supabase's documentation; of pausing and restoring it says nothing.
_USUALLY = {
    "UNKNOWN": "usually a project is there in under two minutes",
    "COMING_UP": "usually that takes under two minutes",
}
_FAILURES = {
    "INIT_FAILED": "it could not be made",
    "RESTORE_FAILED": "it could not be restored",
    "PAUSE_FAILED": "it could not be paused",
}


@dataclass(frozen=True)
class Patience:
    """All in seconds.

    Attributes:
        create_grace: for so long after a request to create that was not answered, its project may still
            appear: nothing is asked for again before. Longer than one request may take.
        ask_again: after so long without any effect, a pause, restore or delete is asked for again.
    """

    first_look: float = 2.0
    longest_look: float = 30.0
    create_grace: float = 90.0
    ask_again: float = 60.0
    deadlines: Mapping[str, float] = field(default_factory=lambda: dict(_DEADLINES))

    def deadline(self, status: str) -> float:
        return self.deadlines.get(status, _OTHER_DEADLINE)

    def next_look(self, seconds: float) -> float:
        """After ``seconds`` of waiting: the longer it lasts, the less often; no two at the same instant."""
        wait = min(max(self.first_look, seconds * 0.3), self.longest_look)
        return wait * random.uniform(0.8, 1.2)  # noqa: S311

    def come_back(self, ref: str, status: str, seconds: float, *, more: str = "") -> ToldToWait:
        """The error to raise for a project that is on its way.

        Raises:
            ProjectStuck: it has been so for too long.
        """
        meaning = _MEANINGS.get(status, "this program does not know that status, and waits")
        said = f"The project {ref} is {status}: {meaning}{more}"
        if seconds > self.deadline(status):
            raise ProjectStuck(
                f"{said}, for {_words(seconds)}; more than {_words(self.deadline(status))} is too long.",
                ref=ref,
                status=status,
                seconds=round(seconds),
            )
        usually = f"{_USUALLY[status]}, and " if status in _USUALLY else ""
        longest = _words(self.deadline(status))
        return ToldToWait(
            f"{said}, for {_words(seconds)}; {usually}{longest} are waited at most.",
            wait_seconds=self.next_look(seconds),
        )


def patience_for(request_seconds: float) -> Patience:
    """Where one request may take so long: what was sent, and not answered in that time, may be done later
    still."""
    return Patience(create_grace=max(_LEAST_GRACE, _REQUESTS_OF_GRACE * request_seconds))


def unusable(ref: str, status: str) -> ProjectUnusable:
    """For a project out of whose status nothing leads by itself."""
    if status in {PAUSED, PAUSING}:
        return ProjectUnusable(
            f"The project {ref} is {status}: it is paused.",
            next_step="Restore it in Supabase's dashboard, then retry the client. Supabase itself pauses "
            "projects of its free plan that nobody has used for a week.",
            ref=ref,
            status=status,
        )
    return ProjectUnusable(
        f"The project {ref} is {status}: {_FAILURES.get(status, 'it does not get on')}.",
        ref=ref,
        status=status,
    )


def _words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 2 * _MINUTE else f"{seconds / _MINUTE:.0f} min"
