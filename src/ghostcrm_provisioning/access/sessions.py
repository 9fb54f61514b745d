"""Sessions of people in the dashboard: a random cookie, kept as a digest, with two time-outs.

A session has no rights of its own: every request finds those of its account as they are now. What a
cookie is called and which attributes it has is the dashboard's business.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from pydantic import SecretStr

from ghostcrm_provisioning.access.accounts import Accounts
from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.scope import stored_scopes
from ghostcrm_provisioning.audit.record import record
from ghostcrm_provisioning.control_database.database import ControlDatabase
from ghostcrm_provisioning.errors import NotAuthenticated, NotFound
from ghostcrm_provisioning.named_sql import NamedSql

SESSIONS = NamedSql(__package__, "sessions.sql")
CONFIRMED_FOR = timedelta(minutes=5)
_COOKIE = re.compile(r"[A-Za-z0-9_-]{43}")
_LONGEST_ADDRESS = 100
_LONGEST_USER_AGENT = 300


@dataclass(frozen=True)
class Session:
    """Somebody's session, as one request finds it.

    While a temporary password has to be changed, ``principal`` has no rights at all.
    """

    id: UUID
    principal: Principal
    must_change_password: bool
    address: str
    user_agent: str
    signed_in_at: datetime
    last_seen_at: datetime
    ends_at: datetime  # at the latest
    confirmed_at: datetime
    is_confirmed: bool  # the password was given within the last five minutes
    csrf_token: str = field(repr=False)


@dataclass(frozen=True)
class SessionRecord:
    """A session as lists show it."""

    id: UUID
    address: str
    user_agent: str
    signed_in_at: datetime
    last_seen_at: datetime
    ends_at: datetime


@dataclass(frozen=True)
class NewSession:
    """A session that just began: the only moment at which its cookie can be read."""

    id: UUID
    cookie: SecretStr
    csrf_token: SecretStr


class Sessions:
    """The sessions of the control database."""

    def __init__(
        self, control: ControlDatabase, accounts: Accounts, *, idle: timedelta, longest: timedelta
    ) -> None:
        self._control = control
        self._accounts = accounts
        self._idle = idle.total_seconds()
        self._longest = longest.total_seconds()

    async def begin(self, principal: Principal, *, address: str, user_agent: str) -> NewSession:
        """Begin a session for one who has just signed in; always with a new cookie.

        Whoever signs in also takes away what has expired, of everybody.

        Raises:
            NotAuthenticated: the account was changed since its password was compared.
        """
        cookie = secrets.token_urlsafe(32)
        session_id = uuid4()
        await self._control.execute(
            SESSIONS["delete_expired_sessions"], idle=self._idle, longest=self._longest
        )
        async with self._control.transaction() as connection:
            cursor = await connection.execute(
                SESSIONS["insert_session"],
                {
                    "id": session_id,
                    "secret_digest": _digest(cookie),
                    "account_id": principal.id,
                    "account_version": principal.account_version,
                    "address": _shown(address, _LONGEST_ADDRESS),
                    "user_agent": _shown(user_agent, _LONGEST_USER_AGENT),
                },
            )
            if await cursor.fetchone() is None:
                raise NotAuthenticated(
                    "The account was changed while you signed in.", next_step="Sign in again."
                )
            await record(
                connection,
                actor=principal.actor,
                action="admin.signed_in",
                target=principal.name,
                details={"address": _shown(address, _LONGEST_ADDRESS)},
            )
        return NewSession(session_id, SecretStr(cookie), SecretStr(_csrf_token(cookie)))

    async def find(self, cookie: str, *, is_use: bool = True) -> Session | None:
        """The session of this cookie; None when there is none (any more).

        ``is_use`` is False for what a page asks by itself: a page that is left open must not keep its
        session from running out.
        """
        if _COOKIE.fullmatch(cookie) is None:
            return None
        row = await self._control.fetch_one(
            SESSIONS["find_session"],
            secret_digest=_digest(cookie),
            idle=self._idle,
            longest=self._longest,
            confirmed=CONFIRMED_FOR.total_seconds(),
        )
        if row is None:
            return None
        if is_use and row["use_is_news"]:
            await self._control.execute(SESSIONS["record_session_use"], id=row["id"])
        scopes = frozenset() if row["must_change_password"] else stored_scopes(row["scopes"])
        return Session(
            id=row["id"],
            principal=Principal(
                "account", row["account_id"], row["email"], scopes, row["version"], row["id"]
            ),
            must_change_password=row["must_change_password"],
            address=row["address"],
            user_agent=row["user_agent"],
            signed_in_at=row["signed_in_at"],
            last_seen_at=row["last_seen_at"],
            ends_at=row["ends_at"],
            confirmed_at=row["confirmed_at"],
            is_confirmed=row["is_confirmed"],
            csrf_token=_csrf_token(cookie),
        )

    async def goes_on(self, session_id: UUID) -> bool:
        """Whether a session that was found a while ago has not ended since."""
        row = await self._control.fetch_one(
            SESSIONS["session_goes_on"], id=session_id, idle=self._idle, longest=self._longest
        )
        return row is not None and bool(row["goes_on"])

    async def confirm(self, session: Session, password: str, *, address: str) -> None:
        """Have somebody give the password again, for something sensitive; good for five minutes.

        Raises:
            NotAuthenticated, AccountLocked: as for signing in, and counted together with it.
        """
        again = await self._accounts.authenticate(session.principal.name, password, address=address)
        if again.id != session.principal.id:
            raise NotAuthenticated("This is another account's password.")
        if await self._control.fetch_one(SESSIONS["confirm_session"], id=session.id) is None:
            raise NotAuthenticated("The session has ended.", next_step="Sign in again.")

    async def end(self, session: Session) -> None:
        """Sign out."""
        await self._control.fetch_one(
            SESSIONS["end_session"], id=session.id, account_id=session.principal.id
        )

    async def end_one_of(self, account_id: UUID, session_id: UUID) -> None:
        """End a session out of an account's list. Raises NotFound."""
        ended = await self._control.fetch_one(
            SESSIONS["end_session"], id=session_id, account_id=account_id
        )
        if ended is None:
            raise NotFound(
                f"There is no session {session_id} of this account.",
                next_step="It may have ended by itself: list them again.",
            )

    async def end_all_of(self, account_id: UUID, *, but: UUID | None = None) -> int:
        """End the sessions of an account, except the one ``but``; returns how many there were."""
        return await self._control.execute(SESSIONS["end_sessions"], account_id=account_id, but=but)

    async def list_of(self, account_id: UUID) -> list[SessionRecord]:
        """The sessions of an account that go on, the last used first."""
        rows = await self._control.fetch_all(
            SESSIONS["list_sessions"],
            account_id=account_id,
            idle=self._idle,
            longest=self._longest,
        )
        return [SessionRecord(**_record(row)) for row in rows]


def is_csrf_token(sent: str, session: Session) -> bool:
    """Whether a form or a header came from a page of this very session; in constant time."""
    return hmac.compare_digest(sent.encode(errors="replace"), session.csrf_token.encode())


def _csrf_token(cookie: str) -> str:
    """Made from the cookie, so that it belongs to this session and is stored nowhere."""
    made = hmac.digest(cookie.encode(), b"csrf token", hashlib.sha256)
    return base64.urlsafe_b64encode(made).decode().rstrip("=")


def _digest(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode()).digest()


def _shown(text: str, longest: int) -> str:
    """What a browser says of itself, fit to be shown in a list."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:longest])


def _record(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: row[name]
        for name in ("id", "address", "user_agent", "signed_in_at", "last_seen_at", "ends_at")
    }
