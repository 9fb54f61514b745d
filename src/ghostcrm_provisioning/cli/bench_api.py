"""``ghostcrm bench api``: is the admin API as quick with very many clients as with few?

Everything happens on a PostgreSQL of its own, in a folder that is thrown away: two control databases with
synthetic clients, and for each a server of the API and a worker, as processes.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from pydantic import SecretStr
from rich import box
from rich.table import Table

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.access.tokens import Tokens
from ghostcrm_provisioning.benchmarks.api_load import (
    LARGEST_RATIO,
    LIST_PATH,
    Load,
    Side,
    measure,
)
from ghostcrm_provisioning.benchmarks.api_profile import Profile, profile_requests
from ghostcrm_provisioning.benchmarks.control_history import fill_control_database
from ghostcrm_provisioning.cli.output import Json, duration, out, print_json, say
from ghostcrm_provisioning.cli.session import run_command
from ghostcrm_provisioning.control_database.database import connection_options
from ghostcrm_provisioning.errors import PostconditionNotMet
from ghostcrm_provisioning.home_server import embedded_postgres, open_home_server
from ghostcrm_provisioning.providers.postgres_server import connection_url
from ghostcrm_provisioning.settings import Settings, read_settings
from ghostcrm_provisioning.wiring import open_installation

_PROFILED_REQUESTS = 200
_STOPPING_SECONDS = 30


def bench_api(
    few: Annotated[int, typer.Option(min=100, help="Clients on the one side.")] = 1_000,
    many: Annotated[int, typer.Option(min=100, help="Clients on the other side.")] = 100_000,
    changes: Annotated[
        int, typer.Option(min=0, help="Changes of plan for each client; every one is a run.")
    ] = 4,
    readers: Annotated[int, typer.Option(min=1, max=200, help="How many read at a time.")] = 20,
    seconds: Annotated[
        float, typer.Option(min=1, help="How long both sides are read in all.")
    ] = 60,
    turns: Annotated[int, typer.Option(min=1, help="How often the sides take turns.")] = 10,
    rounds: Annotated[
        int, typer.Option(min=1, help="Rounds at most, while a ratio is above the limit.")
    ] = 3,
    as_json: Json = False,
) -> None:
    """Measure the API's list, search, filter and status with few and with very many clients, while others
    are provisioned. Exits 1 when the 95th percentile with many is above 1.5 of that with few.

    Works on an embedded PostgreSQL of its own, which is thrown away (1.5 GB for 100,000 clients).
    """

    async def work() -> int:
        # FastAPI and all that belongs to it take longer to load than most commands to run.
        from ghostcrm_provisioning.serving import make_application  # noqa: PLC0415

        with _scratch_folder() as folder, ExitStack() as processes:
            few_side, _ = await _side(folder, "few", few, changes, processes)
            many_side, settings = await _side(folder, "many", many, changes, processes)
            load = await asyncio.to_thread(
                measure,
                few_side,
                many_side,
                readers=readers,
                seconds=seconds,
                turns=turns,
                rounds=rounds,
                on_progress=lambda text: say(f"[dim]{text}[/]"),
            )
            processes.close()
            say("[dim]Profiling …[/]")
            async with open_installation(settings) as installation:
                profile = await profile_requests(
                    make_application(installation),
                    LIST_PATH,
                    many_side.headers,
                    requests=_PROFILED_REQUESTS,
                )
        passes = all(cell.passes for cell in load.cells)
        if as_json:
            print_json(
                {
                    "few": few,
                    "many": many,
                    "readers": readers,
                    "limit": LARGEST_RATIO,
                    "passes": passes,
                    "provisioned": load.provisioned,
                    "cells": [cell.as_document() for cell in load.cells],
                    "profile": profile.as_document(),
                }
            )
        else:
            _print(load, profile, few=few, many=many, readers=readers)
        return 0 if passes else 1

    run_command(work(), as_json=as_json)


@contextmanager
def _scratch_folder() -> Iterator[Path]:
    """A folder whose PostgreSQL is stopped, and which is deleted, whatever happens."""
    home = read_settings().home
    home.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=home))
    try:
        yield folder
    finally:
        postgres = embedded_postgres(_settings(folder, None))
        if (folder / "postgresql").exists():
            postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _settings(home: Path, database_url: str | None) -> Settings:
    return Settings(
        home=home,
        database_url=None if database_url is None else SecretStr(database_url),
        notify_urls=None,
        blueprint=read_settings().blueprint,
        requests_per_minute=0,
        requests_per_minute_and_address=0,
    )


async def _side(
    folder: Path, name: str, clients: int, changes: int, processes: ExitStack
) -> tuple[Side, Settings]:
    """A filled control database with its server and worker running."""
    home = await open_home_server(_settings(folder, None))
    url = _new_database(home.control_url, f"bench_{name}")
    settings = _settings(folder / name, url)
    async with open_installation(settings) as installation:
        say(f"[dim]Filling a control database with {clients:,} clients …[/]")
        await asyncio.to_thread(_fill, url, clients, changes)
        token = await Tokens(installation.control).create(
            name="bench", scopes=frozenset({Scope.ADMIN}), created_by="bench"
        )
    environment = {
        variable: value
        for variable, value in os.environ.items()
        if not variable.startswith("GHOSTCRM_")
    } | {
        "GHOSTCRM_HOME": str(settings.home),
        "GHOSTCRM_DATABASE_URL": url,
        "GHOSTCRM_BLUEPRINT": settings.blueprint,
        # The databases of the synthetic clients are not there to be attacked.
        "GHOSTCRM_VERIFY_SAMPLE": "0",
        "GHOSTCRM_REQUESTS_PER_MINUTE": "0",
        "GHOSTCRM_REQUESTS_PER_MINUTE_AND_ADDRESS": "0",
    }
    log = settings.home / "processes.log"
    processes.enter_context(_running("worker", environment=environment, log=log))
    api = processes.enter_context(
        _running("api", "--port", "0", "--json", environment=environment, log=log)
    )
    assert api.stdout is not None
    line = await asyncio.to_thread(_first_document, api)
    return Side(clients, line["url"], token.token.get_secret_value()), settings


def _new_database(control_url: str, name: str) -> str:
    """An empty database beside the control database, as the same login; returns how to reach it."""
    with psycopg.connect(control_url, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    parts = conninfo_to_dict(control_url)
    return connection_url(
        host=str(parts["host"]),
        port=str(parts["port"]),
        database=name,
        user=str(parts["user"]),
        password=str(parts["password"]),
    )


def _fill(url: str, clients: int, changes: int) -> None:
    with psycopg.connect(
        connection_options(url, application_name="ghostcrm bench"),
        autocommit=True,
        row_factory=dict_row,
    ) as connection:
        fill_control_database(
            connection,
            clients=clients,
            changes=changes,
            on_progress=lambda part: say(f"[dim]  {part.replace('_', ' ')}[/]"),
        )


@contextmanager
def _running(
    *arguments: str, environment: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[str]]:
    """A command of ours as a process, until the block ends."""
    with (
        log.open("a") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "ghostcrm_provisioning.cli.main", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.communicate(timeout=_STOPPING_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _first_document(api: subprocess.Popen[str]) -> dict[str, Any]:
    """The JSON document that the server prints when it accepts connections."""
    text = ""
    assert api.stdout is not None
    for line in api.stdout:
        text += line
        try:
            document: dict[str, Any] = json.loads(text)
        except json.JSONDecodeError:
            continue
        return document
    raise PostconditionNotMet("The server of the API ended before it accepted connections.")


def _print(load: Load, profile: Profile, *, few: int, many: int, readers: int) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("Request", no_wrap=True)
    for title in (
        "Requests",
        f"p50, {few:,}",
        f"p50, {many:,}",
        f"p95, {few:,}",
        f"p95, {many:,}",
        "Ratio",
    ):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for cell in load.cells:
        table.add_row(
            cell.kind,
            f"{cell.requests:,}",
            *(
                f"{value:.1f} ms"
                for value in (cell.few_p50, cell.many_p50, cell.few_p95, cell.many_p95)
            ),
            f"{cell.ratio:.2f}×",
            "[green]✓[/]" if cell.passes else f"[red]above {LARGEST_RATIO}[/]",
        )
    out.print(table)
    out.print(
        f"[dim]{readers} readers at a time, both sides in turns; {load.provisioned} clients were "
        "provisioned meanwhile.[/]"
    )
    out.print(
        f"A page of the list with {many:,} clients, one reader: {duration(profile.wall_ms)}, of which "
        f"{profile.own_code_ms:.2f} ms in our own code and {profile.postgres_ms:.2f} ms in PostgreSQL."
    )
    functions = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    functions.add_column("Function (under the profiler, which slows it)", overflow="fold")
    functions.add_column("Own", justify="right", no_wrap=True)
    functions.add_column("With callees", justify="right", no_wrap=True)
    for function in profile.functions:
        functions.add_row(function.name, f"{function.own_ms:.3f} ms", f"{function.total_ms:.3f} ms")
    out.print(functions)
