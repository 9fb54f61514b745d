"""``ghostcrm queue``: what is waiting, what is being worked on, who works."""

from __future__ import annotations

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from ghostcrm_provisioning.cli.output import Json, duration, out, print_json
from ghostcrm_provisioning.cli.session import run_with_installation
from ghostcrm_provisioning.clients.documents import (
    current_operation_document,
    instant,
    whole_ms,
)
from ghostcrm_provisioning.clients.run import RUNS
from ghostcrm_provisioning.wiring import Installation

app = typer.Typer(no_args_is_help=True, help="What is waiting, what is being worked on, who works.")


@app.command("status")
def status(as_json: Json = False) -> None:
    """Show the queue's length, current operations and workers."""

    async def work(installation: Installation) -> None:
        queue = await installation.queue.status()
        workers = await installation.control.fetch_all(
            RUNS["list_workers"], lease_seconds=installation.settings.lease_seconds
        )
        alive = [worker for worker in workers if worker["alive"]]
        if as_json:
            print_json(
                {
                    "queueLength": queue.queue_length,
                    "processing": queue.processing,
                    "waiting": queue.waiting,
                    "oldestWaitMs": whole_ms(queue.oldest_wait_ms),
                    "failedLastDay": queue.failed_last_day,
                    "workers": [
                        {
                            "id": str(worker["id"]),
                            "host": worker["host"],
                            "processId": worker["process_id"],
                            "standing": worker["standing"],
                            "busy": worker["busy"],
                            "concurrency": worker["concurrency"],
                            "startedAt": instant(worker["started_at"]),
                        }
                        for worker in alive
                    ],
                    "current": [current_operation_document(row) for row in queue.current],
                }
            )
            return
        oldest = f", the oldest for {duration(queue.oldest_wait_ms)}" if queue.queue_length else ""
        out.print(f"[bold]{queue.queue_length}[/] queued{oldest}")
        out.print(
            f"[bold]{queue.processing}[/] being worked on, [bold]{queue.waiting}[/] wait for their next attempt"
        )
        out.print(f"[bold]{queue.failed_last_day}[/] failed in the last 24 hours")
        if not alive:
            out.print("[yellow]No workers are running.[/] Start one: ghostcrm up")
        for worker in alive:
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
