"""What runs beside a project's database: its users, its settings, its files, and what strangers get of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

from ghostcrm_provisioning.errors import (
    Conflict,
    PostconditionNotMet,
    ProjectGone,
    SupabaseAccessDenied,
    Superseded,
)
from ghostcrm_provisioning.observation import Observation
from ghostcrm_provisioning.providers.provider import (
    DatabaseRequest,
    Exposure,
    RetiredKeys,
    ServiceKeys,
    ServiceKnocks,
)
from ghostcrm_provisioning.providers.supabase.api_attack import ApiOutcome, Targets, attack_api
from ghostcrm_provisioning.providers.supabase.auth_admin import AuthAdmin
from ghostcrm_provisioning.providers.supabase.key_rotation import KeyRotation, trying_at
from ghostcrm_provisioning.providers.supabase.management_api import ManagementApi
from ghostcrm_provisioning.providers.supabase.project_api import ProjectApi, project_url
from ghostcrm_provisioning.providers.supabase.project_settings import (
    ProjectSettings,
    wanted_settings,
)
from ghostcrm_provisioning.providers.supabase.project_users import ProjectUsers
from ghostcrm_provisioning.providers.supabase.projects import ProjectKeys, SupabaseProjects
from ghostcrm_provisioning.providers.supabase.storage import (
    ClientFiles,
    WantedBucket,
    client_files,
)
from ghostcrm_provisioning.settings import Settings


@contextmanager
def _later_is_a_conflict() -> Iterator[None]:
    """Keys of a later exchange than ours, though we hold the latest: made by another installation, or by this
    one before its control database was restored."""
    try:
        yield
    except Superseded as later:
        raise Conflict(
            later.message,
            next_step="Ask for another exchange until its number is above theirs; or delete those keys in "
            "Supabase's dashboard, once nobody uses them.",
        ) from None


@contextmanager
def _new_ones_help() -> Iterator[None]:
    """A key that the project does not take (any more): ours to make anew."""
    try:
        yield
    except SupabaseAccessDenied as denied:
        raise SupabaseAccessDenied(
            denied.message,
            next_step="Somebody has deleted or disabled a key of the project. Have its keys exchanged with "
            "`ghostcrm clients rotate ID --keys`, then verify the client again.",
        ) from None


async def _tries_nothing(_: ProjectKeys) -> None:
    """Where keys are deleted, none are new."""


class Services(ProjectUsers):
    """The services of one project."""

    def __init__(
        self,
        api: ManagementApi,
        projects: SupabaseProjects,
        request: DatabaseRequest,
        *,
        settings: Settings,
        api_url: str,
    ) -> None:
        self._api = api
        self._projects = projects
        self._request = request
        self._settings = settings
        self._api_url = api_url
        self._set = ProjectSettings(api, wanted_settings(settings))

    async def keys(self) -> ServiceKeys:
        found = await self._projects.keys(self._request.database_id)
        return ServiceKeys(
            url=project_url(self._api_url, await self._ref()),
            publishable=found.publishable,
            secret=found.secret,
            anon=found.anon,
            service_role=found.service_role,
        )

    @property
    def keys_are_ours(self) -> bool:
        return True

    async def make_keys(self, number: int) -> ServiceKeys:
        ref = await self._ref()
        url = project_url(self._api_url, ref)
        trying = trying_at(url, request_seconds=self._settings.supabase_request_seconds)
        with _later_is_a_conflict():
            made = await KeyRotation(self._api, trying).make_keys(ref, number)
        return ServiceKeys(
            url=url,
            publishable=made.publishable,
            secret=made.secret,
            anon=made.anon,
            service_role=made.service_role,
        )

    async def observe_old_keys(self, number: int, *, legacy: bool) -> Observation:
        ref = await self._ref()
        with _later_is_a_conflict():
            seen = await self._rotation().observe_retired(ref, number)
        if seen.holds and legacy and await self._api.legacy_keys_enabled(ref):
            return Observation(False, "the keys anon and service_role are still enabled")
        return seen

    async def retire_keys(self, number: int, *, legacy: bool) -> RetiredKeys:
        ref = await self._ref()
        with _later_is_a_conflict():
            retired = await self._rotation().retire_keys(ref, number)
            if legacy:
                off = await self._rotation().retire_legacy_keys(ref)
                if not off.holds:
                    raise PostconditionNotMet(f"At the project {ref}, {off.seen}.")
        return RetiredKeys(gone=retired.gone, left=retired.left)

    def _rotation(self) -> KeyRotation:
        return KeyRotation(self._api, _tries_nothing)

    async def observe_settings(self, storage_bytes: int | None) -> Observation:
        ref = await self._ref()
        seen = await self._set.observe(ref)
        if not seen.holds:
            return seen
        async with self._files(ref) as files:
            bucket = await files.observe(self._bucket(storage_bytes))
        return Observation(bucket.holds, f"{seen.seen}; {bucket.seen}")

    async def ensure_settings(self, storage_bytes: int | None) -> None:
        ref = await self._ref()
        async with self._files(ref) as files:
            await files.ensure(self._bucket(storage_bytes))
        # Last, because networks may be restricted by it.
        await self._set.apply(ref)

    async def knock(self, tables: Sequence[str], functions: Sequence[str]) -> ServiceKnocks:
        keys = self._known_keys()
        outcome = await self._attacked(keys, tables, functions)
        return ServiceKnocks(
            tuple(
                Exposure(each.code, each.sentence, each.subject, each.caller)
                for each in outcome.exposures
            ),
            sum(outcome.attempts.values()),
        )

    async def _attacked(
        self, keys: ServiceKeys, tables: Sequence[str], functions: Sequence[str]
    ) -> ApiOutcome:
        with _new_ones_help():
            return await attack_api(
                project_url=keys.url,
                service_key=keys.secret or keys.service_role or "",
                public_keys={
                    title: key
                    for title, key in (
                        ("the publishable key", keys.publishable),
                        ("the anon key", keys.anon),
                    )
                    if key is not None
                },
                targets=Targets(frozenset(tables), frozenset(functions)),
                stamp=str(self._request.database_id),
                request_seconds=self._settings.supabase_request_seconds,
            )

    def _bucket(self, storage_bytes: int | None) -> WantedBucket:
        return client_files(
            largest_file=self._settings.supabase_largest_file(self._request.plan),
            plan_bytes=storage_bytes,
        )

    @asynccontextmanager
    async def _files(self, ref: str) -> AsyncIterator[ClientFiles]:
        keys = self._known_keys()
        async with ProjectApi(
            project_url=keys.url,
            key=keys.secret or keys.service_role,
            request_seconds=self._settings.supabase_request_seconds,
        ) as project:
            yield ClientFiles(self._api, project, ref)

    def _users(self) -> AbstractAsyncContextManager[AuthAdmin]:
        keys = self._known_keys()
        return AuthAdmin(
            keys.url,
            keys.secret or keys.service_role or "",
            request_seconds=self._settings.supabase_request_seconds,
        )

    def _opened_by(self) -> tuple[ServiceKeys, float]:
        return self._known_keys(), self._settings.supabase_request_seconds

    def _known_keys(self) -> ServiceKeys:
        if self._request.keys is None:
            raise PostconditionNotMet("The keys of the project are not known yet.")
        return self._request.keys

    async def _ref(self) -> str:
        project = await self._projects.observe(self._request.database_id)
        if project is None:
            raise ProjectGone(
                f"The database {self._request.database_id} has no project at Supabase."
            )
        return project.ref
