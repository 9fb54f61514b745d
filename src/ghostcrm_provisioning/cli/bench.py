"""``ghostcrm bench``: what it costs, measured here and now beside what it is compared with."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import psycopg
import typer
from psycopg.rows import dict_row
from rich import box
from rich.table import Table

from ghostcrm_provisioning.benchmarks.page_queries import (
    IMPORTED_CONTACTS,
    LARGEST_RATIO,
    Cell,
    measure_import,
    measure_pages,
)
from ghostcrm_provisioning.benchmarks.sample_crm import FEWEST_CONTACTS, fill_client_database
from ghostcrm_provisioning.cli.bench_api import bench_api
from ghostcrm_provisioning.cli.output import Json, duration, out, print_json, say
from ghostcrm_provisioning.cli.session import run_with_installation
from ghostcrm_provisioning.client_database.blueprint import read_blueprint
from ghostcrm_provisioning.provisioning.work import template_of
from ghostcrm_provisioning.wiring import Installation

app = typer.Typer(
    no_args_is_help=True, help="Measure what it costs, beside what one compares with."
)
app.command("api")(bench_api)


@app.command("queries")
def queries(
    contacts: Annotated[
        int, typer.Option(min=FEWEST_CONTACTS, help="How many contacts the sample has.")
    ] = 200_000,
    pairs: Annotated[
        int, typer.Option(min=1, help="Paired runs of each query, of which the median counts.")
    ] = 200,
    as_json: Json = False,
) -> None:
    """Measure what row level security costs the pages of a CRM. Exits 1 when one costs over 15 %.

    Fills a scratch database on the home server, made from the blueprint's template and dropped at the
    end, and runs each page in turns as the person and, with the same rows, without row level security.
    """

    async def work(installation: Installation) -> int:
        provider = await installation.providers.home()
        template = template_of(read_blueprint("ghostcrm"))
        say("[dim]Making a scratch database …[/]")
        async with provider.scratch_copy(installation.id, template) as conninfo:
            cells, import_ms = await asyncio.to_thread(_measure, conninfo, contacts, pairs)
        passes = all(cell.passes for cell in cells)
        if as_json:
            print_json(
                {
                    "contacts": contacts,
                    "pairs": pairs,
                    "limit": LARGEST_RATIO,
                    "passes": passes,
                    "cells": [cell.as_document() for cell in cells],
                    "import": {"contacts": IMPORTED_CONTACTS, "ms": round(import_ms, 1)},
                }
            )
        else:
            _print(cells, contacts, pairs, import_ms)
        return 0 if passes else 1

    run_with_installation(work, as_json=as_json)


def _measure(conninfo: str, contacts: int, pairs: int) -> tuple[list[Cell], float]:
    """Runs in a thread of its own, so that nothing but the driver stands between clock and server."""
    with psycopg.connect(conninfo, autocommit=True, row_factory=dict_row) as connection:
        fill_client_database(
            connection, contacts, on_progress=lambda part: say(f"[dim]Writing {part} …[/]")
        )
        cells = measure_pages(
            connection,
            pairs=pairs,
            on_cell=lambda cell: say(f"[dim]{cell.query} as {cell.role}: {cell.ratio:.2f}×[/]"),
        )
        return cells, measure_import(connection)


def _print(cells: list[Cell], contacts: int, pairs: int, import_ms: float) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for title in ("Query", "Role"):
        table.add_column(title, no_wrap=True)
    for title in ("Rows", "With RLS", "Without", "Ratio"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for cell in cells:
        row: list[Any] = [
            cell.query.replace("_", " "),
            cell.role,
            str(cell.rows),
            f"{cell.with_ms:.2f} ms",
            f"{cell.without_ms:.2f} ms",
            f"{cell.ratio:.2f}×",
            "[green]✓[/]" if cell.passes else f"[red]above {LARGEST_RATIO}[/]",
        ]
        table.add_row(*row)
    out.print(table)
    out.print(
        f"[dim]{contacts:,} contacts; medians of {pairs} paired runs; both sides show the same rows. For"
        " sales, the side without row level security asks for own, team's and unassigned records"
        " itself.[/]"
    )
    out.print(
        f"Import of {IMPORTED_CONTACTS:,} contacts as a manager, in batches: {duration(import_ms)}"
    )
