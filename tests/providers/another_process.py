"""What the contract suite has other processes do: ``python -m … REQUEST``, one JSON document."""

from __future__ import annotations

import asyncio
import json
import sys
from uuid import UUID

from ghostcrm_provisioning.providers.postgres import PostgresProvider
from ghostcrm_provisioning.providers.provider import Connection, DatabaseRequest, Login, Template


async def _main(text: str) -> None:
    wanted = json.loads(text)
    built = 0

    async def build(connection: Connection) -> None:
        nonlocal built
        built += 1
        await connection.execute("create table public.half (id integer)")
        if wanted["stuck"]:
            await connection.execute("select pg_sleep(60)")

    request = DatabaseRequest(
        UUID(wanted["installation"]),
        UUID(wanted["database"]),
        f"ghostcrm_{UUID(wanted['database']).hex}",
        Template(wanted["fingerprint"], build),
        (Login("app", wanted["password"]),),
    )
    async with PostgresProvider(wanted["url"], server_name="test") as provider:
        await provider.create(request)
    print(json.dumps({"built": built}), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
