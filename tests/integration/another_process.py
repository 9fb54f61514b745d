"""What tests have other processes do, at the same moment: ``python -m … WHAT ARGUMENTS…``.

Each gets ready, says so, and starts when it is told to by a line on its standard input. It prints
one JSON document. ``python -m … at_once COUNT WHAT ARGUMENTS…`` is so many processes, which need load
everything only once.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from ghostcrm_provisioning.client_database.blueprint import read_blueprint
from ghostcrm_provisioning.clients.run import HeldRun
from ghostcrm_provisioning.control_database.database import connection_options, upgrade
from ghostcrm_provisioning.errors import GhostcrmError
from ghostcrm_provisioning.providers.postgres_templates import template_name
from ghostcrm_provisioning.providers.stamp import stamp_of
from ghostcrm_provisioning.provisioning.work import template_of
from ghostcrm_provisioning.queue.provisioning_queue import QUEUE_VERSION, install_queue
from ghostcrm_provisioning.registration_form import checked_form
from ghostcrm_provisioning.settings import read_settings
from ghostcrm_provisioning.wiring import open_installation


async def _go() -> None:
    os.write(1, b"ready\n")
    await asyncio.to_thread(sys.stdin.readline)


async def _register(name: str, email: str, plan: str) -> Any:
    async with open_installation(read_settings()) as installation:
        form = checked_form(
            company_name=name,
            admin_email=email,
            plan=plan,
            blueprint=installation.settings.blueprint,
            admin_password="secure-password",
        )
        await _go()
        accepted = await installation.registrar.register(form, registered_by="test")
    return {"clientId": str(accepted.client_id), "created": accepted.created}


async def _hold(run_id: str) -> Any:
    """Takes a run up and stands in the middle of a write to it; goes on at the next line."""
    async with (
        open_installation(read_settings()) as installation,
        installation.control.connection() as own,
    ):
        await _go()
        held = await HeldRun.take_up(installation.control, own, UUID(run_id), uuid4())
        assert held is not None
        async with held.holding() as connection:
            print("holding", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            await connection.execute("update clients set name = 'written by a zombie'")
    return {"written": True}


async def _open() -> Any:
    settings = read_settings()
    await _go()
    async with open_installation(settings) as installation:
        return {"installation": str(installation.id)}


async def _prepare() -> Any:
    """Opens the installation for the first time, and builds the template of the shipped blueprint: with
    its proof it takes seconds, which no test's patience need be long enough for. Whoever starts this may
    have a copy of a finished one in its place before."""
    async with open_installation(read_settings()) as installation:
        template = template_of(read_blueprint("ghostcrm"))
        stamp = stamp_of(installation.id, template=template.fingerprint)
        name = template_name(installation.id, template)
        wanted = {"name": name, "fingerprint": template.fingerprint, "stamp": stamp}
        os.write(1, json.dumps(wanted).encode() + b"\n")
        await asyncio.to_thread(sys.stdin.readline)
        provider = await installation.providers.home()
        return {"template": await provider.prepare_template(installation.id, template)}


async def _upgrade() -> Any:
    settings = read_settings()
    assert settings.database_url is not None
    connection = await AsyncConnection.connect(
        connection_options(settings.database_url.get_secret_value(), application_name="upgrade"),
        autocommit=True,
        row_factory=dict_row,
    )
    async with connection:
        await _go()
        return await upgrade(connection, extensions={QUEUE_VERSION: install_queue})


_WHAT: dict[str, Callable[..., Awaitable[Any]]] = {
    "register": _register,
    "hold": _hold,
    "open": _open,
    "prepare": _prepare,
    "upgrade": _upgrade,
}


async def _main(what: str, *arguments: str) -> None:
    try:
        document = await _WHAT[what](*arguments)
    except GhostcrmError as error:
        document = {"error": error.as_record()}
    # In one piece: processes at once share their output.
    os.write(1, json.dumps(document).encode() + b"\n")


def _at_once(count: int, what: str, *arguments: str) -> int:
    """So many forks of this process; they start together, when their common standard input ends."""
    gate, keeper = os.pipe()
    forks = []
    for _ in range(count):
        if (pid := os.fork()) == 0:
            os.close(keeper)
            os.dup2(gate, 0)
            asyncio.run(_main(what, *arguments))
            return 0
        forks.append(pid)
    sys.stdin.readline()
    os.close(keeper)
    return sum(os.waitpid(pid, 0)[1] != 0 for pid in forks)


if __name__ == "__main__":
    if sys.argv[1] == "at_once":
        sys.exit(_at_once(int(sys.argv[2]), *sys.argv[3:]))
    asyncio.run(_main(*sys.argv[1:]))
