"""How a command runs: errors become one sentence and an exit code, never a traceback."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any

import typer
from rich.markup import escape

from ghostcrm_provisioning.cli.output import print_error, say
from ghostcrm_provisioning.clients.client import CLIENTS
from ghostcrm_provisioning.errors import (
    GhostcrmError,
    InvalidInput,
    InvalidPassword,
    NoInstallationHere,
    NotFound,
)
from ghostcrm_provisioning.postgres_errors import translated
from ghostcrm_provisioning.provisioning_log import get_logger, log_every_library
from ghostcrm_provisioning.registration_form import check_identifier
from ghostcrm_provisioning.settings import read_settings
from ghostcrm_provisioning.wiring import Installation, open_installation

ClientId = Annotated[
    str, typer.Argument(metavar="ID", help="The client's id, or its first characters.")
]
INTERRUPTED = 130
_SHORTEST_PREFIX = 4


def run_command(work: Coroutine[Any, Any, int | None], *, as_json: bool) -> None:
    """Run a command to its end and exit with its code."""
    log_every_library()
    try:
        code = asyncio.run(work)
    except GhostcrmError as error:
        print_error(error, as_json=as_json)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        say("Interrupted.")
        raise typer.Exit(INTERRUPTED) from None
    except Exception as unforeseen:
        # A traceback helps nobody at a terminal; it goes into the log.
        get_logger("cli").error("command_failed", exc_info=unforeseen)
        print_error(translated(unforeseen, where="this command"), as_json=as_json)
        raise typer.Exit(1) from None
    raise typer.Exit(code or 0)


def run_with_installation(
    work: Callable[[Installation], Awaitable[int | None]],
    *,
    as_json: bool,
    may_begin: bool = True,
) -> None:
    """Open the installation, run ``work`` with it, exit with the code that it returns.

    ``may_begin`` is False for commands about what is already there: in another folder than usual they
    would find nothing, and leave a second installation behind.
    """

    async def opened() -> int | None:
        settings = read_settings()
        if settings.database_url is None and not (settings.home / "postgresql").exists():
            if not may_begin:
                raise NoInstallationHere(
                    f"There is no installation in {settings.home}.", folder=str(settings.home)
                )
            say(f"[dim]Starting the embedded PostgreSQL in {settings.home} (first time) …[/]")
        async with open_installation(settings) as installation:
            if installation.home_server.warning is not None:
                say(f"[yellow]{escape(installation.home_server.warning)}[/]")
            return await work(installation)

    run_command(opened(), as_json=as_json)


async def find_client_id(installation: Installation, text: str) -> Any:
    """A client's id from its id, or from the first characters of it.

    Raises:
        NotFound: there is none; InvalidInput: there are several.
    """
    prefix = text.strip().lower()
    if len(prefix) == len("00000000-0000-0000-0000-000000000000"):
        return check_identifier(prefix)
    if len(prefix) < _SHORTEST_PREFIX or not set(prefix) <= set("0123456789abcdef-"):
        raise InvalidInput(
            f"{text!r} is neither a client's id nor the first {_SHORTEST_PREFIX} characters of one.",
            next_step="Find the id with `ghostcrm clients list`.",
        )
    rows = await installation.control.fetch_all(CLIENTS["ids_by_prefix"], prefix=prefix)
    if not rows:
        raise NotFound(f"No client's id begins with {prefix}.")
    if len(rows) > 1:
        raise InvalidInput(
            f"Several clients' ids begin with {prefix}.",
            next_step="Give more characters of the id.",
        )
    return rows[0]["id"]


def read_password() -> str:
    """The first line of stdin, without its line break.

    Raises:
        InvalidPassword: it is not UTF-8.
    """
    line = sys.stdin.buffer.readline()
    try:
        return line.decode().rstrip("\n").rstrip("\r")
    except UnicodeDecodeError:
        raise InvalidPassword("The password is not in UTF-8.") from None
