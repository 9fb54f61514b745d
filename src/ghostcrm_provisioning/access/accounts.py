"""Accounts of the people who operate this installation: made, signed in to, changed, disabled.

They are not the admins of clients. What a session is stands in ``sessions.py``, how often somebody may
try a password in ``sign_in_tries.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from pydantic import SecretStr

from ghostcrm_provisioning.access.principal import Principal, actor_of, must_have
from ghostcrm_provisioning.access.scope import Scope, stored_scopes
from ghostcrm_provisioning.access.sign_in_tries import SignInTries
from ghostcrm_provisioning.audit.record import record
from ghostcrm_provisioning.control_database.database import Connection, ControlDatabase
from ghostcrm_provisioning.errors import (
    Conflict,
    InvalidEmail,
    InvalidInput,
    InvalidPassword,
    LastAdmin,
    NotAuthenticated,
    NotFound,
)
from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.passwords import (
    hash_of_nobody,
    hash_password,
    is_password,
    make_temporary_password,
)
from ghostcrm_provisioning.registration_form import check_email, check_password

ACCOUNTS = NamedSql(__package__, "accounts.sql")
SHORTEST_PASSWORD = 12  # characters; more than for clients' admins, for these open every client
_FEWEST_CHARACTERS = 5  # different ones
# Twice what Supabase Auth takes: somewhat under a tenth of a second on a machine of today.
BCRYPT_COST = 11
# Comparing passwords must not take all processors from the rest.
_COMPARED_AT_ONCE = 4
_NOT_SIGNED_IN = "The email address or the password is wrong."
_NEXT_STEP = "Check both. An operator can set a new password: `ghostcrm admin set-password EMAIL`."


@dataclass(frozen=True)
class Account:
    """An account as lists show it."""

    id: UUID
    email: str
    scopes: frozenset[Scope]
    must_change_password: bool
    main_project_user_id: UUID | None
    created_by: str
    created_at: datetime
    password_changed_at: datetime
    last_signed_in_at: datetime | None
    disabled_at: datetime | None
    disabled_by: str | None

    @property
    def is_enabled(self) -> bool:
        return self.disabled_at is None


@dataclass(frozen=True)
class NewAccount:
    """An account that was just made; the only moment at which a temporary password can be read."""

    id: UUID
    email: str
    temporary_password: SecretStr | None


class Accounts:
    """The admin accounts of the control database."""

    def __init__(self, control: ControlDatabase, *, bcrypt_cost: int = BCRYPT_COST) -> None:
        self._control = control
        self._bcrypt_cost = bcrypt_cost
        self._tries = SignInTries(control)
        self._comparing = asyncio.Semaphore(_COMPARED_AT_ONCE)

    # --- made -------------------------------------------------------------------------------------

    async def create(
        self,
        *,
        email: str,
        scopes: frozenset[Scope],
        by: Principal | str,
        password: str | None = None,
        main_project_user_id: UUID | None = None,
    ) -> NewAccount:
        """Make an account; without a password, with a temporary one that has to be changed.

        Raises:
            InvalidInput: email, password or scopes cannot be used.
            NotPermitted: whoever asks does not have all of these rights.
            Conflict: the email, or the user of the main project, has an account.
        """
        email = check_email(email)
        if not scopes:
            raise InvalidInput("At least one scope is needed.")
        must_have(by, scopes)
        new, row = await self._new(email, scopes, by, password, main_project_user_id)
        async with self._control.transaction() as connection:
            cursor = await connection.execute(ACCOUNTS["insert_account"], row)
            if await cursor.fetchone() is None:
                raise Conflict(
                    f"There is an admin account {email}, or one of that user of the main project.",
                    next_step="See who has one with `ghostcrm admin list`.",
                )
            await _audit(connection, by, "admin.created", new.id, new.email, scopes=sorted(scopes))
        return new

    async def ensure_first(self, email: str) -> NewAccount | None:
        """Make the first account, with all rights and a temporary password; None when there is any.

        However many processes ask at once, one makes it.
        """
        if await self._any():
            return None
        new, row = await self._new(
            check_email(email), frozenset({Scope.ADMIN}), "first start", None, None
        )
        async with self._control.transaction() as connection:
            await connection.execute(ACCOUNTS["lock_accounts"])
            if await self._any(connection):
                return None
            await connection.execute(ACCOUNTS["insert_account"], row)
            await _audit(
                connection,
                "first start",
                "admin.created",
                new.id,
                new.email,
                scopes=["admin"],
            )
        return new

    async def _any(self, connection: Connection | None = None) -> bool:
        if connection is None:
            async with self._control.connection() as own:
                return await self._any(own)
        row = await (await connection.execute(ACCOUNTS["any_account"])).fetchone()
        return row is not None and bool(row["exist"])

    async def _new(
        self,
        email: str,
        scopes: frozenset[Scope],
        by: Principal | str,
        password: str | None,
        main_project_user_id: UUID | None,
    ) -> tuple[NewAccount, dict[str, Any]]:
        temporary = make_temporary_password() if password is None else None
        chosen = temporary if password is None else check_admin_password(password, email=email)
        account_id = uuid4()
        return (
            NewAccount(account_id, email, None if temporary is None else SecretStr(temporary)),
            {
                "id": account_id,
                "email": email,
                "password_hash": await self._hash(chosen or ""),
                "must_change_password": temporary is not None,
                "scopes": sorted(scopes),
                "main_project_user_id": main_project_user_id,
                "created_by": actor_of(by),
            },
        )

    # --- signed in to -----------------------------------------------------------------------------

    async def authenticate(self, email: str, password: str, *, address: str) -> Principal:
        """Whose email and password these are.

        Raises:
            NotAuthenticated: in the same words, after the same time, whether there is no such
                account, it is disabled, or the password is another one.
            AccountLocked: too many have failed; for an account that does not exist, alike.
        """
        email = _as_stored(email)
        made = await self._tries.take(email, address)
        row = await self._control.fetch_one(ACCOUNTS["find_account_to_sign_in"], email=email)
        nobody = await self._hash_of_nobody()
        known = nobody if row is None else str(row["password_hash"])
        is_right = await self._is(password, known)
        if row is None or not is_right or not row["is_enabled"]:
            raise NotAuthenticated(_NOT_SIGNED_IN, next_step=_NEXT_STEP)
        recorded = await self._control.fetch_one(
            ACCOUNTS["record_sign_in"], id=row["id"], version=row["version"]
        )
        if recorded is None:  # disabled, or the password changed, in this moment
            raise NotAuthenticated(_NOT_SIGNED_IN, next_step=_NEXT_STEP)
        await self._tries.succeeded(made)
        return Principal(
            "account", row["id"], row["email"], stored_scopes(row["scopes"]), row["version"]
        )

    async def is_current(self, principal: Principal) -> bool:
        """Whether the account is as it was when it was recognised: password, scopes, not disabled."""
        row = await self._control.fetch_one(
            ACCOUNTS["is_current"], id=principal.id, version=principal.account_version
        )
        return row is not None and bool(row["is_current"])

    async def change_own_password(
        self, principal: Principal, *, current: str, new: str, address: str
    ) -> Principal:
        """Have somebody change his own password. All his sessions are over then: begin a new one
        with the principal that comes back.

        Raises:
            NotAuthenticated, AccountLocked: the current password is not right, as for signing in.
            InvalidPassword: the new one cannot be used, or is the old one.
        """
        checked = check_admin_password(new, email=principal.name)
        signed_in = await self.authenticate(principal.name, current, address=address)
        if signed_in.id != principal.id:
            raise NotAuthenticated(_NOT_SIGNED_IN, next_step=_NEXT_STEP)
        if checked == current:
            raise InvalidPassword("The new password is the old one.")
        password_hash = await self._hash(checked)
        async with self._control.transaction() as connection:
            cursor = await connection.execute(
                ACCOUNTS["set_own_password"],
                {
                    "id": signed_in.id,
                    "version": signed_in.account_version,
                    "password_hash": password_hash,
                },
            )
            row = await cursor.fetchone()
            if row is None:
                raise NotAuthenticated(_NOT_SIGNED_IN, next_step=_NEXT_STEP)
            await connection.execute(ACCOUNTS["delete_sessions_of_account"], {"id": signed_in.id})
            await _audit(
                connection, signed_in, "admin.password_changed", signed_in.id, signed_in.name
            )
        return Principal("account", signed_in.id, signed_in.name, signed_in.scopes, row["version"])

    # --- changed ----------------------------------------------------------------------------------

    async def set_password(
        self, account_id: UUID, *, by: Principal | str, password: str | None = None
    ) -> SecretStr | None:
        """Give an account another password; without one, a temporary one, which comes back. Its
        sessions are over, and what had failed before is forgotten.

        Raises:
            NotFound, NotPermitted: as everything that changes accounts.
            InvalidPassword: it cannot be used.
        """
        account = await self.find(account_id)
        temporary = make_temporary_password() if password is None else None
        chosen = (
            temporary if password is None else check_admin_password(password, email=account.email)
        )
        password_hash = await self._hash(chosen or "")
        async with self._changing(account_id, by) as (connection, _):
            await connection.execute(
                ACCOUNTS["set_password"],
                {
                    "id": account_id,
                    "password_hash": password_hash,
                    "must_change_password": temporary is not None,
                },
            )
            await connection.execute(ACCOUNTS["delete_sessions_of_account"], {"id": account_id})
            await _audit(
                connection,
                by,
                "admin.password_set",
                account_id,
                account.email,
                temporary=temporary is not None,
            )
        await self._tries.unlock(account.email)
        return None if temporary is None else SecretStr(temporary)

    async def set_scopes(
        self, account_id: UUID, scopes: frozenset[Scope], *, by: Principal | str
    ) -> None:
        """Give an account these rights, instead of those that it has. Its sessions are over.

        Raises:
            LastAdmin: nobody would be left who may do everything.
        """
        must_have(by, scopes)
        async with self._changing(account_id, by) as (connection, before):
            if Scope.ADMIN not in scopes:
                await _another_admin(connection, before)
            await connection.execute(
                ACCOUNTS["set_scopes"], {"id": account_id, "scopes": sorted(scopes)}
            )
            await connection.execute(ACCOUNTS["delete_sessions_of_account"], {"id": account_id})
            await _audit(
                connection,
                by,
                "admin.scopes_set",
                account_id,
                before["email"],
                before=sorted(before["scopes"]),
                after=sorted(scopes),
            )

    async def disable(self, account_id: UUID, *, by: Principal | str) -> None:
        """Nobody signs in to it any more, here or with the main project's JWT; its sessions are over.
        Disabling twice is as good as once.

        Raises:
            LastAdmin: nobody would be left who may do everything.
        """
        async with self._changing(account_id, by) as (connection, before):
            if not before["is_enabled"]:
                return
            await _another_admin(connection, before)
            await connection.execute(
                ACCOUNTS["disable_account"], {"id": account_id, "by": actor_of(by)}
            )
            await connection.execute(ACCOUNTS["delete_sessions_of_account"], {"id": account_id})
            await _audit(connection, by, "admin.disabled", account_id, before["email"])

    async def enable(self, account_id: UUID, *, by: Principal | str) -> None:
        """Take back that an account is disabled; its password is the one that it had."""
        async with self._changing(account_id, by) as (connection, before):
            if before["is_enabled"]:
                return
            await connection.execute(ACCOUNTS["enable_account"], {"id": account_id})
            await _audit(connection, by, "admin.enabled", account_id, before["email"])

    async def link(self, account_id: UUID, user_id: UUID | None, *, by: Principal | str) -> None:
        """Say whose JWTs of the main project are this account's; None: nobody's.

        Raises:
            Conflict: that user has another account.
        """
        async with self._changing(account_id, by) as (connection, before):
            if user_id is not None:
                cursor = await connection.execute(
                    ACCOUNTS["account_of_link"], {"id": account_id, "user_id": user_id}
                )
                if (other := await cursor.fetchone()) is not None:
                    raise Conflict(
                        f"That user of the main project has the account {other['email']}.",
                        next_step=f"Take that link away first: `ghostcrm admin link {other['email']} "
                        "--remove`.",
                    )
            await connection.execute(
                ACCOUNTS["link_account"], {"id": account_id, "user_id": user_id}
            )
            await _audit(
                connection,
                by,
                "admin.linked",
                account_id,
                before["email"],
                user=None if user_id is None else str(user_id),
            )

    async def unlock(self, account_id: UUID, *, by: Principal | str) -> None:
        """Forget the sign-ins that have failed, so that the next one need not wait."""
        async with self._changing(account_id, by) as (connection, before):
            await _audit(connection, by, "admin.unlocked", account_id, before["email"])
        await self._tries.unlock(before["email"])

    @asynccontextmanager
    async def _changing(
        self, account_id: UUID, by: Principal | str
    ) -> AsyncIterator[tuple[Connection, dict[str, Any]]]:
        """A transaction that holds the account, and keeps others from changing any of them meanwhile.

        Raises:
            NotFound: there is no such account.
            NotPermitted: it has rights that whoever asks does not have.
        """
        async with self._control.transaction() as connection:
            await connection.execute(ACCOUNTS["lock_accounts"])
            cursor = await connection.execute(ACCOUNTS["lock_account"], {"id": account_id})
            row = await cursor.fetchone()
            if row is None:
                raise _no_account(str(account_id))
            must_have(by, stored_scopes(row["scopes"]))
            yield connection, row

    # --- looked at --------------------------------------------------------------------------------

    async def list(self) -> list[Account]:
        """All accounts, by email."""
        return [_account(row) for row in await self._control.fetch_all(ACCOUNTS["list_accounts"])]

    async def find(self, account_id: UUID) -> Account:
        """Raises NotFound."""
        row = await self._control.fetch_one(ACCOUNTS["find_account"], id=account_id)
        if row is None:
            raise _no_account(str(account_id))
        return _account(row)

    async def find_by_email(self, email: str) -> Account:
        """Raises NotFound."""
        row = await self._control.fetch_one(
            ACCOUNTS["find_account_by_email"], email=_as_stored(email)
        )
        if row is None:
            raise _no_account(email)
        return _account(row)

    async def of_main_project_user(self, user_id: UUID) -> Principal | None:
        """Who it is here, with the rights that he has here; None when nobody has linked him."""
        row = await self._control.fetch_one(
            ACCOUNTS["find_account_of_main_project_user"], user_id=user_id
        )
        if row is None:
            return None
        return Principal(
            "account", row["id"], row["email"], stored_scopes(row["scopes"]), row["version"]
        )

    # --- passwords --------------------------------------------------------------------------------

    async def _hash(self, password: str) -> str:
        async with self._comparing:
            return await asyncio.to_thread(hash_password, password, cost=self._bcrypt_cost)

    async def _hash_of_nobody(self) -> str:
        # Asked for at every sign-in: the first one would otherwise take longer for nobody only.
        return await asyncio.to_thread(hash_of_nobody, self._bcrypt_cost)

    async def _is(self, password: str, known: str) -> bool:
        async with self._comparing:
            return await asyncio.to_thread(is_password, password, known)


def check_admin_password(password: str, *, email: str) -> str:
    """The password as it is.

    Raises:
        InvalidPassword: shorter than 12 characters, longer than 72 bytes, with fewer than five
            different characters, or with the email address in it.
    """
    check_password(password)
    if len(password) < SHORTEST_PASSWORD:
        raise InvalidPassword(
            f"The password has {len(password)} characters; at least {SHORTEST_PASSWORD} are needed."
        )
    if len(set(password.casefold())) < _FEWEST_CHARACTERS:
        raise InvalidPassword("The password repeats a few characters only.")
    if email.casefold() in password.casefold():
        raise InvalidPassword("The password holds the email address.")
    return password


def _as_stored(email: str) -> str:
    """The address as accounts have it; what is none stays what it is, and belongs to nobody."""
    try:
        return check_email(email)
    except InvalidEmail:
        return ascii(email.strip().lower()[:300])


async def _another_admin(connection: Connection, account: dict[str, Any]) -> None:
    """Raises LastAdmin when ``account`` is the only one that may do everything."""
    if not account["is_enabled"] or Scope.ADMIN not in stored_scopes(account["scopes"]):
        return
    cursor = await connection.execute(ACCOUNTS["another_admin"], {"id": account["id"]})
    row = await cursor.fetchone()
    if row is None or not row["is_left"]:
        raise LastAdmin(
            f"{account['email']} is the only account left that may do everything; nothing was changed."
        )


async def _audit(
    connection: Connection,
    by: Principal | str,
    action: str,
    account_id: UUID,
    email: str,
    **details: Any,
) -> None:
    await record(
        connection,
        actor=actor_of(by),
        action=action,
        target=email,
        details={"account": str(account_id), **details},
    )


def _no_account(name: str) -> NotFound:
    return NotFound(
        f"There is no admin account {name[:100]}.",
        next_step="List them with `ghostcrm admin list`.",
    )


def _account(row: dict[str, Any]) -> Account:
    return Account(
        id=row["id"],
        email=row["email"],
        scopes=stored_scopes(row["scopes"]),
        must_change_password=row["must_change_password"],
        main_project_user_id=row["main_project_user_id"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        password_changed_at=row["password_changed_at"],
        last_signed_in_at=row["last_signed_in_at"],
        disabled_at=row["disabled_at"],
        disabled_by=row["disabled_by"],
    )
