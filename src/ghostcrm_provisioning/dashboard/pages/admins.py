"""Admin accounts: made, given rights, a new temporary password, disabled. What is allowed is decided in
``access``: nobody gives away, or changes, more than he may himself."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import Response

from ghostcrm_provisioning.access.accounts import Account
from ghostcrm_provisioning.access.scope import scopes_from
from ghostcrm_provisioning.dashboard.pages.access import (
    ACCESS,
    Manager,
    ManagersForm,
    grantable,
)
from ghostcrm_provisioning.dashboard.rendering import go_to, render
from ghostcrm_provisioning.dashboard.shown_once import Once, shown_once_of
from ghostcrm_provisioning.dashboard.signing_in import Submission, Visit, why_not_confirmed
from ghostcrm_provisioning.errors import Conflict, InvalidInput, NotPermitted
from ghostcrm_provisioning.web.site import TheSite

router = APIRouter(prefix="/access/admins")

Problem = tuple[str | None, str]


@router.get("/new")
async def new_admin_page(request: Request, visit: Manager) -> Response:
    """The form to make an account."""
    return _new_form(request, visit)


@router.post("/new")
async def new_admin(request: Request, site: TheSite, submitted: ManagersForm) -> Response:
    """Make an account with a temporary password, which the next page shows once."""
    email, names = submitted.text("email"), submitted.texts("scopes")
    if why_not := await why_not_confirmed(request, site, submitted):
        return _new_form(request, submitted.visit, email, names, ("password", why_not))
    try:
        new = await site.accounts.create(
            email=email, scopes=scopes_from(names), by=submitted.principal
        )
    except (InvalidInput, Conflict, NotPermitted) as refused:
        field = "email" if "email" in refused.code or refused.code == "conflict" else None
        problem = (field, refused.message)
        return _new_form(
            request, submitted.visit, email, names, problem, status_code=refused.http_status
        )
    if new.temporary_password is not None:
        _show_once(request, submitted, new.id, new.email, new.temporary_password.get_secret_value())
    return go_to(f"{ACCESS}?new={new.id}")


@router.get("/{account_id}")
async def admin_page(request: Request, account_id: UUID, site: TheSite, visit: Manager) -> Response:
    """One account: its rights, and what can be done with it."""
    return _admin_form(request, visit, await site.accounts.find(account_id))


@router.post("/{account_id}/rights")
async def set_rights(
    request: Request, account_id: UUID, site: TheSite, submitted: ManagersForm
) -> Response:
    """Give an account other rights. Its sessions end."""
    account = await site.accounts.find(account_id)
    names = submitted.texts("scopes")
    if why_not := await why_not_confirmed(request, site, submitted):
        return _admin_form(request, submitted.visit, account, names, ("password", why_not))
    try:
        await site.accounts.set_scopes(account_id, scopes_from(names), by=submitted.principal)
    except (InvalidInput, Conflict, NotPermitted) as refused:
        return _admin_form(
            request,
            submitted.visit,
            account,
            names,
            (None, refused.message),
            status_code=refused.http_status,
        )
    return go_to(
        ACCESS, notice=f"The rights of {account.email} are changed; its sessions have ended."
    )


@router.post("/{account_id}/password")
async def reset_password(
    request: Request, account_id: UUID, site: TheSite, submitted: ManagersForm
) -> Response:
    """Give an account a new temporary password, which the next page shows once."""
    account = await site.accounts.find(account_id)
    if why_not := await why_not_confirmed(request, site, submitted):
        return _admin_form(request, submitted.visit, account, None, ("password", why_not))
    password = await site.accounts.set_password(account_id, by=submitted.principal)
    if password is not None:
        _show_once(request, submitted, account_id, account.email, password.get_secret_value())
    return go_to(f"{ACCESS}?new={account_id}")


@router.post("/{account_id}/disable")
async def disable(account_id: UUID, site: TheSite, submitted: ManagersForm) -> Response:
    """Close an account; it can be opened again."""
    account = await site.accounts.find(account_id)
    await site.accounts.disable(account_id, by=submitted.principal)
    return go_to(ACCESS, notice=f"{account.email} is disabled; its sessions have ended.")


@router.post("/{account_id}/enable")
async def enable(account_id: UUID, site: TheSite, submitted: ManagersForm) -> Response:
    """Open a disabled account again."""
    account = await site.accounts.find(account_id)
    await site.accounts.enable(account_id, by=submitted.principal)
    return go_to(ACCESS, notice=f"{account.email} may sign in again, with the password it had.")


@router.post("/{account_id}/unlock")
async def unlock(account_id: UUID, site: TheSite, submitted: ManagersForm) -> Response:
    """Forget the sign-ins that have failed."""
    account = await site.accounts.find(account_id)
    await site.accounts.unlock(account_id, by=submitted.principal)
    return go_to(ACCESS, notice=f"{account.email} need not wait for its next sign-in.")


def _show_once(
    request: Request, submitted: Submission, account_id: UUID, email: str, password: str
) -> None:
    once = Once(f"The temporary password of {email}", password)
    shown_once_of(request).put(submitted.visit.session.id, account_id, once)


def _new_form(
    request: Request,
    visit: Visit,
    email: str = "",
    chosen: list[str] | None = None,
    problem: Problem | None = None,
    *,
    status_code: int = 422,
) -> Response:
    return render(
        request,
        "access/new_admin.html",
        status_code=status_code if problem else 200,
        email=email,
        chosen=chosen or [],
        grantable=grantable(visit.principal),
        problem=problem,
    )


def _admin_form(
    request: Request,
    visit: Visit,
    account: Account,
    chosen: list[str] | None = None,
    problem: Problem | None = None,
    *,
    status_code: int = 422,
) -> Response:
    return render(
        request,
        "access/admin.html",
        status_code=status_code if problem else 200,
        account=account,
        chosen=sorted(account.scopes) if chosen is None else chosen,
        grantable=grantable(visit.principal),
        problem=problem,
    )
