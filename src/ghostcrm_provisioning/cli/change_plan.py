"""``ghostcrm clients change-plan``: what another plan would mean for a client, and having it done."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from ghostcrm_provisioning.cli.output import (
    Json,
    duration,
    out,
    print_error,
    print_json,
    program,
)
from ghostcrm_provisioning.cli.provision import describe, say_who_works, watch
from ghostcrm_provisioning.cli.session import find_client_id, run_with_installation
from ghostcrm_provisioning.client_database.plan_usage import LostFeature
from ghostcrm_provisioning.clients.client import Client
from ghostcrm_provisioning.clients.run import Run
from ghostcrm_provisioning.errors import PlanDoesNotFit, StillRunning
from ghostcrm_provisioning.fleet.changing_plan import (
    PlanPreview,
    change_plan,
    preview_plan_change,
    takes_something,
)
from ghostcrm_provisioning.registrars.registration import AcceptedPlanChange
from ghostcrm_provisioning.wiring import Installation

_UNITS = ("bytes", "KB", "MB", "GB", "TB")


def change_plan_command(
    client_id: Annotated[
        str, typer.Argument(metavar="ID", help="The client's id, or its first characters.")
    ],
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="A plan of the client's blueprint.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would mean and change nothing.")
    ] = False,
    allow_over_limit: Annotated[
        bool,
        typer.Option(
            "--allow-over-limit",
            help="Accept what is over a limit of the new plan: nothing is deleted, and nothing new is "
            "taken until it is below.",
        ),
    ] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return at once.")] = False,
    timeout: Annotated[
        float, typer.Option(help="Stop watching after so many seconds; it goes on.")
    ] = 600.0,
    as_json: Json = False,
) -> None:
    """Give a client another plan; it takes effect at once, and the client stays in use.

    A plan into which what is used does not fit is refused, saying what is over and by how much.

    \b
    Examples:
      ghostcrm clients change-plan 52d3a2c1 starter --dry-run
      ghostcrm clients change-plan 52d3a2c1 enterprise
    """

    async def work(installation: Installation) -> int:
        found = await find_client_id(installation, client_id)
        preview: PlanPreview | None = None
        if not dry_run:  # what cannot be accepted is refused before anything is counted
            await installation.registrar.find_plan_change(found, plan)
        if dry_run or await takes_something(installation, found, plan):
            preview = await preview_plan_change(installation, found, plan)
        if dry_run and preview is not None:
            if as_json:
                print_json(preview.as_document())
            else:
                print_preview(preview)
            return 0
        if preview is not None and not as_json:
            print_preview(preview)
        try:
            accepted = await change_plan(
                installation,
                found,
                plan,
                requested_by="cli",
                allow_over_limit=allow_over_limit,
            )
        except PlanDoesNotFit as refused:
            if not as_json or preview is None:
                raise
            print_json({"error": refused.as_record(), "preview": preview.as_document()})
            print_error(refused, as_json=False)
            return refused.exit_code
        return await _see_through(
            installation,
            accepted,
            preview,
            wait_seconds=None if no_wait else timeout,
            as_json=as_json,
        )

    run_with_installation(work, as_json=as_json, may_begin=False)


async def _see_through(
    installation: Installation,
    accepted: AcceptedPlanChange,
    preview: PlanPreview | None,
    *,
    wait_seconds: float | None,
    as_json: bool,
) -> int:
    more: dict[str, Any] = {
        "changed": False,
        "previousPlan": accepted.from_plan,
        "preview": None if preview is None else preview.as_document(),
    }
    if accepted.run_id is None:
        client, _, document = await describe(installation, accepted.client_id)
        if as_json:
            print_json(document | more)
        else:
            out.print(
                f"[bold]{escape(client.name)}[/] has the plan {escape(client.plan)} already; "
                "nothing was done."
            )
        return 0
    if wait_seconds is None:
        await say_who_works(installation)
    else:
        try:
            await watch(installation, accepted.run_id, timeout_seconds=wait_seconds)
        except StillRunning as left:
            await report_plan_change(installation, accepted.client_id, more, as_json=as_json)
            print_error(left, as_json=False)
            return left.exit_code
    code = await report_plan_change(installation, accepted.client_id, more, as_json=as_json)
    return 0 if wait_seconds is None else code


async def report_plan_change(
    installation: Installation, client_id: UUID, more: dict[str, Any], *, as_json: bool
) -> int:
    """Print what came of a change of plan; returns the exit code of one that was waited for."""
    client, run, document = await describe(installation, client_id)
    changed = run.status == "succeeded"
    if as_json:
        print_json(document | more | {"changed": changed})
    else:
        _print_outcome(client, run)
    if changed:
        return 0
    code = (run.error or {}).get("code")
    return PlanDoesNotFit.exit_code if code == PlanDoesNotFit.code else 1


def _print_outcome(client: Client, run: Run) -> None:
    name = f"[bold]{escape(client.name)}[/]"
    if run.status == "succeeded":
        out.print(f"{name} has the plan {escape(client.plan)} ({duration(run.duration_ms)}).")
        return
    if run.status == "failed":
        error = run.error or {}
        out.print(
            f"{name} is ready on the plan {escape(client.plan)}; its change to "
            f"{escape(client.wanted_plan)} [red]failed[/]: {escape(str(error.get('message')))}"
        )
        out.print(f"Next: {escape(str(error.get('nextStep')))}")
    else:
        out.print(
            f"{name} is to have the plan {escape(client.wanted_plan)}; "
            f"until then it is ready on {escape(client.plan)}."
        )
    out.print(f"[dim]Next: {program()} clients explain {client.id}[/]")


def print_preview(preview: PlanPreview) -> None:
    """What the other plan would mean, as a table and sentences."""
    client = preview.client
    out.print(
        f"[bold]{escape(client.name)}[/], from {escape(client.plan)} to {escape(preview.plan)}:"
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    for title in ("Used", "Allowed now", "Allowed then", "Over by"):
        table.add_column(title, justify="right", no_wrap=True)
    for usage in preview.usages or ():
        over = _amount(usage.resource, usage.over_by) if usage.over_by else ""
        table.add_row(
            escape(usage.resource.removesuffix("_bytes").replace("_", " ")),
            _amount(usage.resource, usage.used),
            _limit(usage.resource, usage.allowed_now),
            _limit(usage.resource, usage.allowed_then),
            f"[{'red' if usage.is_in_the_way else 'yellow'}]{over}[/]" if over else "",
        )
    now = preview.connections_now
    if preview.connections_then is not None:
        table.add_row(
            "connections",
            "",
            _limit("connections", None if now == -1 else now),
            _limit("connections", preview.connections_then),
            "",
        )
    out.print(table)
    if preview.usages is None:
        out.print("[dim]Its blueprint does not count what is used.[/]")
    if preview.gained:
        titles = ", ".join(preview.titles.get(key, key) for key in preview.gained)
        out.print(f"Gained: {escape(titles)}")
    if preview.lost:
        titles = ", ".join(_lost(lost, preview.titles) for lost in preview.lost)
        out.print(f"Lost: {escape(titles)}")
    if not preview.fits:
        out.print(
            "[red]It does not fit.[/] Nothing would be deleted, and nothing new be taken "
            "until it is below the limit."
        )


def _lost(lost: LostFeature, titles: dict[str, str]) -> str:
    title = titles.get(lost.key, lost.key)
    if not lost.used_by:
        return title
    used_by = ", ".join(f"{used} {resource.replace('_', ' ')}" for resource, used in lost.used_by)
    return f"{title} (used by {used_by})"


def _limit(resource: str, allowed: int | None) -> str:
    return "unlimited" if allowed is None else _amount(resource, allowed)


def _amount(resource: str, amount: int) -> str:
    if not resource.endswith("_bytes"):
        return f"{amount:,}"
    size = float(amount)
    for unit in _UNITS:
        if size < 1024 or unit == _UNITS[-1]:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1024
    raise AssertionError
