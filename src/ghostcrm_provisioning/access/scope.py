"""What somebody may be allowed to do. A right that is not in this table does not exist."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from ghostcrm_provisioning.errors import InvalidInput


class Scope(StrEnum):
    """One right; its value is what stands in a token's record and in the documentation."""

    description: str

    def __new__(cls, value: str, description: str = "") -> Scope:
        scope = str.__new__(cls, value)
        scope._value_ = value
        scope.description = description
        return scope

    REGISTRATIONS_WRITE = (
        "registrations:write",
        "Register a company, and nothing else: for the registration endpoint of a web application.",
    )
    CLIENTS_READ = ("clients:read", "See clients, their runs, and why one is not ready.")
    CLIENTS_WRITE = (
        "clients:write",
        "Provision clients, retry, change plans, suspend and resume, verify and release; seeing them is part of "
        "it.",
    )
    CLIENTS_CONNECT = (
        "clients:connect",
        "Read the credentials of client databases, and reset an admin's password. Audited.",
    )
    CLIENTS_DELETE = ("clients:delete", "Take clients out of use for good.")
    QUEUE_READ = ("queue:read", "See the queue and the workers.")
    SERVERS_READ = ("servers:read", "See servers, their room, and spares.")
    AUDIT_READ = ("audit:read", "See who did what, and export it.")
    NOTIFICATIONS_READ = ("notifications:read", "See what operators were told.")
    METRICS_READ = ("metrics:read", "Read the metrics for Prometheus.")
    ACCESS_MANAGE = (
        "access:manage",
        "Make and revoke tokens and admins, never with more than one's own rights.",
    )
    ADMIN = ("admin", "Everything.")


# Any one of these is enough for what asks for the scope. Whoever has something done for a client must
# see what becomes of it: its status is what he is sent to.
SUFFICIENT = {
    scope: frozenset({scope, Scope.ADMIN})
    | (frozenset({Scope.CLIENTS_WRITE}) if scope is Scope.CLIENTS_READ else frozenset())
    for scope in Scope
}


def scopes_from(names: Iterable[str]) -> frozenset[Scope]:
    """The scopes of these names.

    Raises:
        InvalidInput: naming the one that there is not, and those that there are.
    """
    scopes = set()
    for name in names:
        try:
            scopes.add(Scope(name))
        except ValueError:
            known = ", ".join(Scope)
            raise InvalidInput(f"There is no scope {name!r}; there are: {known}.") from None
    if not scopes:
        raise InvalidInput("At least one scope is needed.")
    return frozenset(scopes)


def stored_scopes(names: Iterable[str]) -> frozenset[Scope]:
    """The scopes of a row. A right that this version does not know is none; there may be none at all."""
    known = set(Scope)
    return frozenset(Scope(name) for name in names if name in known)
