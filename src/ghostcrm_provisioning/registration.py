"""What an application calls when a company registers.

```python
from ghostcrm_provisioning.registration import on_client_registration

registration = await on_client_registration(
    company_name="ACME Corp",
    admin_email="admin@acme.com",
    admin_password="secure-password",
    plan="professional",
)
```

The call returns as soon as the registration cannot be lost any more (some tens of milliseconds, most
of them for hashing the password). A worker does the rest; with ``wait_seconds`` the call waits for
it, and does the work itself where no worker is running.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from ghostcrm_provisioning.clients.client import find_client
from ghostcrm_provisioning.connecting import ClientConnection, connect_to
from ghostcrm_provisioning.errors import (
    AlreadyRegistered,
    Conflict,
    NotOffered,
    StillRunning,
    TransientFailure,
)
from ghostcrm_provisioning.following import follow
from ghostcrm_provisioning.registrars.registration import Accepted
from ghostcrm_provisioning.registration_form import RegistrationForm, checked_form
from ghostcrm_provisioning.settings import Settings, read_settings
from ghostcrm_provisioning.wiring import Installation, open_installation

__all__ = [
    "Registration",
    "on_client_registration",
    "on_client_registration_sync",
    "trigger_client_provisioning",
    "trigger_client_provisioning_sync",
]

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Registration:
    """What became of a registration.

    Attributes:
        status: of the client: registered, provisioning, ready or failed.
        created: False when the same registration was accepted before.
        temporary_password: the admin's, when none was given; shown this once.
        error: why it failed (code, message, nextStep), when it did.
        connection: how to connect, when it is ready and was waited for, and its application has a login.
    """

    client_id: UUID
    run_id: UUID
    status: str
    created: bool
    temporary_password: str | None = field(default=None, repr=False)
    error: dict[str, Any] | None = None
    connection: ClientConnection | None = field(default=None, repr=False)


async def on_client_registration(
    *,
    company_name: str,
    admin_email: str,
    admin_password: str | None = None,
    plan: str = "starter",
    blueprint: str | None = None,
    idempotency_key: str | None = None,
    region: str | None = None,
    wait_seconds: float = 0.0,
    installation: Installation | None = None,
) -> Registration:
    """A company has registered: give it a database of its own.

    Args:
        admin_password: 8 to 72 bytes; hashed at once and never stored. None makes a temporary one.
        idempotency_key: the same key with the same data gives the same client.
        region: where its project at Supabase is to lie; None leaves it to the settings.
        wait_seconds: how long to wait for the client to be ready; 0 returns when it is accepted.
        installation: an open one, in a service that registers many; by default one is opened for
            this call from the environment's settings.

    Raises:
        InvalidInput: and nothing was created.
        Conflict: the same company with this admin is registered on another plan.
        ConfigurationError, TransientFailure: the installation cannot accept it now.
    """
    return await _register(
        company_name=company_name,
        admin_email=admin_email,
        admin_password=admin_password,
        plan=plan,
        blueprint=blueprint,
        client_id=None,
        idempotency_key=idempotency_key,
        wait_seconds=wait_seconds,
        installation=installation,
        region=region,
    )


async def trigger_client_provisioning(
    *,
    id: str | UUID,  # noqa: A002 - the specification's own name
    name: str,
    admin_email: str,
    admin_password: str | None = None,
    plan: str = "starter",
    database_url: str | None = None,
    database_key: str | None = None,
    project_url: str | None = None,
    allow_other_tables: bool = False,
    blueprint: str | None = None,
    region: str | None = None,
    wait_seconds: float = 0.0,
    installation: Installation | None = None,
) -> Registration:
    """Provision a client whose id the caller has chosen; calling again with it changes nothing.

    Args:
        database_url: a database that is there already and is to be the client's: a PostgreSQL URL, or that of
            a Supabase project on this machine. Without it, one is made.
        database_key: the service role key, or a secret key, of the Supabase project.
        project_url: where the project's API is, when the database URL does not tell.
        allow_other_tables: the database may hold what is not ours; none of it is touched.
        region: where its project at Supabase is to lie, when one is made.

    Raises:
        As :func:`on_client_registration`; ClientIdInUse: the id belongs to a client with other data;
        InvalidDatabaseUrl, DatabaseUrlMissing, DatabaseNotUsable, OtherTablesFound: the database cannot be
        used, and nothing was created.
    """
    return await _register(
        company_name=name,
        admin_email=admin_email,
        admin_password=admin_password,
        plan=plan,
        blueprint=blueprint,
        client_id=id,
        idempotency_key=None,
        wait_seconds=wait_seconds,
        installation=installation,
        database_url=database_url,
        database_key=database_key,
        project_url=project_url,
        allow_other_tables=allow_other_tables,
        region=region,
    )


async def accept_from_stranger(
    installation: Installation, form: RegistrationForm, *, registered_by: str
) -> Accepted:
    """Accept a registration from whoever may register and nothing else: of what others have
    registered he learns nothing but that it is taken.

    Raises:
        InvalidInput: and nothing was created.
        AlreadyRegistered: by somebody else, or on other terms; in the same words.
    """
    try:
        accepted = await installation.registrar.register(form, registered_by=registered_by)
    except Conflict:
        raise AlreadyRegistered from None  # what it says of the other client is not for him
    if not accepted.created and accepted.registered_by != registered_by:
        raise AlreadyRegistered
    return accepted


def on_client_registration_sync(**registration: Any) -> Registration:
    """:func:`on_client_registration` for code that is not asynchronous."""
    return _run(on_client_registration(**registration))


def trigger_client_provisioning_sync(**registration: Any) -> Registration:
    """:func:`trigger_client_provisioning` for code that is not asynchronous."""
    return _run(trigger_client_provisioning(**registration))


def _run(work: Coroutine[Any, Any, _Result]) -> _Result:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    work.close()
    raise RuntimeError("An event loop is running in this thread: await the asynchronous function.")


async def _register(
    *,
    company_name: str,
    admin_email: str,
    admin_password: str | None,
    plan: str,
    blueprint: str | None,
    client_id: str | UUID | None,
    idempotency_key: str | None,
    wait_seconds: float,
    installation: Installation | None,
    database_url: str | None = None,
    database_key: str | None = None,
    project_url: str | None = None,
    allow_other_tables: bool = False,
    region: str | None = None,
) -> Registration:
    settings: Settings = installation.settings if installation else read_settings()
    # Checked before anything is opened: bad input needs no server to be refused.
    form = checked_form(
        company_name=company_name,
        admin_email=admin_email,
        plan=plan,
        blueprint=blueprint or settings.blueprint,
        admin_password=admin_password,
        client_id=client_id,
        idempotency_key=idempotency_key,
        database_url=database_url,
        database_key=database_key,
        project_url=project_url,
        allow_other_tables=allow_other_tables,
        region=region,
    )
    if installation is not None:
        return await _register_with(installation, form, wait_seconds)
    async with open_installation(settings) as opened:
        return await _register_with(opened, form, wait_seconds)


async def _register_with(
    installation: Installation, form: RegistrationForm, wait_seconds: float
) -> Registration:
    accepted = await installation.registrar.register(form, registered_by="application")
    error: dict[str, Any] | None = None
    if wait_seconds > 0:
        try:
            run = await follow(installation, accepted.run_id, timeout_seconds=wait_seconds)
            error = run.error
        except StillRunning:
            pass  # the status below says so
        except TransientFailure as lost:
            # Accepted is accepted: the caller gets the ids, and the password that is shown once.
            return Registration(
                client_id=accepted.client_id,
                run_id=accepted.run_id,
                status="registered",
                created=accepted.created,
                temporary_password=accepted.temporary_password,
                error=lost.as_record(),
            )
    async with installation.control.connection() as connection:
        client = await find_client(connection, accepted.client_id)
    connection_to_it = None
    if wait_seconds > 0 and client.is_open:
        # A database that was given may have no login for its application: asked for by name, that is told.
        with suppress(NotOffered):
            connection_to_it = await connect_to(
                installation, client.id, role="app", requested_by="application"
            )
    return Registration(
        client_id=client.id,
        run_id=accepted.run_id,
        status=client.status,
        created=accepted.created,
        temporary_password=accepted.temporary_password,
        error=error,
        connection=connection_to_it,
    )
