"""Clients over HTTP."""

from __future__ import annotations

from uuid import uuid4

from ghostcrm_provisioning.access.scope import Scope
from tests.api.conftest import Calling


async def test_a_client_that_there_is_not_is_a_problem(calling: Calling) -> None:
    caller = await calling(Scope.CLIENTS_READ)
    answer = await caller.get(f"/api/admin/clients/{uuid4()}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "not_found"


async def test_nobody_is_let_in_without_a_token_or_without_the_scope(calling: Calling) -> None:
    nobody, stranger = await calling(), await calling(Scope.QUEUE_READ)
    path = f"/api/admin/clients/{uuid4()}"
    assert (await nobody.get(path)).status_code == 401
    answer = await stranger.get(path)
    assert answer.status_code == 403
    assert "clients:read" in answer.json()["detail"]
