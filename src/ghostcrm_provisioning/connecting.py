"""How to get into a client's database: its logins, and its admin; every answer is audited."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from ghostcrm_provisioning.audit.record import record
from ghostcrm_provisioning.client_database.admin_user import demand_password_change
from ghostcrm_provisioning.client_database.admin_user import (
    reset_admin_password as set_admin_password,
)
from ghostcrm_provisioning.client_database.program_settings import settings_at_supabase, settings_of
from ghostcrm_provisioning.client_database.roles import (
    API,
    APPLICATION,
    CLIENT_LOGIN_ROLES,
    login_role,
)
from ghostcrm_provisioning.clients.client import (
    CLIENTS,
    Client,
    find_client,
    names_of_seals,
    refuse_who_is_closed,
)
from ghostcrm_provisioning.clients.credentials import Credentials, with_password_for
from ghostcrm_provisioning.errors import ClientNotReady, GhostcrmError, InvalidInput, NotFound
from ghostcrm_provisioning.passwords import hash_password, make_temporary_password
from ghostcrm_provisioning.provisioning.pause import find_pause, paused_by_itself
from ghostcrm_provisioning.provisioning.work import (
    as_caretaker,
    enable_login_as_sealed,
    find_what_opens,
    ground_of,
    login_of,
    open_secrets,
    request_of,
)
from ghostcrm_provisioning.wiring import Installation

_LONGEST_LOOK_SECONDS = 5.0  # at a project's own API, before a connection is given without it


@dataclass(frozen=True)
class ClientConnection:
    """Everything that an application needs to use a client's database. All of it is secret."""

    database_url: str = field(repr=False)
    anon_key: str = field(repr=False)
    service_role_key: str = field(repr=False)
    supabase_url: str | None = None
    warning: str | None = None

    def as_document(self) -> dict[str, Any]:
        document = {
            "databaseUrl": self.database_url,
            "anonKey": self.anon_key,
            "serviceRoleKey": self.service_role_key,
        }
        if self.supabase_url is not None:
            document["supabaseUrl"] = self.supabase_url
        if self.warning is not None:
            document["warning"] = self.warning
        return document


async def connect_to(
    installation: Installation,
    client_id: UUID,
    *,
    role: str,
    requested_by: str,
    reason: str | None = None,
) -> ClientConnection:
    """The connection of a ready client as ``role`` (app, service, auth, owner or api). ``reason`` is
    kept in the audit log.

    Raises:
        InvalidInput: there is no such role.
        NotFound: there is no such client.
        ClientNotReady: its isolation is not proven yet, so nobody is let in.
        ClientQuarantined: its isolation is not proven any more.
    """
    client, credentials = await _open_for(installation, client_id, role)
    database_url, credentials = await _let_in(installation, client, credentials, role)
    details = {"role": role} if reason is None else {"role": role, "reason": reason}
    await _record(installation, client, requested_by, details)
    keys = credentials.services
    if keys is None:
        return ClientConnection(
            database_url=database_url,
            anon_key=credentials.anon_key,
            service_role_key=credentials.service_role_key,
        )
    return ClientConnection(
        database_url=database_url,
        # The keys of today, where the project has them: the older ones end with the year 2026.
        anon_key=_first(keys, "publishable", "anon"),
        service_role_key=_first(keys, "secret", "service_role"),
        supabase_url=keys["url"],
        warning=" ".join(
            filter(
                None,
                (
                    _warning(role, database_url),
                    await _keys_warning(installation, client, credentials),
                ),
            )
        )
        or None,
    )


async def _keys_warning(
    installation: Installation, client: Client, credentials: Credentials
) -> str | None:
    """Keys can be deleted and disabled in a project's dashboard, where we do not hear of it."""
    provider = await installation.providers.of_server(client.server_id)
    services = provider.services(request_of(client, credentials, installation_id=installation.id))
    refused: tuple[str, ...] = ()
    # Who does not answer now, has not refused them.
    with suppress(GhostcrmError, TimeoutError):
        async with asyncio.timeout(_LONGEST_LOOK_SECONDS):
            refused = () if services is None else await services.refused_keys()
    if services is None or not refused:
        return None
    return (
        f"The project does not take the {' and the '.join(refused)} any more: somebody has deleted or disabled "
        + (
            f"it. Have its keys exchanged with `ghostcrm clients rotate {client.id} --keys`."
            if services.keys_are_ours
            else "it. It was given to us: tell the new one with "
            f"`ghostcrm clients rotate {client.id} --database-key-file FILE`."
        )
    )


def _warning(role: str, database_url: str) -> str | None:
    """What whoever gets that connection has to know."""
    if "options=-c%20role%3D" not in database_url:
        return None
    return (
        f"This database has no login {role!r} of its own: the URL is its owner's, and begins as another role "
        "for as long as nobody resets it. Give it to code that you trust; for everything else there are the "
        "project's URL and the anon key."
    )


def _first(keys: dict[str, Any], *names: str) -> str:
    """Of several keys for the same purpose, the first that there is."""
    return next((str(keys[name]) for name in names if keys.get(name)), "")


async def program_settings(
    installation: Installation, client_id: UUID, *, role: str, requested_by: str
) -> dict[str, str]:
    """Environment variables with which the programs that connect as ``role`` run on a ready client's
    database: GoTrue as auth; PostgREST as api; as app, the application and its PostgREST. All of it
    is secret.

    Raises: as :func:`connect_to`.
    """
    client, credentials = await _open_for(installation, client_id, role)
    if (keys := credentials.services) is not None:
        url, credentials = await _let_in(installation, client, credentials, role)
        details = {"role": role, "format": "env", "logins": [role]}
        await _record(installation, client, requested_by, details)
        return settings_at_supabase(
            role,
            url=url,
            supabase_url=keys["url"],
            anon_key=_first(keys, "publishable", "anon"),
            service_role_key=_first(keys, "secret", "service_role"),
        )
    urls = {}
    for login in dict.fromkeys((role, API) if role == APPLICATION else (role,)):
        urls[login], credentials = await _let_in(installation, client, credentials, login)
    details = {"role": role, "format": "env", "logins": list(urls)}
    await _record(installation, client, requested_by, details)
    return settings_of(
        role,
        urls=urls,
        jwt_secret=credentials.jwt_secret,
        anon_key=credentials.anon_key,
        service_role_key=credentials.service_role_key,
    )


async def _open_for(
    installation: Installation, client_id: UUID, role: str
) -> tuple[Client, Credentials]:
    """A ready client and its credentials."""
    keys = [login.key for login in CLIENT_LOGIN_ROLES]
    if role not in keys:
        raise InvalidInput(f"There is no role {role!r}; there are: {', '.join(keys)}.")
    async with installation.control.connection() as connection:
        client = await find_client(connection, client_id)
    refuse_who_is_closed(client)
    if client.status != "ready":
        raise ClientNotReady(
            f"{client.name} is not ready ({client.status}), so nobody can connect to it yet.",
            next_step=f"Ask why with `ghostcrm clients explain {client.id}`.",
        )
    async with installation.control.connection() as connection:
        credentials, _ = await open_secrets(connection, installation.sealer, client)
    return client, credentials


async def _let_in(
    installation: Installation, client: Client, credentials: Credentials, key: str
) -> tuple[str, Credentials]:
    """How the login ``key`` connects; all but the application's are enabled when they are asked for."""
    if key not in credentials.passwords:
        credentials = await _add_password(installation, client, key)
    provider = await installation.providers.of_server(client.server_id)
    request = request_of(client, credentials, installation_id=installation.id)
    await _refuse_paused(installation, client)
    if key != APPLICATION:
        async with installation.control.transaction() as control:
            login = await enable_login_as_sealed(
                control, installation.sealer, client, provider, request, key
            )
    else:
        password = await find_what_opens(provider, request, credentials, key)
        login = login_of(login_role(key), password=password)
    return await provider.login_url(request, login), credentials


async def _refuse_paused(installation: Installation, client: Client) -> None:
    paused = await find_pause(
        installation.control,
        installation.providers,
        installation.sealer,
        client,
        installation_id=installation.id,
    )
    if paused is not None:
        raise paused_by_itself(client, paused)


async def _add_password(installation: Installation, client: Client, key: str) -> Credentials:
    """A password for a login that did not exist yet when the client was registered."""
    _, of_database = names_of_seals(client.id, client.database_id)
    async with installation.control.transaction() as connection:
        await connection.execute(CLIENTS["lock_credentials"], {"database_id": client.database_id})
        credentials, _ = await open_secrets(connection, installation.sealer, client)
        if key not in credentials.passwords:  # nobody else has made one meanwhile
            credentials = with_password_for(credentials, key)
            sealed = installation.sealer.seal(credentials.as_text(), belongs_to=of_database)
            await connection.execute(
                CLIENTS["replace_credentials"],
                {"database_id": client.database_id, "credentials_sealed": sealed},
            )
    return credentials


async def _record(
    installation: Installation, client: Client, requested_by: str, details: dict[str, Any]
) -> None:
    async with installation.control.connection() as connection:
        await record(
            connection,
            actor=requested_by,
            action="client.connected",
            client_id=client.id,
            details=details,
        )


async def reset_admin_password(
    installation: Installation, client_id: UUID, *, requested_by: str, reason: str | None = None
) -> str:
    """A new temporary password for the admin of a ready client; shown this once, to be changed.
    ``reason`` is kept in the audit log.

    Raises:
        NotFound: there is no such client, or its admin was removed.
        ClientQuarantined: nobody is let in at present.
        ClientNotReady: the admin is made later; a registration that failed keeps its password.
    """
    async with installation.control.connection() as connection:
        client = await find_client(connection, client_id)
    refuse_who_is_closed(client)
    if client.status != "ready":
        raise ClientNotReady(
            f"{client.name} is not ready ({client.status}); its admin comes later."
        )
    await _refuse_paused(installation, client)
    password = make_temporary_password()
    password_hash = await asyncio.to_thread(hash_password, password)
    provider = await installation.providers.of_server(client.server_id)
    async with installation.control.connection() as connection:
        credentials, _ = await open_secrets(connection, installation.sealer, client)
    request = request_of(client, credentials, installation_id=installation.id)
    services = provider.services(request)
    async with as_caretaker(provider, request, credentials) as inside:
        if services is None:
            there = await set_admin_password(
                inside,
                client.admin_user_id,
                password_hash,
                ground=await ground_of(provider, request, inside),
            )
        else:
            there = await services.set_password(client.admin_user_id, password, password_hash)
            await demand_password_change(
                inside,
                client.admin_user_id,
                ground=await ground_of(provider, request, inside),
            )
        if not there:
            raise NotFound(f"The admin of {client.name} is no longer among its users.")
    async with installation.control.connection() as connection:
        await record(
            connection,
            actor=requested_by,
            action="client.admin_password_reset",
            client_id=client.id,
            details={} if reason is None else {"reason": reason},
        )
    return password
