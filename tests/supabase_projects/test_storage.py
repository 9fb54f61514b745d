"""The bucket of a client's files: private, with its limit, and again so after somebody has changed it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from ghostcrm_provisioning.errors import (
    GhostcrmError,
    SupabaseAccessDenied,
    SupabaseRejected,
    SupabaseUnavailable,
)
from ghostcrm_provisioning.providers.supabase.project_api import ProjectApi, project_url
from ghostcrm_provisioning.providers.supabase.projects import ProjectKeys
from ghostcrm_provisioning.providers.supabase.storage import (
    ClientFiles,
    WantedBucket,
    client_files,
)
from tests.odd_server import Odd
from tests.supabase_projects.conftest import Asking
from tests.supabase_projects.workers import Place, Worker

_MEGABYTE = 1024**2
WANTED = WantedBucket("files", 20 * _MEGABYTE)


@pytest.fixture
def database_id() -> UUID:
    return uuid4()


@pytest.fixture
async def ref(worker: Worker, database_id: UUID) -> str:
    return str((await worker.until_done("ensure", database_id)).ref)


@pytest.fixture
async def keys(worker: Worker, database_id: UUID, ref: str) -> ProjectKeys:
    keys = await worker.until_done("keys", database_id)
    assert isinstance(keys, ProjectKeys)
    return keys


@pytest.fixture
async def files(
    worker: Worker, place: Place, ref: str, keys: ProjectKeys
) -> AsyncIterator[ClientFiles]:
    url = project_url(place.api_url, ref)
    async with ProjectApi(project_url=url, key=keys.secret) as project:
        yield ClientFiles(worker.api, project, ref)


@pytest.fixture
def as_somebody(place: Place, ref: str, keys: ProjectKeys) -> Callable[..., Any]:
    """What somebody with the secret key does, and sees."""

    def ask(method: str, path: str = "", **body: Any) -> Any:
        answer = httpx.request(
            method,
            f"{place.api_url}/project/{ref}/storage/v1/bucket{path}",
            headers={"apikey": keys.secret},
            json=body or None,
            timeout=60,
        )
        return answer.raise_for_status().json()

    return ask


async def test_the_bucket_is_made_once(files: ClientFiles, as_somebody: Callable[..., Any]) -> None:
    before = await files.observe(WANTED)
    assert (before.holds, before.seen) == (False, "there is no bucket files")
    for _ in range(2):
        assert (await files.ensure(WANTED)).holds
    [bucket] = as_somebody("GET")
    assert (bucket["id"], bucket["public"], bucket["file_size_limit"]) == (
        "files", False, 20 * _MEGABYTE,
    )  # fmt: skip


async def test_a_public_bucket_becomes_private_and_others_are_left(
    files: ClientFiles, as_somebody: Callable[..., Any]
) -> None:
    as_somebody("POST", id="files", name="files", public=True, allowed_mime_types=["image/png"])
    as_somebody("POST", id="theirs", name="theirs", public=True)
    assert "is public" in (await files.observe(WANTED)).seen
    assert (await files.ensure(WANTED)).holds
    mine, theirs = as_somebody("GET")
    assert (mine["public"], mine["file_size_limit"]) == (False, 20 * _MEGABYTE)
    assert mine["allowed_mime_types"] == ["image/png"]
    assert (theirs["public"], theirs["file_size_limit"]) == (True, None)


async def test_the_limit_follows_the_plan_and_the_projects_own_is_only_raised(
    files: ClientFiles, worker: Worker, ref: str, as_somebody: Callable[..., Any]
) -> None:
    await files.ensure(WANTED)
    assert await worker.api.largest_file(ref) == 50 * _MEGABYTE
    for size, project in ((200, 200), (60, 200)):
        wanted = WantedBucket("files", size * _MEGABYTE)
        assert f"not {wanted.largest_file}" in (await files.observe(wanted)).seen
        assert (await files.ensure(wanted)).holds
        assert await worker.api.largest_file(ref) == project * _MEGABYTE
    assert as_somebody("GET", "/files")["file_size_limit"] == 60 * _MEGABYTE


def test_no_file_may_be_larger_than_what_the_plan_stores() -> None:
    assert client_files(largest_file=100, plan_bytes=None).largest_file == 100
    assert client_files(largest_file=100, plan_bytes=1000).largest_file == 100
    assert client_files(largest_file=1000, plan_bytes=100) == WantedBucket("files", 100)


@pytest.mark.parametrize("kind", ["drop_reply", "error_before", "error_after"])
async def test_whatever_is_lost_there_is_one_bucket(
    kind: str, files: ClientFiles, worker: Worker, fault: Asking, as_somebody: Callable[..., Any]
) -> None:
    fault(kind=kind, method="POST", path="/project/*/storage/v1/bucket")
    assert (await worker.repeat(lambda: files.ensure(WANTED))).holds
    assert worker.errors[-1] == "supabase_unavailable"
    fault(kind=kind, method="PUT", path="/project/*/storage/v1/bucket/*")
    wanted = WantedBucket("files", 1000)
    assert (await worker.repeat(lambda: files.ensure(wanted))).holds
    assert len(as_somebody("GET")) == 1


async def test_a_key_that_may_not_is_said_to_be(
    worker: Worker, place: Place, ref: str, keys: ProjectKeys
) -> None:
    url = project_url(place.api_url, ref)
    for key in (keys.publishable, "sb_secret_" + "0" * 31):
        async with ProjectApi(project_url=url, key=key) as project:
            with pytest.raises(SupabaseAccessDenied) as raised:
                await ClientFiles(worker.api, project, ref).ensure(WANTED)
        assert key not in str(raised.value.as_record())


async def test_files_that_the_organization_may_not_have_are_explained(
    files: ClientFiles, fault: Asking
) -> None:
    fault(kind="error_before", method="PATCH", path="/v1/projects/*/config/storage", status=402)
    with pytest.raises(SupabaseRejected, match="takes no files") as raised:
        await files.ensure(WantedBucket("files", 60 * _MEGABYTE))
    assert "GHOSTCRM_SUPABASE_LARGEST_FILES" in raised.value.next_step


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, {"statusCode": "503", "error": "x", "message": "too many connections"}, SupabaseUnavailable),
        (400, {"statusCode": "544", "message": "timed out"}, SupabaseUnavailable),
        (400, {"statusCode": "403", "message": "jwt malformed"}, SupabaseAccessDenied),
        (400, {"statusCode": "400", "message": "Missing tenant config"}, SupabaseRejected),
        (404, {"message": "Project not found"}, SupabaseRejected),
        (502, {}, SupabaseUnavailable),
    ],
)  # fmt: skip
async def test_what_storage_means_by_400_decides(
    status: int, body: Any, error: type[GhostcrmError], odd: Odd, worker: Worker
) -> None:
    odd.says(status, body)
    async with ProjectApi(project_url=odd.url, key="sb_secret_x") as project:
        with pytest.raises(error):
            await ClientFiles(worker.api, project, "abcdefghijklmnopqrst").observe(WANTED)
