"""What the Management API answers, read with tolerance: more fields than we know, and statuses that we do
not know, are no errors; only what we cannot do without must be there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ghostcrm_provisioning.errors import SupabaseUnavailable

HEALTHY = "ACTIVE_HEALTHY"
_REF = re.compile(r"[A-Za-z0-9_-]+")  # it becomes part of a path


@dataclass(frozen=True)
class Project:
    """A project. ``status`` is Supabase's own word, known to us or not."""

    ref: str
    name: str
    status: str
    region: str | None = None
    organization_slug: str | None = None
    created_at: str = ""
    is_branch: bool = False
    database_host: str | None = None


@dataclass(frozen=True)
class ServiceHealth:
    """How one service of a project is."""

    name: str
    status: str
    error: str | None = None


@dataclass(frozen=True)
class ApiKey:
    """A key of a project's own API. ``kind`` is legacy, publishable or secret."""

    name: str
    kind: str | None
    value: str | None = field(default=None, repr=False)
    id: str | None = None


@dataclass(frozen=True)
class Pooler:
    """How the database is reached through the pooler; the password is not in it."""

    host: str
    port: int
    user: str
    database: str
    mode: str | None = None
    kind: str | None = None


@dataclass(frozen=True)
class PostgrestSettings:
    """Settings of the REST API."""

    schemas: str | None = None
    max_rows: int | None = None
    jwt_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class NetworkRestrictions:
    """From where the database may be reached."""

    entitled: bool
    allowed: tuple[str, ...]
    status: str | None = None


@dataclass(frozen=True)
class Organization:
    """An organization. ``plan`` is known only when it was asked for by itself."""

    slug: str
    name: str
    plan: str | None = None


def project_of(document: Any) -> Project:
    """A project, from any of the forms in which it is answered."""
    found = _object(document)
    database = found.get("database")
    if not _REF.fullmatch(_text(found, "ref", "id")):
        raise _incomprehensible("ref")
    return Project(
        ref=_text(found, "ref", "id"),
        name=_text(found, "name"),
        status=_text_or_none(found, "status") or "UNKNOWN",
        region=_text_or_none(found, "region"),
        organization_slug=_text_or_none(found, "organization_slug"),
        created_at=_text_or_none(found, "inserted_at", "created_at") or "",
        is_branch=found.get("is_branch") is True,
        database_host=_text_or_none(database, "host") if isinstance(database, dict) else None,
    )


def health_of(document: Any) -> ServiceHealth:
    found = _object(document)
    return ServiceHealth(
        _text(found, "name"),
        _text_or_none(found, "status") or "UNKNOWN",
        _text_or_none(found, "error"),
    )


def api_key_of(document: Any) -> ApiKey:
    found = _object(document)
    return ApiKey(
        name=_text(found, "name"),
        kind=_text_or_none(found, "type"),
        value=_text_or_none(found, "api_key"),
        id=_text_or_none(found, "id"),
    )


def pooler_of(document: Any) -> Pooler:
    found = _object(document)
    port = found.get("db_port")
    if not isinstance(port, int):
        raise _incomprehensible("db_port")
    return Pooler(
        host=_text(found, "db_host"),
        port=port,
        user=_text(found, "db_user"),
        database=_text(found, "db_name"),
        mode=_text_or_none(found, "pool_mode"),
        kind=_text_or_none(found, "database_type"),
    )


def postgrest_of(document: Any) -> PostgrestSettings:
    found = _object(document)
    rows = found.get("max_rows")
    return PostgrestSettings(
        schemas=_text_or_none(found, "db_schema"),
        max_rows=rows if isinstance(rows, int) else None,
        jwt_secret=_text_or_none(found, "jwt_secret"),
    )


def restrictions_of(document: Any) -> NetworkRestrictions:
    found = _object(document)
    config = found.get("config")
    config = config if isinstance(config, dict) else {}
    lists = (config.get("dbAllowedCidrs"), config.get("dbAllowedCidrsV6"))
    return NetworkRestrictions(
        entitled=found.get("entitlement") != "disallowed",
        allowed=tuple(str(each) for known in lists if isinstance(known, list) for each in known),
        status=_text_or_none(found, "status"),
    )


def largest_file_of(document: Any) -> int:
    """In bytes."""
    size = _object(document).get("fileSizeLimit")
    if not isinstance(size, int) or isinstance(size, bool):
        raise _incomprehensible("fileSizeLimit")
    return size


def organization_of(document: Any) -> Organization:
    found = _object(document)
    return Organization(
        slug=_text(found, "slug", "id"),
        name=_text_or_none(found, "name") or "",
        plan=_text_or_none(found, "plan"),
    )


def rows_of(document: Any) -> list[dict[str, Any]]:
    """What SQL has given back. Statements without rows answer in several forms."""
    return [each for each in list_of(document or []) if isinstance(each, dict)]


def list_of(document: Any, name: str | None = None) -> list[Any]:
    """A list, or the one that is called ``name`` in an object."""
    found = _object(document).get(name) if name is not None else document
    if not isinstance(found, list):
        raise _incomprehensible(name or "a list")
    return found


def _object(document: Any) -> Mapping[str, Any]:
    if not isinstance(document, dict):
        raise _incomprehensible("an object")
    return document


def _text(found: Mapping[str, Any], *names: str) -> str:
    text = _text_or_none(found, *names)
    if text is None:
        raise _incomprehensible(names[0])
    return text


def _text_or_none(found: Mapping[str, Any], *names: str) -> str | None:
    for name in names:
        if isinstance(value := found.get(name), str) and value:
            return value
    return None


def _incomprehensible(wanted: str) -> SupabaseUnavailable:
    """What was answered is not quoted: it may hold a secret."""
    return SupabaseUnavailable(f"Supabase's answer has no {wanted} in it.", may_be_done=True)
