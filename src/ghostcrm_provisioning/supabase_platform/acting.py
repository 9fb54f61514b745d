"""Becoming whom a request is from: the role of its key, with the claims of its token."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.providers.provider import Connection

ACTING = NamedSql(__package__, "acting.sql")


@asynccontextmanager
async def acting_as(
    connection: Connection, role: str, claims: Mapping[str, Any] | None = None
) -> AsyncIterator[Connection]:
    """A transaction as that role, as PostgREST begins its own."""
    async with connection.transaction():
        await connection.execute(
            ACTING["become"],
            {"role": role, "claims": json.dumps({"role": role, **(claims or {})})},
        )
        yield connection
