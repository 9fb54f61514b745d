"""Every call as the official description has it; and whatever is answered, an error that helps, without
a secret in it."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest

from ghostcrm_provisioning.control_database.database import ControlDatabase
from ghostcrm_provisioning.errors import (
    DatabaseBusy,
    DatabaseRejected,
    GhostcrmError,
    ProjectGone,
    SupabaseAccessDenied,
    SupabaseRejected,
    SupabaseUnavailable,
    ToldToWait,
)
from ghostcrm_provisioning.providers.supabase import documents
from ghostcrm_provisioning.providers.supabase.exchange import Exchange
from ghostcrm_provisioning.providers.supabase.management_api import ManagementApi
from ghostcrm_provisioning.providers.supabase.rate_budget import RateBudget
from tests.odd_server import Odd
from tests.running_platform import wait_for
from tests.supabase_platform.official import FOLDER, recorded_exchanges
from tests.supabase_projects.workers import Place, Worker, template_of

TOKEN = "sbp_" + "5ec7e7" * 6 + "5ec7"
REF = "abcdefghijklmnopqrst"
official = pytest.mark.skipif(
    not (FOLDER / "management_api_v1.json").exists(),
    reason="the official description is not there: ../shared/supabase",
)


@official
async def test_every_call_is_one_of_the_official_description_and_works(
    worker: Worker,
    place: Place,
    caller: httpx.Client,
    record_property: Callable[[str, object], None],
) -> None:
    """Requests are judged where they are sent; a method that is not called here fails this test."""
    database_id = uuid4()
    project = await worker.until_done("ensure", database_id)
    ref, slug, api = project.ref, place.organization, worker.api
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "organizations": api.organizations,
        "organization": lambda: api.organization(slug),
        "regions": lambda: api.regions(slug),
        "recommended_region": lambda: api.recommended_region(slug),
        "projects": lambda: api.projects(slug, search=project.name),
        "count_projects": lambda: api.count_projects(slug),
        "create_project": lambda: api.create_project(
            name="another",
            slug=slug,
            database_password="a password of its own",
            region="emea",
            instance_size="small",
        ),
        "project": lambda: api.project(ref),
        "health": lambda: api.health(ref, ("db", "auth")),
        "api_keys": lambda: api.api_keys(ref, reveal=True),
        "create_api_key": lambda: api.create_api_key(ref, kind="secret", name="one_more"),
        "delete_api_key": lambda: api.delete_api_key(ref, str(uuid4())),
        "legacy_keys_enabled": lambda: api.legacy_keys_enabled(ref),
        "enable_legacy_keys": lambda: api.enable_legacy_keys(ref, enabled=False),
        "set_database_password": lambda: api.set_database_password(ref, "another password"),
        "largest_file": lambda: api.largest_file(ref),
        "set_largest_file": lambda: api.set_largest_file(ref, 1000),
        "run_sql": lambda: api.run_sql(ref, "select $1::int as one", parameters=[1]),
        "poolers": lambda: api.poolers(ref),
        "postgrest": lambda: api.postgrest(ref),
        "set_postgrest": lambda: api.set_postgrest(ref, db_schema="public", max_rows=500),
        "auth_settings": lambda: api.auth_settings(ref),
        "set_auth_settings": lambda: api.set_auth_settings(ref, {"disable_signup": True}),
        "network_restrictions": lambda: api.network_restrictions(ref),
        "restrict_networks": lambda: api.restrict_networks(ref, ipv4=["10.0.0.0/8"], ipv6=[]),
        "pause_project": lambda: api.pause_project(ref),
        "restore_project": lambda: api.restore_project(ref),
        "delete_project": lambda: api.delete_project(ref),
    }
    methods = {
        name
        for name, _ in inspect.getmembers(ManagementApi, inspect.iscoroutinefunction)
        if not name.startswith("_")
    }
    assert set(calls) == methods
    worker.watched.sent.clear()
    seen: dict[str, Any] = {}
    for name, call in calls.items():
        if name in {"restore_project", "delete_project"}:
            wanted = "INACTIVE" if name == "restore_project" else "ACTIVE_HEALTHY"
            await asyncio.to_thread(wait_for, caller, ref, wanted)
        seen[name] = await call()
    assert seen["run_sql"] == [{"one": 1}]
    assert [each.ref for each in seen["projects"]] == [ref]
    assert {"emea", "eu-central-1"} <= seen["regions"]
    assert seen["count_projects"] == 1
    assert {each.name: each.status for each in seen["health"]} == {
        "db": "ACTIVE_HEALTHY",
        "auth": "ACTIVE_HEALTHY",
    }
    assert seen["poolers"][0].port > 0
    assert seen["postgrest"].jwt_secret not in repr(seen["postgrest"])
    assert seen["legacy_keys_enabled"] is True
    assert seen["largest_file"] == 50 * 1024**2
    assert seen["restrict_networks"].allowed == ("10.0.0.0/8",)
    assert await api.project(ref) is None
    endpoints = set(worker.watched.sent)
    record_property(
        "summary",
        f"Supabase: {len(methods)} calls of {len(endpoints)} endpoints, each judged by the official "
        "description",
    )


@official
def test_recorded_answers_are_understood() -> None:
    """Of real exchanges, those of calls that we make."""
    readers: dict[tuple[str, str], Callable[[Any], Any]] = {
        ("GET", "/v1/organizations"): documents.organization_of,
        ("POST", "/v1/projects"): documents.project_of,
        ("GET", "/v1/projects/*"): documents.project_of,
        ("GET", "/v1/projects/*/api-keys"): documents.api_key_of,
        ("POST", "/v1/projects/*/database/query"): dict,
        ("GET", "/v1/projects/*/postgrest"): documents.postgrest_of,
        ("GET", "/v1/projects/*/network-restrictions"): documents.restrictions_of,
        ("GET", "/v1/projects/*/config/database/pooler"): documents.pooler_of,
    }
    understood = set()
    for exchange in recorded_exchanges():
        key = (exchange["request"]["method"], template_of(exchange["request"]["path"]))
        if key not in readers or exchange["response"]["status"] >= 400:
            continue
        body = exchange["response"]["body"]
        for each in body if isinstance(body, list) else [body]:
            if "pooler" in key[1] and "db_host" not in each:
                continue  # of a branch, in a test of the CLI's: made up, and not in the description
            readers[key](each)
            understood.add(key)
    assert understood == set(readers)


# --- answers that are not as one wishes -----------------------------------------------------------


@asynccontextmanager
async def _api(url: str, control_url: str, seconds: float = 30.0) -> AsyncIterator[ManagementApi]:
    async with (
        ControlDatabase(control_url, largest_pool=2) as control,
        Exchange(
            api_url=url,
            access_token=TOKEN,
            budget=RateBudget(control, api_url=url, access_token=TOKEN),
            request_seconds=seconds,
        ) as exchange,
    ):
        assert TOKEN not in repr(exchange)
        yield ManagementApi(exchange)


@pytest.fixture
async def api(odd: Odd, control_url: str) -> AsyncIterator[ManagementApi]:
    async with _api(odd.url, control_url) as api:
        yield api


def _create(api: ManagementApi) -> Awaitable[Any]:
    return api.create_project(
        name="n", slug="acme", database_password="hunter2-and-more", region="emea"
    )


@pytest.mark.parametrize(
    ("status", "body", "error", "may_be_done"),
    [
        (401, {"message": "Unauthorized"}, SupabaseAccessDenied, None),
        (403, {"message": "Forbidden resource"}, SupabaseAccessDenied, None),
        (400, {"message": "name: too long"}, SupabaseRejected, None),
        (402, {"message": "Payment required"}, SupabaseRejected, None),
        (400, {"message": ["one", "two"]}, SupabaseRejected, None),
        (404, {"message": "Organization not found"}, SupabaseRejected, None),
        (307, b"", SupabaseRejected, None),
        (429, {"message": "ThrottlerException: Too Many Requests"}, ToldToWait, None),
        (500, {"message": "Internal"}, SupabaseUnavailable, True),
        (502, b"<html>Bad gateway</html>", SupabaseUnavailable, True),
        (544, {"message": "Connection terminated"}, SupabaseUnavailable, True),
        (201, b"<html>", SupabaseUnavailable, True),
        (201, b"[" * 100_000, SupabaseUnavailable, True),
        (201, {"name": "no ref"}, SupabaseUnavailable, True),
        (201, {"ref": "../../etc", "name": "x"}, SupabaseUnavailable, True),
        (201, [], SupabaseUnavailable, True),
        (201, b"", SupabaseUnavailable, True),
    ],
)
async def test_what_is_answered_becomes_an_error_of_ours(
    status: int,
    body: Any,
    error: type[GhostcrmError],
    may_be_done: bool | None,
    odd: Odd,
    api: ManagementApi,
) -> None:
    odd.says(status, body, location="http://127.0.0.1:1/elsewhere")
    with pytest.raises(error) as raised:
        await _create(api)
    assert type(raised.value) is error
    assert raised.value.next_step
    assert getattr(raised.value, "may_be_done", None) is may_be_done
    assert len(odd.heard) == 1  # no redirect is followed, and nothing repeated by itself


async def test_no_secret_is_in_an_error_however_it_is_answered(
    odd: Odd, api: ManagementApi
) -> None:
    for status in (400, 401, 403, 500):
        odd.says(
            status, {"message": f"db_pass hunter2-and-more of {TOKEN} is bad\nLINE 1: a secret"}
        )
        with pytest.raises(GhostcrmError) as raised:
            await _create(api)
        shown = json.dumps(raised.value.as_record()) + repr(raised.value)
        assert "is bad" in shown
        for secret in ("hunter2", TOKEN, "a secret"):
            assert secret not in shown
        assert raised.value.__cause__ is None


async def test_a_token_that_lacks_permissions_is_told_which(odd: Odd, api: ManagementApi) -> None:
    odd.says(403, {"message": "Forbidden", "missing_permissions": ["projects:write", 7]})
    with pytest.raises(SupabaseAccessDenied, match="lacks: projects:write, 7") as raised:
        await _create(api)
    assert "another access token" in raised.value.next_step


async def test_what_is_gone_is_none_or_said(odd: Odd, api: ManagementApi) -> None:
    for status, message in ((404, "Project not found"), (400, "Resource has been removed")):
        odd.says(status, {"message": message})
        assert await api.project(REF) is None
        await api.delete_project(REF)
        with pytest.raises(ProjectGone):
            await api.pause_project(REF)
        for call in (api.organization, api.regions, api.projects, api.count_projects):
            with pytest.raises(SupabaseRejected, match="no organization"):
                await call("acme")
        with pytest.raises(SupabaseRejected, match="no Management API"):
            await api.organizations()


async def test_what_is_not_known_is_tolerated(odd: Odd, api: ManagementApi) -> None:
    odd.says(
        200, {"id": REF, "ref": REF, "name": "n", "status": "DREAMING", "database": 7, "new": {}}
    )
    found = await api.project(REF)
    assert found is not None
    assert found.status == "DREAMING"
    odd.says(200, [{"name": "db", "status": "SLEEPY", "info": [1]}])
    assert [each.status for each in await api.health(REF, ("db",))] == ["SLEEPY"]
    odd.says(200, b"null")
    await api.pause_project(REF)
    assert await api.run_sql(REF, "create table x ()") == []


async def test_errors_of_sql_are_those_of_postgresql(odd: Odd, api: ManagementApi) -> None:
    odd.says(
        400,
        {"message": 'Failed to run sql query: ERROR:  42P01: relation "x" does not exist\nLINE 1: hunter2'},
    )  # fmt: skip
    with pytest.raises(DatabaseRejected, match="42P01") as raised:
        await api.run_sql(REF, "select * from x")
    assert "hunter2" not in raised.value.message
    odd.says(500, {"message": "Failed to run sql query: ERROR: 40001: could not serialize"})
    with pytest.raises(DatabaseBusy):
        await api.run_sql(REF, "select 1")


async def test_a_429_is_as_long_as_it_says(odd: Odd, api: ManagementApi) -> None:
    odd.says(429, {"message": "Too many"}, retry_after="7", x_ratelimit_reset="12")
    with pytest.raises(ToldToWait) as told:
        await api.organizations()
    assert told.value.wait_seconds == 12
    with pytest.raises(ToldToWait):
        await api.organizations()
    assert len(odd.heard) == 1  # the second one was not even sent


async def test_silence_ends(odd: Odd, control_url: str) -> None:
    odd.silent = True
    async with _api(odd.url, control_url, 1.5) as api:
        with pytest.raises(SupabaseUnavailable, match=r"within 1\.5 s") as raised:
            await _create(api)
        assert raised.value.may_be_done
        with pytest.raises(SupabaseUnavailable) as raised:
            await api.project(REF)
        assert not raised.value.may_be_done


async def test_nobody_there_means_nothing_was_done(control_url: str) -> None:
    async with _api("http://127.0.0.1:1", control_url) as api:
        with pytest.raises(SupabaseUnavailable, match="cannot be reached") as raised:
            await _create(api)
    assert not raised.value.may_be_done
