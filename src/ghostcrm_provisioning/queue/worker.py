"""A worker: takes jobs from the queue and carries out the runs they point to.

A job is leased: while a worker lives, it renews the lease; when it dies, the lease runs out after
``lease_seconds`` and another worker takes the job up. A worker that stops in good order finishes
what it has in hand first.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID, uuid4

import asyncpg
from pgqueuer.adapters.drivers.asyncpg import AsyncpgPoolDriver
from pgqueuer.core.qm import QueueManager
from pgqueuer.domain.errors import RetryRequested
from pgqueuer.domain.models import Job
from pgqueuer.domain.types import Channel
from psycopg.conninfo import conninfo_to_dict

from ghostcrm_provisioning.clients.run import RUNS
from ghostcrm_provisioning.control_database.database import PATIENCE_SECONDS, ControlDatabase
from ghostcrm_provisioning.errors import DatabaseRejected, GhostcrmError
from ghostcrm_provisioning.provisioning_log import get_logger
from ghostcrm_provisioning.queue.provisioning_queue import (
    CHANNEL,
    NOTIFICATIONS_LANE,
    QUEUE,
    VERIFICATIONS_LANE,
    AskedVerification,
    ProvisioningQueue,
    lane_of_server,
    queue_queries,
)

# Carries out one run; returns in how many seconds it wants to be called again, or None.
CarryOut = Callable[[UUID, UUID], Awaitable[float | None]]
Deliver = Callable[[int], Awaitable[float | None]]
# Looks after one client's isolation, in that attempt (from 0); returns what CarryOut returns.
LookAfter = Callable[[UUID, int, AskedVerification | None], Awaitable[float | None]]
# Begins the night's round of verifications, if it is due and nobody has.
BeginRound = Callable[[], Awaitable[int | None]]

_BATCH = 4
_ASYNCPG_PARAMETERS = (
    "host",
    "port",
    "user",
    "password",
    "dbname",
    "passfile",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslcrl",
    "target_session_attrs",
)
_LONGEST_SILENCE = timedelta(seconds=1)
# How long saying goodbye may take: where the database is slow, and where it is known to be gone.
_GOODBYE_SECONDS = 15.0
_GOODBYE_TO_A_LOST_SERVER_SECONDS = 3.0
_CLOSING_SECONDS = 3.0
_UUID_BYTES = 16


def _raise_if_refused(error: Exception) -> None:
    """What will not pass by itself must not be waited for: no right to log in, no such database, a
    URL that asyncpg reads differently from libpq."""
    sqlstate = getattr(error, "sqlstate", None) or ""
    if sqlstate[:2] in {"22", "28", "3D", "42"}:
        raise DatabaseRejected(
            f"The control database does not let the worker in: {error} ({sqlstate})",
            sqlstate=sqlstate,
        ) from error


def asyncpg_url(url: str) -> str:
    """``url`` with only what asyncpg understands: anything else in a libpq URL (``connect_timeout``,
    ``keepalives`` …) it would send to the server as a setting, which the server refuses."""
    parts = conninfo_to_dict(url)
    query = {key: str(parts[key]) for key in _ASYNCPG_PARAMETERS if parts.get(key) is not None}
    return f"postgresql://?{urlencode(query, quote_via=quote)}"


class Worker:
    """Carries out runs until told to stop.

    Args:
        standing: whether others may count on it (a service), or it only helps itself (a command).
        concurrency: how many runs at the same time.
        lane_limit: how many runs at the same time on one server, over all workers.
        pause_seconds: how long the place of a run stays taken after it.
    """

    def __init__(
        self,
        control: ControlDatabase,
        queue: ProvisioningQueue,
        *,
        carry_out: CarryOut,
        deliver: Deliver,
        look_after: LookAfter,
        begin_round: BeginRound,
        standing: bool,
        concurrency: int,
        lane_limit: int,
        lease_seconds: float,
        pause_seconds: float,
    ) -> None:
        self.id = uuid4()
        self._control = control
        self._queue = queue
        self._carry_out = carry_out
        self._deliver = deliver
        self._look_after = look_after
        self._begin_round = begin_round
        self._standing = standing
        self._concurrency = concurrency
        self._lane_limit = lane_limit
        self._lease_seconds = lease_seconds
        self._pause_seconds = pause_seconds
        # PgQueuer takes at least two jobs; a worker for one run at a time has the second one wait.
        self._places = asyncio.Semaphore(concurrency)
        self._stopping = asyncio.Event()
        # Set when it is about to take up work for the first time.
        self.is_working = asyncio.Event()
        self._manager: QueueManager | None = None
        self._log = get_logger("worker").bind(workerId=str(self.id))

    async def run(self) -> None:
        """Work until :meth:`stop`; survives losing the control database."""
        await self._beat()
        await self._queue.restore_lost_jobs()
        housekeeping = asyncio.create_task(self._keep_house())
        try:
            while not self._stopping.is_set():
                try:
                    await self._work()
                except Exception as lost:  # a worker outlives whatever happens to the queue
                    if not self.is_working.is_set():
                        _raise_if_refused(lost)
                    self._log.warning(
                        "worker_lost_the_queue", error=type(lost).__name__, exc_info=lost
                    )
                    await self._sleep(1.0)
        finally:
            housekeeping.cancel()
            with suppress(asyncio.CancelledError):
                await housekeeping
            await self._say_goodbye()

    async def _say_goodbye(self) -> None:
        """Not for ever, should the database be gone: whoever does not say goodbye is forgotten."""
        patience = PATIENCE_SECONDS.set(_GOODBYE_TO_A_LOST_SERVER_SECONDS)
        try:
            with suppress(GhostcrmError, TimeoutError):
                async with asyncio.timeout(_GOODBYE_SECONDS), self._control.connection() as own:
                    await own.execute(RUNS["leave"], {"id": self.id})
        finally:
            PATIENCE_SECONDS.reset(patience)

    def stop(self) -> None:
        """Take no new work; :meth:`run` returns when what is in hand is finished."""
        self._stopping.set()
        if self._manager is not None:
            self._manager.shutdown.set()

    async def _work(self) -> None:
        async with self._connections() as pool:
            manager = QueueManager(queue_queries(AsyncpgPoolDriver(pool)), Channel(CHANNEL))
            self._manager = manager
            manager.entrypoint(NOTIFICATIONS_LANE)(self._on_notification)
            if self._standing:  # a command has no time for other clients' isolation
                manager.entrypoint(VERIFICATIONS_LANE, concurrency_limit=1)(self._on_verification)
            await self._open_lanes(manager)
            if self._stopping.is_set():
                return
            self.is_working.set()
            await manager.run(
                # A new job announces itself; one that is to be tried again does not, it is looked for.
                dequeue_timeout=_LONGEST_SILENCE,
                batch_size=min(_BATCH, max(1, self._concurrency // 2)),
                max_concurrent_tasks=max(2, self._concurrency),
                heartbeat_timeout=timedelta(seconds=self._lease_seconds),
                shutdown_on_listener_failure=True,
            )

    @asynccontextmanager
    async def _connections(self) -> AsyncIterator[Any]:
        pool = await asyncpg.create_pool(
            asyncpg_url(self._control.url),
            min_size=2,
            max_size=5,
            command_timeout=60,
            server_settings={"application_name": "ghostcrm worker"},
        )
        try:
            yield pool
        finally:
            # The pool waits until every connection was given back. PgQueuer does not give its listener's
            # back when that is lost just as it is to be reset; a worker must not wait for it for ever.
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSING_SECONDS):
                    await pool.close()

    async def _open_lanes(self, manager: QueueManager) -> None:
        for row in await self._control.fetch_all(QUEUE["server_ids"]):
            lane = lane_of_server(row["id"])
            if lane not in manager.entrypoint_registry:
                manager.entrypoint(lane, concurrency_limit=self._lane_limit)(self._on_run)

    async def _on_run(self, job: Job) -> None:
        if job.payload is None:
            return
        async with self._places:
            if self._stopping.is_set():
                raise RetryRequested(reason="the worker leaves")
            wait_seconds = await self._carry_out(UUID(bytes=bytes(job.payload)), self.id)
            if self._pause_seconds:
                await self._sleep(self._pause_seconds)
        if wait_seconds is not None:
            raise RetryRequested(delay=timedelta(seconds=wait_seconds), reason="next attempt")

    async def _on_notification(self, job: Job) -> None:
        if job.payload is None:
            return
        wait_seconds = await self._deliver(int(job.payload))
        if wait_seconds is not None:
            raise RetryRequested(delay=timedelta(seconds=wait_seconds), reason="next attempt")

    async def _on_verification(self, job: Job) -> None:
        if job.payload is None:
            return
        payload = bytes(job.payload)
        asked = AskedVerification.from_text(payload[_UUID_BYTES:].decode())
        client_id = UUID(bytes=payload[:_UUID_BYTES])
        wait_seconds = await self._look_after(client_id, job.attempts, asked)
        if wait_seconds is not None:
            raise RetryRequested(delay=timedelta(seconds=wait_seconds), reason="next attempt")

    async def _keep_house(self) -> None:
        """Show that this worker lives, open the lanes of new servers, put lost jobs back, begin the
        night's round of verifications."""
        while True:  # until cancelled: it goes on while a stopping worker finishes its work
            await asyncio.sleep(self._lease_seconds / 3)
            try:
                await self._beat()
                await self._queue.restore_lost_jobs()
                if self._standing:
                    await self._begin_round()
                if self._manager is not None:
                    await self._open_lanes(self._manager)
            except GhostcrmError as problem:
                self._log.warning("worker_housekeeping_failed", error=problem.message)

    async def _beat(self) -> None:
        parameters: dict[str, Any] = {
            "id": self.id,
            "host": socket.gethostname(),
            "process_id": os.getpid(),
            "standing": self._standing,
            "concurrency": self._concurrency,
        }
        async with self._control.connection() as connection:
            await connection.execute(RUNS["heartbeat"], parameters)
            await connection.execute(RUNS["forget_dead_workers"])

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but wake up when told to stop."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
