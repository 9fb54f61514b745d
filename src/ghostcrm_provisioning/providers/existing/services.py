"""What runs beside the database of a Supabase project that was given, reached with the key that came with it.

The project is its giver's: its users are ours to add to, its settings are not. Without the Management API,
which the key does not open, its public keys are not known either.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from uuid import UUID

from ghostcrm_provisioning.errors import GhostcrmError, NotOffered, PostconditionNotMet
from ghostcrm_provisioning.given_database import GivenDatabase
from ghostcrm_provisioning.observation import Observation
from ghostcrm_provisioning.providers.provider import (
    Exposure,
    RetiredKeys,
    ServiceKeys,
    ServiceKnocks,
)
from ghostcrm_provisioning.providers.supabase.api_attack import Targets, attack_api
from ghostcrm_provisioning.providers.supabase.auth_admin import AuthAdmin
from ghostcrm_provisioning.providers.supabase.project_users import ProjectUsers


class GivenServices(ProjectUsers):
    """The services of one project."""

    def __init__(self, given: GivenDatabase, database_id: UUID, *, request_seconds: float) -> None:
        if given.key is None or given.project_url is None:
            raise PostconditionNotMet(f"No key was given with {given.where}.")
        self._key = given.key
        self._url = given.project_url
        self._is_shared = given.allow_other_tables
        self._stamp = str(database_id)
        self._request_seconds = request_seconds

    async def keys(self) -> ServiceKeys:
        return self._opened_by()[0]

    def _opened_by(self) -> tuple[ServiceKeys, float]:
        is_new = self._key.startswith("sb_secret_")
        known = ServiceKeys(
            url=self._url,
            secret=self._key if is_new else None,
            service_role=None if is_new else self._key,
        )
        return known, self._request_seconds

    @property
    def keys_are_ours(self) -> bool:
        return False

    async def make_keys(self, number: int) -> ServiceKeys:
        raise _not_ours()

    async def observe_old_keys(self, number: int, *, legacy: bool) -> Observation:
        raise _not_ours()

    async def retire_keys(self, number: int, *, legacy: bool) -> RetiredKeys:
        raise _not_ours()

    async def observe_settings(self, storage_bytes: int | None) -> Observation:
        return Observation(True, "its other settings are its giver's")

    async def ensure_settings(self, storage_bytes: int | None) -> None:
        """Whoever gave the project has set it as they want it."""

    async def knock(self, tables: Sequence[str], functions: Sequence[str]) -> ServiceKnocks:
        outcome = await attack_api(
            project_url=self._url,
            service_key=self._key,
            public_keys={},
            targets=Targets(frozenset(tables), frozenset(functions)),
            stamp=self._stamp,
            request_seconds=self._request_seconds,
        )
        ours = {*tables, *functions}
        return ServiceKnocks(
            tuple(
                Exposure(each.code, each.sentence, each.subject, each.caller)
                for each in outcome.exposures
                # What others show of theirs is their affair.
                if not self._is_shared or each.subject in ours or each.code == "users_seen"
            ),
            sum(outcome.attempts.values()),
        )

    def _users(self) -> AbstractAsyncContextManager[AuthAdmin]:
        return AuthAdmin(self._url, self._key, request_seconds=self._request_seconds)


def _not_ours() -> GhostcrmError:
    return NotOffered(
        "The project was given to us with its key: keys of it are not ours to make or delete.",
        next_step="Exchange them in the project's dashboard.",
    )
