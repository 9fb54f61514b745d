"""``ghostcrm queue``: what is waiting, what is being worked on, who works."""

from __future__ import annotations

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from ghostcrm_provisioning.cli.output import Json, duration, out, print_json
from ghostcrm_provisioning.cli.session import run_with_installation
from ghostcrm_provisioning.wiring import Installation

app = typer.Typer(no_args_is_help=True, help="What is waiting, what is being worked on, who works.")


@app.command("status")
def status(as_json: Json = False) -> None:
    """Show the queue's length, current operations and workers."""

    async def work(installation: Installation) -> None:
        queue = await installation.queue.status()
        if as_json:
            print_json(queue.as_document())
            return
        oldest = f", the oldest for {duration(queue.oldest_wait_ms)}" if queue.queue_length else ""
        out.print(f"[bold]{queue.queue_length}[/] queued{oldest}")
        out.print(
            f"[bold]{queue.processing}[/] being worked on, [bold]{queue.waiting}[/] wait for their next attempt"
        )
        out.print(f"[bold]{queue.failed_last_day}[/] failed in the last 24 hours")
        if not queue.workers:
            out.print("[yellow]No workers are running.[/] Start one: ghostcrm up")
        for worker in queue.workers:
            out.print(
                f"Worker {escape(worker['host'])}:{worker['process_id']}: "
                f"{worker['busy']} of {worker['concurrency']} busy"
            )
        if queue.current:
            table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
            for title in ("Client", "Run", "Status", "Step", "Attempt", "Id"):
                table.add_column(title)
            for row in queue.current:
                table.add_row(
                    escape(row["client_name"]),
                    row["kind"],
                    row["status"],
                    row["step"] or "",
                    str(row["attempt"] or ""),
                    str(row["client_id"]),
                )
            out.print(table)

    run_with_installation(work, as_json=as_json, may_begin=False)
