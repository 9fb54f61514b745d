"""The bucket of a project in which a client's files are, through the project's Storage API.

It is private: a file is given out by whoever holds the secret key, or by policies on ``storage.objects``, of
which there are none at first. One that is there and public is made private, because the project is ours, and
made for one client; its files stay. A bucket of another name is not touched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import httpx

from ghostcrm_provisioning.errors import GhostcrmError, SupabaseRejected
from ghostcrm_provisioning.observation import Observation
from ghostcrm_provisioning.providers.supabase.management_api import ManagementApi
from ghostcrm_provisioning.providers.supabase.project_api import ProjectApi, code_of
from ghostcrm_provisioning.providers.supabase.wire import Answer, Request, object_in

CLIENT_FILES = "files"  # as the column public.files.bucket has it
_BUCKETS = "/storage/v1/bucket"
_ONE_BUCKET = f"{_BUCKETS}/{{}}"
_NO_BUCKET = frozenset({"Bucket not found", "NoSuchBucket"})  # its older and newer code


@dataclass(frozen=True)
class WantedBucket:
    """A private bucket. ``largest_file`` in bytes."""

    name: str
    largest_file: int


def client_files(*, largest_file: int, plan_bytes: int | None) -> WantedBucket:
    """The bucket of a client.

    Args:
        plan_bytes: how much the plan lets the client store altogether; None is any amount.
    """
    fits = largest_file if plan_bytes is None else min(largest_file, plan_bytes)
    return WantedBucket(CLIENT_FILES, fits)


class ClientFiles:
    """Keeps the bucket of one project as it is wanted.

    Args:
        project: opened with the project's secret key.
    """

    def __init__(self, api: ManagementApi, project: ProjectApi, ref: str) -> None:
        self._api = api
        self._project = project
        self._ref = ref

    async def observe(self, wanted: WantedBucket) -> Observation:
        """Whether the bucket is as wanted. Changes nothing.

        Raises:
            SupabaseAccessDenied, SupabaseUnavailable, ToldToWait: it cannot be seen.
        """
        found = await self._find(wanted.name)
        if found is None:
            return Observation(False, f"there is no bucket {wanted.name}")
        if found.get("public") is not False:
            return Observation(False, f"the bucket {wanted.name} is public")
        if (limit := found.get("file_size_limit")) != wanted.largest_file:
            return Observation(
                False,
                f"a file in the bucket {wanted.name} may have {'any number of' if limit is None else limit} "
                f"bytes, not {wanted.largest_file}",
            )
        return Observation(
            True,
            f"the bucket {wanted.name} is private and takes files of at most {wanted.largest_file} bytes",
        )

    async def ensure(self, wanted: WantedBucket) -> Observation:
        """Make or change the bucket where it differs; how it is then.

        Raises:
            SupabaseRejected: Storage does not take it; above all files larger than the organization's plan
                allows.
            SupabaseAccessDenied, SupabaseUnavailable, ToldToWait, ProjectGone: as ever; called again, it
                goes on.
        """
        if not (await self.observe(wanted)).holds:
            await self._allow_files_of(wanted.largest_file)
            document = {"public": False, "file_size_limit": wanted.largest_file}
            if await self._find(wanted.name) is None:
                await self._create(wanted.name, document)
            else:
                request = Request("PUT", _ONE_BUCKET, _path(wanted.name), body=document)
                self._succeed(request, await self._send(request))
        return await self.observe(wanted)

    async def _allow_files_of(self, size: int) -> None:
        """The project has a limit of its own, which no bucket may exceed; it is raised, never lowered."""
        if await self._api.largest_file(self._ref) >= size:
            return
        try:
            await self._api.set_largest_file(self._ref, size)
        except SupabaseRejected as refused:
            raise SupabaseRejected(
                f"The project {self._ref} takes no files of {size} bytes: {refused.message}",
                next_step="Choose a plan at Supabase that allows them (50 MB is the most without paying), or "
                "smaller ones in GHOSTCRM_SUPABASE_LARGEST_FILES, then retry the client.",
            ) from refused

    async def _create(self, name: str, document: dict[str, Any]) -> None:
        request = Request("POST", _BUCKETS, _BUCKETS, body={"id": name, "name": name, **document})
        answer = await self._send(request)
        # Made meanwhile, by another worker, or by us when the reply was lost: then it is looked at.
        if answer.status != httpx.codes.CONFLICT:
            self._succeed(request, answer)

    async def _find(self, name: str) -> dict[str, Any] | None:
        request = Request("GET", _ONE_BUCKET, _path(name))
        answer = await self._send(request)
        # The project may be what is not there; that is said otherwise.
        if answer.status == httpx.codes.NOT_FOUND and code_of(answer) in _NO_BUCKET:
            return None
        document = self._succeed(request, answer)
        return document if isinstance(document, dict) else {}

    async def _send(self, request: Request) -> Answer:
        """What is answered, with the status that is meant: Storage answers most errors as 400, those that
        pass, too, and writes into the body, as text, which one it is."""
        answer = await self._project.send(request)
        meant = str(object_in(answer).get("statusCode", ""))
        if answer.status == httpx.codes.BAD_REQUEST and re.fullmatch(r"[45]\d\d", meant):
            return replace(answer, status=int(meant))
        return answer

    def _succeed(self, request: Request, answer: Answer) -> Any:
        if answer.is_success:
            return self._project.document(request, answer)
        error = self._project.error(request, answer)
        if isinstance(error, GhostcrmError):
            raise error
        raise SupabaseRejected(
            f"There is no Storage API at {self._project.host} ({error}).",
            next_step="Check that the project is still there, and that Storage is switched on in it.",
        )


def _path(name: str) -> str:
    return f"{_BUCKETS}/{quote(name, safe='')}"
