"""How what opens a client's database is exchanged: passwords, keys, or both.

```python
accepted = await rotate_credentials(installation, client_id, requested_by="security")
```

It is accepted here, in one transaction, and carried out by a worker
(:mod:`~ghostcrm_provisioning.provisioning.rotate_credentials`);
:func:`~ghostcrm_provisioning.following.follow` waits for it. Afterwards
:func:`~ghostcrm_provisioning.connecting.connect_to` gives the new ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from ghostcrm_provisioning.clients.client import Client, find_client
from ghostcrm_provisioning.errors import InvalidInput, NotOffered
from ghostcrm_provisioning.provisioning.pause import find_pause, paused_by_itself
from ghostcrm_provisioning.provisioning.work import find_request
from ghostcrm_provisioning.registrars.rotation import (
    AcceptedRotation,
    WantedRotation,
    refuse_who_cannot_be_rotated,
)
from ghostcrm_provisioning.wiring import Installation


@dataclass(frozen=True)
class _Offered:
    passwords: bool
    keys: bool
    legacy_keys: bool


async def rotate_credentials(
    installation: Installation,
    client_id: UUID,
    *,
    requested_by: str,
    passwords: bool = False,
    keys: bool = False,
    legacy_keys: bool = False,
    end_sessions: bool = False,
    reason: str | None = None,
) -> AcceptedRotation:
    """Have a client's credentials exchanged; returns when that cannot be lost any more.

    Args:
        passwords, keys: what; neither stands for everything that is ours to change there.
        legacy_keys: with the keys, switch a project's older ones (anon, service_role) off.
        end_sessions: with the passwords, end the sessions that are open. Otherwise they stay open.

    Raises:
        NotFound, ClientNotReady, ClientQuarantined, ClientSuspended, ClientDeleted, Conflict, InvalidInput:
            nothing was changed.
        NotOffered: what was asked for is not ours to change there; nothing was changed.
        ServerUnreachable, DatabaseBusy: its database cannot be asked now.
    """
    async with installation.control.connection() as connection:
        client = await find_client(connection, client_id)
    refuse_who_cannot_be_rotated(client)
    offered = await _find_offered(installation, client)
    if not passwords and not keys:
        keys = legacy_keys or (offered.keys and not end_sessions)
        passwords = end_sessions or (offered.passwords and not legacy_keys)
        if not keys and not passwords:
            raise _nothing_is_ours(client)
    if legacy_keys and not keys:
        raise InvalidInput("The older keys are switched off together with an exchange of the keys.")
    if end_sessions and not passwords:
        raise InvalidInput("Sessions are ended together with an exchange of the passwords.")
    if passwords and not offered.passwords:
        raise NotOffered(
            f"The database of {client.name} was given to us, and the password of its login is not ours to change.",
            next_step="Have whoever gave the database change it, and tell the new URL with "
            f"`ghostcrm clients rotate {client.id} --database-url-file FILE`.",
        )
    if keys and not offered.keys:
        raise NotOffered(
            f"The project of {client.name} was given to us with its key: its keys are not ours to exchange.",
            next_step="Exchange them in the project's dashboard, and tell the new one with "
            f"`ghostcrm clients rotate {client.id} --database-key-file FILE`; for passwords alone, say --passwords.",
        )
    if legacy_keys and not offered.legacy_keys:
        raise NotOffered(
            f"{client.name} is no project at Supabase: it has no older keys beside those that are exchanged.",
            next_step="Ask without it; the exchange replaces all of its keys.",
        )
    return await installation.rotations.accept(
        client_id,
        WantedRotation(passwords, keys, legacy_keys, end_sessions),
        requested_by=requested_by,
        reason=reason,
    )


async def _find_offered(installation: Installation, client: Client) -> _Offered:
    paused = await find_pause(
        installation.control,
        installation.providers,
        installation.sealer,
        client,
        installation_id=installation.id,
    )
    if paused is not None:
        raise paused_by_itself(client, paused)
    provider = await installation.providers.of_server(client.server_id)
    async with installation.control.connection() as connection:
        request, _ = await find_request(
            connection, installation.sealer, client, installation_id=installation.id
        )
    services = provider.services(request)
    return _Offered(
        passwords=bool(await provider.enabled_logins(request)),
        keys=services is None or services.keys_are_ours,
        legacy_keys=services is not None and services.keys_are_ours,
    )


def _nothing_is_ours(client: Client) -> NotOffered:
    return NotOffered(
        f"Everything that opens the database of {client.name} was given to us, and is not ours to change.",
        next_step="Have whoever gave the database change its password and keys, and tell the new ones with "
        f"`ghostcrm clients rotate {client.id} --database-url-file FILE --database-key-file FILE`.",
    )
