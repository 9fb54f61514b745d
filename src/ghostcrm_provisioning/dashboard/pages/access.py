"""Tokens: made and shown once, listed, revoked. And the page on which admins are listed beside them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import Response

from ghostcrm_provisioning.access.principal import Principal, must_have
from ghostcrm_provisioning.access.scope import Scope, scopes_from
from ghostcrm_provisioning.access.tokens import TokenRecord
from ghostcrm_provisioning.dashboard.rendering import PREFIX, go_to, render
from ghostcrm_provisioning.dashboard.shown_once import Once, shown_once_of
from ghostcrm_provisioning.dashboard.signing_in import (
    LIVE_HEADER,
    Submission,
    Visit,
    form_for,
    page_for,
    why_not_confirmed,
)
from ghostcrm_provisioning.errors import Conflict, InvalidInput, NotPermitted
from ghostcrm_provisioning.web.site import TheSite

router = APIRouter()

ACCESS = f"{PREFIX}/access"
# For how long a token may be good: the form's choices, in days; 0 is for ever.
LIFETIMES = {30: "30 days", 90: "90 days", 365: "1 year", 0: "Without end"}
_USUAL_LIFETIME = 90

Manager = Annotated[Visit, page_for(Scope.ACCESS_MANAGE)]
ManagersForm = Annotated[Submission, form_for(Scope.ACCESS_MANAGE)]


@router.get("/access")
async def access_page(
    request: Request,
    site: TheSite,
    visit: Manager,
    new: UUID | None = None,
    all_tokens: bool = False,
) -> Response:
    """Who and what may get in: admins and tokens."""
    once = None
    if new is not None and LIVE_HEADER not in request.headers:
        once = shown_once_of(request).take(visit.session.id, new)
    tokens = await site.tokens.list()
    valid = [token for token in tokens if token.is_valid]
    return render(
        request,
        "access/page.html",
        accounts=await site.accounts.list(),
        tokens=tokens if all_tokens else valid,
        hidden=0 if all_tokens else len(tokens) - len(valid),
        all_tokens=all_tokens,
        state_of=state_of,
        once=once,
    )


def state_of(token: TokenRecord) -> str:
    """The word for how a token stands."""
    if token.is_valid:
        return "valid"
    return "expired" if token.revoked_at is None else "revoked"


def grantable(principal: Principal) -> list[Scope]:
    """The rights that ``principal`` may give away: his own."""
    return [scope for scope in Scope if principal.may(scope)]


# --- tokens ---------------------------------------------------------------------------------------


@router.get("/access/tokens/new")
async def new_token_page(request: Request, visit: Manager) -> Response:
    """The form to make a token."""
    return _token_form(request, visit, name="", scopes=[], lifetime=_USUAL_LIFETIME)


@router.post("/access/tokens/new")
async def new_token(request: Request, site: TheSite, submitted: ManagersForm) -> Response:
    """Make a token; the next page shows it, once."""
    name, names = submitted.text("name"), submitted.texts("scopes")
    lifetime = _lifetime(submitted.text("lifetime"))
    problem: tuple[str | None, str] | None = None
    status_code = 422
    if why_not := await why_not_confirmed(request, site, submitted):
        problem = ("password", why_not)
    else:
        try:
            scopes = scopes_from(names)
            must_have(submitted.principal, scopes)
            new = await site.tokens.create(
                name=name,
                scopes=scopes,
                created_by=submitted.principal.actor,
                expires_at=datetime.now(UTC) + timedelta(days=lifetime) if lifetime else None,
            )
        except (InvalidInput, Conflict, NotPermitted) as refused:
            problem = ("name" if "name" in refused.message else None, refused.message)
            status_code = refused.http_status
    if problem is not None:
        return _token_form(
            request,
            submitted.visit,
            name=name,
            scopes=names,
            lifetime=lifetime,
            problem=problem,
            status_code=status_code,
        )
    shown_once_of(request).put(
        submitted.visit.session.id,
        new.id,
        Once(f"The token {name}", new.token.get_secret_value()),
    )
    return go_to(f"{ACCESS}?new={new.id}")


@router.post("/access/tokens/{token_id}/revoke")
async def revoke_token(token_id: UUID, site: TheSite, submitted: ManagersForm) -> Response:
    """Take a token back, for good."""
    await site.tokens.revoke(token_id, revoked_by=submitted.principal.actor)
    return go_to(ACCESS, notice="The token is revoked. Calls with it are refused from now on.")


def _lifetime(days: str) -> int:
    return next((known for known in LIFETIMES if str(known) == days), _USUAL_LIFETIME)


def _token_form(
    request: Request,
    visit: Visit,
    *,
    name: str,
    scopes: list[str],
    lifetime: int,
    problem: tuple[str | None, str] | None = None,
    status_code: int = 200,
) -> Response:
    return render(
        request,
        "access/new_token.html",
        status_code=status_code if problem else 200,
        name=name,
        chosen=scopes,
        lifetime=lifetime,
        lifetimes=LIFETIMES,
        grantable=grantable(visit.principal),
        problem=problem,
    )
