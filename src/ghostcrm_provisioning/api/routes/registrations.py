"""A company registers, over the web application: all that a token with this narrow scope can do.

Whoever finds such a token can register companies, and learns nothing of any that others have registered.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic.alias_generators import to_camel

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.authentication import requires
from ghostcrm_provisioning.api.documents.clients import (
    Registered,
)
from ghostcrm_provisioning.api.documents.document import (
    failures,
)
from ghostcrm_provisioning.registration import accept_from_stranger
from ghostcrm_provisioning.registration_form import LONGEST_EMAIL, LONGEST_NAME, checked_form
from ghostcrm_provisioning.web.site import TheSite

router = APIRouter(prefix="/api/registrations", tags=["registrations"])


class Registration(BaseModel):
    """As `onClientRegistration` of the specification takes it."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    company_name: str = Field(min_length=1, max_length=LONGEST_NAME, examples=["ACME Corp"])
    admin_email: str = Field(min_length=3, max_length=LONGEST_EMAIL, examples=["admin@acme.com"])
    admin_password: SecretStr | None = Field(
        default=None,
        description="8 to 72 bytes; hashed at once and never kept. Without it, a temporary one is made "
        "and answered once.",
    )
    plan: str = Field(default="starter", max_length=100, examples=["professional"])


@router.post("", status_code=202, response_model=Registered, responses=failures(409))
async def register_company(
    body: Registration,
    site: TheSite,
    principal: Annotated[Principal, requires(Scope.REGISTRATIONS_WRITE)],
) -> JSONResponse:
    """Register a company; its database is made for it by itself.

    The same registration again, with the same token, is answered alike. 409 `already_registered` is all
    that is said of one that somebody else has made.
    """
    await site.rate_limits.registrations.count(str(principal.id))
    password = None if body.admin_password is None else body.admin_password.get_secret_value()
    form = checked_form(
        company_name=body.company_name,
        admin_email=body.admin_email,
        plan=body.plan,
        blueprint=site.installation.settings.blueprint,
        admin_password=password,
    )
    accepted = await accept_from_stranger(site.installation, form, registered_by=principal.actor)
    document: dict[str, Any] = {"clientId": str(accepted.client_id), "status": "accepted"}
    if accepted.temporary_password is not None:
        document["admin"] = {"temporaryPassword": accepted.temporary_password}
    return JSONResponse(document, status_code=202, headers={"Cache-Control": "no-store"})
