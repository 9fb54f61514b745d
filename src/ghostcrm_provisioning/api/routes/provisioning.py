"""The specification's own calls: provision a client, and how the queue stands."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic.alias_generators import to_camel

from ghostcrm_provisioning.access.principal import Principal, must_have
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.accepting import Wait, answer_accepted
from ghostcrm_provisioning.api.authentication import requires
from ghostcrm_provisioning.api.documents.clients import (
    Accepted,
    ProvisionedClient,
)
from ghostcrm_provisioning.api.documents.document import (
    failures,
)
from ghostcrm_provisioning.api.documents.queue import (
    Queue,
)
from ghostcrm_provisioning.errors import InvalidDatabaseUrl, NotPermitted
from ghostcrm_provisioning.given_database import LONGEST_URL, GivenDatabase
from ghostcrm_provisioning.registration_form import LONGEST_EMAIL, LONGEST_NAME, checked_form
from ghostcrm_provisioning.settings import Settings
from ghostcrm_provisioning.web.site import TheSite

router = APIRouter(prefix="/api/admin/provision-client", tags=["provisioning"])


class ClientData(BaseModel):
    """A company that is to have a database of its own."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    name: str = Field(min_length=1, max_length=LONGEST_NAME, examples=["ACME Corp"])
    admin_email: str = Field(min_length=3, max_length=LONGEST_EMAIL, examples=["admin@acme.com"])
    plan: str = Field(default="starter", max_length=100, examples=["professional"])
    admin_password: SecretStr | None = Field(
        default=None,
        description="8 to 72 bytes; hashed at once and never kept. Without it, a temporary one is made "
        "and answered once.",
    )
    id: UUID | None = Field(default=None, description="The client's id, when you choose it.")
    database_url: SecretStr | None = Field(
        default=None,
        description="A database that is there already and is to be the client's: a PostgreSQL URL. For the "
        "scope `admin`, and hosts that GHOSTCRM_EXISTING_DATABASE_HOSTS names.",
    )
    database_key: SecretStr | None = Field(
        default=None, description="The service role key, or a secret key, of the Supabase project."
    )
    project_url: str | None = Field(
        default=None,
        max_length=LONGEST_URL,
        description="Where the project's API is, when the database URL does not tell.",
    )
    region: str | None = Field(
        default=None,
        max_length=40,
        description="Where its project at Supabase is to lie: a region, or a group of them. Left out, the "
        "settings say.",
        examples=["eu-central-1"],
    )
    allow_other_tables: bool = Field(
        default=False,
        description="The database may hold what is not ours. None of it is touched.",
    )


class ProvisionRequest(BaseModel):
    """As in the specification."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    client_data: ClientData


@router.post(
    "",
    status_code=202,
    response_model=Accepted,
    responses={200: {"model": ProvisionedClient}, **failures(409, 503)},
)
async def provision_client(
    body: ProvisionRequest,
    site: TheSite,
    principal: Annotated[Principal, requires(Scope.CLIENTS_WRITE)],
    wait: Wait = 0,
) -> JSONResponse:
    """Register a company and have a database made for it.

    With `databaseUrl`, a database that is there already becomes the company's. It is looked at first, so the
    answer takes longer.

    202 as soon as it cannot be lost any more. With `?wait=SECONDS`, 200 with the client when its run has
    ended in that time: `status` is `ready`, or `failed` with `error`. The same registration again is the
    same client, and `created` is false.
    """
    data = body.client_data
    password = None if data.admin_password is None else data.admin_password.get_secret_value()
    form = checked_form(
        company_name=data.name,
        admin_email=data.admin_email,
        plan=data.plan,
        blueprint=site.installation.settings.blueprint,
        admin_password=password,
        client_id=data.id,
        database_url=_opened(data.database_url),
        database_key=_opened(data.database_key),
        project_url=data.project_url,
        allow_other_tables=data.allow_other_tables,
        region=data.region,
    )
    if form.given is not None:
        _refuse_to_be_led(form.given, principal, site.installation.settings)
    accepted = await site.installation.registrar.register(form, registered_by=principal.actor)
    return await answer_accepted(
        site,
        accepted.client_id,
        accepted.run_id,
        created=accepted.created,
        wait_seconds=wait,
        temporary_password=accepted.temporary_password,
    )


def _opened(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _refuse_to_be_led(given: GivenDatabase, principal: Principal, settings: Settings) -> None:
    """Whoever says to which address we connect, could have us knock anywhere in our network.

    Raises:
        NotPermitted: it needs the scope admin, and a host that the operator has named.
        InvalidDatabaseUrl: it names a file of this machine.
    """
    must_have(principal, [Scope.ADMIN])
    if given.certificates not in {None, "system"}:
        # To be told whether it can be read is more than a caller may know, and reading some never ends.
        raise InvalidDatabaseUrl(
            "The API reads no file of this machine: sslrootcert may only be system here.",
            next_step="Leave sslrootcert out, or give it as system; or use "
            "`ghostcrm provision --database-url-file` on the machine.",
        )
    hosts = [given.host]
    project_host = urlsplit(given.project_url or "").hostname
    # The one that a project's reference tells is Supabase's; any other was said by the caller.
    if project_host is not None and project_host != f"{given.ref}.supabase.co":
        hosts.append(project_host)
    for host in hosts:
        if not settings.takes_databases_at(host):
            raise NotPermitted(
                "The API takes no database at that host.",
                next_step="Have an operator name the host in GHOSTCRM_EXISTING_DATABASE_HOSTS; or use "
                "`ghostcrm provision --database-url-file` on the machine.",
            )


@router.get("/status", response_model=Queue)
async def provisioning_status(
    site: TheSite, _: Annotated[Principal, requires(Scope.QUEUE_READ)]
) -> JSONResponse:
    """How long the queue is, what is being worked on, by whom, and what has failed in the last day."""
    return JSONResponse((await site.queue_status.fresh()).as_document())
