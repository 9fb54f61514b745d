"""The storage buckets of a project: rows of ``storage.buckets``. Files are not kept here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg

from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.providers.provider import Connection
from ghostcrm_provisioning.supabase_platform.acting import acting_as
from ghostcrm_provisioning.supabase_platform.keys import Caller
from ghostcrm_provisioning.supabase_platform.refusal import Refusal

BUCKETS = NamedSql(__package__, "buckets.sql")


class Buckets:
    """Through a connection of the project's services, as the role that asks."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def all(self, role: str, bucket_id: str | None = None) -> list[dict[str, Any]]:
        return await self._read(Caller(role, {}), BUCKETS["list_buckets"], {"id": bucket_id})

    async def files(
        self, caller: Caller, bucket_id: str, *, prefix: str, limit: int, offset: int
    ) -> list[dict[str, Any]]:
        """What is directly in a folder, as far as the caller sees it: files, and folders without an id.
        Empty of a bucket that is not there, as Storage answers."""
        folder = f"{prefix.strip('/')}/".lstrip("/")
        parameters = {"bucket": bucket_id, "folder": folder, "limit": limit, "offset": offset}
        return await self._read(caller, BUCKETS["list_files"], parameters)

    async def create(self, role: str, bucket: Mapping[str, Any]) -> None:
        """Raises Refusal: there is one of that id (409), or it may not be made (403)."""
        made = await self._write(role, BUCKETS["insert_bucket"], bucket)
        if not made:
            raise _storage_refusal(409, "Duplicate", "The resource already exists")

    async def change(self, role: str, changes: Mapping[str, Any]) -> None:
        """Raises Refusal: 404, there is none that the role sees."""
        if not await self._write(role, BUCKETS["change_bucket"], changes):
            raise bucket_not_found()

    async def delete(self, role: str, bucket_id: str) -> None:
        """Raises Refusal: there is none (404), or it is not empty (409)."""
        try:
            gone = await self._write(role, BUCKETS["delete_bucket"], {"id": bucket_id})
        except psycopg.errors.ForeignKeyViolation:
            raise _storage_refusal(
                409, "InvalidRequest", "The bucket you tried to delete is not empty"
            ) from None
        if not gone:
            raise bucket_not_found()

    async def _read(
        self, caller: Caller, statement: Any, parameters: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        try:
            async with acting_as(self._connection, caller.role, caller.claims):
                found = await self._connection.execute(statement, dict(parameters))
                return [dict(row) for row in await found.fetchall()]
        except psycopg.errors.InsufficientPrivilege as refused:
            message = refused.diag.message_primary or "permission denied"
            raise _storage_refusal(403, "Unauthorized", message) from None

    async def _write(self, role: str, statement: Any, parameters: Mapping[str, Any]) -> bool:
        try:
            async with acting_as(self._connection, role):
                return (await self._connection.execute(statement, dict(parameters))).rowcount == 1
        except psycopg.errors.InsufficientPrivilege:
            raise _storage_refusal(
                403, "Unauthorized", "new row violates row-level security policy"
            ) from None


def bucket_not_found() -> Refusal:
    """As Storage says it."""
    return _storage_refusal(404, "Bucket not found", "Bucket not found")


def _storage_refusal(status: int, error: str, message: str) -> Refusal:
    # Storage's own server answers 400, and the status that it means in the body.
    body = {"statusCode": str(status), "error": error, "message": message}
    return Refusal(400, message, body=body)
