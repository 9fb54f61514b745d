"""A query parameter that a route does not know is refused: a filter with a slip in its name would
otherwise silently show everything."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import AwareDatetime, BeforeValidator, StringConstraints

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.api.authentication import authenticated
from ghostcrm_provisioning.errors import UnknownParameter

# Of a plan, a region, a server, somebody who acts: PostgreSQL's text holds no NUL.
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]


def _written_out(value: object) -> object:
    """pydantic would take a bare number for seconds since 1970."""
    if isinstance(value, str) and "T" not in value.upper():
        raise ValueError("must be a moment such as 2026-11-29T10:41:07Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_written_out)]


async def only_known_parameters(
    request: Request,
    _: Annotated[Principal, Depends(authenticated)],  # who is asking comes first
) -> None:
    """Raises UnknownParameter."""
    if not request.query_params:
        return
    route = request.scope.get("route")
    known = _names(route.dependant) if isinstance(route, APIRoute) else set()
    for name in request.query_params:
        if name not in known:
            there = f"; there are: {', '.join(sorted(known))}" if known else ""
            raise UnknownParameter(f"There is no query parameter {name[:60]!r} here{there}.")


def _names(dependant: Dependant) -> set[str]:
    names = {field.alias for field in dependant.query_params}
    return names.union(*(_names(each) for each in dependant.dependencies))
