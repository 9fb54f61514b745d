"""Who may do what, and who did what."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from ghostcrm_provisioning.api.documents.document import (
    Document,
)


class Token(Document):
    """A token as lists show it."""

    id: UUID
    name: str
    prefix: str
    scopes: list[str]
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    is_valid: bool


class NewToken(Document):
    """A token that was just made. It cannot be read again."""

    id: UUID
    name: str
    scopes: list[str]
    expires_at: datetime | None
    token: str


class Me(Document):
    """Who is asking."""

    kind: Literal["token", "account"]
    id: UUID
    name: str
    actor: str
    scopes: list[str]


class AuditEntry(Document):
    """One line of the audit log."""

    id: str
    at: datetime
    actor: str
    action: str
    client_id: UUID | None
    client_name: str | None
    target: str | None
    result: Literal["done", "refused", "failed"] | None
    address: str | None
    request_id: str | None
    details: dict[str, Any]


class AccountRow(Document):
    """An admin account as lists show it."""

    id: UUID
    email: str
    scopes: list[str]
    must_change_password: bool
    main_project_user_id: UUID | None
    created_by: str
    created_at: datetime
    last_signed_in_at: datetime | None
    disabled_at: datetime | None


class NewAccount(Document):
    """An account that was just made. Its password cannot be read again."""

    id: UUID
    email: str
    temporary_password: str | None = None
