"""Input that nobody means: it is refused, and never an error of ours."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.running_platform import RunningPlatform
from tests.supabase_platform.conftest import with_key


@pytest.mark.parametrize(
    "body",
    [
        {"query": "select \0 1"},
        {"query": "select $1::text", "parameters": ["\0"]},
        {"query": "select $1::text, $2::int", "parameters": ["one is missing"]},
        {"query": "copy (select 1) to stdout"},
        {"query": ""},
        {"query": 1},
        {},
    ],
)
def test_sql_that_cannot_be_run_is_refused(
    caller: httpx.Client, project: dict[str, Any], body: dict[str, Any]
) -> None:
    answer = caller.post(f"/v1/projects/{project['ref']}/database/query", json=body)
    assert answer.status_code == 400
    assert answer.json().keys() == {"message"}


@pytest.mark.parametrize(
    "fields",
    [{"name": "a\0b"}, {"db_pass": "pass\0word"}, {"name": 5}, {"organization_slug": "a b"}],
)
def test_a_project_with_odd_fields_is_refused(
    caller: httpx.Client, platform: RunningPlatform, fields: dict[str, Any]
) -> None:
    body = {
        "name": "odd",
        "db_pass": "a password",
        "organization_slug": platform.organization,
        "region": "us-east-1",
    } | fields
    assert caller.post("/v1/projects", json=body).status_code == 400


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[1]", b"{", b""])
def test_a_body_that_is_no_document_is_refused(caller: httpx.Client, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = caller.post("/v1/projects", content=content, headers=headers)
    assert answer.status_code == 400
    assert answer.json().keys() == {"message"}


@pytest.mark.parametrize(
    "body",
    [
        {"email": "a\0@example.com"},
        {"email": f"{'x' * 300}@example.com"},
        {"email": "odd@example.com", "user_metadata": {"a": "\0"}},
        {"email": "odd@example.com", "role": "x\0"},
        {"email": "odd@example.com", "ban_duration": "99999999999h"},
        {"email": 5},
        {"email": "odd@example.com", "id": "no uuid"},
    ],
)
def test_a_user_with_odd_fields_is_refused(project: dict[str, Any], body: dict[str, Any]) -> None:
    with with_key(project) as admin:
        assert admin.post("/auth/v1/admin/users", json=body).status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        "/auth/v1/admin/users?page=0", "/auth/v1/admin/users?page=99999999999999999999",
        "/rest/v1/a%00b", "/rest/v1/pg_class?oid=eq.%00", "/rest/v1/pg_class?limit=-1",
    ],
)  # fmt: skip
def test_a_question_that_makes_no_sense_is_refused(project: dict[str, Any], path: str) -> None:
    with with_key(project) as admin:
        assert admin.get(path).status_code == 400
