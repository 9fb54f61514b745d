"""How what opens a client's database is exchanged: passwords, keys, or both.

```
make new credentials  the new ones are sealed, and new keys open the project beside the old ones
set passwords         every login that can log in is let in with its new password, and not with the old one
use new credentials   the new ones are the client's: whoever connects from now on is given them
retire old ones       the old keys are deleted; sessions are ended where that was asked for
```

The new passwords were made and sealed beside the current ones when this was asked for, so that whoever goes on
after a crash uses the same ones. Each step looks whether it is already so, makes it so, and looks again, as those
of :mod:`~ghostcrm_provisioning.provisioning.provision_client` do.

A login has one password: from the moment at which the new one is set, the old one opens nothing, and the new one
is given out moments later. Keys overlap: the old ones work until the last step.
"""

from __future__ import annotations

from dataclasses import asdict, replace

from ghostcrm_provisioning.audit.record import record
from ghostcrm_provisioning.client_database.roles import CLIENT_LOGIN_ROLES, OWNER, login_role
from ghostcrm_provisioning.clients.credentials import Credentials
from ghostcrm_provisioning.clients.rotation import (
    ROTATE,
    ROTATIONS,
    Rotation,
    read_rotation,
)
from ghostcrm_provisioning.errors import PostconditionNotMet
from ghostcrm_provisioning.observation import Observation
from ghostcrm_provisioning.provisioning.work import (
    Work,
    change_credentials,
    login_of,
    open_secrets,
    request_of,
)
from ghostcrm_provisioning.provisioning.workflow import Step, Workflow
from ghostcrm_provisioning.provisioning_log import get_logger


async def _asked_for(work: Work) -> Rotation:
    async with work.held.connection() as control:
        return await read_rotation(control, work.held.run.id)


async def _sealed(work: Work) -> Credentials:
    async with work.held.connection() as control:
        credentials, _ = await open_secrets(control, work.sealer, work.client)
    return credentials


async def new_ones_are_made(work: Work) -> Observation:
    rotation = await _asked_for(work)
    if rotation.replaced_at is not None:
        return Observation(True, "the new ones are in use")
    new = (await _sealed(work)).pending
    if new is None:
        return Observation(False, "nothing is sealed that could be used instead")
    made = f"{len(new.passwords)} passwords" if new.passwords else "no passwords"
    if not rotation.keys:
        return Observation(True, f"{made} are sealed, to be used")
    if work.services is None:
        return Observation(True, f"{made}, a JWT secret and its keys are sealed, to be used")
    if new.services is None:
        return Observation(False, "the project has no new keys yet")
    return Observation(True, f"{made} are sealed, and new keys open the project")


async def make_new_ones(work: Work) -> None:
    """Passwords were made when this was asked for; a project's keys are made there."""
    rotation = await _asked_for(work)
    if (services := work.services) is None or not rotation.keys:
        raise PostconditionNotMet("The credentials that are to be used are not sealed any more.")
    await work.held.check()
    keys = asdict(await services.make_keys(rotation.number))

    def keep(known: Credentials) -> Credentials:
        if known.pending is None:
            return known
        return replace(known, pending=replace(known.pending, services=keys))

    async with work.held.holding() as control:
        await change_credentials(control, work.sealer, work.client, keep)


async def passwords_are_set(work: Work) -> Observation:
    rotation = await _asked_for(work)
    if not rotation.passwords:
        return Observation(True, "passwords stay as they are")
    if rotation.replaced_at is not None:
        return Observation(True, "the new ones are in use")
    if rotation.passwords_set_at is None:
        # Not by trying: Supabase's pooler shuts out for minutes an address from which wrong passwords come.
        return Observation(False, "the passwords are not set yet")
    credentials = await _sealed(work)
    logins = await _to_exchange(work, credentials)
    for key in logins:
        login = login_of(login_role(key), password=credentials.password_to_set(key))
        if not await work.provider.opens(work.request, login):
            return Observation(False, f"the login {key} is not let in with its new password")
    return Observation(True, f"{', '.join(logins)} are let in with their new passwords")


async def set_passwords(work: Work) -> None:
    credentials = await _sealed(work)
    done: set[str] = set()
    # Where nobody knew the owner's any more, the others are seen once it is set.
    while missing := [key for key in await _to_exchange(work, credentials) if key not in done]:
        for key in missing:
            await work.held.check()
            login = login_of(login_role(key), password=credentials.password_to_set(key))
            await work.provider.set_password(work.request, login)
            done.add(key)
    async with work.held.holding() as control:
        await control.execute(ROTATIONS["mark_passwords_set"], {"run_id": work.held.run.id})


async def _to_exchange(work: Work, credentials: Credentials) -> list[str]:
    """Those logins that can log in; the owner's last, for elsewhere it is with it that we change the others."""
    new = credentials.pending
    enabled = await work.provider.enabled_logins(work.request)
    known = set() if new is None else enabled.intersection(new.passwords)
    return sorted(known, key=lambda key: (key == OWNER, key))


async def new_ones_are_used(work: Work) -> Observation:
    rotation = await _asked_for(work)
    if rotation.replaced_at is None:
        return Observation(False, "the new ones are not in use yet")
    credentials = await _sealed(work)
    work.request = request_of(
        work.client, credentials, installation_id=work.request.installation_id
    )
    return Observation(True, "whoever connects from now on is given the new ones")


async def use_new_ones(work: Work) -> None:
    async with work.held.holding() as control:
        await change_credentials(control, work.sealer, work.client, Credentials.exchanged)
        await control.execute(ROTATIONS["mark_replaced"], {"run_id": work.held.run.id})


async def old_ones_are_retired(work: Work) -> Observation:
    rotation = await _asked_for(work)
    if rotation.retired_at is None:
        return Observation(False, "the old ones are not retired yet")
    if not rotation.keys or (services := work.services) is None:
        ended = "; sessions under them were ended" if rotation.end_sessions else ""
        return Observation(True, f"the old ones open nothing{ended}")
    seen = await services.observe_old_keys(rotation.number, legacy=rotation.legacy_keys)
    left = f"; left, for they are not ours: {', '.join(rotation.keys_left)}"
    return Observation(seen.holds, seen.seen + (left if rotation.keys_left else ""))


async def retire_old_ones(work: Work) -> None:
    rotation = await _asked_for(work)
    left: tuple[str, ...] = ()
    if rotation.keys and (services := work.services) is not None:
        await work.held.check()
        retired = await services.retire_keys(rotation.number, legacy=rotation.legacy_keys)
        left = retired.left
    if rotation.end_sessions:
        await work.held.check()
        given_out = [role.key for role in CLIENT_LOGIN_ROLES]
        await work.provider.end_sessions(work.request, given_out)

    def forget_legacy(known: Credentials) -> Credentials:
        if known.services is None or not rotation.legacy_keys:
            return known
        return replace(known, services=known.services | {"anon": None, "service_role": None})

    async with work.held.holding() as control:
        await change_credentials(control, work.sealer, work.client, forget_legacy)
        await control.execute(
            ROTATIONS["mark_retired"], {"run_id": rotation.run_id, "keys_left": list(left)}
        )
        await record(
            control,
            actor="worker",
            action="client.credentials_rotated",
            client_id=work.client.id,
            details={
                "number": rotation.number,
                "passwords": rotation.passwords,
                "keys": rotation.keys,
                "legacyKeys": rotation.legacy_keys,
                "endSessions": rotation.end_sessions,
                "keysLeft": list(left),
            },
        )
    get_logger("provisioning").info(
        "client_credentials_rotated",
        clientId=str(work.client.id),
        clientName=work.client.name,
        runId=str(rotation.run_id),
        status="ready",
        number=rotation.number,
    )


ROTATE_CREDENTIALS = Workflow(
    kind=ROTATE,
    title="Exchange credentials",
    failure="client.rotation_failed",
    steps=(
        Step("make_new", "Make new credentials", new_ones_are_made, make_new_ones),
        Step("set_passwords", "Set new passwords", passwords_are_set, set_passwords),
        Step("use_new", "Use the new credentials", new_ones_are_used, use_new_ones),
        Step("retire_old", "Retire the old ones", old_ones_are_retired, retire_old_ones),
    ),
    reads_blueprint=False,
)
