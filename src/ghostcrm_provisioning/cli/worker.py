"""``ghostcrm worker`` and ``ghostcrm up``: the processes that do the work."""

from __future__ import annotations

import asyncio
from typing import Any

from rich.markup import escape

from ghostcrm_provisioning.access.accounts import Accounts, NewAccount
from ghostcrm_provisioning.cli.api import Host, Port, document_of, introduce, open_serving
from ghostcrm_provisioning.cli.output import Json, print_json, say
from ghostcrm_provisioning.cli.service import run_until_told_to_stop
from ghostcrm_provisioning.cli.session import run_with_installation
from ghostcrm_provisioning.client_database.blueprint import read_blueprint
from ghostcrm_provisioning.provisioning.work import template_of
from ghostcrm_provisioning.wiring import Installation


def worker(as_json: Json = False) -> None:
    """Run a worker until Ctrl-C or SIGTERM. It finishes what it has in hand before it leaves."""

    async def work(installation: Installation) -> None:
        standing = installation.make_worker(standing=True)
        say(
            f"Worker running on {installation.home_server.name}; log in {installation.settings.logs}"
        )
        _say_what_next()
        await run_until_told_to_stop([standing])
        say("Stopped.")
        if as_json:
            print_json({"workerId": str(standing.id), "stopped": True})

    run_with_installation(work, as_json=as_json)


def up(host: Host = None, port: Port = None, as_json: Json = False) -> None:
    """Start everything in the foreground: PostgreSQL, the admin API, the dashboard and a worker.

    Ctrl-C stops all but the embedded PostgreSQL in good order; that one keeps running, so that what
    was provisioned stays reachable (`ghostcrm postgres stop` stops it). With --json the document is
    printed as soon as connections are accepted.

    Where there is no admin account yet, the first one is made (GHOSTCRM_ADMIN_EMAIL), and its
    temporary password is shown this once.
    """

    async def work(installation: Installation) -> None:
        serving = open_serving(installation, host=host, port=port)
        try:
            await prepare_template(installation)
            first = await Accounts(installation.control).ensure_first(
                installation.settings.admin_email
            )
        except BaseException:
            serving.close()
            raise
        standing = installation.make_worker(standing=True)

        async def announce() -> None:
            await serving.started()
            if as_json:
                print_json(
                    document_of(serving) | {"workerId": str(standing.id)} | _first_admin(first)
                )
            introduce(serving)
            if first is not None and not as_json:
                _show_first_admin(first)
            say(
                f"Worker         on {installation.home_server.name}; log in {installation.settings.logs}"
            )
            _say_what_next()

        await run_until_told_to_stop([serving, standing], when_running=announce)
        say("Stopped.")

    run_with_installation(work, as_json=as_json)


def _first_admin(first: NewAccount | None) -> dict[str, Any]:
    if first is None or first.temporary_password is None:
        return {}
    password = first.temporary_password.get_secret_value()
    return {"firstAdmin": {"email": first.email, "temporaryPassword": password}}


def _show_first_admin(first: NewAccount) -> None:
    password = first.temporary_password
    shown = password.get_secret_value() if password is not None else ""
    say(f"First admin    {escape(first.email)}, temporary password [bold]{escape(shown)}[/]")
    say("               (shown this once; to be changed at the first sign-in)")


async def prepare_template(installation: Installation) -> str:
    """Have the home server's template of the default blueprint ready before the first client."""
    blueprint = await asyncio.to_thread(read_blueprint, installation.settings.blueprint)
    provider = await installation.providers.home()
    return await provider.prepare_template(installation.id, template_of(blueprint))


def _say_what_next() -> None:
    say("Stop it with Ctrl-C. Register a client from another terminal:")
    say('  ghostcrm provision "ACME Corp" --admin-email admin@acme.com')
