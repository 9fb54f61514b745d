"""Everything that the page of the queue shows, and the sentence that says whether it gets on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from ghostcrm_provisioning.clients.client import CLIENTS
from ghostcrm_provisioning.clients.standing import (
    count_running_by_server,
    find_standings,
    list_waiting,
    now_at_control,
)
from ghostcrm_provisioning.dashboard.client_view import titles_of
from ghostcrm_provisioning.dashboard.words import count, duration
from ghostcrm_provisioning.provisioning.client_database_provisioner import WORKFLOWS
from ghostcrm_provisioning.queue.provisioning_queue import QueueStatus
from ghostcrm_provisioning.web.site import Site

_MOST_WAITING = 50


@dataclass(frozen=True)
class ServerUse:
    """How many runs are carried out on a server, of how many at the same time."""

    name: str
    running: int
    limit: int


@dataclass(frozen=True)
class QueueView:
    """The queue as it is now."""

    status: QueueStatus
    waiting: list[dict[str, Any]]
    servers: list[ServerUse]
    now: datetime
    # Those of the failed runs that are their client's latest: the others were overtaken by its deletion, say.
    retryable: frozenset[UUID]

    @property
    def places(self) -> int:
        """How many runs the workers that others may count on can carry out at the same time."""
        return sum(worker["concurrency"] for worker in self.status.workers if worker["standing"])

    @property
    def busy(self) -> int:
        return sum(worker["busy"] for worker in self.status.workers)

    @property
    def limit(self) -> int:
        """Of runs at the same time: by the workers' places or by the servers, whichever is less."""
        return min(self.places, sum(server.limit for server in self.servers))

    @property
    def rate_per_minute(self) -> float:
        """How many runs have ended a minute, over the last five."""
        return self.status.ended_last_five_minutes / 5

    @property
    def tone(self) -> Literal["ok", "warn", "bad", "run"]:
        if not self.status.workers:
            return "bad"
        return "warn" if self._is_saturated else "run" if self.status.processing else "ok"

    @property
    def _is_saturated(self) -> bool:
        return self.status.queue_length > 0 and self.status.processing >= max(1, self.limit)

    @property
    def sentence(self) -> str:
        """Whether it gets on, and if not, why."""
        status = self.status
        if not status.workers:
            waiting = status.queue_length + status.waiting + status.processing
            return "No workers are running. Nothing will be provisioned until one starts." + (
                f" {_clients(waiting, 'waits', 'wait')}." if waiting else ""
            )
        if self._is_saturated:
            sentence = (
                f"All {count(self.limit)} places are taken: "
                f"{_clients(status.queue_length, 'waits', 'wait')} for one"
            )
            if self.rate_per_minute:
                left = status.queue_length / self.rate_per_minute * 60_000
                return f"{sentence}; the last in about {duration(left)}."
            return f"{sentence}."
        if status.queue_length:
            return f"{_clients(status.queue_length, 'is', 'are')} about to be taken up."
        if status.processing:
            return (
                f"{_clients(status.processing, 'is', 'are')} being worked on; "
                "nobody waits for a worker."
            )
        if status.waiting:
            return (
                f"{_clients(status.waiting, 'waits', 'wait')} for the next attempt; "
                "nobody waits for a worker."
            )
        return "Nothing is waiting, and nothing is being worked on."

    @property
    def version(self) -> str:
        """Changes when something does that the page shows; the passing of time is nothing."""
        status = self.status
        seen = (
            status.queue_length,
            status.failed_last_day,
            [(row["run_id"], row["status"], row["step"], row["attempt"]) for row in status.current],
            [(row["run_id"], row["run_id"] in self.retryable) for row in status.failures],
            [(worker["id"], worker["busy"]) for worker in status.workers],
            [row["run_id"] for row in self.waiting],
        )
        return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]


async def look_at_queue(site: Site) -> QueueView:
    """The queue as it is now."""
    installation = site.installation
    status = await site.queue_status.fresh()
    async with installation.control.connection() as connection:
        waiting = await list_waiting(connection, limit=_MOST_WAITING)
        running = await count_running_by_server(connection)
        now = await now_at_control(connection)
        failed = [row["client_id"] for row in status.failures]
        standings = await find_standings(connection, failed) if failed else {}
    servers = await installation.control.fetch_all(CLIENTS["list_servers"])
    per_server = installation.settings.concurrency_per_server
    return QueueView(
        status,
        waiting,
        [ServerUse(row["name"], running.get(row["name"], 0), per_server) for row in servers],
        now,
        frozenset(each.run_id for each in standings.values() if each.run_status == "failed"),
    )


def step_title(kind: str, step: str | None) -> str:
    """What a step is called."""
    return titles_of(kind).get(step or "", step or "")


def kind_title(kind: str) -> str:
    """What a workflow is called."""
    return WORKFLOWS[kind].title if kind in WORKFLOWS else kind.replace("_", " ").capitalize()


def _clients(number: int, one: str, several: str) -> str:
    return f"1 client {one}" if number == 1 else f"{count(number)} clients {several}"
