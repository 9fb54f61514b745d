"""``ghostcrm worker`` and ``ghostcrm up``: the processes that do the work."""

from __future__ import annotations

import asyncio
import signal

from ghostcrm_provisioning.cli.output import Json, print_json, say
from ghostcrm_provisioning.cli.session import run_with_installation
from ghostcrm_provisioning.client_database.blueprint import read_blueprint
from ghostcrm_provisioning.provisioning.work import template_of
from ghostcrm_provisioning.wiring import Installation


def worker(as_json: Json = False) -> None:
    """Run a worker until Ctrl-C or SIGTERM. It finishes what it has in hand before it leaves."""

    async def work(installation: Installation) -> None:
        await _work_until_told_to_stop(installation, as_json=as_json)

    run_with_installation(work, as_json=as_json)


def up(as_json: Json = False) -> None:
    """Start everything in the foreground: the embedded PostgreSQL and a worker.

    Ctrl-C stops the worker in good order; the embedded PostgreSQL keeps running, so that what was
    provisioned stays reachable (`ghostcrm postgres stop` stops it).
    """

    async def work(installation: Installation) -> None:
        await prepare_template(installation)
        await _work_until_told_to_stop(installation, as_json=as_json)

    run_with_installation(work, as_json=as_json)


async def prepare_template(installation: Installation) -> str:
    """Have the home server's template of the default blueprint ready before the first client."""
    blueprint = await asyncio.to_thread(read_blueprint, installation.settings.blueprint)
    provider = await installation.providers.home()
    return await provider.prepare_template(installation.id, template_of(blueprint))


async def _work_until_told_to_stop(installation: Installation, *, as_json: bool) -> None:
    standing = installation.make_worker(standing=True)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        say("Finishing what is in hand …")
        standing.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    say(f"Worker running on {installation.home_server.name}; log in {installation.settings.logs}")
    say("Stop it with Ctrl-C. Register a client from another terminal:")
    say('  ghostcrm provision "ACME Corp" --admin-email admin@acme.com')
    await standing.run()
    say("Stopped.")
    if as_json:
        print_json({"workerId": str(standing.id), "stopped": True})
