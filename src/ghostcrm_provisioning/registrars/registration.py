"""Accepts registrations: one transaction makes the client, its run, every id and the queue's job.

After that transaction the request cannot be lost; before it, nothing exists. The clear password ends
here: what goes on is its bcrypt hash, sealed. Retries and changes of plan are accepted in the same way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from uuid import UUID, uuid4

from ghostcrm_provisioning.audit.record import record
from ghostcrm_provisioning.client_database.blueprint import Blueprint, read_blueprint
from ghostcrm_provisioning.client_database.roles import LOGIN_ROLES
from ghostcrm_provisioning.clients.client import (
    CLIENTS,
    Client,
    find_client,
    names_of_seals,
    refuse_who_is_closed,
)
from ghostcrm_provisioning.clients.credentials import make_credentials
from ghostcrm_provisioning.clients.plan_change import PLAN_CHANGES, find_plan_change
from ghostcrm_provisioning.clients.run import (
    RUNS,
    Run,
    find_first_run,
    find_latest_run,
    find_unfinished_run,
    insert_run,
)
from ghostcrm_provisioning.control_database.database import Connection, ControlDatabase
from ghostcrm_provisioning.errors import (
    ClientDeleted,
    ClientIdInUse,
    ClientNotReady,
    Conflict,
    DatabaseNotUsable,
    IdempotencyKeyReused,
    NotFound,
    OtherTablesFound,
    PermanentFailure,
    ToldToWait,
    TransientFailure,
)
from ghostcrm_provisioning.given_database import GivenDatabase
from ghostcrm_provisioning.passwords import hash_password, make_temporary_password
from ghostcrm_provisioning.provisioning.change_plan import CHANGE_PLAN
from ghostcrm_provisioning.provisioning.provision_client import PROVISION_CLIENT
from ghostcrm_provisioning.provisioning.work import open_secrets
from ghostcrm_provisioning.provisioning_log import get_logger
from ghostcrm_provisioning.queue.provisioning_queue import ProvisioningQueue, lane_of_server
from ghostcrm_provisioning.registration_form import RegistrationForm
from ghostcrm_provisioning.sealing import Sealer


@dataclass(frozen=True)
class Accepted:
    """A registration that will not be lost any more.

    ``created`` is False when the same registration was accepted before. ``temporary_password`` is
    there only when it was made now; it is shown this once.
    """

    client_id: UUID
    run_id: UUID
    created: bool
    temporary_password: str | None = field(default=None, repr=False)
    # Who registered it, when it was accepted before.
    registered_by: str | None = None


@dataclass(frozen=True)
class AcceptedPlanChange:
    """A change of plan that will not be lost any more.

    ``run_id`` is None when there is nothing to do: the client has the plan already. ``created`` is
    False then, and when the same change is under way.
    """

    client_id: UUID
    run_id: UUID | None
    from_plan: str
    to_plan: str
    created: bool


@dataclass(frozen=True)
class _SealedSecrets:
    """What is sealed for a client, made before the transaction so that it stays short."""

    database_id: UUID
    password_hash: bytes
    credentials: bytes


async def refuse_what_cannot_be(given: GivenDatabase) -> None:
    """Look at a database before anything is recorded for it. Where nobody answers now, that is left to the
    run, which tries again.

    Raises:
        DatabaseNotUsable, OtherTablesFound: it cannot become a client's as it is.
    """
    # Slow to load, and most registrations name no database.
    from ghostcrm_provisioning.providers.existing.examination import examine  # noqa: PLC0415

    try:
        (await examine(given)).refuse()
    except OtherTablesFound:
        raise
    except PermanentFailure as refused:
        raise DatabaseNotUsable(refused.message, next_step=refused.next_step) from refused
    except (TransientFailure, ToldToWait):
        return


# Where the next client database is to be: a row of ``servers``, in the registration's transaction.
Placement = Callable[[Connection, RegistrationForm], Awaitable[UUID]]


class Registrar:
    """Writes registrations into the control database."""

    def __init__(
        self,
        control: ControlDatabase,
        *,
        sealer: Sealer,
        queue: ProvisioningQueue,
        place: Placement,
    ) -> None:
        self._control = control
        self._sealer = sealer
        self._queue = queue
        self._place = place

    async def register(self, form: RegistrationForm, *, registered_by: str) -> Accepted:
        """Accept a registration, or find the one that it repeats.

        Raises:
            UnknownPlan, InvalidBlueprint: nothing was created.
            ClientIdInUse, IdempotencyKeyReused: the id or key belongs to other data.
            NoServerAvailable: no server takes another client database.
            DatabaseNotUsable, OtherTablesFound: the database that was given; nothing was created.
        """
        blueprint = await asyncio.to_thread(read_blueprint, form.blueprint)
        blueprint.plan(form.plan)
        temporary = None if form.admin_password is not None else make_temporary_password()
        password = form.admin_password if temporary is None else temporary
        password_hash = await asyncio.to_thread(hash_password, password or "")
        client_id = form.client_id or uuid4()
        if form.given is not None and not await self._is_registered(client_id, form):
            await refuse_what_cannot_be(form.given)
        sealed = self._seal_secrets(client_id, password_hash, form.given)
        async with self._control.transaction() as connection:
            inserted = await self._insert_client(
                connection, client_id, form, blueprint, registered_by
            )
            if not inserted:
                return await self._repeated(connection, client_id, form)
            run_id = await self._insert_the_rest(
                connection, client_id, form, blueprint, sealed, temporary is not None
            )
            await record(
                connection,
                actor=registered_by,
                action="client.registered",
                client_id=client_id,
                details={"plan": form.plan, "blueprint": blueprint.reference},
            )
        get_logger("registration").info(
            "client_registered",
            clientId=str(client_id),
            clientName=form.company_name,
            runId=str(run_id),
            status="registered",
        )
        return Accepted(client_id, run_id, created=True, temporary_password=temporary)

    async def retry(self, client_id: UUID, *, requested_by: str) -> Run:
        """Have a failed run go on where it stopped, with all its attempts anew.

        Raises:
            NotFound: there is no such client.
            Conflict: its latest run has not failed.
        """
        async with self._control.transaction() as connection:
            await connection.execute(CLIENTS["lock_client"], {"client_id": client_id})
            run = await find_latest_run(connection, client_id)
            row = await (
                await connection.execute(RUNS["reopen_run"], {"run_id": run.id})
            ).fetchone()
            if row is None:
                raise Conflict(
                    f"The client's latest run has not failed (it is {run.status}): nothing to retry.",
                    next_step=f"See how it stands with `ghostcrm clients explain {client_id}`.",
                )
            await connection.execute(RUNS["reopen_steps"], {"run_id": run.id})
            await connection.execute(CLIENTS["mark_provisioning"], {"run_id": run.id})
            server = await (
                await connection.execute(CLIENTS["find_client"], {"client_id": client_id})
            ).fetchone()
            if server is None:
                raise NotFound(f"There is no client {client_id}.")
            await self._queue.enqueue(
                connection,
                run.id,
                lane=lane_of_server(server["server_id"]),
                priority=row["priority"],
                fence=run.fence,
            )
            await record(
                connection,
                actor=requested_by,
                action="client.retried",
                client_id=client_id,
                details={"run": str(run.id)},
            )
        return run

    async def find_plan_change(self, client_id: UUID, plan: str) -> AcceptedPlanChange | None:
        """What there is already of the wish that a client have that plan: nothing to do, since it
        has it, or the run that is under way. None when it would be a new wish.

        Raises:
            NotFound: there is no such client.
            ClientNotReady: it is not in use yet.
            Conflict: something else is being done for it.
        """
        async with self._control.connection() as connection:
            return await self._repeated_plan_change(
                connection, await find_client(connection, client_id), plan
            )

    async def change_plan(
        self,
        client_id: UUID,
        plan: str,
        *,
        priority: int,
        allow_over_limit: bool,
        requested_by: str,
        applied_anew: bool = False,
    ) -> AcceptedPlanChange:
        """Accept that a client is to have another plan, or find the same wish.

        Args:
            plan: one that the client's blueprint has; ``priority`` is that plan's.
            allow_over_limit: holds for a change that is under way, too, until it is applied.
            applied_anew: also when the client has that plan already.

        Raises:
            As :meth:`find_plan_change`.
        """
        async with self._control.transaction() as connection:
            await connection.execute(CLIENTS["lock_client"], {"client_id": client_id})
            client = await find_client(connection, client_id)
            repeated = await self._repeated_plan_change(connection, client, plan)
            if repeated is not None and not (applied_anew and repeated.run_id is None):
                if allow_over_limit and repeated.run_id is not None:
                    await connection.execute(
                        PLAN_CHANGES["allow_over_limit"], {"run_id": repeated.run_id}
                    )
                return repeated
            run_id = uuid4()
            await insert_run(
                connection,
                run_id=run_id,
                client_id=client_id,
                kind=CHANGE_PLAN.kind,
                priority=priority,
                step_names=CHANGE_PLAN.step_names,
            )
            wish = {
                "run_id": run_id,
                "client_id": client_id,
                "plan": plan,
                "from_plan": client.plan,
                "to_plan": plan,
                "allow_over_limit": allow_over_limit,
                "requested_by": requested_by,
            }
            await connection.execute(PLAN_CHANGES["insert_plan_change"], wish)
            await connection.execute(PLAN_CHANGES["wish_for_plan"], wish)
            await self._queue.enqueue(
                connection, run_id, lane=lane_of_server(client.server_id), priority=priority
            )
            details = {"from": client.plan, "to": plan, "allowOverLimit": allow_over_limit}
            await record(
                connection,
                actor=requested_by,
                action="client.plan_change_requested",
                client_id=client_id,
                details=details | {"run": str(run_id)},
            )
        get_logger("registration").info(
            "plan_change_requested",
            clientId=str(client_id),
            clientName=client.name,
            runId=str(run_id),
            status=client.status,
            fromPlan=client.plan,
            toPlan=plan,
        )
        return AcceptedPlanChange(client_id, run_id, client.plan, plan, created=True)

    async def _repeated_plan_change(
        self, connection: Connection, client: Client, plan: str
    ) -> AcceptedPlanChange | None:
        refuse_who_is_closed(client)
        if client.status != "ready":
            raise ClientNotReady(
                f"{client.name} is not ready ({client.status}), so its plan cannot be changed yet.",
                next_step=f"Ask why with `ghostcrm clients explain {client.id}`.",
            )
        run = await find_unfinished_run(connection, client.id)
        if run is None:
            # A change that failed may have come half the way: then the old plan is a wish, too.
            if client.plan == client.wanted_plan == plan:
                return AcceptedPlanChange(client.id, None, plan, plan, created=False)
            return None
        change = await find_plan_change(connection, run.id)
        if change is not None and change.to_plan == plan:
            return AcceptedPlanChange(client.id, run.id, change.from_plan, plan, created=False)
        doing = run.kind if change is None else f"its plan is being changed to {change.to_plan}"
        raise Conflict(
            f"Something else is being done for {client.name}: {doing} (run {run.id}, {run.status}).",
            next_step=f"Wait until it has ended (`ghostcrm clients explain {client.id}`), then ask again.",
        )

    def _seal_secrets(
        self, client_id: UUID, password_hash: str, given: GivenDatabase | None
    ) -> _SealedSecrets:
        database_id = uuid4()
        of_admin, of_database = names_of_seals(client_id, database_id)
        credentials = make_credentials(
            tuple(role.key for role in LOGIN_ROLES),
            given=None if given is None else given.as_document(),
        )
        return _SealedSecrets(
            database_id,
            self._sealer.seal(password_hash, belongs_to=of_admin),
            self._sealer.seal(credentials.as_text(), belongs_to=of_database),
        )

    async def _insert_client(
        self,
        connection: Connection,
        client_id: UUID,
        form: RegistrationForm,
        blueprint: Blueprint,
        registered_by: str,
    ) -> bool:
        """False when the same id or key is there already; waits for whoever is inserting it."""
        row = await (
            await connection.execute(
                CLIENTS["insert_client"],
                {
                    "id": client_id,
                    "name": form.company_name,
                    "plan": form.plan,
                    "blueprint": blueprint.reference,
                    "idempotency_key": form.uniqueness_key,
                    "registration_digest": form.digest,
                    "registered_by": registered_by,
                },
            )
        ).fetchone()
        return row is not None

    async def _repeated(
        self, connection: Connection, client_id: UUID, form: RegistrationForm
    ) -> Accepted:
        row = await (
            await connection.execute(
                CLIENTS["find_registered"],
                {"id": client_id, "idempotency_key": form.uniqueness_key},
            )
        ).fetchone()
        if row is None:
            raise Conflict("The same registration was removed at this moment.")
        if form.client_id is not None and row["id"] != form.client_id:
            raise IdempotencyKeyReused("That idempotency key belongs to a client with another id.")
        if row["is_deleted"]:
            raise ClientDeleted(
                f"That registration is of the client {row['id']}, which is deleted or being deleted; an id is "
                "never used again.",
                next_step="Register it with another id, or another idempotency key.",
            )
        if bytes(row["registration_digest"]) != form.digest:
            if form.client_id is not None and row["id"] == form.client_id:
                raise ClientIdInUse(f"The id {client_id} belongs to a client with other data.")
            if form.idempotency_key is not None:
                raise IdempotencyKeyReused
            raise Conflict(
                f"{form.company_name} is registered already with this admin, on another plan or "
                "blueprint.",
                next_step=f"See `ghostcrm clients show {row['id']}`; give an id of its own (`--id`) to "
                "register a second client of that name.",
            )
        if form.given is not None:
            await self._take_new_secrets(connection, row["id"], form.given)
        run = await find_first_run(connection, row["id"])
        return Accepted(row["id"], run.id, created=False, registered_by=row["registered_by"])

    async def _is_registered(self, client_id: UUID, form: RegistrationForm) -> bool:
        row = await self._control.fetch_one(
            CLIENTS["find_registered"], id=client_id, idempotency_key=form.uniqueness_key
        )
        return row is not None

    async def _take_new_secrets(
        self, connection: Connection, client_id: UUID, given: GivenDatabase
    ) -> None:
        """The same database with another password or key: the first one was wrong, or has changed. Until
        the database is the client's, the latest counts; a run that has failed can be tried again then."""
        client = await find_client(connection, client_id)
        if client.handed_over_at is not None:
            return
        await connection.execute(CLIENTS["lock_credentials"], {"database_id": client.database_id})
        credentials, _ = await open_secrets(connection, self._sealer, client)
        if credentials.given == given.as_document():
            return
        _, of_database = names_of_seals(client.id, client.database_id)
        await connection.execute(
            CLIENTS["replace_credentials"],
            {
                "database_id": client.database_id,
                "credentials_sealed": self._sealer.seal(
                    replace(credentials, given=given.as_document()).as_text(),
                    belongs_to=of_database,
                ),
            },
        )

    async def _insert_the_rest(
        self,
        connection: Connection,
        client_id: UUID,
        form: RegistrationForm,
        blueprint: Blueprint,
        sealed: _SealedSecrets,
        must_change_password: bool,
    ) -> UUID:
        server_id = await self._place(connection, form)
        run_id = uuid4()
        await connection.execute(
            CLIENTS["insert_admin"],
            {
                "client_id": client_id,
                "user_id": uuid4(),
                "email": form.admin_email,
                "must_change_password": must_change_password,
                "password_hash_sealed": sealed.password_hash,
            },
        )
        await connection.execute(
            CLIENTS["insert_database"],
            {
                "id": sealed.database_id,
                "client_id": client_id,
                "server_id": server_id,
                "name": f"ghostcrm_{sealed.database_id.hex}",
                "region": form.region,
                "credentials_sealed": sealed.credentials,
            },
        )
        priority = blueprint.plan(form.plan).priority
        await insert_run(
            connection,
            run_id=run_id,
            client_id=client_id,
            kind=PROVISION_CLIENT.kind,
            priority=priority,
            step_names=PROVISION_CLIENT.step_names,
        )
        await self._queue.enqueue(
            connection, run_id, lane=lane_of_server(server_id), priority=priority
        )
        return run_id
