"""What all documents of the API have in common, as models for ``/openapi.json``.

The documents themselves are made by the rooms below (``clients/documents.py`` and others), which are the
contract. Answers are not run through these models (a page of 200 clients would take three times as
long): tests are, and so is every answer that Schemathesis provokes.
"""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

A_CLIENT = "52d3a2c1-8c1e-4f0e-9d52-3a1f6d1f0a11"


A_RUN = "a1f4c9de-53a7-4e0c-8f0b-0f4f5c4f7b22"


_AT = "2026-11-29T10:41:07.123Z"


ClientStatus = Literal[
    "registered",
    "provisioning",
    "ready",
    "failed",
    "quarantined",
    "suspended",
    "deleting",
    "deleted",
]


RunStatus = Literal["queued", "running", "waiting", "succeeded", "failed"]


RunKind = Literal[
    "provision_client",
    "change_plan",
    "suspend_client",
    "resume_client",
    "delete_client",
    "rotate_credentials",
]


StepStatus = Literal["pending", "running", "waiting", "done", "failed"]


_Row = TypeVar("_Row")


class Document(BaseModel):
    """Exactly these fields, named in camelCase."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", serialize_by_alias=True
    )


class Listed(Document, Generic[_Row]):
    """One page of a list. `nextCursor` is null on the last one."""

    data: list[_Row]
    next_cursor: str | None
    has_more: bool


class ErrorRecord(Document):
    """Why something failed, and what to do."""

    code: str = Field(examples=["migration_failed"])
    message: str
    next_step: str
    retryable: bool
    details: dict[str, str | int | float | bool | None]


class InvalidField(BaseModel):
    """One place in the input that is not as it has to be."""

    pointer: str = Field(examples=["#/clientData/adminEmail"])
    code: str = Field(examples=["missing"])
    detail: str = Field(examples=["Field required"])


class Problem(BaseModel):
    """What went wrong, and what to do next (RFC 9457)."""

    type: str = Field(examples=["/docs/errors#not_found"])
    title: str = Field(examples=["There is no such thing here."])
    status: int = Field(examples=[404])
    detail: str = Field(examples=[f"There is no client {A_CLIENT}."])
    instance: str = Field(examples=[f"/api/admin/clients/{A_CLIENT}"])
    code: str = Field(examples=["not_found"])
    hint: str = Field(examples=["List what exists with `GET /api/admin/clients`."])
    docs_url: str = Field(alias="docsUrl", examples=["/docs/errors#not_found"])
    request_id: str = Field(alias="requestId", examples=["8f14e45fceea467f9d0f0a3c5c1e7b2a"])
    retryable: bool = Field(examples=[False])
    errors: list[InvalidField] = Field(default=[], description="Only where input was refused.")


_WORDS = {
    400: "The query cannot be understood.",
    401: "There is no valid token.",
    403: "The token lacks the scope.",
    404: "There is no such thing.",
    409: "It contradicts what is there; nothing was changed.",
    422: "The input cannot be accepted; nothing was changed.",
    429: "Too many requests, or streams.",
    503: "It cannot be done now.",
}


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These statuses as problems, for a route's documentation."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": _WORDS[status],
            "content": {"application/problem+json": {"schema": schema}},
        }
        for status in statuses
    }
