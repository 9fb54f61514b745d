"""Whether this process can do its work: each thing that it needs, looked at, with a reason."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass
from typing import Any

from ghostcrm_provisioning.client_database.blueprint import read_blueprint
from ghostcrm_provisioning.errors import GhostcrmError
from ghostcrm_provisioning.queue.provisioning_queue import QueueStatus
from ghostcrm_provisioning.web.site import Site

_LONGEST_LOOK_SECONDS = 5.0
_LITTLE_SPACE_BYTES = 100 * 1024**2


@dataclass(frozen=True)
class Check:
    """One thing that is needed. ``seen`` is for people."""

    name: str
    holds: bool
    seen: str


@dataclass(frozen=True)
class Readiness:
    """Everything that was looked at."""

    checks: tuple[Check, ...]

    @property
    def is_ready(self) -> bool:
        return all(check.holds for check in self.checks)

    def as_document(self) -> dict[str, Any]:
        return {
            "ready": self.is_ready,
            "checks": [
                {"name": check.name, "ok": check.holds, "seen": check.seen} for check in self.checks
            ],
        }


async def look(site: Site) -> Readiness:
    """Look at database, queue, workers, disk and blueprint."""
    disk, blueprint = await asyncio.gather(
        asyncio.to_thread(_disk, site), asyncio.to_thread(_blueprint, site)
    )
    return Readiness((*await _database(site), disk, blueprint))


async def _database(site: Site) -> tuple[Check, ...]:
    try:
        async with asyncio.timeout(_LONGEST_LOOK_SECONDS):
            status = await site.queue_status.fresh()
    except TimeoutError:
        return (Check("database", holds=False, seen="it does not answer in time"),)
    except GhostcrmError as problem:
        # Not its message: host and port are no business of whoever asks without a token.
        return (Check("database", holds=False, seen=problem.code),)
    return (Check("database", holds=True, seen="it answers"), _queue(status), _workers(status))


def _queue(status: QueueStatus) -> Check:
    oldest = status.oldest_wait_ms
    waits = "nothing waits" if oldest is None else f"the oldest has waited {oldest / 1000:.1f} s"
    return Check("queue", holds=True, seen=f"{status.queue_length} queued; {waits}")


def _workers(status: QueueStatus) -> Check:
    count = status.standing_workers
    seen = f"{count} alive" if count else "none is alive: nothing will be provisioned"
    return Check("workers", holds=count > 0, seen=seen)


def _disk(site: Site) -> Check:
    try:
        free = shutil.disk_usage(site.installation.settings.home).free
    except OSError:
        return Check("disk", holds=False, seen="GHOSTCRM_HOME cannot be looked at")
    return Check("disk", free >= _LITTLE_SPACE_BYTES, f"{free / 1024**3:.1f} GB free")


def _blueprint(site: Site) -> Check:
    try:
        blueprint = read_blueprint(site.installation.settings.blueprint)
    except GhostcrmError as problem:
        return Check("blueprint", holds=False, seen=problem.code)
    return Check("blueprint", holds=True, seen=f"{blueprint.name} can be read")
