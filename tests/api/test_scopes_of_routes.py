"""Which scope each route asks for, written down by hand: a change of a scope is a change of this table.

That a route lets in exactly those who have its scope is tried in test_every_route_and_scope.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from fastapi.routing import APIRoute

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.routes import me
from ghostcrm_provisioning.api.routing import _ROUTERS

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
    "POST /api/admin/clients/{client_id}/suspend": Scope.CLIENTS_WRITE,
    "POST /api/admin/clients/{client_id}/resume": Scope.CLIENTS_WRITE,
    "DELETE /api/admin/clients/{client_id}": Scope.CLIENTS_DELETE,
    "GET /api/admin/clients/{client_id}/plan-preview": Scope.CLIENTS_READ,
    "POST /api/admin/clients/{client_id}/change-plan": Scope.CLIENTS_WRITE,
    "POST /api/admin/clients/{client_id}/connect": Scope.CLIENTS_CONNECT,
    "POST /api/admin/clients/{client_id}/reset-admin-password": Scope.CLIENTS_CONNECT,
    "POST /api/admin/clients/{client_id}/rotate": Scope.CLIENTS_CONNECT,
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
