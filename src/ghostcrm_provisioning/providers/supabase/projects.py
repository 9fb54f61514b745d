"""One project at Supabase for each client database, kept by somebody who may die at any instant.

Creating is not idempotent there, so it is made so here. What is intended is recorded first; the project's
name is our stamp; before a project is asked for, and after any reply that was lost, we look for the stamp.
Each method does one step, observes, and either returns (it is so) or raises ``ToldToWait``: call it again.
"""

from __future__ import annotations

import re
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Literal
from uuid import UUID

from ghostcrm_provisioning.control_database.database import ControlDatabase
from ghostcrm_provisioning.errors import (
    PostconditionNotMet,
    ProjectGone,
    StampMismatch,
    SupabaseAccessDenied,
    SupabaseRejected,
    SupabaseUnavailable,
    ToldToWait,
)
from ghostcrm_provisioning.providers.supabase.documents import HEALTHY, ApiKey, Project
from ghostcrm_provisioning.providers.supabase.key_names import FIRST_NAME, KINDS, newest
from ghostcrm_provisioning.providers.supabase.management_api import ManagementApi
from ghostcrm_provisioning.providers.supabase.patience import (
    FAILED,
    GOING,
    PAUSED,
    PAUSING,
    SERVICES,
    Patience,
    unusable,
)
from ghostcrm_provisioning.providers.supabase.project_records import ProjectRecord, ProjectRecords
from ghostcrm_provisioning.provisioning_log import get_logger

_NEEDED_SERVICES = ("auth", "db", "pooler", "rest", "storage")
# Words of ours for a status that has not moved yet although a change was asked for.
_Asked = Literal["PAUSE_ASKED", "RESTORE_ASKED", "DELETE_ASKED"]


@dataclass(frozen=True)
class WantedProject:
    """A project as it is wanted. ``region`` is one, or a group of them; None leaves it to Supabase."""

    database_id: UUID
    region: str | None
    database_password: str = field(repr=False)
    instance_size: str | None = None


@dataclass(frozen=True)
class ProjectKeys:
    """What opens a project's API. The older two are there only while the project still has them."""

    publishable: str = field(repr=False)
    secret: str = field(repr=False)
    anon: str | None = field(default=None, repr=False)
    service_role: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Removal:
    """What was removed, and what carries the same stamp and was left: it cannot be proven ours."""

    ref: str | None
    left: tuple[str, ...] = ()


class SupabaseProjects:
    """The projects of one installation in one organization."""

    def __init__(
        self,
        api: ManagementApi,
        control: ControlDatabase,
        *,
        installation_id: UUID,
        organization_slug: str,
        patience: Patience | None = None,
        longest_turn_seconds: float = 300.0,
    ) -> None:
        self._api = api
        self._records = ProjectRecords(control)
        self._installation_id = installation_id
        self._slug = organization_slug
        self._patience = patience or Patience()
        self._longest_turn_seconds = longest_turn_seconds

    def stamp(self, database_id: UUID) -> str:
        """The name of the database's project: nothing in it says whose it is but to us."""
        return f"ghostcrm-{database_id.hex}-{self._installation_id.hex}"

    async def ensure_project(self, wanted: WantedProject) -> Project:
        """The database's project, running, with its services healthy.

        Raises:
            ToldToWait: it is on its way; call again.
            ProjectStuck: it has been on its way for too long.
            ProjectUnusable: it is paused, or Supabase has failed to make it.
            ProjectGone: it was there once, and somebody has deleted it.
            StampMismatch: it does not carry our stamp any more.
        """
        async with self._alone(wanted.database_id):
            record = await self._records.intend(
                wanted.database_id, stamp=self.stamp(wanted.database_id), slug=self._slug
            )
            if record.removed:
                raise ProjectGone(
                    f"The project of the database {wanted.database_id} was deleted by this system.",
                    next_step="A database that was deleted does not come back: make another one.",
                )
            project = await self._look(record) or await self._create(record, wanted)
            return await self._settled(record, project)

    async def observe(self, database_id: UUID) -> Project | None:
        """The project as it is now; None when there is none. Changes nothing."""
        record = await self._records.find(database_id)
        return None if record is None else await self._known(record)

    async def services_coming_up(self, project: Project) -> list[str]:
        """Those that are needed, and not healthy yet."""
        health = await self._api.health(project.ref, _NEEDED_SERVICES)
        return sorted(each.name for each in health if each.status != HEALTHY)

    async def pause(self, database_id: UUID) -> Project:
        """Paused, when this returns. What is in the project stays; Supabase keeps it for a limited time.

        Raises:
            As :meth:`ensure_project`.
        """
        async with self._alone(database_id):
            record, project = await self._must_exist(database_id)
            if project.status == PAUSED:
                return project
            if project.status in {HEALTHY, "ACTIVE_UNHEALTHY"}:
                project = await self._change(record, project, "PAUSE_ASKED")
            if project.status == PAUSED:
                await self._records.see(database_id, PAUSED)
                return project
            raise await self._come_back(record, project)

    async def restore(self, database_id: UUID) -> Project:
        """Running again, with its services healthy, when this returns.

        Raises:
            As :meth:`ensure_project`.
        """
        async with self._alone(database_id):
            record, project = await self._must_exist(database_id)
            if project.status == PAUSED:
                project = await self._change(record, project, "RESTORE_ASKED")
            if project.status == PAUSING:
                raise await self._come_back(record, project)
            return await self._settled(record, project)

    async def delete(self, database_id: UUID) -> Removal:
        """Gone, when this returns: its absence was observed. Only what carries exactly our stamp, and was
        used as ours, is deleted.

        Raises:
            As :meth:`ensure_project`.
        """
        async with self._alone(database_id):
            record = await self._records.find(database_id)
            if record is None:
                return Removal(None)
            project = await self._look(record)
            record = await self._records.find(database_id) or record
            if project is not None and project.status not in GOING:
                if project.status in {"UNKNOWN", "COMING_UP", "RESTORING", PAUSING}:
                    # Supabase does not delete what is on its way.
                    raise await self._come_back(record, project)
                project = await self._change(record, project, "DELETE_ASKED")
            if project is not None and project.status != "REMOVED":
                raise await self._come_back(record, project)
            self._wait_for_late_creation(record)
            left = tuple(each.ref for each in await self._stamped(record) if each.ref != record.ref)
            if left:
                get_logger("supabase").warning(
                    "projects_left", databaseId=str(database_id), refs=list(left)
                )
            await self._records.is_removed(database_id)
            return Removal(record.ref, left)

    async def keys(self, database_id: UUID) -> ProjectKeys:
        """The project's keys; what is missing of the newer ones is made.

        Raises:
            SupabaseAccessDenied: the access token may not see them.
        """
        async with self._alone(database_id):
            _, project = await self._must_exist(database_id)
            known = await self._api.api_keys(project.ref, reveal=True)
            for kind in KINDS:
                if newest(known, kind) is None:
                    try:
                        # If the reply is lost, the next one to come finds the key.
                        await self._api.create_api_key(project.ref, kind=kind, name=FIRST_NAME)
                    except SupabaseRejected:
                        # "Exists already": of a request that was thought to be lost.
                        known = await self._api.api_keys(project.ref, reveal=True)
                        if newest(known, kind) is None:
                            raise
                    known = await self._api.api_keys(project.ref, reveal=True)
            return keys_of(project.ref, known)

    # --- looking ----------------------------------------------------------------------------------

    async def _known(self, record: ProjectRecord) -> Project | None:
        """The project that we use, if it is there and carries our stamp."""
        if record.ref is None:
            return None
        project = await self._api.project(record.ref)
        if project is not None and project.name != record.stamp:
            raise StampMismatch(
                f"The project {record.ref} is not named {record.stamp} any more.",
                next_step="Find out who renamed it, and name it as it was; until then it is left alone.",
            )
        if project is not None and project.organization_slug not in {
            None,
            record.organization_slug,
        }:
            raise StampMismatch(
                f"The project {record.ref} is in the organization {project.organization_slug}, not in "
                f"{record.organization_slug} any more.",
                next_step="Whoever has transferred it may have given it away: it is left alone until it is back.",
            )
        return project

    async def _stamped(self, record: ProjectRecord) -> list[Project]:
        """All that carry exactly our stamp, the oldest first."""
        found = await self._api.projects(record.organization_slug, search=record.stamp)
        return sorted(
            (
                each
                for each in found
                if each.name == record.stamp and not each.is_branch and each.status != "REMOVED"
            ),
            key=lambda each: (each.created_at, each.ref),
        )

    async def _look(self, record: ProjectRecord) -> Project | None:
        """The project that we use; if there is none yet, one with our stamp is adopted."""
        project = await self._known(record)
        if project is not None and not (project.status in GOING and not record.was_ready):
            return project
        if record.ref is not None and record.was_ready:
            return None
        return await self._adopt(record)

    async def _adopt(self, record: ProjectRecord, *, made: Project | None = None) -> Project | None:
        """The one with our stamp, if there is one, is ours from now on. ``made`` is one that was made just
        now: a list may not know it yet."""
        found = await self._stamped(record)
        usable = [each for each in found if each.status not in GOING]
        if made is not None and made.ref not in {each.ref for each in usable}:
            usable.append(made)
        if len(usable) > 1:
            # Somebody else has made one of them, or two of us in spite of everything: the oldest is the
            # one that all of us take.
            get_logger("supabase").warning(
                "several_projects_with_one_stamp",
                databaseId=str(record.database_id),
                used=usable[0].ref,
                left=[each.ref for each in usable[1:]],
            )
        if usable:
            return await self._use(record, usable[0])
        return found[0] if found else None

    async def _use(self, record: ProjectRecord, project: Project) -> Project:
        """From now on it is the database's project, unless another one has been ready already."""
        used = await self._records.use(record.database_id, project.ref)
        await self._records.creation_is_answered(record.database_id)
        if used == project.ref:
            return project
        return await self._api.project(used) or project

    async def _must_exist(self, database_id: UUID) -> tuple[ProjectRecord, Project]:
        record = await self._records.find(database_id)
        project = None if record is None else await self._known(record)
        if record is None or project is None or project.status in GOING:
            which = "project" if record is None or record.ref is None else f"project {record.ref}"
            raise ProjectGone(
                f"The {which} of the database {database_id} is not at Supabase (any more)."
            )
        return record, project

    # --- making -----------------------------------------------------------------------------------

    async def _create(self, record: ProjectRecord, wanted: WantedProject) -> Project:
        """Ask for it, after having looked."""
        if record.ref is not None:
            if record.was_ready:
                raise ProjectGone(
                    f"The project {record.ref} of the database {record.database_id} was deleted at "
                    "Supabase.",
                    ref=record.ref,
                )
            await self._records.forget(record.database_id)
        self._wait_for_late_creation(record)
        await self._records.creation_is_sent(record.database_id)
        try:
            made = await self._api.create_project(
                name=record.stamp,
                slug=record.organization_slug,
                database_password=wanted.database_password,
                region=wanted.region,
                instance_size=wanted.instance_size,
            )
        except (ToldToWait, SupabaseAccessDenied):
            await self._records.creation_is_answered(record.database_id)
            raise
        except SupabaseRejected:
            # "Exists already": of a request that was thought to be lost.
            await self._records.creation_is_answered(record.database_id)
            if (found := await self._adopt(record)) is not None:
                return found
            raise
        except SupabaseUnavailable as error:
            if not error.may_be_done:
                await self._records.creation_is_answered(record.database_id)
            elif (found := await self._adopt(record)) is not None:
                return found
            raise
        # And once more: if there is an older one with our stamp in spite of everything, that one is taken.
        return await self._adopt(record, made=made) or made

    def _wait_for_late_creation(self, record: ProjectRecord) -> None:
        """Raises ToldToWait: what was asked for, and not answered, may still appear."""
        ago = record.create_sent_seconds_ago
        if ago is not None and ago < self._patience.create_grace:
            left = self._patience.create_grace - ago
            raise ToldToWait(
                "A request for this project was not answered; it may still appear, so no other one is "
                "asked for yet.",
                wait_seconds=min(left, self._patience.next_look(ago)) + 0.05,
            )

    async def _change(self, record: ProjectRecord, project: Project, asked: _Asked) -> Project:
        """Ask for a change, and look; when the reply is lost, what is seen counts.

        Returns:
            The project as it is now; its status is ``asked`` while nothing of the change is to be seen yet.
        """
        if record.status == asked and (record.status_seconds or 0) < self._patience.ask_again:
            return replace(project, status=asked)
        try:
            await self._ask(project.ref, asked)
        except (SupabaseUnavailable, SupabaseRejected):
            seen = await self._api.project(project.ref)
            if seen is not None and seen.status == project.status:
                raise
        else:
            # From now on it is counted how long it takes; what was seen at an earlier change is over.
            await self._records.see(record.database_id, asked)
            seen = await self._api.project(project.ref)
        if seen is None:
            return replace(project, status="REMOVED")
        return replace(seen, status=asked) if seen.status == project.status else seen

    async def _ask(self, ref: str, asked: _Asked) -> None:
        match asked:
            case "PAUSE_ASKED":
                try:
                    await self._api.pause_project(ref)
                except SupabaseRejected as refused:
                    raise SupabaseRejected(
                        refused.message,
                        next_step="Supabase pauses projects of its plan Free only: one of a paid plan runs "
                        "until it is deleted, or moved to an organization on the plan Free.",
                    ) from None
            case "RESTORE_ASKED":
                await self._api.restore_project(ref)
            case "DELETE_ASKED":
                await self._api.delete_project(ref)

    # --- waiting ----------------------------------------------------------------------------------

    async def _settled(self, record: ProjectRecord, project: Project) -> Project:
        """The project, when it runs and its services do.

        Raises:
            ToldToWait, ProjectStuck, ProjectUnusable: it does not.
        """
        if project.status in {PAUSED, PAUSING}:
            await self._records.see(record.database_id, project.status)
            raise unusable(project.ref, project.status)
        if project.status != HEALTHY:
            raise await self._come_back(record, project)
        if waiting := await self.services_coming_up(project):
            seconds = await self._records.see(record.database_id, SERVICES)
            raise self._patience.come_back(
                project.ref, SERVICES, seconds, more=f" ({', '.join(waiting)})"
            )
        await self._records.see(record.database_id, HEALTHY)
        await self._records.is_ready(record.database_id)
        return project

    async def _come_back(self, record: ProjectRecord, project: Project) -> ToldToWait:
        """Raises ProjectUnusable or ProjectStuck, when waiting does not help."""
        seconds = await self._records.see(record.database_id, project.status)
        if project.status in FAILED:
            raise unusable(project.ref, project.status)
        return self._patience.come_back(project.ref, project.status, seconds)

    def _alone(self, database_id: UUID) -> AbstractAsyncContextManager[None]:
        return self._records.alone(database_id, longest_seconds=self._longest_turn_seconds)


# --- keys -----------------------------------------------------------------------------------------


def keys_of(ref: str, known: list[ApiKey]) -> ProjectKeys:
    """Those that are used, of all that a project has.

    Raises:
        PostconditionNotMet: one of the newer kinds is missing.
        SupabaseAccessDenied: the access token is not shown them.
    """
    return ProjectKeys(
        publishable=_value(ref, known, "publishable"),
        secret=_value(ref, known, "secret"),
        anon=_legacy(known, "anon"),
        service_role=_legacy(known, "service_role"),
    )


def _value(ref: str, known: list[ApiKey], kind: str) -> str:
    key = newest(known, kind)
    if key is None:
        raise PostconditionNotMet(f"The project {ref} has no {kind} key.")
    # What is masked has signs in it that no key has.
    if key.value is None or not re.fullmatch(r"[A-Za-z0-9._-]+", key.value):
        raise SupabaseAccessDenied(
            f"The {kind} key of the project {ref} is not shown to this access token.",
            next_step="Make a token that may read the project's API keys, as owner or administrator of the "
            "organization; set SUPABASE_ACCESS_TOKEN to it, and `ghostcrm clients retry ID`.",
        )
    return key.value


def _legacy(known: list[ApiKey], name: str) -> str | None:
    """Where the older keys are switched off, or not there any more, nothing is wrong."""
    found = next((each for each in known if each.name == name and each.kind == "legacy"), None)
    return None if found is None else found.value
