"""How a client whose database was given has another URL, or another key, for the same database.

```python
where = await give_again(installation, client_id, database_url="postgresql://…", requested_by="cli")
```

The password of a login that was given is its giver's to change, and keys of a project are. Afterwards we know only
the old ones. The new ones are looked at first: they must lead, with the same login, to the database that carries
this client's stamp; nothing is changed in it. Then they are sealed in the place of the old ones.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from uuid import UUID

from ghostcrm_provisioning.audit.record import record
from ghostcrm_provisioning.client_database.roles import APPLICATION
from ghostcrm_provisioning.clients.client import CLIENTS, Client, find_client
from ghostcrm_provisioning.clients.credentials import Credentials
from ghostcrm_provisioning.errors import (
    ClientDeleted,
    ClientNotReady,
    Conflict,
    DatabaseNotUsable,
    InvalidInput,
    NotOffered,
)
from ghostcrm_provisioning.given_database import GivenDatabase, read_given_database
from ghostcrm_provisioning.providers.provider import DatabaseRequest, Given, Provider
from ghostcrm_provisioning.provisioning.work import change_credentials, open_secrets, request_of
from ghostcrm_provisioning.provisioning_log import get_logger
from ghostcrm_provisioning.wiring import Installation


async def give_again(
    installation: Installation,
    client_id: UUID,
    *,
    requested_by: str,
    database_url: str | None = None,
    database_key: str | None = None,
    reason: str | None = None,
) -> str:
    """Have the client's database reached with another URL, or its project with another key, from now on.

    Args:
        database_url, database_key: what is None stays as it is.
        reason: kept in the audit log.

    Returns:
        Where the database is, in words.

    Raises:
        NotFound, ClientDeleted, ClientNotReady: there is no such client, or no database of it yet.
        NotOffered: its database was not given.
        InvalidInput, InvalidDatabaseUrl: it cannot be read, names another login or project, or its key opens
            nothing. Nothing was changed, as with all others.
        StampMismatch, DatabaseNotUsable: it leads to another database.
        DatabaseRejected, ServerUnreachable, SupabaseUnavailable: it could not be looked at.
        Conflict: something else was given at the same moment.
    """
    async with installation.control.connection() as connection:
        client = await find_client(connection, client_id)
        _refuse_who_has_none(client)
        known, _ = await open_secrets(connection, installation.sealer, client)
    new = _read(known, database_url, database_key)
    request = replace(
        request_of(client, known, installation_id=installation.id),
        given=Given(**new.as_document()),
    )
    services = await _see_that_it_is_the_same(
        await installation.providers.of_server(client.server_id), client, request, new
    )
    async with installation.control.transaction() as connection:
        await connection.execute(CLIENTS["lock_client"], {"client_id": client.id})
        _refuse_who_has_none(await find_client(connection, client.id))
        await change_credentials(
            connection,
            installation.sealer,
            client,
            lambda current: _exchanged(current, known, new, services),
        )
        details = {
            "where": new.where,
            "url": database_url is not None,
            "key": database_key is not None,
        }
        await record(
            connection,
            actor=requested_by,
            action="client.given_again",
            client_id=client.id,
            details=details if reason is None else details | {"reason": reason},
        )
    get_logger("registration").info(
        "client_database_given_again", clientId=str(client.id), clientName=client.name
    )
    return new.where


def _exchanged(
    current: Credentials,
    known: Credentials,
    new: GivenDatabase,
    services: dict[str, str | None] | None,
) -> Credentials:
    """Raises Conflict when something else was given since they were read: it would be lost."""
    if current.given != known.given:
        raise Conflict(
            "Another URL or key of this client was given at the same moment.",
            next_step="Give yours again: it is looked at together with what was given meanwhile.",
        )
    return replace(current, given=new.as_document(), services=services)


def _refuse_who_has_none(client: Client) -> None:
    if client.provider != "existing":
        raise NotOffered(
            f"The database of {client.name} was made by us: there is no URL of it that was given.",
            next_step=f"Have its own passwords and keys exchanged: `ghostcrm clients rotate {client.id}`.",
        )
    if "deleted" in {client.status, client.wanted_status}:
        raise ClientDeleted(f"{client.name} is deleted, or is being.")
    if client.handed_over_at is None:
        raise ClientNotReady(
            f"{client.name} is not ready ({client.status}): its database is not its own yet.",
            next_step="Register it again with the same data and the new password or key; then "
            f"`ghostcrm clients retry {client.id}`.",
        )


def _read(known: Credentials, database_url: str | None, database_key: str | None) -> GivenDatabase:
    """What is given now, with what stays.

    Raises:
        InvalidInput, InvalidDatabaseUrl: it is not for the same login of the same database.
    """
    if database_url is None and database_key is None:
        raise InvalidInput("Neither a database URL nor a key was given.")
    before = Given(**(known.given or {}))
    old = read_given_database(
        before.database_url,
        before.database_key,
        project_url=before.project_url,
        allow_other_tables=before.allow_other_tables,
    )
    new = read_given_database(
        before.database_url if database_url is None else database_url,
        before.database_key if database_key is None else database_key,
        project_url=old.project_url,
        allow_other_tables=before.allow_other_tables,
    )
    if (new.plain_user, new.database) != (old.plain_user, old.database):
        raise InvalidInput(
            f"The new URL names the login {new.plain_user} and the database {new.database}; the client's are "
            f"{old.plain_user} and {old.database}.",
            next_step="Host, port, password and parameters may be others. What is in the database belongs to the "
            "login that was given: another one cannot take its place.",
        )
    if None not in {old.ref, new.ref} and old.ref != new.ref:
        raise InvalidInput("The new URL leads to another Supabase project than the client's.")
    return new


async def _see_that_it_is_the_same(
    provider: Provider, client: Client, request: DatabaseRequest, new: GivenDatabase
) -> dict[str, str | None] | None:
    """What opens the services beside it, for sealing; None where there are none."""
    seen = await provider.observe(request)
    if not seen.holds:
        raise DatabaseNotUsable(
            f"It cannot be used in the place of the client's database: {seen.seen}.",
            next_step="Give the address of the database that the client has: a copy of it elsewhere is another.",
        )
    # A copy on another server carries the stamp as well; logins are not copied with it.
    if (
        client.is_open
        and await provider.offers_login(request, APPLICATION)
        and APPLICATION not in await provider.enabled_logins(request)
    ):
        raise DatabaseNotUsable(
            f"{new.where[:1].upper()}{new.where[1:]} carries the client's stamp, and has none of its logins: it is a "
            "copy.",
            next_step="Give the address of the database that the client has.",
        )
    services = provider.services(request)
    if services is None:
        return None
    if await services.refused_keys():
        raise InvalidInput(
            "The project does not take the key.",
            next_step="Give its service role key, or a secret key, as it is now in the project's dashboard.",
        )
    return asdict(await services.keys())
