"""A stranger who is really signed in at a project: a user of its Auth whom nobody knows there.

Made through the admin API, signed in with a password that is made up and forgotten, and removed afterwards.
The id follows from the stamp of the database, so that one whom a crash has left is found by the next who
needs one; and only with our stamp in ``app_metadata``, which users cannot change, is a user taken for it.

Whoever has the project's secret key can make a user of that id, or of that email, first. That one is left alone,
and the stranger gets an id that nobody knows before: nobody can keep the attack from being made.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4, uuid5

from ghostcrm_provisioning.errors import (
    AdminEmailTaken,
    GhostcrmError,
    NotFound,
    PostconditionNotMet,
    StampMismatch,
)
from ghostcrm_provisioning.passwords import hash_password, make_temporary_password
from ghostcrm_provisioning.providers.supabase.auth_admin import AuthAdmin, WantedUser
from ghostcrm_provisioning.providers.supabase.project_api import ProjectApi, code_of
from ghostcrm_provisioning.providers.supabase.wire import Request
from ghostcrm_provisioning.provisioning_log import get_logger

# Under which the ids of strangers are made; never to be changed.
_NAMESPACE = UUID("6d7b0c1e-52d7-4f43-9a55-3f0f4b6f1c27")
_STAMP = "ghostcrm_stranger"
_SIGN_IN = "/auth/v1/token"


def stranger_id(stamp: str) -> UUID:
    """Of the stranger at the database with that stamp."""
    return uuid5(_NAMESPACE, stamp)


@asynccontextmanager
async def signed_in_stranger(admin: AuthAdmin, door: ProjectApi, stamp: str) -> AsyncIterator[str]:
    """The token of a stranger, who is gone afterwards.

    Args:
        door: the project's API, as whoever opens it with a public key.
        stamp: of the database; names no client.

    Raises:
        PostconditionNotMet: the sign-in was refused; somebody else may be doing the same.
        others, as AuthAdmin does.
    """
    password = make_temporary_password()
    user_id = stranger_id(stamp)
    try:
        if not await _find(admin, stamp):
            await _make(admin, user_id, stamp, password)
        else:
            await admin.set_password(user_id, password)
    except NotFound:
        raise PostconditionNotMet("The stranger was removed before the sign-in.") from None
    except (StampMismatch, AdminEmailTaken):
        get_logger("supabase").warning("stranger_id_taken", userId=str(user_id))
        user_id = uuid4()
        await _make(admin, user_id, stamp, password)
    try:
        yield await _sign_in(door, _email(user_id), password)
    except BaseException:
        await _remove_quietly(admin, user_id)
        raise
    await admin.delete_user(user_id)


async def remove_stranger(admin: AuthAdmin, stamp: str) -> bool:
    """Whether one was there, left by a crash; gone now.

    Raises:
        StampMismatch: whoever is there under its id is not ours; left alone.
    """
    if not await _find(admin, stamp):
        return False
    await admin.delete_user(stranger_id(stamp))
    return True


def _email(user_id: UUID) -> str:
    """One that no mail is ever sent to (RFC 2606)."""
    return f"stranger-{user_id.hex}@ghostcrm.invalid"


async def _make(admin: AuthAdmin, user_id: UUID, stamp: str, password: str) -> None:
    hashed = await asyncio.to_thread(hash_password, password)
    wanted = WantedUser(id=user_id, email=_email(user_id), app_metadata={_STAMP: stamp})
    await admin.ensure_user(wanted, hashed)


async def _find(admin: AuthAdmin, stamp: str) -> bool:
    user_id = stranger_id(stamp)
    found = await admin.find_user(user_id)
    if found is not None and (
        found.app_metadata.get(_STAMP) != stamp or found.email != _email(user_id)
    ):
        raise StampMismatch(
            f"The user {found.id} at the project does not carry our stamp.",
            next_step="Find out who it is; this system will neither use nor remove this user.",
        )
    return found is not None


async def _sign_in(door: ProjectApi, email: str, password: str) -> str:
    request = Request(
        "POST",
        _SIGN_IN,
        _SIGN_IN,
        query=[("grant_type", "password")],
        body={"email": email, "password": password},
        secrets=(password,),
    )
    answer = await door.send(request)
    if code_of(answer) == "invalid_credentials":
        raise PostconditionNotMet("The stranger's password was changed before the sign-in.")
    if not answer.is_success:
        error = door.error(request, answer)
        raise (
            error
            if isinstance(error, GhostcrmError)
            else PostconditionNotMet(f"There is no sign-in at {door.host}.")
        )
    document = door.document(request, answer)
    token = document.get("access_token") if isinstance(document, dict) else None
    if not isinstance(token, str) or not token:
        raise PostconditionNotMet("The stranger's sign-in was answered without a token.")
    return token


async def _remove_quietly(admin: AuthAdmin, user_id: UUID) -> None:
    """What went wrong before is told; the next one finds whoever is left."""
    try:
        await admin.delete_user(user_id)
    except GhostcrmError as error:
        get_logger("supabase").warning("stranger_left", userId=str(user_id), error=error.code)
