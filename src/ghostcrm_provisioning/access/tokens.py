"""Bearer tokens: made once, shown once, kept as a digest, revoked for good.

A token reads ``gcp_<prefix>_<secret>``. The prefix finds its row and is no secret; the secret has 256
random bits, so that one round of SHA-256 is enough to keep it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from pydantic import SecretStr

from ghostcrm_provisioning.access.principal import Principal, actor_of, must_have
from ghostcrm_provisioning.access.scope import Scope, stored_scopes
from ghostcrm_provisioning.audit.record import record
from ghostcrm_provisioning.control_database.database import ControlDatabase
from ghostcrm_provisioning.errors import Conflict, InvalidInput, NotAuthenticated, NotFound
from ghostcrm_provisioning.named_sql import NamedSql

TOKENS = NamedSql(__package__, "tokens.sql")
_ALPHABET = string.ascii_lowercase + string.digits
_PREFIX_LENGTH = 8
_TOKEN = re.compile(
    rf"gcp_(?P<prefix>[a-z0-9]{{{_PREFIX_LENGTH}}})_(?P<secret>[A-Za-z0-9_-]{{43}})"
)
# Whoever means "for ever" names no end. PostgreSQL takes years that Python cannot read back.
LONGEST_LIFE = timedelta(days=3660)
# Compared with when there is no such prefix, so that finding one takes no longer than finding none.
_NOBODY = hashlib.sha256(secrets.token_bytes(32)).digest()


@dataclass(frozen=True)
class TokenRecord:
    """A token as lists show it; its secret is not in it."""

    id: UUID
    name: str
    prefix: str
    scopes: frozenset[Scope]
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    is_valid: bool


@dataclass(frozen=True)
class NewToken:
    """A token that was just made: the only moment at which it can be read."""

    id: UUID
    token: SecretStr


class Tokens:
    """The tokens of the control database."""

    def __init__(self, control: ControlDatabase) -> None:
        self._control = control

    async def create(
        self,
        *,
        name: str,
        scopes: frozenset[Scope],
        created_by: Principal | str,
        expires_at: datetime | None = None,
    ) -> NewToken:
        """Make a token.

        Raises:
            NotPermitted: whoever asks does not have all of these rights himself.
            InvalidInput: the name cannot be used, or the time lies behind us or too far ahead.
            Conflict: a valid token has that name.
        """
        must_have(created_by, scopes)
        if not scopes:
            raise InvalidInput("At least one scope is needed.")
        if not (0 < len(name.strip()) <= 100 and name.isprintable()):
            raise InvalidInput("A token's name has 1 to 100 printable characters.")
        if expires_at is not None and expires_at <= datetime.now(UTC):
            raise InvalidInput("The token would have expired already.")
        if expires_at is not None and expires_at > datetime.now(UTC) + LONGEST_LIFE:
            raise InvalidInput(
                "A token can be good for ten years at most.",
                next_step="Leave the time out: without it, the token is good until it is revoked.",
            )
        prefix = "".join(secrets.choice(_ALPHABET) for _ in range(_PREFIX_LENGTH))
        secret = secrets.token_urlsafe(32)
        token_id = uuid4()
        async with self._control.transaction() as connection:
            cursor = await connection.execute(
                TOKENS["insert_token"],
                {
                    "id": token_id,
                    "name": name.strip(),
                    "prefix": prefix,
                    "secret_digest": _digest(secret),
                    "scopes": sorted(scopes),
                    "created_by": actor_of(created_by),
                    "expires_at": expires_at,
                },
            )
            if await cursor.fetchone() is None:
                raise Conflict(
                    f"There is a token named {name.strip()!r} already.",
                    next_step="Take another name, or revoke that token first.",
                )
            await record(
                connection,
                actor=actor_of(created_by),
                action="token.created",
                target=name.strip(),
                details={"token": str(token_id), "name": name.strip(), "scopes": sorted(scopes)},
            )
        return NewToken(token_id, SecretStr(f"gcp_{prefix}_{secret}"))

    async def authenticate(self, text: str) -> Principal:
        """Whose token this is.

        Raises:
            NotAuthenticated: in the same words whether it is unknown, expired or revoked.
        """
        match = _TOKEN.fullmatch(text)
        row = (
            await self._control.fetch_one(TOKENS["find_token"], prefix=match["prefix"])
            if match is not None
            else None
        )
        known = bytes(row["secret_digest"]) if row is not None else _NOBODY
        is_right = hmac.compare_digest(known, _digest(match["secret"] if match else text))
        if row is None or not is_right or not row["is_valid"]:
            raise NotAuthenticated
        if row["use_is_news"]:
            await self._control.execute(TOKENS["record_use"], id=row["id"])
        return Principal("token", row["id"], row["name"], stored_scopes(row["scopes"]))

    async def is_valid(self, principal: Principal) -> bool:
        """Whether the token that was recognised a while ago still is one."""
        row = await self._control.fetch_one(TOKENS["is_valid"], id=principal.id)
        return row is not None and bool(row["is_valid"])

    async def list(self) -> list[TokenRecord]:
        """All tokens, the newest first."""
        return [_record(row) for row in await self._control.fetch_all(TOKENS["list_tokens"])]

    async def find(self, text: str) -> TokenRecord:
        """The token that was not revoked and has this id, prefix or name.

        Raises:
            NotFound: there is none; Conflict: there are several.
        """
        rows = await self._control.fetch_all(TOKENS["find_by_text"], text=text.strip())
        if not rows:
            raise NotFound(
                f"There is no token {text[:100]!r} that was not revoked.",
                next_step="List them with `ghostcrm admin token list`.",
            )
        if len(rows) > 1:
            raise Conflict(
                f"Several tokens are called {text[:100]!r}.",
                next_step="Give the id: `ghostcrm admin token list --json` has it.",
            )
        return _record(rows[0])

    async def revoke(self, token_id: UUID, *, revoked_by: Principal | str) -> None:
        """At once and for good. One's own rights do not matter: this gives nobody anything.

        Raises:
            NotFound: there is no token of that id that was not revoked.
        """
        async with self._control.transaction() as connection:
            cursor = await connection.execute(
                TOKENS["revoke_token"], {"id": token_id, "revoked_by": actor_of(revoked_by)}
            )
            row = await cursor.fetchone()
            if row is None:
                raise NotFound(
                    f"There is no token {token_id} that could be revoked.",
                    next_step="List them with `ghostcrm admin token list`.",
                )
            await record(
                connection,
                actor=actor_of(revoked_by),
                action="token.revoked",
                target=row["name"],
                details={"token": str(token_id), "name": row["name"]},
            )


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _record(row: dict[str, Any]) -> TokenRecord:
    return TokenRecord(
        id=row["id"],
        name=row["name"],
        prefix=row["prefix"],
        scopes=stored_scopes(row["scopes"]),
        created_by=row["created_by"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
        revoked_at=row["revoked_at"],
        is_valid=row["is_valid"],
    )
