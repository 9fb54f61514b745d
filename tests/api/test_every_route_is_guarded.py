"""Every route asks for one scope, is closed to everybody without it, and refuses what it does not know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import uuid4

from fastapi.routing import APIRoute

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.routes import me
from ghostcrm_provisioning.api.routing import _ROUTERS
from tests.api.conftest import Calling, application_of

# What is asked for of every route by hand, so that a change of scope is a change of this table.
EXPECTED = {
    "POST /api/admin/provision-client": Scope.CLIENTS_WRITE,
    "GET /api/admin/provision-client/status": Scope.QUEUE_READ,
    "POST /api/registrations": Scope.REGISTRATIONS_WRITE,
    "GET /api/admin/overview": Scope.CLIENTS_READ,
    "GET /api/admin/clients": Scope.CLIENTS_READ,
    "GET /api/admin/clients/{client_id}": Scope.CLIENTS_READ,
    "GET /api/admin/clients/{client_id}/explain": Scope.CLIENTS_READ,
    "GET /api/admin/clients/{client_id}/runs": Scope.CLIENTS_READ,
    "GET /api/admin/clients/{client_id}/timeline": Scope.CLIENTS_READ,
    "POST /api/admin/clients/{client_id}/retry": Scope.CLIENTS_WRITE,
    "GET /api/admin/clients/{client_id}/plan-preview": Scope.CLIENTS_READ,
    "POST /api/admin/clients/{client_id}/change-plan": Scope.CLIENTS_WRITE,
    "POST /api/admin/clients/{client_id}/connect": Scope.CLIENTS_CONNECT,
    "POST /api/admin/clients/{client_id}/reset-admin-password": Scope.CLIENTS_CONNECT,
    "GET /api/admin/clients/{client_id}/verdicts": Scope.CLIENTS_READ,
    "POST /api/admin/clients/{client_id}/verify": Scope.CLIENTS_WRITE,
    "POST /api/admin/clients/{client_id}/release": Scope.CLIENTS_WRITE,
    "GET /api/admin/runs": Scope.CLIENTS_READ,
    "GET /api/admin/runs/{run_id}": Scope.CLIENTS_READ,
    "GET /api/admin/runs/{run_id}/events": Scope.CLIENTS_READ,
    "GET /api/admin/queue": Scope.QUEUE_READ,
    "GET /api/admin/queue/events": Scope.QUEUE_READ,
    "GET /api/admin/servers": Scope.SERVERS_READ,
    "GET /api/admin/spares": Scope.SERVERS_READ,
    "GET /api/admin/audit": Scope.AUDIT_READ,
    "GET /api/admin/notifications": Scope.NOTIFICATIONS_READ,
    "GET /api/admin/tokens": Scope.ACCESS_MANAGE,
    "POST /api/admin/tokens": Scope.ACCESS_MANAGE,
    "DELETE /api/admin/tokens/{token_id}": Scope.ACCESS_MANAGE,
    "GET /api/admin/admins": Scope.ACCESS_MANAGE,
    "POST /api/admin/admins": Scope.ACCESS_MANAGE,
    "GET /api/admin/admins/{account_id}": Scope.ACCESS_MANAGE,
    "PATCH /api/admin/admins/{account_id}": Scope.ACCESS_MANAGE,
    "DELETE /api/admin/admins/{account_id}": Scope.ACCESS_MANAGE,
}


def routes() -> Iterator[tuple[str, str]]:
    """Method and path of every route of the admin API that needs a scope."""
    for router in _ROUTERS:
        if router is me.router:
            continue
        for route in router.routes:
            assert isinstance(route, APIRoute)
            for method in route.methods or ():
                yield method, route.path


def test_the_table_names_every_route() -> None:
    assert sorted(f"{method} {path}" for method, path in routes()) == sorted(EXPECTED)


async def test_no_scope_but_its_own_opens_a_route(
    calling: Calling, record_property: Callable[[str, object], None]
) -> None:
    nobody = await calling()
    callers = {scope: await calling(scope) for scope in Scope}
    application_of(nobody).state.site.leaving.set()  # streams end at once
    tried = 0
    for method, path in routes():
        url = path.format(client_id=uuid4(), run_id=uuid4(), token_id=uuid4(), account_id=uuid4())
        assert (await nobody.request(method, url)).status_code == 401, path
        for scope, caller in callers.items():
            answer = await caller.request(method, url)
            tried += 1
            if scope in {EXPECTED[f"{method} {path}"], Scope.ADMIN}:
                assert answer.status_code not in {401, 403}, (path, scope, answer.text)
            else:
                assert answer.status_code == 403, (path, scope, answer.text)
                assert EXPECTED[f"{method} {path}"] in answer.json()["detail"]
    record_property("summary", f"admin API: {tried} calls, every route with every scope")
