"""One client's credentials open no other client's database: tried, from both sides.

The application login of a neighbour knocks at this client's database, and this client's application login
knocks at the neighbour's and at every database of the server that is no client's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ghostcrm_provisioning.client_database.isolation.verdict import Finding
from ghostcrm_provisioning.errors import DatabaseBusy, WrongPassword
from ghostcrm_provisioning.providers.provider import Login, Provider

# Kinds of attempts, as they are counted in a verdict.
CONNECT = "connect"
CONNECT_AS_ANOTHER_CLIENT = "connectAsAnotherClient"
# At the services beside a database, over HTTP.
API = "api"


@dataclass(frozen=True)
class Neighbour:
    """Another client's database on the same server, and its application's login."""

    database: str
    login: Login = field(repr=False)


@dataclass(frozen=True)
class Knocks:
    """What came of all knocks."""

    findings: tuple[Finding, ...]
    attempts: dict[str, int]


async def knock_at_doors(
    provider: Provider, database: str, application: Login, neighbours: Sequence[Neighbour]
) -> Knocks:
    """Knock from both sides.

    Args:
        neighbours: tried in turn, until one can be; a login whose password was changed, or that has no
            connection left, tells nothing.
    """
    if not provider.has_neighbours:
        return Knocks((), {})
    findings: list[Finding] = []
    attempts = {CONNECT: 0, CONNECT_AS_ANOTHER_CLIENT: 0}
    for neighbour in neighbours:
        try:
            entered = await provider.knock(neighbour.database, neighbour.login, at=database)
        except (WrongPassword, DatabaseBusy):
            continue
        attempts[CONNECT] += 1
        attempts[CONNECT_AS_ANOTHER_CLIENT] += 1
        if entered.refused is None:
            findings.append(
                Finding(
                    "connect_open",
                    f"The application login of another client ({neighbour.database}) was let into "
                    "this database.",
                    subject=database,
                    caller=f"{neighbour.database}_{neighbour.login.key}",
                )
            )
        break
    caller = f"{database}_{application.key}"
    for neighbour in neighbours[:1]:
        out = await provider.knock(database, application, at=neighbour.database)
        attempts[CONNECT] += 1
        if out.refused is None:
            findings.append(
                Finding(
                    "connect_elsewhere",
                    "This client's application login was let into the database of another client, "
                    f"{neighbour.database}.",
                    subject=neighbour.database,
                    caller=caller,
                )
            )
    for shared in provider.shared_databases():
        out = await provider.knock(database, application, at=shared)
        attempts[CONNECT] += 1
        if out.rights:
            findings.append(
                Finding(
                    "rights_elsewhere",
                    f"This client's application login has rights in the database {shared}: "
                    f"{'; '.join(out.rights)}.",
                    subject=shared,
                    caller=caller,
                )
            )
    return Knocks(tuple(findings), attempts)
