"""Who is asking, and whether he may: every route declares the scope that it needs.

A route that declares none is refused by a test, unless it is in the short list of public ones. The gate
(``gate.py``) finds out who is asking before the body is read; a route receives what it found.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from ghostcrm_provisioning.access.main_project import is_jwt
from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.errors import NotAuthenticated, NotPermitted
from ghostcrm_provisioning.web.site import Site

_BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="Token",
    description="A token of `ghostcrm admin token create`, or a JWT of the main project.",
)
_SCHEME = "bearer"


async def whose_token(site: Site, authorization: str) -> Principal:
    """Whose token a request's header ``Authorization`` carries.

    Raises:
        NotAuthenticated: nobody's that we know, in the same words whatever is wrong with it.
    """
    scheme, _, text = authorization.partition(" ")
    text = text.strip()
    if scheme.lower() != _SCHEME or not text:
        raise NotAuthenticated("There is no bearer token in the request.")
    if site.main_project is not None and is_jwt(text):
        return await site.main_project.verify(text)
    return await site.tokens.authenticate(text)


def refuse_without(scope: Scope, principal: Principal) -> None:
    """Raises NotPermitted."""
    if not principal.may(scope):
        raise NotPermitted(f"This needs the scope {scope.value}.", scope=scope.value)


async def authenticated(request: Request, _: Annotated[Any, Depends(_BEARER)]) -> Principal:
    """Whoever the gate has recognised. Raises NotAuthenticated."""
    principal = getattr(request.state, "principal", None)
    if not isinstance(principal, Principal):
        raise NotAuthenticated("There is no bearer token in the request.")
    return principal


# Read from the route table (web/route_table.py): a route that wants a principal has a token checked.
authenticated.needs_token = True  # type: ignore[attr-defined]


def requires(scope: Scope) -> Any:
    """The dependency that lets in who has ``scope``, and gives the route its :class:`Principal`."""

    async def check(
        principal: Annotated[Principal, Depends(authenticated)],
    ) -> Principal:
        refuse_without(scope, principal)
        return principal

    check.scope = scope  # type: ignore[attr-defined]  # read from the route table: web/route_table.py
    return Depends(check)
