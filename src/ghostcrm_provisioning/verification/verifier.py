"""Verifies clients: whose turn it is, what is stored, and what follows from a verdict.

* Every full attack that came to its end leaves a verdict, whatever it found.
* A verdict that does not hold puts the client into quarantine: the wish is written together with the
  verdict, its notification and its audit line.
* What could not be tried (a server that does not answer, a lock, a time-out) is no verdict: the error is
  told, and nothing is changed.
* Only a verdict that holds opens a client again.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from importlib.metadata import version
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb
from structlog.typing import FilteringBoundLogger

from ghostcrm_provisioning.audit.record import record
from ghostcrm_provisioning.client_database.blueprint import Blueprint, read_blueprint
from ghostcrm_provisioning.client_database.isolation.verdict import Verdict
from ghostcrm_provisioning.client_database.plan_settings import is_plan_applied
from ghostcrm_provisioning.client_database.roles import APPLICATION
from ghostcrm_provisioning.clients.client import Client, find_client, refuse_who_is_closed
from ghostcrm_provisioning.clients.verdict import VERDICTS, StoredVerdict, list_verdicts
from ghostcrm_provisioning.control_database.database import ControlDatabase
from ghostcrm_provisioning.errors import (
    ClientNotReady,
    Conflict,
    DatabaseBusy,
    GhostcrmError,
    NotFound,
    NotOffered,
)
from ghostcrm_provisioning.notifications.notifier import Notifier
from ghostcrm_provisioning.postgres_errors import translated
from ghostcrm_provisioning.providers.provider import (
    Connection,
    DatabaseRequest,
    Login,
    Provider,
)
from ghostcrm_provisioning.provisioning.client_database_provisioner import Providers
from ghostcrm_provisioning.provisioning.work import (
    ensure_caretaker,
    find_request,
    ground_of,
    open_secrets,
    request_of,
)
from ghostcrm_provisioning.provisioning_log import get_logger
from ghostcrm_provisioning.queue.provisioning_queue import AskedVerification, ProvisioningQueue
from ghostcrm_provisioning.sealing import Sealer
from ghostcrm_provisioning.verification.doors import Neighbour
from ghostcrm_provisioning.verification.quarantine import make_quarantine, make_release
from ghostcrm_provisioning.verification.turn import OnWait, Turn, turn_on
from ghostcrm_provisioning.verification.verifying import attack

# Who was proven since then needs no attack this night: a client that was just handed over, say.
_UNTOUCHED_HOURS = 20
_NEIGHBOURS_TRIED = 3
_ATTEMPTS = 3
_CAN_BE_ATTACKED = frozenset({"ready", "quarantined"})
_CLOSED = frozenset({"quarantined", "suspended"})
_WAIT_SECONDS = 60.0
_MOST_SENTENCES = 20
_LEVELS = {True: logging.INFO, False: logging.ERROR}


class Verifier:
    """See the module's text for what is promised.

    Args:
        sample: how many clients a night's round takes; 0 for none.
        hour: from which hour (UTC) on.
        deadline_seconds: for one client, waiting for its turn included.
    """

    def __init__(
        self,
        control: ControlDatabase,
        *,
        installation_id: UUID,
        sealer: Sealer,
        providers: Providers,
        notifier: Notifier,
        sample: int,
        hour: int,
        deadline_seconds: float,
    ) -> None:
        self._control = control
        self._installation_id = installation_id
        self._sealer = sealer
        self._providers = providers
        self._notifier = notifier
        self._sample = sample
        self._hour = hour
        self._deadline_seconds = deadline_seconds

    # --- on demand --------------------------------------------------------------------------------

    async def verify(
        self, client_id: UUID, *, requested_by: str, on_wait: OnWait | None = None
    ) -> StoredVerdict:
        """Attack a client that is ready, or in quarantine; a failed proof puts it into quarantine.

        Raises:
            NotFound, ClientNotReady: there is nothing to attack.
            TransientFailure, ToldToWait, PermanentFailure: the attack could not be carried out; there
                is no verdict. Or there is one, and the client could not be closed yet: then a worker,
                or the next command about it, goes on with that.
        """
        async with self._turn(client_id, on_wait) as turn:
            client, _ = await self._finish_what_was_begun(turn, client_id)
            return await self._verify(turn, client, requested_by)

    async def release(
        self, client_id: UUID, *, requested_by: str, on_wait: OnWait | None = None
    ) -> StoredVerdict:
        """Attack a client in quarantine, and open it again if, and only if, the proof holds.

        Raises:
            Conflict: it is not in quarantine.
            As :meth:`verify`.
        """
        async with self._turn(client_id, on_wait) as turn:
            client, _ = await self._finish_what_was_begun(turn, client_id)
            _refuse_what_is_not_quarantined(client)
            return await self._release(turn, client, requested_by)

    async def prove_before_opening(self, client_id: UUID, requested_by: str) -> StoredVerdict:
        """Attack a client that is suspended and runs again, while nobody is let in; a failed proof puts it
        into quarantine.

        Raises:
            As :meth:`verify`.
        """
        async with self._turn(client_id, None) as turn:
            client = await self._find(client_id)
            return await self._verify(turn, client, requested_by, also=frozenset({"suspended"}))

    async def ask(self, client_id: UUID, *, requested_by: str, release: bool = False) -> Client:
        """Have a worker do what :meth:`verify`, or :meth:`release`, does; returns when that cannot be
        lost any more. What comes of it is the client's next verdict.

        Raises:
            NotFound, ClientNotReady, Conflict: there is nothing to attack, or to release.
        """
        async with self._control.transaction() as connection:
            client = await find_client(connection, client_id)
            if release:
                _refuse_what_is_not_quarantined(client)
            _refuse_what_is_not_there(client)
            await ProvisioningQueue.enqueue_verification(
                connection, client_id, asked=AskedVerification(requested_by, release)
            )
            action = "client.release_requested" if release else "client.verification_requested"
            await self._audit(connection, client, requested_by, action)
        return client

    async def longest_unverified(self, limit: int) -> list[UUID]:
        """Ready clients, the longest unverified first."""
        rows = await self._control.fetch_all(
            VERDICTS["longest_unverified"], limit=limit, untouched_hours=0
        )
        return [row["id"] for row in rows]

    # --- by workers -------------------------------------------------------------------------------

    async def begin_round(self) -> int | None:
        """Begin this night's round, if it is due and nobody has: one transaction marks the night and
        enqueues its clients. Returns how many; None when there was nothing to begin."""
        if not self._sample:
            return None
        async with self._control.transaction() as connection:
            begun = await connection.execute(VERDICTS["begin_round"], {"hour": self._hour})
            if (night := await begun.fetchone()) is None:
                return None
            chosen = await connection.execute(
                VERDICTS["longest_unverified"],
                {"limit": self._sample, "untouched_hours": _UNTOUCHED_HOURS},
            )
            clients = await chosen.fetchall()
            # Those that are closed are looked at as well: whether they still are.
            closed = await (await connection.execute(VERDICTS["in_quarantine"])).fetchall()
            for row in (*clients, *closed):
                await ProvisioningQueue.enqueue_verification(connection, row["id"])
            await connection.execute(
                VERDICTS["note_round"], {"night": night["night"], "clients": len(clients)}
            )
        get_logger("verification").info(
            "verification_round_begun", clients=len(clients), inQuarantine=len(closed)
        )
        return len(clients)

    async def look_after(
        self, client_id: UUID, attempt: int, asked: AskedVerification | None = None
    ) -> float | None:
        """What a worker does for a client that was enqueued: finish what was begun, or see that what is
        closed is closed, or attack; for one who ``asked``, attack in any case, and open what is proven
        again if that was asked for. Returns in how many seconds to come back; None when that is over.
        """
        log = get_logger("verification").bind(clientId=str(client_id), attempt=attempt + 1)
        try:
            async with self._turn(client_id, None) as turn:
                client, something_was_finished = await self._finish_what_was_begun(turn, client_id)
                if asked is not None:
                    await self._do_as_asked(turn, client, asked)
                elif client.status == "quarantined":
                    await self._make_quarantine(turn, client)
                elif client.is_open and not something_was_finished:
                    await self._verify(turn, client, "schedule")
        except NotFound:
            return None
        except Exception as problem:
            # Last door before the queue: whatever it was, the log says what happened.
            error = translated(problem, where="the verification")
            comes_back = error.retryable and attempt + 1 < _ATTEMPTS
            log.log(
                logging.WARNING if comes_back else logging.ERROR,
                "verification_not_possible",
                status="waiting" if comes_back else "failed",
                error=error.as_record(),
                exc_info=None if isinstance(problem, GhostcrmError) else problem,
            )
            if comes_back:
                return _WAIT_SECONDS * (attempt + 1)
            async with self._control.transaction() as connection:
                client = await find_client(connection, client_id)
                await self._notifier.verification_not_possible(connection, client, error)
        finally:
            # Whoever waits for the verdict, or the release, looks now.
            with suppress(GhostcrmError):
                await self._control.fetch_one(VERDICTS["announce"], client_id=client_id)
        return None

    # --- one client -------------------------------------------------------------------------------

    @asynccontextmanager
    async def _turn(self, client_id: UUID, on_wait: OnWait | None) -> AsyncIterator[Turn]:
        client = await self._find(client_id)
        async with turn_on(
            self._control,
            client.server_id,
            patience_seconds=self._deadline_seconds,
            on_wait=on_wait,
        ) as turn:
            try:
                async with asyncio.timeout(self._deadline_seconds):
                    yield turn
            except TimeoutError:
                raise DatabaseBusy(
                    f"The verification of {client.name} did not end within "
                    f"{self._deadline_seconds:g} s.",
                    next_step="Look at the server's load; raise GHOSTCRM_VERIFY_DEADLINE_SECONDS for "
                    "a large database.",
                ) from None

    async def _find(self, client_id: UUID) -> Client:
        async with self._control.connection() as connection:
            return await find_client(connection, client_id)

    async def _finish_what_was_begun(self, turn: Turn, client_id: UUID) -> tuple[Client, bool]:
        """The client as it is now, after a quarantine or release that somebody else began was made."""
        client = await self._find(client_id)
        is_ours = {client.status, client.wanted_status} <= _CAN_BE_ATTACKED or (
            client.status == "suspended" and client.wanted_status == "quarantined"
        )
        if client.wanted_status == client.status or not is_ours:
            return client, False
        if client.wanted_status == "quarantined":
            await self._make_quarantine(turn, client)
        else:
            await self._make_release(turn, client)
        return await self._find(client_id), True

    async def _make_quarantine(self, turn: Turn, client: Client) -> None:
        provider = await self._providers.of_server(client.server_id)
        await turn.check()
        try:
            await make_quarantine(
                self._control, provider, client, await self._request_to_close(client)
            )
        except NotOffered as impossible:
            # The wish stands, so that nobody is given a connection; whoever has one keeps it.
            _log_of(client).error(
                "client_cannot_be_closed", status="failed", error=impossible.as_record()
            )

    async def _make_release(self, turn: Turn, client: Client) -> None:
        blueprint = await asyncio.to_thread(read_blueprint, client.blueprint)
        request = await self._request(client, blueprint)
        provider = await self._providers.of_server(client.server_id)
        await turn.check()
        await make_release(self._control, provider, client, request)

    async def _do_as_asked(self, turn: Turn, client: Client, asked: AskedVerification) -> None:
        if asked.release and "quarantined" in {client.status, client.wanted_status}:
            await self._release(turn, client, asked.requested_by)
        elif client.status in _CAN_BE_ATTACKED:
            await self._verify(turn, client, asked.requested_by)

    async def _release(self, turn: Turn, client: Client, requested_by: str) -> StoredVerdict:
        verdict = await self._verify(turn, client, requested_by)
        if not verdict.holds:
            return verdict
        async with self._control.transaction() as connection:
            await connection.execute(VERDICTS["want_release"], {"client_id": client.id})
            # One that could not be closed was never in quarantine, but on its way.
            await connection.execute(VERDICTS["withdraw_quarantine"], {"client_id": client.id})
            await self._audit(
                connection, client, requested_by, "client.release_wanted", verdict=verdict.id
            )
        if client.status == "quarantined":
            await self._make_release(turn, client)
        return verdict

    async def _verify(
        self,
        turn: Turn,
        client: Client,
        requested_by: str,
        *,
        also: frozenset[str] = frozenset(),
    ) -> StoredVerdict:
        _refuse_what_is_not_there(client, also=also)
        await self._control.execute(VERDICTS["note_attempt"], client_id=client.id)
        log = _log_of(client)
        log.info("verification_started", status="running", requestedBy=requested_by)
        verdict = await self._attack(turn, client)
        await turn.check()
        stored, is_to_be_closed = await self._store(client, verdict, requested_by)
        log.log(
            _LEVELS[stored.holds],
            "verification_done",
            status="holds" if stored.holds else "failed",
            durationMs=round(stored.duration_ms, 1),
            verdict=stored.id,
            findings=stored.sentences[:_MOST_SENTENCES],
        )
        if is_to_be_closed:
            await self._make_quarantine(turn, client)
        elif stored.holds and client.status == "ready":
            await self._look_at_plan(client)
        return stored

    async def _look_at_plan(self, client: Client) -> None:
        """Tell the operators when the client's database allows something else than its plan: whoever owns
        the schema can write there. That opens nothing to anybody, so it is no finding and closes nobody."""
        try:
            stands = await self._plan_stands(client)
        except Exception as problem:
            # The verdict is there, and says nothing of this.
            error = translated(problem, where="the look at the plan")
            _log_of(client).warning("plan_not_seen", status="failed", error=error.as_record())
            return
        if not stands:
            _log_of(client).warning("plan_differs", status="differs", plan=client.plan)
            async with self._control.transaction() as connection:
                await self._notifier.plan_differs(connection, client)

    async def _plan_stands(self, client: Client) -> bool:
        blueprint = await asyncio.to_thread(read_blueprint, client.blueprint)
        request = await self._request(client, blueprint)
        provider = await self._providers.of_server(client.server_id)
        caretaker = await self._caretaker(client, provider, request)
        async with provider.administer(request) as administrator:
            owner = (await ground_of(provider, request, administrator)).owner
        async with (
            provider.administer(request)
            if caretaker is None
            else provider.log_in(request, caretaker)
        ) as connection:
            return await is_plan_applied(
                connection, client.plan, blueprint.plan(client.plan), become=owner
            )

    async def _attack(self, turn: Turn, client: Client) -> Verdict:
        blueprint = await asyncio.to_thread(read_blueprint, client.blueprint)
        request = await self._request(client, blueprint)
        provider = await self._providers.of_server(client.server_id)
        neighbours = await self._neighbours(client) if provider.has_neighbours else []
        application = None
        if await provider.offers_login(request, APPLICATION):
            application = next(login for login in request.logins if login.key == APPLICATION)
        caretaker = await self._caretaker(client, provider, request)
        # Made with another version of the blueprint, it is not to be measured by this one's matrix.
        is_as_declared = client.blueprint_fingerprint == blueprint.fingerprint
        access = blueprint.access if is_as_declared else None
        is_closed = client.status in _CLOSED
        if not is_closed or application is None or caretaker is None:
            return await attack(
                provider,
                request,
                None if is_closed else application,
                caretaker,
                access=access,
                neighbours=neighbours,
                knock_at_services=not is_closed,
            )
        async with self._admitted(turn, provider, request, application, caretaker) as admitted:
            return await attack(
                provider,
                request,
                *admitted,
                access=access,
                neighbours=neighbours,
                knock_at_services=False,
            )

    @asynccontextmanager
    async def _admitted(
        self,
        turn: Turn,
        provider: Provider,
        request: DatabaseRequest,
        application: Login,
        caretaker: Login,
    ) -> AsyncIterator[tuple[Login, Login]]:
        """The application's login and our own, let into the closed database; the application's under a
        password that only we know."""
        once = replace(application, password=secrets.token_urlsafe(24))
        await turn.check()
        await provider.close(request)
        try:
            await provider.admit(request, once)
            await provider.admit(request, caretaker)
            yield once, caretaker
        finally:
            await provider.close(request)

    async def _store(
        self, client: Client, verdict: Verdict, requested_by: str
    ) -> tuple[StoredVerdict, bool]:
        """Store the verdict; when it does not hold, with it the wish for quarantine, and who is told.
        Returns whether it is wished for: not, while the client is being suspended or deleted."""
        is_to_be_closed = False
        async with self._control.transaction() as connection:
            row = await (
                await connection.execute(
                    VERDICTS["insert_verdict"],
                    {
                        "client_id": client.id,
                        "database_id": client.database_id,
                        "began_at": verdict.began_at,
                        "duration_ms": verdict.duration_ms,
                        "holds": verdict.holds,
                        "findings": Jsonb([finding.as_document() for finding in verdict.findings]),
                        "attempts": Jsonb(verdict.attempts),
                        "catalog_fingerprint": verdict.catalog_fingerprint,
                        "blueprint": client.blueprint,
                        "blueprint_fingerprint": client.blueprint_fingerprint,
                        "requested_by": requested_by,
                        "program_version": version("ghostcrm-provisioning"),
                    },
                )
            ).fetchone()
            verdict_id = row["id"] if row else 0
            await self._audit(
                connection,
                client,
                requested_by,
                "client.verified",
                verdict=verdict_id,
                holds=verdict.holds,
            )
            if not verdict.holds:
                wished = await connection.execute(
                    VERDICTS["want_quarantine"], {"client_id": client.id, "verdict_id": verdict_id}
                )
                is_to_be_closed = await wished.fetchone() is not None
            if is_to_be_closed and client.wanted_status != "quarantined":
                await self._audit(
                    connection, client, requested_by, "client.quarantine_wanted", verdict=verdict_id
                )
                await self._notifier.isolation_failed(
                    connection, client, [finding.sentence for finding in verdict.findings]
                )
            (stored,) = await list_verdicts(connection, client.id, limit=1)
        return stored, is_to_be_closed

    async def _audit(
        self, connection: Connection, client: Client, actor: str, action: str, **details: Any
    ) -> None:
        await record(connection, actor=actor, action=action, client_id=client.id, details=details)

    # --- what it works with -----------------------------------------------------------------------

    async def _request(self, client: Client, blueprint: Blueprint) -> DatabaseRequest:
        async with self._control.connection() as connection:
            credentials, _ = await open_secrets(connection, self._sealer, client)
        return request_of(
            client,
            credentials,
            installation_id=self._installation_id,
            blueprint=blueprint,
            plan=blueprint.plan(client.plan),
        )

    async def _caretaker(
        self, client: Client, provider: Provider, request: DatabaseRequest
    ) -> Login | None:
        async with self._control.connection() as connection:
            credentials, _ = await open_secrets(connection, self._sealer, client)
        return await ensure_caretaker(provider, request, credentials)

    async def _request_to_close(self, client: Client) -> DatabaseRequest:
        """To close a database, nothing of its blueprint need be at hand."""
        async with self._control.connection() as connection:
            request, _ = await find_request(
                connection, self._sealer, client, installation_id=self._installation_id
            )
        return request

    async def _neighbours(self, client: Client) -> list[Neighbour]:
        rows = await self._control.fetch_all(
            VERDICTS["another_on_server"],
            server_id=client.server_id,
            client_id=client.id,
            limit=_NEIGHBOURS_TRIED,
        )
        neighbours = []
        for row in rows:
            other = await self._find(row["id"])
            async with self._control.connection() as connection:
                credentials, _ = await open_secrets(connection, self._sealer, other)
            neighbours.append(
                Neighbour(
                    other.database_name, Login(APPLICATION, credentials.passwords[APPLICATION])
                )
            )
        return neighbours


def _refuse_what_is_not_there(client: Client, *, also: frozenset[str] = frozenset()) -> None:
    if client.status not in _CAN_BE_ATTACKED | also:
        if client.status not in {"registered", "provisioning", "failed"}:
            refuse_who_is_closed(client)
        raise ClientNotReady(
            f"{client.name} is not ready ({client.status}): there is nothing to verify yet.",
            next_step=f"Ask why with `ghostcrm clients explain {client.id}`.",
        )


def _refuse_what_is_not_quarantined(client: Client) -> None:
    if "quarantined" not in {client.status, client.wanted_status}:
        raise Conflict(
            f"{client.name} is not in quarantine (it is {client.status}).",
            next_step=f"See how it stands with `ghostcrm clients explain {client.id}`.",
        )


def _log_of(client: Client) -> FilteringBoundLogger:
    return get_logger("verification").bind(clientId=str(client.id), clientName=client.name)
