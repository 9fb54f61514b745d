"""``ghostcrm postgres``: the embedded PostgreSQL."""

from __future__ import annotations

import asyncio

import typer
from rich.markup import escape

from ghostcrm_provisioning.cli.output import Json, out, print_json, say
from ghostcrm_provisioning.cli.session import run_command
from ghostcrm_provisioning.embedded.server import EmbeddedPostgres, RunningPostgres
from ghostcrm_provisioning.errors import ConfigurationError
from ghostcrm_provisioning.home_server import embedded_postgres, moved
from ghostcrm_provisioning.settings import read_settings

app = typer.Typer(
    no_args_is_help=True, help="The embedded PostgreSQL of this GHOSTCRM_HOME: start, status, stop."
)


def _embedded() -> EmbeddedPostgres:
    settings = read_settings()
    if settings.database_url is not None:
        raise ConfigurationError(
            "GHOSTCRM_DATABASE_URL is set, so the embedded PostgreSQL is not used.",
            next_step="Unset it to use the embedded one.",
        )
    return embedded_postgres(settings)


def _report(running: RunningPostgres | None, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {"running": False}
            if running is None
            else {
                "running": True,
                "host": running.host,
                "port": running.port,
                "processId": running.pid,
                "version": running.version,
            }
        )
    elif running is None:
        out.print("The embedded PostgreSQL is not running. Start it: ghostcrm postgres start")
    else:
        out.print(
            f"PostgreSQL {running.version} is running on {running.host}:{running.port} "
            f"(process {running.pid})."
        )


@app.command("start")
def start(as_json: Json = False) -> None:
    """Start it, unless it is running."""

    async def work() -> None:
        running = await asyncio.to_thread(_embedded().start)
        if (warning := moved(running)) is not None:
            say(f"[yellow]{escape(warning)}[/]")
        _report(running, as_json=as_json)

    run_command(work(), as_json=as_json)


@app.command("status")
def status(as_json: Json = False) -> None:
    """Say whether it is running, and where. Exits 1 when it is not."""

    async def work() -> int:
        running = await asyncio.to_thread(_embedded().status)
        _report(running, as_json=as_json)
        return 0 if running else 1

    run_command(work(), as_json=as_json)


@app.command("stop")
def stop(as_json: Json = False) -> None:
    """Stop it; its data stays."""

    async def work() -> None:
        was_running = await asyncio.to_thread(_embedded().stop)
        if as_json:
            print_json({"running": False, "wasRunning": was_running})
        else:
            out.print(
                "The embedded PostgreSQL is stopped; its data stays."
                if was_running
                else "The embedded PostgreSQL was not running."
            )

    run_command(work(), as_json=as_json)
