"""``ghostcrm notifications``: what the admins were told, or are about to be."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from ghostcrm_provisioning.cli.output import Json, out, print_json
from ghostcrm_provisioning.cli.session import run_with_installation
from ghostcrm_provisioning.notifications.listing import (
    list_notifications,
    notification_document,
)
from ghostcrm_provisioning.wiring import Installation

app = typer.Typer(no_args_is_help=True, help="What the admins were told, or are about to be.")

_DELIVERY = {
    "pending": "being delivered",
    "delivered": "delivered",
    "unwanted": "kept here only: GHOSTCRM_NOTIFY_URLS is not set",
}


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    as_json: Json = False,
) -> None:
    """List notifications, newest first."""

    async def work(installation: Installation) -> None:
        rows = await list_notifications(installation.control, limit=limit)
        if as_json:
            print_json({"data": [notification_document(row) for row in rows]})
            return
        if not rows:
            out.print("No notifications yet: nothing has failed for good.")
        for row in rows:
            out.print(f"[bold]{escape(row['subject'])}[/]  [dim]{row['severity']}[/]")
            out.print(
                f"[dim]{row['created_at']:%Y-%m-%d %H:%M:%S} UTC, {_DELIVERY[row['delivery']]}[/]"
            )
            out.print(f"{escape(row['body'])}\n")

    run_with_installation(work, as_json=as_json, may_begin=False)
