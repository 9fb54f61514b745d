"""What the contract suite has other processes do: create a database."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from multiprocessing.connection import Connection as Pipe

from ghostcrm_provisioning.providers.postgres import PostgresProvider
from ghostcrm_provisioning.providers.provider import Connection, DatabaseRequest, Template


async def _builds_nothing(_: Connection) -> None: ...


def as_told(request: DatabaseRequest) -> DatabaseRequest:
    """The request as it can be sent to another process, which builds a template of its own."""
    return replace(request, template=Template(request.template.fingerprint, _builds_nothing))


def create(url: str, request: DatabaseRequest, stuck: bool, answers: Pipe) -> None:
    """Sends how many templates were built for it; ``stuck`` stays in the middle of one."""
    built = 0

    async def build(connection: Connection) -> None:
        nonlocal built
        built += 1
        await connection.execute("create table public.half (id integer)")
        if stuck:
            await connection.execute("select pg_sleep(60)")

    async def create_() -> None:
        template = Template(request.template.fingerprint, build)
        async with PostgresProvider(url, server_name="test") as provider:
            await provider.create(replace(request, template=template))

    asyncio.run(create_())
    answers.send(built)
