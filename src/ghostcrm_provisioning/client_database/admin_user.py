"""The client's first user: a row in ``auth.users`` and ``auth.identities`` with which Supabase Auth
signs them in, and their profile as owner of the CRM.

Which columns must hold what is in the facts that GoTrue's own code sets; a NULL where it expects
text makes the sign-in fail.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from ghostcrm_provisioning.client_database.roles import AUTH_ROLE, OWNER_ROLE
from ghostcrm_provisioning.errors import AdminEmailTaken
from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.observation import Observation

ADMIN_USER = NamedSql(__package__, "admin_user.sql")

Connection = AsyncConnection[DictRow]


@dataclass(frozen=True)
class AdminUser:
    """The admin as they are wanted; the id was chosen at the registration."""

    user_id: UUID
    email: str
    company_name: str
    must_change_password: bool


async def observe_admin_user(connection: Connection, admin: AdminUser) -> Observation:
    """Whether the admin can sign in and owns the CRM."""
    row = await (
        await connection.execute(
            ADMIN_USER["observe_admin_user"], {"user_id": admin.user_id, "email": admin.email}
        )
    ).fetchone()
    if row is None or not row["has_user"]:
        return Observation(False, "the admin is not in auth.users")
    if not row["has_password"]:
        return Observation(False, "the admin has no password")
    if not row["has_identity"]:
        return Observation(False, "the admin has no identity for signing in by email")
    if not await _keeps_profiles(connection):
        return Observation(True, f"{admin.email} can sign in")
    profile = await (
        await connection.execute(ADMIN_USER["observe_profile"], {"user_id": admin.user_id})
    ).fetchone()
    if profile is None:
        return Observation(False, "the admin has no profile")
    if not profile["is_owner"]:
        return Observation(False, "the admin is not an active owner")
    return Observation(True, f"{admin.email} can sign in and is owner")


async def create_admin_user(connection: Connection, admin: AdminUser, password_hash: str) -> None:
    """Add what is missing of the admin, in one transaction.

    Args:
        password_hash: bcrypt, as Supabase Auth accepts it.

    Raises:
        AdminEmailTaken: the email belongs to a user with another id.
    """
    parameters = {
        "user_id": admin.user_id,
        "email": admin.email,
        "password_hash": password_hash,
        "must_change_password": admin.must_change_password,
        "user_metadata": Jsonb({"company_name": admin.company_name, "email_verified": True}),
    }
    keeps_profiles = await _keeps_profiles(connection)
    try:
        async with connection.pipeline(), connection.transaction():
            await _become(connection, AUTH_ROLE)
            await connection.execute(ADMIN_USER["insert_user"], parameters)
            await connection.execute(ADMIN_USER["insert_identity"], parameters)
            if keeps_profiles:
                await _become(connection, OWNER_ROLE)
                await connection.execute(ADMIN_USER["insert_profile"], parameters)
    except psycopg.errors.UniqueViolation as violation:
        row = await (
            await connection.execute(ADMIN_USER["find_user_by_email"], {"email": admin.email})
        ).fetchone()
        if row is not None and row["id"] != admin.user_id:
            raise AdminEmailTaken(
                f"The email {admin.email} belongs to another user of this client database."
            ) from violation
        raise


async def reset_admin_password(connection: Connection, user_id: UUID, password_hash: str) -> bool:
    """Give the admin another, temporary password; False when there is no such user."""
    async with connection.transaction():
        # Whoever is connected need not be let into the schema by itself.
        await _become(connection, OWNER_ROLE)
        keeps_profiles = await _keeps_profiles(connection)
        await _become(connection, AUTH_ROLE)
        parameters = {"user_id": user_id, "password_hash": password_hash}
        changed = await connection.execute(ADMIN_USER["set_password"], parameters)
        if keeps_profiles:
            await _become(connection, OWNER_ROLE)
            await connection.execute(ADMIN_USER["demand_password_change"], parameters)
    return changed.rowcount == 1


async def _keeps_profiles(connection: Connection) -> bool:
    row = await (await connection.execute(ADMIN_USER["keeps_profiles"])).fetchone()
    return row is not None and bool(row["holds"])


async def _become(connection: Connection, role: str) -> None:
    await connection.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
