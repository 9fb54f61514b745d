"""The keys of a project: legacy JWTs (``anon``, ``service_role``), the new publishable and secret ones,
and the tokens that its users get when they sign in.

A new key is found by its digest and shown in full only when asked to (``reveal``); it lies sealed.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from psycopg.types.json import Jsonb

from ghostcrm_provisioning.control_database.database import ControlDatabase
from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.sealing import Sealer
from ghostcrm_provisioning.supabase_platform.project import Project
from ghostcrm_provisioning.supabase_platform.refusal import Refusal

API_KEYS = NamedSql(__package__, "api_keys.sql")

LEGACY_ROLES = ("anon", "service_role")
ROLES = ("anon", "authenticated", "service_role")
_TEN_YEARS_SECONDS = 10 * 365 * 24 * 3600
_SHOWN_LETTERS = 5
_MASK = "·" * 26
_DIGEST_PREFIX_LENGTH = 5


@dataclass(frozen=True)
class Caller:
    """Who asks a project's API: the role of the database, and the claims of the token."""

    role: str
    claims: Mapping[str, Any]


def legacy_key(project: Project, role: str) -> str:
    """The same for as long as the project has its JWT secret."""
    issued = int(project.created_at.timestamp())
    claims = {
        "iss": "supabase",
        "ref": project.ref,
        "role": role,
        "iat": issued,
        "exp": issued + _TEN_YEARS_SECONDS,
    }
    return jwt.encode(claims, project.secrets.jwt_secret, algorithm="HS256")


def signing_key_id(project: Project) -> str:
    """The ``kid`` of the key that signs its users' tokens."""
    digest = hashlib.sha256(_public_key(project).encode()).hexdigest()
    return str(UUID(digest[:32], version=4))


def key_set(project: Project) -> dict[str, Any]:
    """What ``/.well-known/jwks.json`` answers: the public half of the signing key."""
    public = _private_key(project).public_key()
    document = jwt.algorithms.ECAlgorithm.to_jwk(public, as_dict=True)
    return {
        "keys": [
            {
                **document,
                "alg": "ES256",
                "ext": True,
                "key_ops": ["verify"],
                "kid": signing_key_id(project),
                "use": "sig",
            }
        ]
    }


def user_token(project: Project, claims: Mapping[str, Any]) -> str:
    """The token of a user who has signed in."""
    return jwt.encode(
        dict(claims),
        _private_key(project),
        algorithm="ES256",
        headers={"kid": signing_key_id(project)},
    )


def read_token(project: Project, token: str) -> Caller:
    """Whom a JWT of the project names.

    Raises:
        Refusal: 401, it is not valid here.
    """
    try:
        algorithm = jwt.get_unverified_header(token).get("alg")
        key: Any = (
            _private_key(project).public_key()
            if algorithm == "ES256"
            else project.secrets.jwt_secret
        )
        claims = jwt.decode(
            token,
            key,
            algorithms=["ES256" if algorithm == "ES256" else "HS256"],
            options={"verify_aud": False},
        )
    except jwt.ExpiredSignatureError:
        raise Refusal(401, "JWT expired") from None
    except (jwt.PyJWTError, ValueError):
        raise Refusal(401, "Invalid API key") from None
    role = str(claims.get("role", "anon"))
    if role not in ROLES:
        raise Refusal(401, f'role "{role}" does not exist')
    if role in LEGACY_ROLES and claims.get("ref") is not None and not project.legacy_keys_enabled:
        raise Refusal(401, "Legacy API keys are disabled")
    return Caller(role, claims)


class ApiKeys:
    """The publishable and secret keys of all projects."""

    def __init__(self, records: ControlDatabase, sealer: Sealer) -> None:
        self._records = records
        self._sealer = sealer

    async def all(self, project: Project, *, reveal: bool) -> list[dict[str, Any]]:
        """All keys of a project, the legacy ones first."""
        legacy = [_legacy_document(project, role) for role in LEGACY_ROLES]
        rows = await self._records.fetch_all(API_KEYS["list_api_keys"], project_id=project.id)
        documents = [self._document(row, reveal=reveal) for row in rows]
        return (legacy if project.legacy_keys_enabled else []) + documents

    async def create(
        self,
        project: Project,
        *,
        type_: str,
        name: str,
        description: str | None = None,
        template: Mapping[str, Any] | None = None,
        reveal: bool = False,
    ) -> dict[str, Any]:
        """One more key.

        Raises:
            Refusal: 400, there is one of that name.
        """
        key = f"sb_{type_}_{secrets.token_urlsafe(24)[:31]}"
        key_id = uuid4()
        if type_ == "secret" and template is None:
            template = {"role": "service_role"}
        row = await self._records.fetch_one(
            API_KEYS["insert_api_key"],
            id=key_id,
            project_id=project.id,
            type=type_,
            name=name,
            description=description,
            template=_json(template),
            prefix=key.removeprefix(f"sb_{type_}_")[:_SHOWN_LETTERS],
            digest=hashlib.sha256(key.encode()).digest(),
            sealed_key=self._sealer.seal(key, belongs_to=f"api_keys.sealed_key/{key_id}"),
        )
        if row is None:
            raise Refusal(400, f"API key with name {name} already exists")
        return self._document(row, reveal=reveal)

    async def find(self, project: Project, key_id: UUID, *, reveal: bool) -> dict[str, Any]:
        """Raises Refusal: 404, there is no such key."""
        row = await self._records.fetch_one(
            API_KEYS["find_api_key"], project_id=project.id, id=key_id
        )
        return self._document(_there(row), reveal=reveal)

    async def change(
        self, project: Project, key_id: UUID, changes: Mapping[str, Any], *, reveal: bool
    ) -> dict[str, Any]:
        """Another name, description or template; the key stays."""
        row = await self._records.fetch_one(
            API_KEYS["change_api_key"],
            project_id=project.id,
            id=key_id,
            name=changes.get("name"),
            sets_description="description" in changes,
            description=changes.get("description"),
            template=_json(changes.get("secret_jwt_template")),
        )
        return self._document(_there(row), reveal=reveal)

    async def delete(self, project: Project, key_id: UUID, *, reveal: bool) -> dict[str, Any]:
        """Nobody gets in with it any more."""
        row = await self._records.fetch_one(
            API_KEYS["delete_api_key"], project_id=project.id, id=key_id
        )
        return self._document(_there(row), reveal=reveal)

    async def ensure_first(self, project: Project) -> None:
        """One of each kind, which every project has from the start."""
        for type_ in ("publishable", "secret"):
            with suppress(Refusal):  # it is there
                await self.create(project, type_=type_, name="default")

    async def forget(self, project: Project) -> None:
        """All keys of a project that is gone."""
        await self._records.execute(API_KEYS["delete_keys_of_project"], project_id=project.id)

    async def caller(self, project: Project, key: str) -> Caller:
        """Whom a key lets in as; of any kind.

        Raises:
            Refusal: 401, it is not a key of this project.
        """
        if not key.startswith(("sb_publishable_", "sb_secret_")):
            return read_token(project, key)
        digest = hashlib.sha256(key.encode()).digest()
        row = await self._records.fetch_one(
            API_KEYS["find_by_digest"], project_id=project.id, digest=digest
        )
        if row is None:
            raise Refusal(401, "Invalid API key")
        role = "anon" if row["type"] == "publishable" else "service_role"
        if row["secret_jwt_template"]:
            role = str(row["secret_jwt_template"].get("role", role))
        return Caller(role if role in ROLES else "anon", {"role": role})

    def _document(self, row: Mapping[str, Any], *, reveal: bool) -> dict[str, Any]:
        key = self._sealer.open(
            bytes(row["sealed_key"]), belongs_to=f"api_keys.sealed_key/{row['id']}"
        )
        # A publishable key is no secret: it is always shown.
        shown = key if reveal or row["type"] == "publishable" else _masked(row)
        return {
            "id": str(row["id"]),
            "name": row["name"],
            "type": row["type"],
            "api_key": shown,
            "description": row["description"],
            "secret_jwt_template": row["secret_jwt_template"],
            "hash": _url_safe(bytes(row["digest"])),
            "prefix": row["prefix"],
            "inserted_at": row["inserted_at"].isoformat(),
            "updated_at": row["updated_at"].isoformat(),
        }


def _legacy_document(project: Project, role: str) -> dict[str, Any]:
    key = legacy_key(project, role)
    digest = _url_safe(hashlib.sha256(key.encode()).digest())
    return {
        "name": role,
        "api_key": key,
        "id": role,
        "type": "legacy",
        "hash": digest,
        "prefix": digest[:_DIGEST_PREFIX_LENGTH],
        "description": f"Legacy {role} API key",
    }


def _masked(row: Mapping[str, Any]) -> str:
    return f"sb_{row['type']}_{row['prefix']}{_MASK}"


def _there(row: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if row is None:
        raise Refusal(404, "API key not found")
    return row


def _json(value: Mapping[str, Any] | None) -> Any:
    return None if value is None else Jsonb(dict(value))


def _private_key(project: Project) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(project.secrets.signing_key.encode(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _public_key(project: Project) -> str:
    public = _private_key(project).public_key()
    return public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


def _url_safe(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
