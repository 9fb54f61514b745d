"""The command ``ghostcrm``."""

from __future__ import annotations

import io
import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from ghostcrm_provisioning.cli import admin, bench, clients, notifications, postgres, queue
from ghostcrm_provisioning.cli.api import api
from ghostcrm_provisioning.cli.check import check
from ghostcrm_provisioning.cli.demo import demo
from ghostcrm_provisioning.cli.doctor import doctor
from ghostcrm_provisioning.cli.isolation import verify
from ghostcrm_provisioning.cli.platform import platform
from ghostcrm_provisioning.cli.provision import provision
from ghostcrm_provisioning.cli.worker import up, worker

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="A company registers; moments later it has its own Supabase-compatible PostgreSQL database "
    "with the complete CRM in it.",
    epilog="Settings are environment variables: docs/reference/settings.md. Begin with: ghostcrm demo",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ghostcrm {version('ghostcrm-provisioning')}")
        raise typer.Exit


@app.callback()
def ghostcrm(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Client databases for GhostCRM."""


app.command("provision")(provision)
app.add_typer(clients.app, name="clients")
app.command("verify")(verify)
app.add_typer(queue.app, name="queue")
app.add_typer(admin.app, name="admin")
app.add_typer(notifications.app, name="notifications")
app.command("api")(api)
app.command("worker")(worker)
app.command("up")(up)
app.command("check")(check)
app.command("demo")(demo)
app.command("doctor")(doctor)
app.command("platform")(platform)
app.add_typer(postgres.app, name="postgres")
app.add_typer(bench.app, name="bench")


def main() -> None:
    """Entry point of the command."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal cannot show is written with escapes instead of ending the command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except OSError as problem:
        # Nobody reads on (a closed pipe, a full disk): there is nowhere left to say so but here.
        os.write(2, f"Error  The output cannot be written: {problem.strerror}.\n".encode())
        os._exit(1)


if __name__ == "__main__":
    main()
