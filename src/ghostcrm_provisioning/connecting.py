"""How to get into a client's database: its logins, and its admin; every answer is audited."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from ghostcrm_provisioning.client_database.admin_user import (
    reset_admin_password as set_admin_password,
)
from ghostcrm_provisioning.client_database.roles import APPLICATION, LOGIN_ROLES
from ghostcrm_provisioning.clients.client import CLIENTS, find_client
from ghostcrm_provisioning.errors import ClientNotReady, InvalidInput, NotFound
from ghostcrm_provisioning.providers.provider import Login
from ghostcrm_provisioning.provisioning.work import open_secrets
from ghostcrm_provisioning.registrar import hash_password, make_temporary_password
from ghostcrm_provisioning.wiring import Installation


@dataclass(frozen=True)
class ClientConnection:
    """Everything that an application needs to use a client's database. All of it is secret."""

    database_url: str = field(repr=False)
    anon_key: str = field(repr=False)
    service_role_key: str = field(repr=False)
    supabase_url: str | None = None

    def as_document(self) -> dict[str, Any]:
        document = {
            "databaseUrl": self.database_url,
            "anonKey": self.anon_key,
            "serviceRoleKey": self.service_role_key,
        }
        if self.supabase_url is not None:
            document["supabaseUrl"] = self.supabase_url
        return document


async def connect_to(
    installation: Installation, client_id: UUID, *, role: str, requested_by: str
) -> ClientConnection:
    """The connection of a ready client as ``role`` (app, service, auth or owner).

    Raises:
        InvalidInput: there is no such role.
        NotFound: there is no such client.
        ClientNotReady: its isolation is not proven yet, so nobody is let in.
    """
    keys = [login.key for login in LOGIN_ROLES]
    if role not in keys:
        raise InvalidInput(f"There is no role {role!r}; there are: {', '.join(keys)}.")
    async with installation.control.connection() as connection:
        client = await find_client(connection, client_id)
        credentials, _ = await open_secrets(connection, installation.sealer, client)
    if client.status != "ready":
        raise ClientNotReady(
            f"{client.name} is not ready ({client.status}), so nobody can connect to it yet.",
            next_step=f"Ask why with `ghostcrm clients explain {client.id}`.",
        )
    provider = await installation.providers.of_server(client.server_id)
    login = Login(role, credentials.passwords[role])
    if role != APPLICATION:
        await provider.enable_login(client.database_name, login)
    await installation.control.execute(
        CLIENTS["record_audit"],
        actor=requested_by,
        action="client.connected",
        client_id=client.id,
        details=Jsonb({"role": role}),
    )
    return ClientConnection(
        database_url=provider.login_url(client.database_name, login),
        anon_key=credentials.anon_key,
        service_role_key=credentials.service_role_key,
    )


async def reset_admin_password(
    installation: Installation, client_id: UUID, *, requested_by: str
) -> str:
    """A new temporary password for the admin of a ready client; shown this once, to be changed.

    Raises:
        NotFound: there is no such client, or its admin was removed.
        ClientNotReady: the admin is made later; a registration that failed keeps its password.
    """
    async with installation.control.connection() as connection:
        client = await find_client(connection, client_id)
    if client.status != "ready":
        raise ClientNotReady(
            f"{client.name} is not ready ({client.status}); its admin comes later."
        )
    password = make_temporary_password()
    password_hash = await asyncio.to_thread(hash_password, password)
    provider = await installation.providers.of_server(client.server_id)
    async with provider.administer(client.database_name) as inside:
        if not await set_admin_password(inside, client.admin_user_id, password_hash):
            raise NotFound(f"The admin of {client.name} is no longer in its auth.users.")
    await installation.control.execute(
        CLIENTS["record_audit"],
        actor=requested_by,
        action="client.admin_password_reset",
        client_id=client.id,
        details=Jsonb({}),
    )
    return password
