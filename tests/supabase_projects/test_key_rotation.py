"""Keys and passwords are exchanged: the new ones work before the old ones go, whatever is lost meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from uuid import UUID, uuid4

import httpx
import pytest

from ghostcrm_provisioning.errors import (
    PostconditionNotMet,
    ProjectGone,
    SupabaseRejected,
    Superseded,
    ToldToWait,
    WrongPassword,
)
from ghostcrm_provisioning.providers.supabase.documents import ApiKey
from ghostcrm_provisioning.providers.supabase.key_names import newest
from ghostcrm_provisioning.providers.supabase.key_rotation import KeyRotation, trying_at
from ghostcrm_provisioning.providers.supabase.project_api import project_url
from ghostcrm_provisioning.providers.supabase.projects import ProjectKeys
from tests.supabase_projects.conftest import Asking
from tests.supabase_projects.workers import PASSWORD, Place, Worker

pytestmark = pytest.mark.long


@pytest.fixture
def database_id() -> UUID:
    return uuid4()


@pytest.fixture
async def ref(worker: Worker, database_id: UUID) -> str:
    return str((await worker.until_done("ensure", database_id)).ref)


@pytest.fixture
def opens_api(place: Place, ref: str) -> Callable[[str], bool]:
    def opens(key: str) -> bool:
        answer = httpx.get(
            f"{place.api_url}/project/{ref}/rest/v1/no_such_table",
            headers={"apikey": key},
            timeout=60,
        )
        assert answer.status_code in {401, 404}, answer.text
        return answer.status_code == 404

    return opens


@pytest.fixture
def rotation(worker: Worker, place: Place, ref: str) -> KeyRotation:
    return KeyRotation(worker.api, trying_at(project_url(place.api_url, ref)))


def _make_key(caller: httpx.Client, ref: str, name: str) -> None:
    body = {"type": "secret", "name": name}
    caller.post(f"/v1/projects/{ref}/api-keys", json=body).raise_for_status()


def _names(caller: httpx.Client, ref: str) -> list[str]:
    keys = caller.get(f"/v1/projects/{ref}/api-keys").json()
    return sorted(key["name"] for key in keys if key["type"] != "legacy")


async def test_the_old_keys_work_until_they_are_retired(
    rotation: KeyRotation,
    worker: Worker,
    database_id: UUID,
    ref: str,
    caller: httpx.Client,
    opens_api: Callable[[str], bool],
) -> None:
    old = await worker.until_done("keys", database_id)
    new = await rotation.make_keys(ref, 1)
    assert await rotation.make_keys(ref, 1) == new  # again: the same, and no others
    assert {old.publishable, old.secret}.isdisjoint({new.publishable, new.secret})
    assert all(map(opens_api, (old.publishable, old.secret, new.publishable, new.secret)))
    assert await worker.until_done("keys", database_id) == new
    _make_key(caller, ref, "nightly_job")
    retired = await rotation.retire_keys(ref, 1)
    assert (retired.gone, retired.left) == (("default", "default"), ("nightly_job",))
    assert not any(map(opens_api, (old.publishable, old.secret)))
    assert all(map(opens_api, (new.publishable, new.secret)))
    again = await rotation.retire_keys(ref, 1)
    assert again.gone == ()
    await rotation.make_keys(ref, 2)
    assert sorted((await rotation.retire_keys(ref, 2)).gone) == [
        "ghostcrm_publishable_1", "ghostcrm_secret_1",
    ]  # fmt: skip
    assert _names(caller, ref) == ["ghostcrm_publishable_2", "ghostcrm_secret_2", "nightly_job"]


async def test_nothing_is_retired_before_the_new_ones_are_there(
    rotation: KeyRotation, ref: str, caller: httpx.Client
) -> None:
    with pytest.raises(PostconditionNotMet, match="the old ones stay"):
        await rotation.retire_keys(ref, 1)
    assert _names(caller, ref) == ["default", "default"]


async def test_who_comes_back_from_an_older_rotation_does_nothing(
    rotation: KeyRotation, ref: str, caller: httpx.Client
) -> None:
    await rotation.make_keys(ref, 3)
    for step in (rotation.make_keys, rotation.retire_keys):
        with pytest.raises(Superseded):
            await step(ref, 2)
    assert "ghostcrm_secret_2" not in _names(caller, ref)


@pytest.mark.parametrize("wrong", ["publishable", "secret"])
async def test_keys_that_do_not_open_the_project_yet_are_not_given_out(
    wrong: str, worker: Worker, place: Place, ref: str
) -> None:
    at_the_project = trying_at(project_url(place.api_url, ref))

    async def with_a_wrong_one(keys: ProjectKeys) -> None:
        await at_the_project(replace(keys, **{wrong: f"sb_{wrong}_nobody"}))

    with pytest.raises(ToldToWait, match="do not open it yet") as told:
        await KeyRotation(worker.api, with_a_wrong_one).make_keys(ref, 1)
    assert "nobody" not in str(told.value.as_record())
    gone = trying_at(project_url(place.api_url, "abcdefghijklmnopqrst"))
    with pytest.raises(SupabaseRejected, match="no Auth API"):
        await KeyRotation(worker.api, gone).make_keys(ref, 1)


@pytest.mark.parametrize("kind", ["drop_reply", "error_before", "error_after"])
async def test_whatever_is_lost_there_is_one_new_key_of_each_kind(
    kind: str, rotation: KeyRotation, worker: Worker, ref: str, caller: httpx.Client, fault: Asking
) -> None:
    fault(kind=kind, method="POST", path="/v1/projects/*/api-keys", times=2)
    await worker.repeat(lambda: rotation.make_keys(ref, 1))
    assert _names(caller, ref) == [
        "default", "default", "ghostcrm_publishable_1", "ghostcrm_secret_1",
    ]  # fmt: skip
    fault(kind=kind, method="DELETE", path="/v1/projects/*/api-keys/*", times=2)
    await worker.repeat(lambda: rotation.retire_keys(ref, 1))
    assert _names(caller, ref) == ["ghostcrm_publishable_1", "ghostcrm_secret_1"]


async def test_the_older_keys_are_switched_off(
    rotation: KeyRotation,
    worker: Worker,
    database_id: UUID,
    ref: str,
    opens_api: Callable[[str], bool],
) -> None:
    before = await worker.until_done("keys", database_id)
    assert before.anon
    assert opens_api(before.anon)
    for _ in range(2):
        assert (await rotation.retire_legacy_keys(ref)).holds
    assert not opens_api(before.anon)
    after = await worker.until_done("keys", database_id)
    assert (after.anon, after.service_role, after.secret) == (None, None, before.secret)


# --- the database's password ----------------------------------------------------------------------


@pytest.fixture
def opens_database(worker: Worker, ref: str) -> Callable[[str], Awaitable[None]]:
    return lambda password: worker.open_database(ref, password)


async def test_a_new_password_opens_the_database_and_the_old_one_does_not(
    rotation: KeyRotation, ref: str, opens_database: Callable[[str], Awaitable[None]]
) -> None:
    await opens_database(PASSWORD)
    for _ in range(2):
        await rotation.set_database_password(ref, "a new password", opens=opens_database)
    await opens_database("a new password")
    with pytest.raises(WrongPassword):
        await opens_database(PASSWORD)


async def test_a_password_that_is_not_known_everywhere_yet_is_waited_for(
    rotation: KeyRotation, ref: str
) -> None:
    async def not_yet(_: str) -> None:
        raise WrongPassword

    with pytest.raises(ToldToWait) as told:
        await rotation.set_database_password(ref, "hunter2 and more", opens=not_yet)
    assert "hunter2" not in str(told.value.as_record())


async def test_a_password_whose_change_was_lost_is_set_again(
    rotation: KeyRotation,
    worker: Worker,
    ref: str,
    fault: Asking,
    opens_database: Callable[[str], Awaitable[None]],
) -> None:
    for kind in ("drop_reply", "error_before"):
        fault(kind=kind, method="PATCH", path="/v1/projects/*/database/password")
        await worker.repeat(
            lambda: rotation.set_database_password(ref, "hunter2 again", opens=opens_database)
        )
    assert worker.errors.count("supabase_unavailable") == 2
    await opens_database("hunter2 again")


async def test_a_project_that_is_gone_is_said_to_be(rotation: KeyRotation) -> None:
    with pytest.raises(ProjectGone):
        await rotation.make_keys("abcdefghijklmnopqrst", 1)


def test_the_newest_of_our_keys_is_used() -> None:
    keys = [
        ApiKey("nightly_job", "secret"),
        ApiKey("ghostcrm", "secret"),
        ApiKey("default", "secret"),
        ApiKey("ghostcrm_secret_10", "secret"),
        ApiKey("ghostcrm_secret_9", "secret"),
        ApiKey("default", "publishable"),
        ApiKey("service_role", "legacy"),
    ]
    used = []
    while (key := newest(keys, "secret")) is not None:
        used.append(key.name)
        keys.remove(key)
    assert used == ["ghostcrm_secret_10", "ghostcrm_secret_9", "default", "ghostcrm", "nightly_job"]
    assert newest(keys, "secret") is None
