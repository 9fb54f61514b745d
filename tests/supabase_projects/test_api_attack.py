"""The attack on a project's API: it finds what was opened on purpose, for each caller; it takes nothing for a
proof that is none; and the stranger is gone afterwards, whatever happens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import httpx
import pytest

from ghostcrm_provisioning.errors import (
    GhostcrmError,
    PostconditionNotMet,
    StampMismatch,
    SupabaseAccessDenied,
    SupabaseUnavailable,
    ToldToWait,
    TransientFailure,
)
from ghostcrm_provisioning.passwords import hash_password
from ghostcrm_provisioning.providers.supabase.api_attack import (
    NOBODY,
    STRANGER,
    ApiOutcome,
    Targets,
    attack_api,
)
from ghostcrm_provisioning.providers.supabase.auth_admin import AuthAdmin, WantedUser
from ghostcrm_provisioning.providers.supabase.project_api import ProjectApi, headers_of
from ghostcrm_provisioning.providers.supabase.stranger import (
    remove_stranger,
    signed_in_stranger,
    stranger_id,
)
from tests.conftest import Server
from tests.running_platform import RunningPlatform
from tests.supabase_projects.conftest import Asking
from tests.supabase_projects.projects import ReadyProject, new_project

pytestmark = pytest.mark.long

ANON = "the anon key"
PUBLISHABLE = "the publishable key"
CALLERS = {NOBODY, ANON, PUBLISHABLE, STRANGER}
WITH_PUBLIC_KEY = {ANON, PUBLISHABLE}
CANARY = "canary-in-the-mine"
STAMP = "ghostcrm-one-database"
TABLES = frozenset({"contacts", "deals", "empty"})

# As the CRM keeps its tables: nothing for anon, rows of one's own for whoever is signed in.
_SETUP = f"""
    create table public.contacts (id int primary key, owner uuid, words text);
    create table public.deals (id int primary key, owner uuid, words text);
    create table public.empty (id int primary key, owner uuid, words text);
    create function public.count_deals() returns bigint language sql stable
        as 'select count(*) from public.deals';
    revoke all on function public.count_deals() from public, anon, service_role;
    grant execute on function public.count_deals() to authenticated;
    insert into public.contacts values (1, gen_random_uuid(), '{CANARY}');
    insert into public.deals values (1, gen_random_uuid(), '{CANARY}');
""" + "".join(
    f"""
    alter table public.{table} enable row level security;
    revoke all on public.{table} from public, anon, authenticated, service_role;
    grant select on public.{table} to authenticated;
    grant all on public.{table} to service_role;
    create policy own on public.{table} for select to authenticated
        using (owner = (select auth.uid()));
    """
    for table in sorted(TABLES)
)


@pytest.fixture
def project(platform: RunningPlatform) -> ReadyProject:
    """One for each test: what is opened in it stays open."""
    project = new_project(platform)
    run_sql(platform, project, _SETUP)
    create_bucket(project, "files", public=False)
    return project


@pytest.fixture(scope="module")
def crm(platform: RunningPlatform) -> ReadyProject:
    """One that stays closed, for the tests that open nothing."""
    project = new_project(platform)
    run_sql(platform, project, _SETUP)
    create_bucket(project, "files", public=False)
    return project


@pytest.fixture
def open_up(platform: RunningPlatform, project: ReadyProject) -> Callable[[str], None]:
    return lambda statements: run_sql(platform, project, statements)


@pytest.fixture
def as_supabase(server: Server, project: ReadyProject) -> Callable[[str], None]:
    """Runs what Supabase lets ``postgres`` do with the tables of Storage, and PostgreSQL alone does not."""

    def run(statement: str) -> None:
        with server.superuser(f"supabase_{project.ref}") as superuser:
            superuser.execute(statement)

    return run


def run_sql(platform: RunningPlatform, project: ReadyProject, statements: str) -> None:
    with platform.caller() as caller:
        path = f"/v1/projects/{project.ref}/database/query"
        answer = caller.post(path, json={"query": statements})
    assert answer.status_code == 201, answer.text


def create_bucket(project: ReadyProject, name: str, *, public: bool) -> None:
    answer = httpx.post(
        f"{project.url}/storage/v1/bucket",
        headers=headers_of(project.service_role),
        json={"name": name, "public": public},
        timeout=60,
    )
    assert answer.is_success, answer.text


def users_of(project: ReadyProject) -> list[dict[str, Any]]:
    answer = httpx.get(
        f"{project.url}/auth/v1/admin/users?per_page=1000",
        headers=headers_of(project.service_role),
        timeout=60,
    )
    users: list[dict[str, Any]] = answer.json()["users"]
    return users


async def attack(project: ReadyProject, **changes: Any) -> ApiOutcome:
    arguments: dict[str, Any] = {
        "project_url": project.url,
        "service_key": project.secret,
        "public_keys": {ANON: project.anon, PUBLISHABLE: project.publishable},
        "targets": Targets(TABLES, frozenset({"count_deals"})),
        "stamp": STAMP,
        "request_seconds": 60.0,
    }
    return await attack_api(**arguments | changes)


async def until_tried(project: ReadyProject, **changes: Any) -> ApiOutcome:
    """As a run does."""
    async with asyncio.timeout(150):
        while True:
            try:
                return await attack(project, **changes)
            except (ToldToWait, TransientFailure):
                await asyncio.sleep(0.02)


def seen(outcome: ApiOutcome) -> set[tuple[str, str, str]]:
    return {(each.code, each.subject, each.caller) for each in outcome.exposures}


# --- what is closed, and what was opened ----------------------------------------------------------


@pytest.mark.parametrize("key", ["secret", "service_role"])
async def test_a_closed_project_shows_nothing_to_strangers(project: ReadyProject, key: str) -> None:
    outcome = await attack(project, service_key=getattr(project, key))
    assert outcome.exposures == ()
    # Three tables, the description, the users, the buckets, the files of one bucket.
    assert outcome.attempts == dict.fromkeys(CALLERS, 7)
    assert outcome.nothing_to_see == ("empty",)
    assert users_of(project) == []


_OPENED: dict[str, tuple[str, set[tuple[str, str, str]]]] = {
    "row level security off, granted to anon": (
        "alter table public.contacts disable row level security;"
        "grant select on public.contacts to anon",
        {("row_seen", "contacts", caller) for caller in WITH_PUBLIC_KEY | {STRANGER}},
    ),
    "row level security off": (
        "alter table public.contacts disable row level security",
        {("row_seen", "contacts", STRANGER)},
    ),
    "a policy that is always true, for authenticated": (
        "create policy open on public.deals for select to authenticated using (true)",
        {("row_seen", "deals", STRANGER)},
    ),
    "a policy that is always true, for anon": (
        "create policy open on public.deals for select to anon using (true);"
        "grant select on public.deals to anon",
        {("row_seen", "deals", caller) for caller in WITH_PUBLIC_KEY},
    ),
    "an empty table granted to anon": (
        "grant select on public.empty to anon",
        {("may_ask", "empty", caller) for caller in WITH_PUBLIC_KEY},
    ),
    "a column granted to anon is not the table": (
        "grant select (id) on public.contacts to anon",
        set(),
    ),
    "a table that nobody told us of": (
        "create table public.forgotten (id int); insert into public.forgotten values (1);"
        "revoke all on public.forgotten from authenticated;"
        "grant select on public.forgotten to anon, service_role",
        {("row_seen", "forgotten", caller) for caller in WITH_PUBLIC_KEY},
    ),
    "a view with its owner's rights": (
        "create view public.everything as select * from public.deals;"
        "alter table public.deals no force row level security;"
        "revoke all on public.everything from anon;"
        "grant select on public.everything to authenticated, service_role",
        {("row_seen", "everything", STRANGER)},
    ),
}


@pytest.mark.parametrize("opened", _OPENED)
async def test_what_was_opened_is_found_for_whom_it_was_opened(
    project: ReadyProject, open_up: Callable[[str], None], opened: str
) -> None:
    statements, expected = _OPENED[opened]
    open_up(statements)
    outcome = await attack(project)
    assert seen(outcome) == expected
    for each in outcome.exposures:
        assert each.subject in each.sentence
        assert CANARY not in repr(each)


async def test_storage_that_was_opened_is_found(
    project: ReadyProject, open_up: Callable[[str], None], as_supabase: Callable[[str], None]
) -> None:
    create_bucket(project, "logos", public=True)
    open_up("insert into storage.objects (bucket_id, name) values ('files', 'secret plan.pdf')")
    assert seen(await attack(project)) == {("bucket_public", "logos", NOBODY)}
    as_supabase("create policy open on storage.objects for select to authenticated using (true)")
    as_supabase("create policy open on storage.buckets for select to anon using (id = 'files')")
    outcome = await attack(project)
    assert seen(outcome) == {
        ("bucket_public", "logos", NOBODY),
        ("bucket_seen", "files", ANON),
        ("bucket_seen", "files", PUBLISHABLE),
        ("file_seen", "files", STRANGER),
    }
    assert "secret plan" not in repr(outcome)


async def test_a_public_key_that_administers_is_found(
    project: ReadyProject, platform: RunningPlatform
) -> None:
    make_publishable_key_administer(platform, project)
    codes = {(code, caller) for code, _, caller in seen(await attack(project))}
    assert {("row_seen", PUBLISHABLE), ("users_seen", PUBLISHABLE), ("described", PUBLISHABLE)} <= (
        codes
    )
    assert ("bucket_seen", PUBLISHABLE) in codes
    assert {caller for _, caller in codes} == {PUBLISHABLE}


def make_publishable_key_administer(platform: RunningPlatform, project: ReadyProject) -> None:
    with platform.caller() as caller:
        path = f"/v1/projects/{project.ref}/api-keys"
        key = next(each for each in caller.get(path).json() if each["type"] == "publishable")
        template = {"secret_jwt_template": {"role": "service_role"}}
        assert caller.patch(f"{path}/{key['id']}", json=template).is_success


class OpenDescription(httpx.AsyncHTTPTransport):
    """The gateway of a local stack, and Supabase's until April 2026: the description is for everybody who
    has a key, as far as their role's rights go."""

    def __init__(self, secret: str) -> None:
        super().__init__()
        self._secret = secret

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/rest/v1/") and "Authorization" in request.headers:
            request.headers["apikey"] = self._secret
        return await super().handle_async_request(request)


async def test_a_description_that_everybody_gets_is_read(
    project: ReadyProject, open_up: Callable[[str], None]
) -> None:
    gateway = OpenDescription(project.secret)
    only_anon = {ANON: project.anon}
    outcome = await attack(project, transport=gateway, public_keys=only_anon)
    assert outcome.exposures == ()
    open_up(
        "create function public.leak() returns int language sql as 'select 1';"
        "grant select (id) on public.deals to anon"
    )
    gateway = OpenDescription(project.secret)
    assert seen(await attack(project, transport=gateway, public_keys=only_anon)) == {
        ("described", "leak", ANON),
        ("described", "deals", ANON),
        ("described", "leak", STRANGER),
    }


# --- what proves nothing --------------------------------------------------------------------------

_PATHS = (
    ("GET", "rest/v1/contacts"),
    ("GET", "rest/v1/"),
    ("GET", "auth/v1/settings"),
    ("GET", "auth/v1/admin/users"),
    ("POST", "auth/v1/admin/users"),
    ("POST", "auth/v1/token"),
    ("DELETE", "auth/v1/admin/users/*"),
    ("GET", "storage/v1/bucket"),
    ("POST", "storage/v1/object/list/files"),
)
_FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "drop_reply"},
    {"kind": "error_before", "status": 404},
    {"kind": "error_before", "status": 544},
    {"kind": "too_many_requests"},
    {"kind": "silence", "seconds": 3600},
)


@pytest.mark.parametrize(("method", "path"), _PATHS)
async def test_what_could_not_be_tried_is_no_proof(
    crm: ReadyProject, platform: RunningPlatform, fault: Asking, method: str, path: str
) -> None:
    """Nothing is proven while it lasts; and once it is over, nobody is left behind."""
    for wrong in _FAULTS:
        fault(**wrong, method=method, path=f"/project/{crm.ref}/{path}", times=None)
        # Only silence needs somebody who loses patience.
        outcome = await tried(crm, request_seconds=0.6 if wrong["kind"] == "silence" else 60.0)
        if (wrong["kind"], method, path) == ("drop_reply", "POST", "auth/v1/admin/users"):
            # A reply that is lost is answered by looking: the stranger is there.
            assert isinstance(outcome, ApiOutcome)
        else:
            assert isinstance(outcome, GhostcrmError), wrong
            assert outcome.next_step
            assert outcome.retryable or wrong.get("status") == 404, (wrong, outcome)
        # What was silent is done when this returns; it comes too late for whoever has asked.
        await asyncio.to_thread(take_back_faults, platform)
    assert (await until_tried(crm)).exposures == ()
    assert users_of(crm) == []


async def tried(project: ReadyProject, *, request_seconds: float) -> ApiOutcome | GhostcrmError:
    """What comes of one attack."""
    try:
        return await attack(project, request_seconds=request_seconds)
    except GhostcrmError as error:
        return error


def take_back_faults(platform: RunningPlatform) -> None:
    with platform.caller() as caller:
        assert caller.delete("/platform/faults").is_success


async def test_nobody_there_proves_nothing() -> None:
    with pytest.raises(SupabaseUnavailable, match="cannot be reached"):
        await attack_api(
            project_url="http://127.0.0.1:1",
            service_key="sb_secret_x",
            public_keys={},
            targets=Targets(TABLES),
            stamp=STAMP,
        )


async def test_a_table_that_the_api_does_not_know_proves_nothing(crm: ReadyProject) -> None:
    with pytest.raises(PostconditionNotMet, match="does not know the table nonsense"):
        await attack(crm, targets=Targets(TABLES | {"nonsense"}))


async def test_a_wrong_key_proves_nothing(crm: ReadyProject) -> None:
    for changes in (
        {"public_keys": {PUBLISHABLE: "sb_publishable_nonsense"}},
        {"public_keys": {ANON: "nonsense"}},
        {"service_key": "sb_secret_nonsense"},
        {"service_key": crm.publishable},
    ):
        with pytest.raises(SupabaseAccessDenied) as denied:
            await attack(crm, **changes)
        assert "nonsense" not in json.dumps(denied.value.as_record()) + repr(denied.value)


class Answering(httpx.AsyncHTTPTransport):
    """Sends requests as ever; some questions of one caller are answered otherwise."""

    def __init__(self, path: str, key: str | None, status: int, body: Any) -> None:
        super().__init__()
        self._path = path
        self._key = key
        self._status = status
        self._body = body

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ") or None
        who = "a token" if token and "sb_" in request.headers["apikey"] else token
        if request.url.path.endswith(self._path) and who == self._key:
            return httpx.Response(self._status, json=self._body)
        return await super().handle_async_request(request)


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/rest/v1/contacts", 401, {"code": "PGRST301", "message": "JWSError"}),
        ("/rest/v1/contacts", 401, {"code": "PGRST303", "message": "JWT issued at future"}),
        ("/rest/v1/contacts", 404, {"code": "PGRST205", "message": "not in the schema cache"}),
        ("/rest/v1/contacts", 307, {}),
        ("/rest/v1/contacts", 200, {"no": "list"}),
        ("/rest/v1/contacts", 400, {"code": "PGRST100", "message": "failed to parse"}),
        ("/rest/v1/", 200, ["no description"]),
        ("/auth/v1/admin/users", 403, {"code": 403, "error_code": "bad_jwt", "msg": "bad"}),
        ("/storage/v1/bucket", 400, {"statusCode": "404", "error": "x", "message": "x"}),
        ("/storage/v1/bucket", 200, {}),
    ],
)
async def test_odd_answers_to_a_stranger_prove_nothing(
    crm: ReadyProject, path: str, status: int, body: Any
) -> None:
    answering = Answering(path, "a token", status, body)
    with pytest.raises(SupabaseUnavailable):
        await attack(crm, transport=answering, public_keys={PUBLISHABLE: crm.publishable})
    assert users_of(crm) == []


async def test_storage_refuses_in_its_own_way(crm: ReadyProject) -> None:
    refused = {"statusCode": "403", "error": "Unauthorized", "message": "permission denied"}
    answering = Answering("/storage/v1/bucket", "a token", 400, refused)
    keys = {PUBLISHABLE: crm.publishable}
    assert (await attack(crm, transport=answering, public_keys=keys)).exposures == ()


async def test_older_keys_that_are_switched_off_open_nothing(
    project: ReadyProject, platform: RunningPlatform
) -> None:
    with platform.caller() as caller:
        path = f"/v1/projects/{project.ref}/api-keys/legacy?enabled=false"
        assert caller.put(path).is_success
    outcome = await attack(project)
    assert outcome.exposures == ()
    assert outcome.attempts[ANON] == 1
    assert outcome.attempts[STRANGER] == outcome.attempts[PUBLISHABLE] == 7


async def test_without_public_keys_nobody_and_a_stranger_attack(
    project: ReadyProject, open_up: Callable[[str], None]
) -> None:
    open_up("create policy open on public.deals for select to authenticated using (true)")
    outcome = await attack(project, public_keys={})
    assert outcome.attempts == {NOBODY: 7, STRANGER: 6}
    assert seen(outcome) == {("row_seen", "deals", STRANGER)}


# --- the stranger ---------------------------------------------------------------------------------


async def test_a_stranger_whom_a_crash_has_left_is_taken_and_removed(crm: ReadyProject) -> None:
    async with admin_of(crm) as admin, door_of(crm) as door:
        crashed = signed_in_stranger(admin, door, STAMP)
        await crashed.__aenter__()
        (left,) = users_of(crm)
        assert left["id"] == str(stranger_id(STAMP))
        assert left["email"].endswith(".invalid")
        assert (await attack(crm)).exposures == ()
        assert users_of(crm) == []
        assert not await remove_stranger(admin, STAMP)
        # Kept, too: what nobody holds any more is closed by Python, which removes the stranger.
        crashed_again = signed_in_stranger(admin, door, STAMP)
        await crashed_again.__aenter__()
        assert await remove_stranger(admin, STAMP)
        for each in (crashed, crashed_again):
            await each.__aexit__(None, None, None)
    assert users_of(crm) == []


@pytest.mark.parametrize("planted", ["id", "email", "stamp"])
async def test_whoever_was_planted_in_its_place_is_left_alone_and_keeps_nobody_from_attacking(
    crm: ReadyProject, planted: str
) -> None:
    taken = stranger_id(STAMP)
    somebody = {
        "id": WantedUser(id=taken, email="ada@example.com"),
        "email": WantedUser(id=uuid4(), email=f"stranger-{taken.hex}@ghostcrm.invalid"),
        "stamp": WantedUser(taken, "ada@example.com", app_metadata={"ghostcrm_stranger": STAMP}),
    }[planted]
    async with admin_of(crm) as admin, door_of(crm) as door:
        await admin.ensure_user(somebody, hash_password("a password", cost=4))
        async with signed_in_stranger(admin, door, STAMP) as token:
            assert token
            assert len(users_of(crm)) == 2
        if planted != "email":
            with pytest.raises(StampMismatch):
                await remove_stranger(admin, STAMP)
        assert [each["email"] for each in users_of(crm)] == [somebody.email]
        await admin.delete_user(somebody.id)


async def test_who_is_cancelled_leaves_nobody(crm: ReadyProject) -> None:
    async with admin_of(crm) as admin, door_of(crm) as door:

        async def work() -> None:
            async with signed_in_stranger(admin, door, STAMP):
                signed_in.set()
                await asyncio.Event().wait()

        signed_in = asyncio.Event()
        task = asyncio.create_task(work())
        await signed_in.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert users_of(crm) == []


async def test_several_attacks_at_once_end_well(crm: ReadyProject) -> None:
    outcomes = await asyncio.gather(*[until_tried(crm) for _ in range(3)])
    assert [each.exposures for each in outcomes] == [(), (), ()]
    assert users_of(crm) == []


def admin_of(project: ReadyProject) -> AuthAdmin:
    return AuthAdmin(project.url, project.secret)


def door_of(project: ReadyProject) -> ProjectApi:
    return ProjectApi(project_url=project.url, key=project.publishable)
