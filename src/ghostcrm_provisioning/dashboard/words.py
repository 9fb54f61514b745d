"""How states, kinds and numbers read on a page: one word for a state everywhere, with its icon and tone.

What a state means is decided elsewhere; this only says how it looks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

Tone = Literal["ok", "run", "warn", "bad", "quiet"]


@dataclass(frozen=True)
class Look:
    """The word, the tone and the icon of a state."""

    word: str
    tone: Tone
    icon: str


LOOKS: dict[str, Look] = {
    # clients
    "registered": Look("Registered", "quiet", "clock"),
    "provisioning": Look("Provisioning", "run", "turn"),
    "ready": Look("Ready", "ok", "check"),
    "failed": Look("Failed", "bad", "cross"),
    "quarantined": Look("Quarantined", "bad", "shield"),
    "suspended": Look("Suspended", "warn", "lock"),
    "deleting": Look("Being deleted", "run", "turn"),
    "deleted": Look("Deleted", "quiet", "cross"),
    # runs and steps
    "queued": Look("Queued", "quiet", "clock"),
    "pending": Look("Not started", "quiet", "dash"),
    "running": Look("Running", "run", "turn"),
    "waiting": Look("Waiting to retry", "warn", "clock"),
    "succeeded": Look("Succeeded", "ok", "check"),
    "done": Look("Done", "ok", "check"),
    "told_to_wait": Look("Told to wait", "warn", "clock"),
    "abandoned": Look("Abandoned", "warn", "warning"),
    # verdicts
    "proven": Look("Isolation proven", "ok", "shield"),
    "not_proven": Look("Isolation not proven", "bad", "shield"),
    # notifications
    "info": Look("Info", "quiet", "info"),
    "warning": Look("Warning", "warn", "warning"),
    "critical": Look("Critical", "bad", "cross"),
    "delivered": Look("Delivered", "ok", "check"),
    "undelivered": Look("Waiting for delivery", "warn", "clock"),
    "unwanted": Look("Kept here only", "quiet", "dash"),
    # servers and workers
    "accepting": Look("Accepting clients", "ok", "check"),
    "draining": Look("Not accepting clients", "warn", "dash"),
    "given": Look("With a given database only", "quiet", "info"),
    "full": Look("Full", "warn", "warning"),
    "unreachable": Look("Unreachable", "bad", "cross"),
    "alive": Look("Alive", "ok", "check"),
    "silent": Look("Silent", "bad", "cross"),
    # tokens and accounts
    "valid": Look("Valid", "ok", "check"),
    "expired": Look("Expired", "warn", "clock"),
    "revoked": Look("Revoked", "quiet", "cross"),
    "active": Look("Active", "ok", "check"),
    "disabled": Look("Disabled", "quiet", "dash"),
    "locked": Look("Locked", "warn", "lock"),
    # calls in the audit log
    "refused": Look("Refused", "warn", "lock"),
}


def look_of(state: str) -> Look:
    """How ``state`` looks; one that is not known here is shown as it is."""
    return LOOKS.get(state) or Look(state.replace("_", " ").capitalize(), "quiet", "dash")


KINDS = {
    "provision_client": "Provision",
    "change_plan": "Change plan",
    "suspend_client": "Suspend",
    "resume_client": "Resume",
    "delete_client": "Delete",
    "rotate_credentials": "Exchange credentials",
}
# What is said of a client that is ready while such a run is under way, and when it has failed.
UNDER_WAY = {
    "change_plan": "Plan is being changed",
    "suspend_client": "Being suspended",
    "resume_client": "Being resumed",
    "delete_client": "Being deleted",
    "rotate_credentials": "Credentials are being exchanged",
}
FAILED = {
    "change_plan": "Change of plan failed",
    "suspend_client": "Suspension failed",
    "resume_client": "Resumption failed",
    "delete_client": "Deletion failed",
    "rotate_credentials": "Exchange of credentials failed",
}


def kind_of(kind: str) -> str:
    """What a run does, in a word or two."""
    return KINDS.get(kind) or kind.replace("_", " ").capitalize()


def duration(milliseconds: float | None) -> str:
    """``4 ms``, ``18.2 s``, ``3 min 5 s``, ``2 h 10 min``, ``3 d 4 h``."""
    if milliseconds is None:
        return "–"
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    return _in_two_units(round(seconds))


def _in_two_units(seconds: int) -> str:
    for size, unit, next_size, next_unit in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if seconds >= size:
            rest = seconds % size // next_size
            return f"{seconds // size} {unit}" + (f" {rest} {next_unit}" if rest else "")
    return f"{seconds} s"


def relative(moment: datetime, now: datetime) -> str:
    """``12 s ago``, ``in 40 s``, ``4 min ago``, ``3 d ago``; the page's script says the same words."""
    seconds = round((now - moment).total_seconds())
    span = abs(seconds)
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if span >= size:
            words = f"{span // size} {unit}"
            break
    else:
        words = f"{span} s"
    if seconds == 0:
        return "now"
    return f"{words} ago" if seconds > 0 else f"in {words}"


def due(moment: datetime, now: datetime) -> str:
    """``in 40 s``; ``any moment`` once it should have happened."""
    return relative(moment, now) if moment > now else "any moment"


def absolute(moment: datetime) -> str:
    """``2026-11-29 10:41:07 UTC``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def count(number: float) -> str:
    """``1,204``."""
    return f"{number:,.0f}"


def size(number_of_bytes: float | None) -> str:
    """``1.4 GB``, in powers of 1000."""
    if number_of_bytes is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if number_of_bytes < 999.5:
            return f"{number_of_bytes:.3g} {unit}"
        number_of_bytes /= 1000
    return f"{number_of_bytes:.3g} TB"
