"""The one place where the parts are chosen and put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from ghostcrm_provisioning.client_database.roles import check_server
from ghostcrm_provisioning.clients.client import CLIENTS
from ghostcrm_provisioning.control_database.database import ControlDatabase, upgrade
from ghostcrm_provisioning.errors import ConfigurationError, SealingKeyMissing
from ghostcrm_provisioning.home_server import HomeServer, open_home_server
from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.notifications.notifier import Notifier
from ghostcrm_provisioning.postgres_errors import translating
from ghostcrm_provisioning.provisioning.client_database_provisioner import (
    ClientDatabaseProvisioner,
)
from ghostcrm_provisioning.provisioning.retry import RetryPolicy
from ghostcrm_provisioning.provisioning.work import Surroundings
from ghostcrm_provisioning.provisioning_log import start_logging
from ghostcrm_provisioning.queue.provisioning_queue import (
    QUEUE_VERSION,
    ProvisioningQueue,
    install_queue,
)
from ghostcrm_provisioning.registrars.lifecycle import LifecycleRegistrar
from ghostcrm_provisioning.registrars.registration import Registrar
from ghostcrm_provisioning.registrars.rotation import RotationRegistrar
from ghostcrm_provisioning.sealing import Sealer, sealer_from_folder, sealer_from_setting
from ghostcrm_provisioning.server_providers import ServerProviders, place
from ghostcrm_provisioning.settings import Settings
from ghostcrm_provisioning.verification.verifier import Verifier

if TYPE_CHECKING:
    from ghostcrm_provisioning.queue.worker import Worker

_INSTALLATION = NamedSql("ghostcrm_provisioning.clients", "installation.sql")
_SEALING_CHECK = "this installation"


@dataclass(frozen=True)
class Installation:
    """Everything, put together and open."""

    settings: Settings
    id: UUID
    home_server: HomeServer
    control: ControlDatabase
    sealer: Sealer
    queue: ProvisioningQueue
    registrar: Registrar
    providers: ServerProviders
    provisioner: ClientDatabaseProvisioner
    notifier: Notifier
    verifier: Verifier
    lifecycle: LifecycleRegistrar
    rotations: RotationRegistrar

    def make_worker(self, *, standing: bool) -> Worker:
        """A worker; ``standing`` when others may count on it."""
        # The worker's side of the queue is slow to load, and most commands do not work themselves.
        from ghostcrm_provisioning.queue.worker import Worker  # noqa: PLC0415

        settings = self.settings
        return Worker(
            self.control,
            self.queue,
            carry_out=self.provisioner.carry_out,
            deliver=self.notifier.deliver,
            look_after=self.verifier.look_after,
            begin_round=self.verifier.begin_round,
            standing=standing,
            concurrency=settings.worker_concurrency,
            lane_limit=settings.concurrency_per_server,
            lease_seconds=settings.lease_seconds,
            pause_seconds=settings.pause_seconds,
        )


@asynccontextmanager
async def open_installation(settings: Settings) -> AsyncIterator[Installation]:
    """Start or reach the home server, upgrade the control database, and put the parts together.

    Raises:
        ConfigurationError: something must be set up first; the error says what.
        TransientFailure: a server does not answer.
    """
    start_logging(
        settings.logs,
        verbose=settings.debug_provisioning,
        keep_days=settings.keep_logs_days,
    )
    home = await open_home_server(settings)
    async with AsyncExitStack() as resources:
        control = await resources.enter_async_context(
            # A run keeps one connection and needs a second now and then; requests come on top.
            ControlDatabase(
                home.control_url,
                largest_pool=2 * settings.worker_concurrency + 4 + settings.api_connections,
            )
        )
        providers = ServerProviders(
            control, settings, resources, home_url=home.control_url, home_name=home.name
        )
        installation_id, sealer = await _set_up(control, settings, home, providers)
        queue = ProvisioningQueue(control, lease_seconds=settings.lease_seconds)
        notify_urls = (
            settings.notify_urls.get_secret_value().split() if settings.notify_urls else []
        )
        notifier = Notifier(control, urls=tuple(notify_urls))
        verifier = Verifier(
            control,
            installation_id=installation_id,
            sealer=sealer,
            providers=providers,
            notifier=notifier,
            sample=settings.verify_sample,
            hour=settings.verify_hour,
            deadline_seconds=settings.verify_deadline_seconds,
        )
        provisioner = ClientDatabaseProvisioner(
            control,
            installation_id=installation_id,
            sealer=sealer,
            providers=providers,
            retry=RetryPolicy(
                max_attempts=settings.max_attempts,
                first_wait=settings.retry_first_wait_seconds,
                longest_wait=settings.retry_longest_wait_seconds,
                longest_told_to_wait=settings.longest_told_to_wait_seconds,
            ),
            step_deadline_seconds=settings.step_deadline_seconds,
            long_step_deadline_seconds=max(
                settings.export_deadline_seconds, settings.verify_deadline_seconds
            ),
            max_worker_deaths=settings.max_worker_deaths,
            on_failure=notifier.run_failed,
            around=Surroundings(
                prove=verifier.prove_before_opening,
                exports=settings.exports_folder,
                binaries=settings.postgres_binaries,
            ),
        )
        yield Installation(
            settings=settings,
            id=installation_id,
            home_server=home,
            control=control,
            sealer=sealer,
            queue=queue,
            registrar=Registrar(
                control,
                sealer=sealer,
                queue=queue,
                place=lambda connection, form: place(connection, settings, form),
            ),
            providers=providers,
            provisioner=provisioner,
            notifier=notifier,
            verifier=verifier,
            lifecycle=LifecycleRegistrar(control, queue=queue),
            rotations=RotationRegistrar(control, sealer=sealer, queue=queue),
        )


async def _set_up(
    control: ControlDatabase, settings: Settings, home: HomeServer, providers: ServerProviders
) -> tuple[UUID, Sealer]:
    """Upgrade the control database, and find or make who we are and our sealing keys."""
    async with control.connection() as connection:
        with translating("the control database"):
            await upgrade(connection, extensions={QUEUE_VERSION: install_queue})
            await check_server(connection)
        row = await (await connection.execute(_INSTALLATION["find_installation"])).fetchone()
        # Only a new installation may make a key: the sealed values of another do not open with it.
        sealer = await asyncio.to_thread(_make_sealer, settings, may_make_first=row is None)
        if row is None:
            await connection.execute(
                _INSTALLATION["insert_installation"],
                {"sealing_check": sealer.seal(_SEALING_CHECK, belongs_to="installation")},
            )
            row = await (await connection.execute(_INSTALLATION["find_installation"])).fetchone()
        if row is None:
            raise ConfigurationError("The control database does not keep what is written to it.")
        if sealer.open(bytes(row["sealing_check"]), belongs_to="installation") != _SEALING_CHECK:
            raise SealingKeyMissing
        await connection.execute(CLIENTS["insert_home_server"], {"name": home.name})
        server = await (
            await connection.execute(CLIENTS["find_home_server"], {"name": home.name})
        ).fetchone()
        if server is None:
            raise ConfigurationError("The home server cannot be recorded.")
        installation_id = UUID(str(row["id"]))
        providers.belong_to(installation_id, home_server_id=server["id"])
        return installation_id, sealer


def _make_sealer(settings: Settings, *, may_make_first: bool) -> Sealer:
    if settings.sealing_keys is not None:
        return sealer_from_setting(settings.sealing_keys.get_secret_value())
    return sealer_from_folder(settings.keys, may_make_first=may_make_first)
