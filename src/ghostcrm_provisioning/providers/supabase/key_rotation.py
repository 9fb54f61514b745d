"""Another set of keys for a project, and another password for its database.

Each step may be repeated, after a kill at any instant, and ends the same. The caller records first what is
intended (the number of the rotation; the new password, sealed), and in between what it was given:

1. ``make_keys``: both keys of that number, made where they are not there yet, seen, and tried.
2. The caller seals them, and hands them to whoever uses them. The old ones still open the project.
3. ``retire_keys``: those from before are deleted, and seen gone.

What we did not make ourselves (somebody's key for a job) is left and named. The older keys (``anon``,
``service_role``) cannot be exchanged one by one: they are switched off, ``retire_legacy_keys``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx

from ghostcrm_provisioning.errors import (
    GhostcrmError,
    PostconditionNotMet,
    SupabaseAccessDenied,
    SupabaseRejected,
    SupabaseUnavailable,
    Superseded,
    ToldToWait,
    WrongPassword,
)
from ghostcrm_provisioning.observation import Observation
from ghostcrm_provisioning.providers.supabase.documents import ApiKey
from ghostcrm_provisioning.providers.supabase.key_names import (
    KINDS,
    name_of_rotation,
    rotation_of,
)
from ghostcrm_provisioning.providers.supabase.management_api import ManagementApi
from ghostcrm_provisioning.providers.supabase.project_api import ProjectApi
from ghostcrm_provisioning.providers.supabase.projects import ProjectKeys, keys_of
from ghostcrm_provisioning.providers.supabase.wire import Query, Request
from ghostcrm_provisioning.provisioning_log import get_logger

_NOT_YET_SECONDS = 3.0

Trying = Callable[[ProjectKeys], Awaitable[None]]
Opening = Callable[[str], Awaitable[None]]


@dataclass(frozen=True)
class Retired:
    """Names of keys: those that are gone, and those that are somebody else's and were left."""

    gone: tuple[str, ...]
    left: tuple[str, ...]


def trying_at(
    project_url: str,
    *,
    request_seconds: float = 30.0,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Trying:
    """Asks the project's Auth as each of both keys; changes nothing."""

    async def try_keys(keys: ProjectKeys) -> None:
        one_user: Query = (("page", "1"), ("per_page", "1"))
        for key, path, query in (
            (keys.publishable, "/auth/v1/settings", ()),
            (keys.secret, "/auth/v1/admin/users", one_user),
        ):
            request = Request("GET", path, path, query=query)
            async with ProjectApi(
                project_url=project_url,
                key=key,
                request_seconds=request_seconds,
                transport=transport,
            ) as project:
                answer = await project.send(request)
                if answer.is_success:
                    continue
                error = project.error(request, answer)
            if isinstance(error, GhostcrmError):
                raise error
            raise SupabaseRejected(f"There is no Auth API at {project.host} ({error}).")

    return try_keys


class KeyRotation:
    """Exchanges what opens a project.

    Args:
        try_keys: :func:`trying_at`, which asks the project's API with them; raises SupabaseAccessDenied when
            they do not open it.
    """

    def __init__(self, api: ManagementApi, try_keys: Trying) -> None:
        self._api = api
        self._try_keys = try_keys

    # --- keys -------------------------------------------------------------------------------------

    async def make_keys(self, ref: str, number: int) -> ProjectKeys:
        """The keys of this rotation: they are there, and open the project.

        Args:
            number: of the rotation, from 1; larger than that of any before.

        Raises:
            Superseded: there is a newer rotation.
            SupabaseAccessDenied: the access token may not make or see keys.
            ToldToWait: they do not open the project yet, or Supabase takes no more requests now.
            SupabaseUnavailable, ProjectGone: as ever; called again, it goes on.
        """
        known = await self._known(ref, number)
        for kind in KINDS:
            if not _has(known, kind, number):
                try:
                    await self._api.create_api_key(
                        ref, kind=kind, name=name_of_rotation(kind, number)
                    )
                except (SupabaseUnavailable, SupabaseRejected):
                    # Made all the same, by us or by another worker?
                    if not _has(await self._known(ref, number), kind, number):
                        raise
        known = await self._known(ref, number)
        missing = [kind for kind in KINDS if not _has(known, kind, number)]
        if missing:
            raise PostconditionNotMet(f"The project {ref} has no new {' and '.join(missing)} key.")
        keys = keys_of(ref, known)
        try:
            await self._try_keys(keys)
        except SupabaseAccessDenied as refused:
            raise ToldToWait(
                f"The new keys of the project {ref} are made, and do not open it yet: {refused.message}",
                wait_seconds=_NOT_YET_SECONDS,
            ) from None
        return keys

    async def retire_keys(self, ref: str, number: int) -> Retired:
        """Delete the keys from before this rotation. Those of the rotation were seen there first.

        Raises:
            PostconditionNotMet: the keys of the rotation are not there; nothing was deleted.
            others as :meth:`make_keys`.
        """
        known = await self._known(ref, number)
        if not all(_has(known, kind, number) for kind in KINDS):
            raise PostconditionNotMet(
                f"The project {ref} has no keys of the rotation {number}; the old ones stay."
            )
        old = [key for key in known if _is_older(key, number)]
        for key in old:
            assert key.id is not None
            await self._api.delete_api_key(ref, key.id)
        now = await self._known(ref, number)
        if still := [key.name for key in now if _is_older(key, number)]:
            raise PostconditionNotMet(
                f"The project {ref} still has the old keys {', '.join(still)}."
            )
        left = tuple(key.name for key in now if key.kind in KINDS and rotation_of(key) is None)
        if left:
            get_logger("supabase").warning("keys_left", ref=ref, names=list(left))
        return Retired(gone=tuple(key.name for key in old), left=left)

    async def observe_retired(self, ref: str, number: int) -> Observation:
        """Whether the keys of this rotation are there, and none of ours from before."""
        known = await self._known(ref, number)
        if not all(_has(known, kind, number) for kind in KINDS):
            return Observation(False, "the new keys are not there")
        if old := [key.name for key in known if _is_older(key, number)]:
            return Observation(False, f"the old keys {', '.join(old)} are there")
        return Observation(True, "the old keys are gone")

    async def retire_legacy_keys(self, ref: str) -> Observation:
        """Switch ``anon`` and ``service_role`` off. Whoever still uses them is shut out; Supabase's dashboard
        can switch them on again, as long as there are any.

        Raises:
            as :meth:`make_keys`.
        """
        if await self._api.legacy_keys_enabled(ref):
            await self._api.enable_legacy_keys(ref, enabled=False)
            if await self._api.legacy_keys_enabled(ref):
                return Observation(False, "the keys anon and service_role are still enabled")
        return Observation(True, "the keys anon and service_role open nothing")

    async def _known(self, ref: str, number: int) -> list[ApiKey]:
        known = await self._api.api_keys(ref, reveal=True)
        if any((rotation_of(key) or 0) > number for key in known):
            raise Superseded(f"The keys of the project {ref} were exchanged again since.")
        return known

    # --- the database's password ------------------------------------------------------------------

    async def set_database_password(self, ref: str, password: str, *, opens: Opening) -> None:
        """The password opens the database, when this returns; the one before does not.

        It is asked for without trying first whether it was set already: Supabase's pooler shuts out for
        minutes an address from which wrong passwords come, so it is tried once, when it should be right.

        Args:
            password: recorded before; the same one each time this is called for the same change.
            opens: connects with it; raises WrongPassword, or whatever else keeps it from doing so.

        Raises:
            ToldToWait: it is set, and not known everywhere yet; call again.
            others as :meth:`make_keys`.
        """
        await self._api.set_database_password(ref, password)
        try:
            await opens(password)
        except WrongPassword:
            raise ToldToWait(
                f"The new password of the project {ref} is set, and does not open its database yet.",
                wait_seconds=_NOT_YET_SECONDS,
            ) from None


def _has(known: list[ApiKey], kind: str, number: int) -> bool:
    return any(key.kind == kind and rotation_of(key) == number for key in known)


def _is_older(key: ApiKey, number: int) -> bool:
    older = rotation_of(key)
    return key.kind in KINDS and key.id is not None and older is not None and older < number
