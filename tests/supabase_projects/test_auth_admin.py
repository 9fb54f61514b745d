"""Users of a project through its Auth admin API: once each, whatever becomes of requests and replies; and
whatever is answered, an error that helps, without a secret in it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from ghostcrm_provisioning.errors import (
    AdminEmailTaken,
    GhostcrmError,
    NotFound,
    PostconditionNotMet,
    SupabaseAccessDenied,
    SupabaseRejected,
    SupabaseUnavailable,
    ToldToWait,
    TransientFailure,
)
from ghostcrm_provisioning.passwords import hash_password, make_temporary_password
from ghostcrm_provisioning.providers.supabase.auth_admin import AuthAdmin, AuthUser, WantedUser
from ghostcrm_provisioning.providers.supabase.project_api import headers_of, project_url
from tests.odd_server import Odd
from tests.running_platform import RunningPlatform
from tests.supabase_projects.conftest import Asking
from tests.supabase_projects.projects import ReadyProject

PASSWORD = "a-password-of-the-client"
HASH = hash_password(PASSWORD, cost=4)
NEWER = "2024-01-01"
SECRET_KEY = "sb_secret_5ec7e75ec7e75ec7e75ec7e75ec7e"


def wanted(user_id: UUID | None = None, email: str | None = None) -> WantedUser:
    return WantedUser(
        id=user_id or uuid4(),
        email=email or f"Ada.{uuid4().hex[:8]}@Example.com",
        user_metadata={"company_name": "Ada & Söhne"},
        app_metadata={"client": "one"},
    )


class Between(httpx.AsyncHTTPTransport):
    """Sends requests as ever; before the first one of ``method`` something else happens."""

    def __init__(
        self, method: str, happens: Callable[[], Awaitable[object]], version: str = ""
    ) -> None:
        super().__init__()
        self._method = method
        self._happens: Callable[[], Awaitable[object]] | None = happens
        self._version = version

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._version:
            request.headers["X-Supabase-Api-Version"] = self._version
        if request.method == self._method and self._happens is not None:
            happens, self._happens = self._happens, None
            await happens()
        return await super().handle_async_request(request)


class Counting(httpx.AsyncHTTPTransport):
    """Sends requests as ever, and counts them by method."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: Counter[str] = Counter()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent[request.method] += 1
        return await super().handle_async_request(request)


async def nothing() -> None:
    return


def sign_in(project: ReadyProject, email: str, password: str) -> httpx.Response:
    return httpx.post(
        f"{project.url}/auth/v1/token?grant_type=password",
        headers={"apikey": project.publishable},
        json={"email": email, "password": password},
        timeout=60,
    )


def sign_up(project: ReadyProject, user: WantedUser) -> None:
    """Somebody makes it who does not confirm the email."""
    answer = httpx.post(
        f"{project.url}/auth/v1/admin/users",
        headers=headers_of(project.service_role),
        json={"id": str(user.id), "email": user.email},
        timeout=60,
    )
    assert answer.is_success


def users_of(project: ReadyProject, user: WantedUser) -> list[dict[str, Any]]:
    """What is really there of that id or email."""
    answer = httpx.get(
        f"{project.url}/auth/v1/admin/users?per_page=1000",
        headers=headers_of(project.service_role),
        timeout=60,
    )
    users: list[dict[str, Any]] = answer.json()["users"]
    return [
        each for each in users if each["id"] == str(user.id) or each["email"] == user.email.lower()
    ]


def admin_of(project: ReadyProject, **options: Any) -> AuthAdmin:
    return AuthAdmin(project.url, project.secret, **{"request_seconds": 30.0} | options)


def faults_met(platform: RunningPlatform) -> int:
    with platform.caller() as caller:
        return sum(each["met"] for each in caller.get("/platform/faults").json())


async def until_done(work: Callable[[], Awaitable[AuthUser | None]]) -> AuthUser | None:
    """As a run does."""
    async with asyncio.timeout(120):
        while True:
            try:
                return await work()
            except (ToldToWait, TransientFailure):
                await asyncio.sleep(0.01)


# --- a user ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["secret", "service_role"])
async def test_a_user_is_made_with_our_id_and_hash_and_signs_in(
    project: ReadyProject, kind: str
) -> None:
    user = wanted()
    async with AuthAdmin(project.url, getattr(project, kind)) as admin:
        assert await admin.find_user(user.id) is None
        made = await admin.ensure_user(user, HASH)
        assert await admin.ensure_user(user, hash_password("another", cost=4)) == made
        assert await admin.find_user(user.id) == made
    assert (made.id, made.email, made.email_confirmed) == (user.id, user.email.lower(), True)
    assert made.user_metadata == user.user_metadata
    assert made.app_metadata == {"provider": "email", "providers": ["email"], "client": "one"}
    session = sign_in(project, user.email, PASSWORD)
    assert session.json()["user"]["id"] == str(user.id)


async def test_an_email_that_was_not_confirmed_is(
    project: ReadyProject,
) -> None:
    user = wanted()
    sign_up(project, user)
    async with admin_of(project) as admin:
        found = await admin.find_user(user.id)
        assert found is not None
        assert not found.email_confirmed
        assert (await admin.ensure_user(user, HASH)).email_confirmed


async def test_a_password_is_reset_and_the_old_one_is_over(project: ReadyProject) -> None:
    user, temporary = wanted(), make_temporary_password()
    async with admin_of(project) as admin:
        await admin.ensure_user(user, HASH)
        await admin.set_password(user.id, temporary)
        assert sign_in(project, user.email, temporary).is_success
        assert sign_in(project, user.email, PASSWORD).status_code == 400
        with pytest.raises(NotFound, match="no user"):
            await admin.set_password(uuid4(), temporary)
        await admin.delete_user(user.id)
        await admin.delete_user(user.id)
        assert await admin.find_user(user.id) is None


@pytest.mark.parametrize("version", ["", NEWER])
async def test_an_email_of_somebody_else_is_never_taken_over(
    project: ReadyProject, version: str
) -> None:
    user = wanted()
    other = wanted(email=user.email)
    async with admin_of(project, transport=Between("POST", nothing, version)) as admin:
        await admin.ensure_user(other, HASH)
        with pytest.raises(AdminEmailTaken, match="another user"):
            await admin.ensure_user(user, HASH)
    assert [each["id"] for each in users_of(project, user)] == [str(other.id)]


async def test_our_id_with_another_email_is_said_and_left(project: ReadyProject) -> None:
    user = wanted()
    async with admin_of(project) as admin:
        await admin.ensure_user(user, HASH)
        with pytest.raises(AdminEmailTaken, match="another email"):
            await admin.ensure_user(wanted(user.id), HASH)
    assert [each["email"] for each in users_of(project, user)] == [user.email.lower()]


@pytest.mark.parametrize("version", ["", NEWER])
@pytest.mark.parametrize("its_email", ["ours", "another"])
async def test_who_comes_first_between_look_and_creation_is_found(
    project: ReadyProject, version: str, its_email: str
) -> None:
    """``email_exists`` (422) with the same email, 23505 (500) with another."""
    user = wanted()
    first = user if its_email == "ours" else wanted(user.id)
    async with admin_of(project) as zombie:
        between = Between("POST", lambda: zombie.ensure_user(first, HASH), version)
        async with admin_of(project, transport=between) as admin:
            if its_email == "ours":
                assert (await admin.ensure_user(user, HASH)).id == user.id
            else:
                with pytest.raises(AdminEmailTaken, match="another email"):
                    await admin.ensure_user(user, HASH)
    assert len(users_of(project, first)) == 1


async def test_two_at_once_end_with_one(project: ReadyProject) -> None:
    user = wanted()
    async with admin_of(project) as one, admin_of(project) as other:
        made = await asyncio.gather(*[each.ensure_user(user, HASH) for each in (one, other) * 4])
    assert {each.id for each in made} == {user.id}
    assert len(users_of(project, user)) == 1


# --- what goes wrong ------------------------------------------------------------------------------

_FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "drop_reply"},
    {"kind": "error_before", "status": 500},
    {"kind": "error_after", "status": 500},
    {"kind": "error_before", "status": 502},
    {"kind": "error_after", "status": 544},
    {"kind": "too_many_requests", "seconds": 1},
    {"kind": "silence", "seconds": 1.2},
)


@pytest.mark.long
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize("wrong", _FAULTS, ids=lambda wrong: "-".join(map(str, wrong.values())))
async def test_every_call_times_every_fault_ends_with_one_user(
    project: ReadyProject,
    platform: RunningPlatform,
    fault: Asking,
    wrong: dict[str, Any],
    method: str,
) -> None:
    user, temporary = wanted(), make_temporary_password()
    path = f"/project/{project.ref}/auth/v1/admin/users*"
    fault(**wrong, method=method, path=path, times=2)
    async with (
        admin_of(project) as patient,
        admin_of(project, request_seconds=0.6) as impatient,
    ):

        async def work() -> AuthUser:
            # Only silence needs somebody who loses patience, and only while it lasts.
            may_be_silent = wrong["kind"] == "silence" and faults_met(platform) < 2
            admin = impatient if may_be_silent else patient
            made = await admin.ensure_user(user, HASH)
            await admin.set_password(user.id, temporary)
            return made

        made = await until_done(work)
        assert made is not None
    assert [each["id"] for each in users_of(project, user)] == [str(user.id)]
    assert sign_in(project, user.email, temporary).is_success
    assert faults_met(platform) >= 1


async def test_a_lost_reply_is_answered_by_looking(project: ReadyProject, fault: Asking) -> None:
    """Without a second attempt, that is."""
    for kind in ("drop_reply", "error_after"):
        user = wanted()
        counting = Counting()
        fault(kind=kind, method="POST", path=f"/project/{project.ref}/auth/v1/admin/users")
        async with admin_of(project, transport=counting) as admin:
            assert (await admin.ensure_user(user, HASH)).id == user.id
        assert counting.sent == {"GET": 2, "POST": 1}


async def test_a_429_is_as_long_as_it_says_and_nobody_there_may_pass(
    project: ReadyProject, fault: Asking
) -> None:
    fault(kind="too_many_requests", seconds=7, path=f"/project/{project.ref}/auth/*")
    async with admin_of(project) as admin:
        with pytest.raises(ToldToWait) as told:
            await admin.ensure_user(wanted(), HASH)
    assert told.value.wait_seconds == 7
    async with AuthAdmin("http://127.0.0.1:1", SECRET_KEY) as admin:
        with pytest.raises(SupabaseUnavailable, match="cannot be reached") as unavailable:
            await admin.find_user(uuid4())
    assert not unavailable.value.may_be_done


async def test_a_key_that_does_not_administer_is_said(project: ReadyProject) -> None:
    for key in (project.publishable, project.anon, "sb_secret_nonsense", "nonsense"):
        async with AuthAdmin(project.url, key) as admin:
            with pytest.raises(SupabaseAccessDenied) as denied:
                await admin.ensure_user(wanted(), HASH)
        assert "API Keys" in denied.value.next_step
        assert key not in json.dumps(denied.value.as_record())


async def test_a_project_that_is_not_there_is_no_user_that_is_not(
    platform: RunningPlatform,
) -> None:
    async with AuthAdmin(project_url(platform.url, "a" * 20), SECRET_KEY) as admin:
        for call in (admin.find_user, admin.delete_user):
            with pytest.raises(SupabaseRejected, match="no Auth admin API"):
                await call(uuid4())


_NO_USER = {"code": 404, "error_code": "user_not_found", "msg": "User not found"}


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, {"message": "Invalid API key"}, SupabaseAccessDenied),
        (403, {"code": 403, "error_code": "bad_jwt", "msg": "invalid JWT"}, SupabaseAccessDenied),
        (404, {"message": "no Route matched with those values"}, SupabaseRejected),
        (404, {**_NO_USER}, NotFound),
        (422, {"code": 422, "error_code": "weak_password", "msg": "weak"}, SupabaseRejected),
        (400, {"code": 400, "error_code": "validation_failed", "msg": "bad"}, SupabaseRejected),
        (307, b"", SupabaseRejected),
        (429, {"code": 429, "msg": "Too many"}, ToldToWait),
        (500, {"code": 500, "error_code": "unexpected_failure", "msg": "x"}, SupabaseUnavailable),
        (502, b"<html>Bad gateway</html>", SupabaseUnavailable),
        (540, {"message": "Project paused"}, SupabaseUnavailable),
        (200, b"<html>", SupabaseUnavailable),
        (200, b"[" * 100_000, SupabaseUnavailable),
        (200, b"", SupabaseUnavailable),
        (200, [], SupabaseUnavailable),
        (200, {"id": "one"}, SupabaseUnavailable),
    ],
)
async def test_what_is_answered_becomes_an_error_of_ours(
    odd: Odd, status: int, body: Any, error: type[GhostcrmError]
) -> None:
    odd.says(status, body, location="http://127.0.0.1:1/elsewhere")
    async with AuthAdmin(odd.url, SECRET_KEY) as admin:
        with pytest.raises(error) as raised:
            await admin.set_password(uuid4(), "x")
    assert type(raised.value) is error
    assert raised.value.next_step
    assert len(odd.heard) == 1  # no redirect is followed, and nothing repeated by itself


async def test_no_secret_is_in_an_error_however_it_is_answered(odd: Odd) -> None:
    async with AuthAdmin(odd.url, SECRET_KEY) as admin:
        assert SECRET_KEY not in repr(admin)
        for name in ("message", "msg", "error_description"):
            odd.says(400, {name: f"{SECRET_KEY} and hunter2 are bad\nLINE 1: a secret"})
            with pytest.raises(GhostcrmError) as raised:
                await admin.set_password(uuid4(), "hunter2")
            shown = json.dumps(raised.value.as_record()) + repr(raised.value)
            assert "are bad" in shown
            for secret in (SECRET_KEY, "hunter2", "a secret"):
                assert secret not in shown
        odd.says(422, {"msg": f"the hash {HASH} is bad"})
        with pytest.raises(SupabaseRejected, match=r"the hash \*\*\* is bad") as rejected:
            await admin._create(wanted(), HASH)
        assert HASH not in repr(rejected.value)


async def test_an_auth_that_takes_no_ids_is_left_as_it_was(odd: Odd) -> None:
    """Older than 2.156."""
    odd.says(200, {"id": str(uuid4()), "email": "ada@example.com"})
    async with AuthAdmin(odd.url, SECRET_KEY) as admin:
        with pytest.raises(SupabaseRejected, match="ids of its own"):
            await admin._create(wanted(), HASH)
    assert [heard.split()[0] for heard in odd.heard] == [b"POST", b"DELETE"]


async def test_one_that_is_there_and_is_not_found_may_pass(odd: Odd) -> None:
    odd.says(500, {"code": "23505", "message": "duplicate key value"})
    async with AuthAdmin(odd.url, SECRET_KEY) as admin:
        with pytest.raises(PostconditionNotMet):
            await admin._create(wanted(), HASH)


# --- where it is, and what opens it ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("api_url", "expected"),
    [
        ("https://api.supabase.com", "https://abc.supabase.co"),
        ("https://api.supabase.com/", "https://abc.supabase.co"),
        ("http://127.0.0.1:8788", "http://127.0.0.1:8788/project/abc"),
    ],
)
def test_the_address_of_a_project(api_url: str, expected: str) -> None:
    assert project_url(api_url, "abc") == expected


def test_a_new_key_is_no_bearer() -> None:
    assert headers_of(None) == {}
    assert headers_of(SECRET_KEY) == {"apikey": SECRET_KEY}
    assert headers_of("eyJ.a.b") == {"apikey": "eyJ.a.b", "Authorization": "Bearer eyJ.a.b"}
    assert headers_of("sb_publishable_x", "eyJ.c.d") == {
        "apikey": "sb_publishable_x",
        "Authorization": "Bearer eyJ.c.d",
    }
