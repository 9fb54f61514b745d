"""The client's first user: a row in ``auth.users`` and ``auth.identities`` with which Supabase Auth
signs them in, and their profile as owner of the CRM.

On plain PostgreSQL we write both. At Supabase its Auth admin API makes the user, and only the profile
is ours to write, as the project's owner.

Which columns must hold what is in the facts that GoTrue's own code sets; a NULL where it expects
text makes the sign-in fail.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from ghostcrm_provisioning.client_database.ground import PLAIN, Ground
from ghostcrm_provisioning.client_database.roles import AUTH_ROLE
from ghostcrm_provisioning.errors import AdminEmailTaken, PostconditionNotMet
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
    """Whether the admin can sign in and owns the CRM, on plain PostgreSQL."""
    user = await _observe_user(connection, admin)
    if not user.holds or not await _keeps_profiles(connection):
        return user
    profile = await _observe_profile(connection, admin)
    return (
        Observation(True, f"{admin.email} can sign in and is owner") if profile.holds else profile
    )


async def observe_user(connection: Connection, admin: AdminUser) -> Observation | None:
    """Whether the admin can sign in, as far as a project's owner can see that at Supabase; None where
    it cannot read the users, and Auth has to be asked."""
    row = await (await connection.execute(ADMIN_USER["may_read_users"])).fetchone()
    if row is None or not row["holds"]:
        return None
    user = await _observe_user(connection, admin)
    if user.holds:
        return user
    # Row level security may hide them all.
    row = await (await connection.execute(ADMIN_USER["sees_users"])).fetchone()
    return user if row is not None and row["holds"] else None


async def _observe_user(connection: Connection, admin: AdminUser) -> Observation:
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
    return Observation(True, f"{admin.email} can sign in")


async def observe_profile(connection: Connection, admin: AdminUser) -> Observation:
    """Whether the admin owns the CRM; it holds, too, where a blueprint keeps no profiles."""
    if not await _keeps_profiles(connection):
        return Observation(True, "the blueprint keeps no profiles")
    return await _observe_profile(connection, admin)


async def _observe_profile(connection: Connection, admin: AdminUser) -> Observation:
    profile = await (
        await connection.execute(ADMIN_USER["observe_profile"], {"user_id": admin.user_id})
    ).fetchone()
    if profile is None:
        return Observation(False, "the admin has no profile")
    if not profile["is_owner"]:
        return Observation(False, "the admin is not an active owner")
    return Observation(True, f"{admin.email} is owner")


async def create_profile(
    connection: Connection, admin: AdminUser, *, ground: Ground = PLAIN
) -> None:
    """Make the user whom Auth has made the owner of the CRM, where the blueprint keeps profiles.

    Raises:
        PostconditionNotMet: Auth knows no such user.
    """
    if not await _keeps_profiles(connection):
        return
    try:
        async with connection.transaction():
            await _become(connection, ground.owner)
            await connection.execute(ADMIN_USER["insert_profile"], _profile_of(admin))
    except psycopg.errors.ForeignKeyViolation as violation:
        raise PostconditionNotMet(
            f"The admin {admin.email} has no profile yet, because Auth knows no user {admin.user_id}."
        ) from violation


async def create_admin_user(
    connection: Connection,
    admin: AdminUser,
    password_hash: str,
    *,
    ground: Ground = PLAIN,
) -> None:
    """Add what is missing of the admin, in one transaction: where there is no Auth to ask.

    Args:
        ground: at Supabase, its owner must be let into Auth's tables, as in a local stack it is.
        password_hash: bcrypt, as Supabase Auth accepts it.

    Raises:
        AdminEmailTaken: the email belongs to a user with another id.
    """
    parameters = _profile_of(admin) | {
        "password_hash": password_hash,
        "user_metadata": Jsonb({"company_name": admin.company_name, "email_verified": True}),
    }
    keeps_profiles = await _keeps_profiles(connection)
    try:
        async with connection.pipeline(), connection.transaction():
            await _become(connection, ground.owner if ground.is_supabase else AUTH_ROLE)
            await connection.execute(ADMIN_USER["insert_user"], parameters)
            await connection.execute(ADMIN_USER["insert_identity"], parameters)
            if keeps_profiles:
                await _become(connection, ground.owner)
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


async def reset_admin_password(
    connection: Connection, user_id: UUID, password_hash: str, *, ground: Ground = PLAIN
) -> bool:
    """Give the admin another, temporary password, where there is no Auth to ask; False when there is no
    such user."""
    async with connection.transaction():
        # Whoever is connected need not be let into the schema by itself.
        await _become(connection, ground.owner)
        keeps_profiles = await _keeps_profiles(connection)
        await _become(connection, ground.owner if ground.is_supabase else AUTH_ROLE)
        parameters = {"user_id": user_id, "password_hash": password_hash}
        changed = await connection.execute(ADMIN_USER["set_password"], parameters)
        if keeps_profiles:
            await _become(connection, ground.owner)
            await connection.execute(ADMIN_USER["demand_password_change"], parameters)
    return changed.rowcount == 1


async def demand_password_change(
    connection: Connection, user_id: UUID, *, ground: Ground = PLAIN
) -> None:
    """Have the admin change the password that they were given, where the blueprint keeps profiles."""
    if not await _keeps_profiles(connection):
        return
    async with connection.transaction():
        await _become(connection, ground.owner)
        await connection.execute(ADMIN_USER["demand_password_change"], {"user_id": user_id})


def _profile_of(admin: AdminUser) -> dict[str, Any]:
    return {
        "user_id": admin.user_id,
        "email": admin.email,
        "must_change_password": admin.must_change_password,
    }


async def _keeps_profiles(connection: Connection) -> bool:
    row = await (await connection.execute(ADMIN_USER["keeps_profiles"])).fetchone()
    return row is not None and bool(row["holds"])


async def _become(connection: Connection, role: str) -> None:
    await connection.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
