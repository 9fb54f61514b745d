"""Whatever is lost, refused, slow or killed at whatever call: repeated until done, there is one project.

The calls are not listed here: a life without faults shows which ones each operation makes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.supabase_projects.conftest import Asking, Starting, projects_in
from tests.supabase_projects.workers import BUCKET, OPERATIONS, PASSWORD, Place, Worker, working

pytestmark = pytest.mark.long

Call = tuple[str, str]
_SILENCE_SECONDS = 1.2
_AT_THE_PLATFORM: dict[str, dict[str, Any]] = {
    "reply lost after the work": {"kind": "drop_reply"},
    "429": {"kind": "too_many_requests", "seconds": 1},
    "500 before the work": {"kind": "error_before"},
    "500 after the work": {"kind": "error_after"},
    "silence": {"kind": "silence", "seconds": _SILENCE_SECONDS},
    "killed": {"kind": "silence", "seconds": _SILENCE_SECONDS},
}


async def _calls_of_a_life(
    worker: Worker, lose_a_key: Callable[[UUID], None]
) -> dict[str, list[Call]]:
    """Each operation's calls, in the order in which they are first made."""
    database_id = uuid4()
    calls: dict[str, list[Call]] = {}
    for operation in OPERATIONS:
        if operation == "keys":
            lose_a_key(database_id)
        worker.watched.sent.clear()
        await worker.until_done(operation, database_id)
        calls[operation] = list(dict.fromkeys(worker.watched.sent))
    return calls


def _patience(kind: str, place: Place) -> Place:
    """How long whoever meets such a fault waits."""
    match kind:
        case "silence":
            return replace(place, request_seconds=0.8)
        case "500 before the work":  # nothing will appear, so that all of the grace is waited for
            return replace(place, create_grace=1.0)
    return place


def _wait_until_met(caller: httpx.Client, fault_id: str) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        [met] = [
            each["met"] for each in caller.get("/platform/faults").json() if each["id"] == fault_id
        ]
        if met:
            return
        time.sleep(0.02)
    raise AssertionError("the fault was never met")


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["connection refused", *_AT_THE_PLATFORM])
async def test_at_every_call(
    kind: str,
    place: Place,
    caller: httpx.Client,
    fault: Asking,
    in_another_process: Starting,
    record_property: Callable[[str, object], None],
) -> None:
    async with working(_patience(kind, place)) as worker, working(place) as patient:

        def lose_a_key(database_id: UUID) -> None:
            """So that one has to be made."""
            [project] = _ours(caller, place, worker, database_id)
            keys = caller.get(f"/v1/projects/{project['ref']}/api-keys").json()
            [secret] = [each["id"] for each in keys if each["type"] == "secret"]
            caller.delete(f"/v1/projects/{project['ref']}/api-keys/{secret}").raise_for_status()

        # The platform would refuse a second project of the same name; it is not to be of help.
        fault(kind="duplicate_name", times=None)
        # Whoever loses patience may make calls of which a life without faults has none.
        calls = await _calls_of_a_life(patient, lose_a_key)
        tried = 0
        for life in range(max(map(len, calls.values()))):
            database_id = uuid4()
            for operation in _needed(calls, life):
                if operation == "keys":
                    lose_a_key(database_id)
                call = calls[operation][life] if life < len(calls[operation]) else None
                asked = None
                if call is not None:
                    asked = await _meet(
                        kind, call, operation, database_id, place, worker, caller, fault,
                        in_another_process,
                    )  # fmt: skip
                    tried += 1
                await worker.until_done(operation, database_id)
                await _take_back(caller, asked)
                seen = _ours(caller, place, worker, database_id)
                assert len(seen) == (operation != "delete"), (kind, operation, call, seen)
                if operation == "keys":
                    assert _kinds_of_keys(caller, seen[0]["ref"]) == ["publishable", "secret"]
        assert projects_in(caller, place) == []
    every = {call for of_one in calls.values() for call in of_one}
    assert ("POST", "/v1/projects") in every
    assert ("POST", "/v1/projects/*/api-keys") in every
    record_property(
        "summary",
        f"Supabase, {kind}: at {tried} calls of {len(OPERATIONS)} operations ({len(every)} endpoints), "
        "one project each time, none after its deletion",
    )


def _needed(calls: dict[str, list[Call]], life: int) -> list[str]:
    """The operations of a life: those that still have a call to be tried, and what they need."""
    needed = {operation for operation in OPERATIONS if life < len(calls[operation])}
    if needed & {"pause", "restore"}:
        needed |= {"pause", "restore"}
    return [each for each in OPERATIONS if each in needed | {"ensure", "delete"}]


def _kinds_of_keys(caller: httpx.Client, ref: str) -> list[str]:
    keys = caller.get(f"/v1/projects/{ref}/api-keys").json()
    return sorted(each["type"] for each in keys if each["type"] != "legacy")


def _ours(
    caller: httpx.Client, place: Place, worker: Worker, database_id: UUID
) -> list[dict[str, Any]]:
    stamp = worker.projects.stamp(database_id)
    return [each for each in projects_in(caller, place) if each["name"] == stamp]


async def _meet(
    kind: str,
    call: Call,
    operation: str,
    database_id: UUID,
    place: Place,
    worker: Worker,
    caller: httpx.Client,
    fault: Asking,
    in_another_process: Starting,
) -> dict[str, Any] | None:
    """Have the operation meet the fault at that call; what is left of it is done by others. The fault, if it
    was the platform's."""
    method, path = call
    if kind == "connection refused":
        before = worker.watched.refused
        worker.watched.refuse = call
        await worker.until_done(operation, database_id)
        assert worker.watched.refused == before + 1
        return None
    asked = fault(method=method, path=path, **_AT_THE_PLATFORM[kind])
    if kind == "killed":
        process = in_another_process(place, operation, database_id)
        _wait_until_met(caller, asked["id"])
        process.kill()
        return asked
    await worker.until_done(operation, database_id)
    _wait_until_met(caller, asked["id"])
    return asked


async def _take_back(caller: httpx.Client, fault: dict[str, Any] | None) -> None:
    """What comes late because of it has come when this returns: it would meet what is done next."""
    if fault is not None:
        answer = await asyncio.to_thread(caller.delete, f"/platform/faults/{fault['id']}")
        assert answer.is_success, answer.text


# --- what is set in a project ---------------------------------------------------------------------


class Somebody:
    """Somebody else, who sets a project otherwise than we do; and who sees how it is."""

    def __init__(self, caller: httpx.Client, place: Place, ref: str) -> None:
        self._caller = caller
        self._with_key = httpx.Client(timeout=60)  # the access token is not for a project's own API
        self._api = f"/v1/projects/{ref}"
        self._bucket = f"{place.api_url}/project/{ref}/storage/v1/bucket"
        self.secret = ""
        self.rotation = 0

    def close(self) -> None:
        self._with_key.close()

    def set_otherwise(self, operation: str) -> str:
        """So that every call of the operation is needed; the operation with what it needs to know."""
        match operation:
            case "settings":
                self._patch("/config/auth", disable_signup=False, site_url="https://x.example.com")
                self._patch("/postgrest", db_schema="public,private")
                body = {"dbAllowedCidrs": ["0.0.0.0/0"], "dbAllowedCidrsV6": ["::/0"]}
                self._succeed("POST", f"{self._api}/network-restrictions/apply", json=body)
            case "no bucket" | "other bucket":
                self._patch("/config/storage", fileSizeLimit=1000)
                self.secret = self.secret or self._keys()["default"]
                key = {"apikey": self.secret}
                self._with_key.delete(f"{self._bucket}/files", headers=key)
                if operation == "other bucket":
                    bucket = {"name": "files", "public": True}
                    self._with_key.post(self._bucket, json=bucket, headers=key).raise_for_status()
                return f"bucket {self.secret}"
            case "make_keys":
                self.rotation += 1
                return f"make_keys {self.rotation}"
            case "retire_keys":
                self.rotation += 1
                for kind in ("publishable", "secret"):
                    name = f"ghostcrm_{kind}_{self.rotation}"
                    self._succeed(
                        "POST", f"{self._api}/api-keys", json={"type": kind, "name": name}
                    )
                return f"retire_keys {self.rotation}"
            case "legacy":
                self._succeed("PUT", f"{self._api}/api-keys/legacy?enabled=true")
            case "password":
                self._patch("/database/password", password=PASSWORD)
        return operation

    def look(self, operation: str) -> object:
        match operation:
            case "settings":
                auth = self._get("/config/auth")
                networks = self._get("/network-restrictions")["config"]["dbAllowedCidrs"]
                return (auth["disable_signup"], self._get("/postgrest")["db_schema"], *networks)
            case "no bucket" | "other bucket":
                key = {"apikey": self.secret}
                buckets = self._with_key.get(self._bucket, headers=key).json()
                return [(each["id"], each["public"], each["file_size_limit"]) for each in buckets]
            case "make_keys":
                names = self._keys(reveal=False)
                return len([name for name in names if name.endswith(f"_{self.rotation}")])
            case "retire_keys":
                return sorted(self._keys(reveal=False))
            case "legacy":
                return self._get("/api-keys/legacy")
        return None  # a password is tried by who sets it

    def wanted(self, operation: str) -> object:
        return {
            "settings": (True, "public", "203.0.113.0/24"),
            "no bucket": [("files", False, BUCKET.largest_file)],
            "other bucket": [("files", False, BUCKET.largest_file)],
            "make_keys": 2,
            "retire_keys": [
                f"ghostcrm_{kind}_{self.rotation}" for kind in ("publishable", "secret")
            ],
            "legacy": {"enabled": False},
            "password": None,
        }[operation]

    def _keys(self, *, reveal: bool = True) -> dict[str, str]:
        """Of two with one name the secret one; those of before the new kinds left out."""
        found = self._get(f"/api-keys?reveal={str(reveal).lower()}")
        return {key["name"]: key["api_key"] for key in found if key["type"] != "legacy"}

    def _get(self, path: str) -> Any:
        return self._succeed("GET", f"{self._api}{path}").json()

    def _patch(self, path: str, **body: Any) -> None:
        self._succeed("PATCH", f"{self._api}{path}", json=body)

    def _succeed(self, method: str, url: str, **more: Any) -> httpx.Response:
        return self._caller.request(method, url, **more).raise_for_status()


_SET = ("settings", "no bucket", "other bucket", "make_keys", "retire_keys", "legacy", "password")


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["connection refused", *_AT_THE_PLATFORM])
async def test_at_every_call_that_sets_something(
    kind: str,
    place: Place,
    caller: httpx.Client,
    fault: Asking,
    in_another_process: Starting,
    record_property: Callable[[str, object], None],
) -> None:
    tried: list[Call] = []
    async with AsyncExitStack() as resources:
        worker = await resources.enter_async_context(working(_patience(kind, place)))
        patient = await resources.enter_async_context(working(place))
        database_id = uuid4()
        ref = (await patient.until_done("ensure", database_id)).ref
        somebody = Somebody(caller, place, ref)
        resources.callback(somebody.close)
        for operation in _SET:
            patient.watched.sent.clear()
            await patient.until_done(somebody.set_otherwise(operation), database_id)
            assert somebody.look(operation) == somebody.wanted(operation)
            for call in list(dict.fromkeys(patient.watched.sent))[1:]:
                # The first one looks for the project, and is tried above.
                if call[0] == "GET" and call in tried:
                    continue
                name = somebody.set_otherwise(operation)
                asked = await _meet(
                    kind, call, name, database_id, place, worker, caller, fault, in_another_process
                )
                await worker.until_done(name, database_id)
                await _take_back(caller, asked)
                assert somebody.look(operation) == somebody.wanted(operation), (operation, call)
                tried.append(call)
    changing = {call for call in tried if call[0] != "GET"}
    assert len(changing) == 10, changing
    record_property(
        "summary",
        f"Supabase, {kind}: at {len(tried)} calls of {len(_SET)} operations that set something "
        f"({len(set(tried))} endpoints), set as wanted each time",
    )
