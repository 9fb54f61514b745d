"""The users of a project, as Supabase Auth (GoTrue) keeps them: rows of ``auth.users``.

What the admin API of Auth accepts and refuses, in its words; passwords are stored as bcrypt hashes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import bcrypt
import psycopg
from psycopg.types.json import Jsonb

from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.providers.provider import Connection
from ghostcrm_provisioning.supabase_platform.refusal import Refusal

AUTH_USERS = NamedSql(__package__, "auth_users.sql")

_LONGEST_PASSWORD_BYTES = 72
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_HASH = re.compile(
    r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}"
    r"|\$argon2id?\$v=19\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+"
    r"|\$argon2i\$v=19\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+"
    r"|\$fbscrypt\$.+"
)
_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}


class AuthRefusal(Refusal):
    """A refusal with Auth's error code; how it is written depends on the version that is asked for."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(status, message)
        self.code = code


@dataclass(frozen=True)
class WantedUser:
    """What an admin asks for. None is: not said."""

    id: UUID | None = None
    aud: str | None = None
    role: str | None = None
    email: str | None = None
    phone: str | None = None
    password: str | None = field(default=None, repr=False)
    password_hash: str | None = field(default=None, repr=False)
    email_confirm: bool = False
    phone_confirm: bool = False
    user_metadata: Mapping[str, Any] = field(default_factory=dict)
    app_metadata: Mapping[str, Any] = field(default_factory=dict)
    ban_duration: str | None = None


class AuthUsers:
    """Through a connection of the project's Auth."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def page(self, *, page: int, per_page: int) -> tuple[list[dict[str, Any]], int]:
        """One page, the newest first, and how many there are."""
        async with self._connection.transaction():
            rows = await self._rows(
                AUTH_USERS["list_users"], {"limit": per_page, "offset": (page - 1) * per_page}
            )
            total = (await self._rows(AUTH_USERS["count_users"], {}))[0]["of_all"]
            return [await self._document(row) for row in rows], int(total)

    async def find(self, user_id: UUID) -> dict[str, Any]:
        """Raises AuthRefusal: 404, there is none."""
        async with self._connection.transaction():
            return await self._document(await self._find(user_id))

    async def create(self, wanted: WantedUser) -> dict[str, Any]:
        """Raises AuthRefusal: what is asked for cannot be, in Auth's words."""
        _refuse_contradictions(wanted)
        if not wanted.email and not wanted.phone:
            raise AuthRefusal(
                400, "validation_failed", "Cannot create a user without either an email or phone"
            )
        encrypted = await _encrypted(wanted)
        user_id = wanted.id or uuid4()
        providers = [name for name in ("email", "phone") if getattr(wanted, name)]
        app_metadata = {"provider": providers[0], "providers": providers, **wanted.app_metadata}
        parameters = {
            "id": user_id,
            "aud": wanted.aud or "authenticated",
            "role": wanted.role or "authenticated",
            "email": _email(wanted),
            "phone": wanted.phone or None,
            "encrypted_password": encrypted or "",
            "email_confirm": bool(wanted.email and wanted.email_confirm),
            "phone_confirm": bool(wanted.phone and wanted.phone_confirm),
            "app_metadata": Jsonb(app_metadata),
            "user_metadata": Jsonb(dict(wanted.user_metadata)),
            "banned_until": _banned_until(wanted.ban_duration),
        }
        async with self._connection.transaction():
            await self._refuse_taken(wanted, None)
            try:
                await self._connection.execute(AUTH_USERS["insert_user"], parameters)
            except psycopg.errors.UniqueViolation as violation:
                raise _of_postgres(violation) from violation
            for provider in providers:
                data = {
                    "sub": str(user_id),
                    provider: parameters[provider],
                    "email_verified": False,
                    "phone_verified": False,
                }
                await self._connection.execute(
                    AUTH_USERS["insert_identity"],
                    {
                        "user_id": user_id,
                        "provider": provider,
                        "identity_data": Jsonb(data),
                    },
                )
            return await self._document(await self._find(user_id))

    async def change(self, user_id: UUID, wanted: WantedUser) -> dict[str, Any]:
        """What is said is changed; the rest stays. A hash of a password is read only when a user is
        created, and passed over here, as Auth does."""
        wanted = replace(wanted, password_hash=None)
        _refuse_contradictions(wanted)
        encrypted = await _encrypted(wanted)
        async with self._connection.transaction():
            await self._find(user_id)
            await self._refuse_taken(wanted, user_id)
            await self._connection.execute(
                AUTH_USERS["change_user"],
                {
                    "id": user_id,
                    "email": _email(wanted),
                    "phone": wanted.phone or None,
                    "role": wanted.role or None,
                    "encrypted_password": encrypted,
                    # An admin who sets an address vouches for it.
                    "email_confirm": wanted.email_confirm,
                    "phone_confirm": wanted.phone_confirm,
                    "app_metadata": Jsonb(dict(wanted.app_metadata)),
                    "user_metadata": Jsonb(dict(wanted.user_metadata)),
                    "sets_ban": wanted.ban_duration is not None,
                    "banned_until": _banned_until(wanted.ban_duration),
                },
            )
            if wanted.email:
                await self._connection.execute(
                    AUTH_USERS["change_identity"], {"id": user_id, "email": _email(wanted)}
                )
            return await self._document(await self._find(user_id))

    async def delete(self, user_id: UUID) -> None:
        """Raises AuthRefusal: 404, there is none."""
        async with self._connection.transaction():
            await self._find(user_id)
            await self._connection.execute(AUTH_USERS["delete_user"], {"id": user_id})

    async def sign_in(self, email: str, password: str) -> dict[str, Any]:
        """The user whose password that is.

        Raises:
            AuthRefusal: 400, with one sentence for a user that is not there and a wrong password.
        """
        wrong = AuthRefusal(400, "invalid_credentials", "Invalid login credentials")
        async with self._connection.transaction():
            rows = await self._rows(AUTH_USERS["find_user_by_email"], {"email": email.lower()})
            stored = str(rows[0]["encrypted_password"] or "") if rows else ""
            if not await asyncio.to_thread(_matches, password, stored):
                raise wrong
            user = rows[0]
            if user["banned_until"] is not None and user["banned_until"] > datetime.now(UTC):
                raise AuthRefusal(400, "user_banned", "User is banned")
            if user["email_confirmed_at"] is None:
                raise AuthRefusal(400, "email_not_confirmed", "Email not confirmed")
            await self._connection.execute(AUTH_USERS["record_sign_in"], {"id": user["id"]})
            return await self._document(await self._find(user["id"]))

    async def _refuse_taken(self, wanted: WantedUser, user_id: UUID | None) -> None:
        if wanted.email:
            found = await self._rows(AUTH_USERS["find_user_by_email"], {"email": _email(wanted)})
            if found and found[0]["id"] != user_id:
                raise AuthRefusal(
                    422,
                    "email_exists",
                    "A user with this email address has already been registered",
                )
        if wanted.phone:
            found = await self._rows(AUTH_USERS["find_user_by_phone"], {"phone": wanted.phone})
            if found and found[0]["id"] != user_id:
                raise AuthRefusal(
                    422,
                    "phone_exists",
                    "A user with this phone number has already been registered",
                )

    async def _find(self, user_id: UUID) -> Mapping[str, Any]:
        rows = await self._rows(AUTH_USERS["find_user"], {"id": user_id})
        if not rows:
            raise AuthRefusal(404, "user_not_found", "User not found")
        return rows[0]

    async def _rows(self, statement: Any, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        found = await self._connection.execute(statement, dict(parameters))
        return await found.fetchall()

    async def _document(self, row: Mapping[str, Any]) -> dict[str, Any]:
        identities = await self._rows(AUTH_USERS["identities_of"], {"id": row["id"]})
        document: dict[str, Any] = {
            "id": str(row["id"]),
            "aud": row["aud"],
            "role": row["role"],
            "email": row["email"] or "",
            "phone": row["phone"] or "",
            "app_metadata": row["raw_app_meta_data"] or {},
            "user_metadata": row["raw_user_meta_data"] or {},
            "identities": [
                {
                    "identity_id": str(identity["id"]),
                    "id": identity["provider_id"],
                    "user_id": str(identity["user_id"]),
                    "identity_data": identity["identity_data"],
                    "provider": identity["provider"],
                    "last_sign_in_at": _moment(identity["last_sign_in_at"]),
                    "created_at": _moment(identity["created_at"]),
                    "updated_at": _moment(identity["updated_at"]),
                    **({"email": identity["email"]} if identity["email"] else {}),
                }
                for identity in identities
            ],
            "created_at": _moment(row["created_at"]),
            "updated_at": _moment(row["updated_at"]),
            "is_anonymous": row["is_anonymous"],
        }
        optional = (
            "email_confirmed_at", "phone_confirmed_at", "confirmed_at", "last_sign_in_at",
            "banned_until",
        )  # fmt: skip
        return document | {name: _moment(row[name]) for name in optional if row[name] is not None}


def _refuse_contradictions(wanted: WantedUser) -> None:
    if wanted.password and wanted.password_hash:
        raise AuthRefusal(
            400, "validation_failed", "Only a password or a password hash should be provided"
        )
    if wanted.email and _EMAIL.fullmatch(wanted.email) is None:
        raise AuthRefusal(
            400, "validation_failed", "Unable to validate email address: invalid format"
        )
    if wanted.password and len(wanted.password.encode()) > _LONGEST_PASSWORD_BYTES:
        raise AuthRefusal(
            400,
            "validation_failed",
            f"Password cannot be longer than {_LONGEST_PASSWORD_BYTES} characters",
        )


async def _encrypted(wanted: WantedUser) -> str | None:
    """What is stored of the password; None when none was given."""
    if wanted.password_hash:
        if _HASH.fullmatch(wanted.password_hash) is None:
            raise AuthRefusal(500, "unexpected_failure", "Internal Server Error")
        return wanted.password_hash
    if not wanted.password:
        return None
    hashed = await asyncio.to_thread(
        bcrypt.hashpw, wanted.password.encode(), bcrypt.gensalt(rounds=10)
    )
    return hashed.decode()


def _matches(password: str, stored: str) -> bool:
    try:
        return bcrypt.checkpw(password.encode(), stored.encode())
    except ValueError:  # no password, too long a one, or a hash of another kind
        return False


def _email(wanted: WantedUser) -> str | None:
    return wanted.email.lower() if wanted.email else None


def _banned_until(duration: str | None) -> datetime | None:
    if duration is None or duration == "none":
        return None
    parts = list(_DURATION.finditer(duration))
    if not parts or "".join(part.group() for part in parts) != duration:
        raise AuthRefusal(
            400, "validation_failed", "invalid format for ban duration: " + duration[:20]
        )
    seconds = sum(float(part["number"]) * _SECONDS[part["unit"]] for part in parts)
    try:
        return datetime.now(UTC) + timedelta(seconds=seconds)
    except OverflowError:
        raise AuthRefusal(400, "validation_failed", "ban duration is too long") from None


def _of_postgres(violation: psycopg.errors.UniqueViolation) -> Refusal:
    """Auth passes on what PostgreSQL said of an id that is there, with its SQLSTATE as code."""
    message = violation.diag.message_primary or "duplicate key value"
    return Refusal(500, message, body={"code": violation.sqlstate, "message": message})


def _moment(value: datetime | None) -> str | None:
    return None if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")
