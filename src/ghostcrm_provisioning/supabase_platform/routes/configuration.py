"""Management API: the settings of a project: PostgREST, Auth, Storage, network.

They are kept and answered as they were set. What has an effect here: ``db_schema`` and ``max_rows`` of
PostgREST, ``disable_signup`` and ``jwt_exp`` of Auth, ``fileSizeLimit`` of Storage; network restrictions
are only kept.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from ghostcrm_provisioning.supabase_platform.entrance import (
    Empty,
    ThePlatform,
    TheProject,
    within_budget,
)
from ghostcrm_provisioning.supabase_platform.project import Project
from ghostcrm_provisioning.supabase_platform.refusal import Refusal

router = APIRouter(prefix="/v1/projects/{ref}", dependencies=[Depends(within_budget)])

POSTGREST_DEFAULTS: dict[str, Any] = {
    "db_schema": "public,graphql_public",
    "max_rows": 1000,
    "db_extra_search_path": "public, extensions",
    "db_pool": None,
}
_FILE_SIZE_LIMIT_BYTES = 50 * 1024 * 1024
_LARGEST_FILE_BYTES = 536_870_912_000
_PYTHON_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}


# --- PostgREST ------------------------------------------------------------------------------------


class PostgrestSettings(BaseModel):
    db_schema: str | None = None
    max_rows: int | None = Field(default=None, ge=0, le=1_000_000)
    db_extra_search_path: str | None = None
    db_pool: int | None = Field(default=None, ge=0, le=1000)


@router.get("/postgrest")
async def get_postgrest(project: TheProject) -> dict[str, Any]:
    return {
        **POSTGREST_DEFAULTS,
        **project.postgrest_settings,
        "jwt_secret": project.secrets.jwt_secret,
    }


@router.patch("/postgrest")
async def set_postgrest(
    platform: ThePlatform, project: TheProject, wanted: PostgrestSettings
) -> dict[str, Any]:
    kept = await platform.set_postgrest_settings(project, wanted.model_dump(exclude_none=True))
    return {**POSTGREST_DEFAULTS, **kept}


# --- Auth -----------------------------------------------------------------------------------------


@cache
def _auth_settings() -> dict[str, tuple[str, Any]]:
    """Name → type and default. All of them are answered, whether they do something here or not."""
    text = files("ghostcrm_provisioning.supabase_platform").joinpath("auth_settings.json")
    by_type = json.loads(text.read_text(encoding="utf-8"))
    return {
        name: (type_, default)
        for type_, defaults in by_type.items()
        for name, default in defaults.items()
    }


def auth_settings_of(project: Project) -> dict[str, Any]:
    """The Auth settings that hold for a project, secrets included."""
    defaults = {name: default for name, (_, default) in _auth_settings().items()}
    return defaults | dict(project.auth_settings)


@router.get("/config/auth")
async def get_auth(project: TheProject) -> dict[str, Any]:
    return _without_secrets(project, auth_settings_of(project))


@router.patch("/config/auth")
async def set_auth(
    platform: ThePlatform, project: TheProject, wanted: dict[str, Any]
) -> dict[str, Any]:
    known = _auth_settings()
    for name, value in wanted.items():
        if name not in known:
            continue  # as there: what is not known is not kept
        type_ = known[name][0]
        right = isinstance(value, _PYTHON_TYPES[type_]) and (
            type_ == "boolean" or not isinstance(value, bool)
        )
        if value is not None and not right:
            raise Refusal(400, f"{name}: Expected {type_}")
        if isinstance(value, int) and value < 0:
            raise Refusal(400, f"{name}: Number must be greater than or equal to 0")
    kept = {name: value for name, value in wanted.items() if name in known}
    settings = {**project.auth_settings, **kept}
    await platform.set_auth_settings(project, settings)
    defaults = {name: default for name, (_, default) in known.items()}
    return _without_secrets(project, defaults | settings)


def _without_secrets(project: Project, settings: dict[str, Any]) -> dict[str, Any]:
    """In a secret's place stands its keyed hash, by which the CLI sees whether it has changed."""
    return {
        name: hmac.digest(project.ref.encode(), value.encode(), "sha256").hex()
        if value
        and isinstance(value, str)
        and name.endswith(
            ("_secret", "_secrets", "_pass", "_auth_token", "_api_key", "_access_key")
        )
        else value
        for name, value in settings.items()
    }


# --- Storage --------------------------------------------------------------------------------------


class StorageSettings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    fileSizeLimit: int | None = Field(default=None, ge=0, le=_LARGEST_FILE_BYTES)  # noqa: N815
    features: dict[str, Any] | None = None
    external: dict[str, Any] | None = None


def file_size_limit(project: Project) -> int:
    """The largest file that a project takes, in bytes."""
    return int(project.storage_settings.get("fileSizeLimit", _FILE_SIZE_LIMIT_BYTES))


@router.get("/config/storage")
async def get_storage(project: TheProject) -> dict[str, Any]:
    return {
        "fileSizeLimit": file_size_limit(project),
        "features": {
            "imageTransformation": {"enabled": False},
            "s3Protocol": {"enabled": False},
            "icebergCatalog": {
                "enabled": False, "maxNamespaces": 0, "maxTables": 0, "maxCatalogs": 0,
            },
            "vectorBuckets": {"enabled": False, "maxBuckets": 0, "maxIndexes": 0},
        },
        "capabilities": {"list_v2": False, "iceberg_catalog": False},
        "external": {"upstreamTarget": "main"},
        "migrationVersion": "",
        "databasePoolMode": "session",
    }  # fmt: skip


@router.patch("/config/storage", response_class=Empty)
async def set_storage(platform: ThePlatform, project: TheProject, wanted: StorageSettings) -> None:
    if wanted.fileSizeLimit is not None:
        await platform.set_storage_settings(project, {"fileSizeLimit": wanted.fileSizeLimit})


# --- network --------------------------------------------------------------------------------------


class Networks(BaseModel):
    dbAllowedCidrs: list[str] | None = None  # noqa: N815
    dbAllowedCidrsV6: list[str] | None = None  # noqa: N815


class NetworksToChange(BaseModel):
    add: Networks | None = None
    remove: Networks | None = None


@router.get("/network-restrictions")
async def get_networks(project: TheProject) -> dict[str, Any]:
    return _networks_document(project.network_restrictions)


@router.post("/network-restrictions/apply", status_code=201)
async def set_networks(
    platform: ThePlatform, project: TheProject, wanted: Networks
) -> dict[str, Any]:
    kept = {
        "dbAllowedCidrs": _checked(wanted.dbAllowedCidrs, version=4),
        "dbAllowedCidrsV6": _checked(wanted.dbAllowedCidrsV6, version=6),
        "appliedAt": datetime.now(UTC).isoformat(),
    }
    await platform.set_network_restrictions(project, kept)
    return _networks_document(kept)


@router.patch("/network-restrictions")
async def change_networks(
    platform: ThePlatform, project: TheProject, wanted: NetworksToChange
) -> dict[str, Any]:
    before = _networks_document(project.network_restrictions)["config"]
    kept: dict[str, Any] = {"appliedAt": datetime.now(UTC).isoformat()}
    for name, version in (("dbAllowedCidrs", 4), ("dbAllowedCidrsV6", 6)):
        added = _checked(getattr(wanted.add, name, None), version=version)
        removed = set(_checked(getattr(wanted.remove, name, None), version=version))
        kept[name] = [
            each for each in dict.fromkeys([*before[name], *added]) if each not in removed
        ]
    await platform.set_network_restrictions(project, kept)
    return {
        "entitlement": "allowed",
        "config": {
            "dbAllowedCidrs": [
                {"address": address, "type": type_}
                for name, type_ in (("dbAllowedCidrs", "v4"), ("dbAllowedCidrsV6", "v6"))
                for address in kept[name]
            ]
        },
        "applied_at": kept["appliedAt"],
        "status": "stored",
    }


def _networks_document(kept: Any) -> dict[str, Any]:
    """``stored``, not ``applied``: nothing here keeps a network out."""
    if kept is None:
        everywhere = {"dbAllowedCidrs": ["0.0.0.0/0"], "dbAllowedCidrsV6": ["::/0"]}
        return {"entitlement": "allowed", "config": everywhere, "status": "applied"}
    return {
        "entitlement": "allowed",
        "config": {name: kept[name] for name in ("dbAllowedCidrs", "dbAllowedCidrsV6")},
        "status": "stored",
        "updated_at": kept["appliedAt"],
    }


def _checked(networks: list[str] | None, *, version: int) -> list[str]:
    for network in networks or []:
        try:
            is_one = ipaddress.ip_network(network, strict=False).version == version
        except ValueError:
            is_one = False
        if not is_one:
            raise Refusal(400, f"{network} is not an IPv{version} network in CIDR notation")
    return list(networks or [])
