"""Admin accounts: who may sign in, and with which scopes. Nobody gives away more than he has, nor changes
an account that may do more than he."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool
from pydantic.alias_generators import to_camel

from ghostcrm_provisioning.access.accounts import Account
from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.authentication import requires
from ghostcrm_provisioning.api.documents.access import (
    AccountRow,
    NewAccount,
)
from ghostcrm_provisioning.api.documents.document import (
    Listed,
    failures,
)
from ghostcrm_provisioning.api.paging import whole_list
from ghostcrm_provisioning.clients.documents import instant
from ghostcrm_provisioning.registration_form import LONGEST_EMAIL
from ghostcrm_provisioning.web.site import Site, TheSite

router = APIRouter(prefix="/api/admin/admins", tags=["access"])

Manager = Annotated[Principal, requires(Scope.ACCESS_MANAGE)]
Scopes = Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))]


class AccountRequest(BaseModel):
    """Whose account it is, and what it may do."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    email: str = Field(min_length=3, max_length=LONGEST_EMAIL, examples=["olga@example.com"])
    scopes: Scopes
    main_project_user_id: UUID | None = Field(
        default=None,
        description="The user of the main project whose JWTs are this account's.",
    )


class AccountChange(BaseModel):
    """What is to be otherwise; what is left out stays."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    scopes: Scopes | None = None
    enabled: StrictBool | None = None


@router.get("", response_model=Listed[AccountRow])
async def list_admins(site: TheSite, _: Manager) -> JSONResponse:
    """All admin accounts, by email; those that are disabled as well."""
    return JSONResponse(whole_list(map(_document, await site.accounts.list())))


@router.post("", status_code=201, response_model=NewAccount, responses=failures(409))
async def create_admin(body: AccountRequest, site: TheSite, principal: Manager) -> JSONResponse:
    """Make an account with a temporary password, which is shown this once and must be changed."""
    new = await site.accounts.create(
        email=body.email,
        scopes=frozenset(body.scopes),
        by=principal,
        main_project_user_id=body.main_project_user_id,
    )
    document: dict[str, Any] = {"id": str(new.id), "email": new.email}
    if new.temporary_password is not None:
        document["temporaryPassword"] = new.temporary_password.get_secret_value()
    return JSONResponse(
        document,
        status_code=201,
        headers={"Location": f"/api/admin/admins/{new.id}", "Cache-Control": "no-store"},
    )


@router.get("/{account_id}", response_model=AccountRow, responses=failures(404))
async def read_admin(account_id: UUID, site: TheSite, _: Manager) -> JSONResponse:
    """One admin account."""
    return await _answer(site, account_id)


@router.patch("/{account_id}", response_model=AccountRow, responses=failures(404, 409))
async def change_admin(
    account_id: UUID, body: AccountChange, site: TheSite, principal: Manager
) -> JSONResponse:
    """Give an account other scopes, or disable or enable it. Its sessions are over."""
    if body.scopes is not None:
        await site.accounts.set_scopes(account_id, frozenset(body.scopes), by=principal)
    if body.enabled is True:
        await site.accounts.enable(account_id, by=principal)
    if body.enabled is False:
        await site.accounts.disable(account_id, by=principal)
    return await _answer(site, account_id)


@router.delete(
    "/{account_id}", status_code=204, responses=failures(404, 409), response_class=Response
)
async def disable_admin(account_id: UUID, site: TheSite, principal: Manager) -> Response:
    """Disable an account: the audit log goes on to name it, so it is not removed."""
    await site.accounts.disable(account_id, by=principal)
    return Response(status_code=204)


async def _answer(site: Site, account_id: UUID) -> JSONResponse:
    return JSONResponse(_document(await site.accounts.find(account_id)))


def _document(account: Account) -> dict[str, Any]:
    user_id = account.main_project_user_id
    return {
        "id": str(account.id),
        "email": account.email,
        "scopes": sorted(account.scopes),
        "mustChangePassword": account.must_change_password,
        "mainProjectUserId": None if user_id is None else str(user_id),
        "createdBy": account.created_by,
        "createdAt": instant(account.created_at),
        "lastSignedInAt": instant(account.last_signed_in_at),
        "disabledAt": instant(account.disabled_at),
    }
