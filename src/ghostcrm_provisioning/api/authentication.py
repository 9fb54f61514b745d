"""Who is asking, and whether he may: every route declares the scope that it needs.

A route that declares none is refused by a test, unless it is in the short list of public ones.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from ghostcrm_provisioning.access.main_project import is_jwt
from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.errors import NotAuthenticated, NotPermitted
from ghostcrm_provisioning.web.site import TheSite

_BEARER = HTTPBearer(
    auto_error=False,
    description="A token of `ghostcrm admin token create`, or a JWT of the main project.",
)


async def authenticated(
    request: Request,
    site: TheSite,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],
) -> Principal:
    """Whoever sent the bearer token. Raises NotAuthenticated."""
    if credentials is None:
        raise NotAuthenticated("There is no bearer token in the request.")
    token = credentials.credentials
    if site.main_project is not None and is_jwt(token):
        principal = await site.main_project.verify(token)
    else:
        principal = await site.tokens.authenticate(token)
    request.state.principal = principal
    return principal


def requires(scope: Scope) -> Any:
    """The dependency that lets in who has ``scope``, and gives the route its :class:`Principal`."""

    async def check(
        principal: Annotated[Principal, Depends(authenticated)],
    ) -> Principal:
        if not principal.may(scope):
            raise NotPermitted(f"This needs the scope {scope.value}.", scope=scope.value)
        return principal

    check.scope = scope  # type: ignore[attr-defined]  # read from the route table: scope_of
    return Depends(check)


def scope_of(dependency: Callable[..., Awaitable[Any] | Any] | None) -> Scope | None:
    """The scope that a route's dependency asks for, if it is one made by :func:`requires`."""
    scope = getattr(dependency, "scope", None)
    return scope if isinstance(scope, Scope) else None
