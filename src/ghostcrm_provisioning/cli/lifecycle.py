"""``ghostcrm clients suspend``, ``resume``, ``export`` and ``delete``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape

from ghostcrm_provisioning.cli.output import (
    Json,
    duration,
    err,
    out,
    print_error,
    print_json,
    program,
)
from ghostcrm_provisioning.cli.provision import describe, say_who_works, watch
from ghostcrm_provisioning.cli.session import ClientId, find_client_id, run_with_installation
from ghostcrm_provisioning.clients.client import Client
from ghostcrm_provisioning.clients.lifecycle import DELETE, RESUME, SUSPEND
from ghostcrm_provisioning.clients.run import Run
from ghostcrm_provisioning.errors import NotConfirmed, StillRunning
from ghostcrm_provisioning.fleet.lifecycle import (
    delete_client,
    export_client_data,
    resume_client,
    suspend_client,
)
from ghostcrm_provisioning.registrars.lifecycle import AcceptedLifecycleChange
from ghostcrm_provisioning.wiring import Installation

Reason = Annotated[
    str | None,
    typer.Option(help="Why; kept with the run and in the audit log.", show_default=False),
]
NoExport = Annotated[
    bool,
    typer.Option("--no-export", help="Do not write a dump of the client's data first."),
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Return at once.")]
Timeout = Annotated[float, typer.Option(help="Stop watching after so many seconds; it goes on.")]

# What each kind of run ends in, and what it is called on the way and when it failed.
_ENDS = {SUSPEND: "suspended", RESUME: "ready", DELETE: "deleted"}
_ON_ITS_WAY = {
    SUSPEND: "is being suspended; nobody is let in any more",
    RESUME: "is being resumed; nobody is let in until it is proven",
    DELETE: "is being deleted; nobody is let in any more",
}
_FAILED = {
    SUSPEND: "is not suspended",
    RESUME: "is not back",
    DELETE: "is not deleted",
}


def suspend_command(
    client_id: ClientId,
    reason: Reason = None,
    no_export: NoExport = False,
    no_wait: NoWait = False,
    timeout: Timeout = 600.0,
    as_json: Json = False,
) -> None:
    """Suspend a client: nobody gets in until it is resumed, and everything stays.

    A dump of its data is written first. A project at Supabase is paused.

    \b
    Example:
      ghostcrm clients suspend 52d3a2c1 --reason "invoice 4711 is unpaid"
    """

    async def work(installation: Installation) -> int:
        found = await find_client_id(installation, client_id)
        accepted = await suspend_client(
            installation, found, requested_by="cli", reason=reason, with_export=not no_export
        )
        return await _see_through(installation, accepted, no_wait, timeout, as_json=as_json)

    run_with_installation(work, as_json=as_json, may_begin=False)


def resume_command(
    client_id: ClientId,
    reason: Reason = None,
    no_wait: NoWait = False,
    timeout: Timeout = 600.0,
    as_json: Json = False,
) -> None:
    """Have a suspended client back: proven to be isolated again before anybody is let in.

    Also for a project that Supabase itself has paused.
    """

    async def work(installation: Installation) -> int:
        found = await find_client_id(installation, client_id)
        accepted = await resume_client(installation, found, requested_by="cli", reason=reason)
        return await _see_through(installation, accepted, no_wait, timeout, as_json=as_json)

    run_with_installation(work, as_json=as_json, may_begin=False)


def delete_command(
    client_id: ClientId,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask for the client's name. There is no way back.")
    ] = False,
    reason: Reason = None,
    no_export: NoExport = False,
    no_wait: NoWait = False,
    timeout: Timeout = 600.0,
    as_json: Json = False,
) -> None:
    """Delete a client's database, for ever, and see that nothing is left of it.

    A dump of its data, as it was at the end, is written first. Its name and history stay; what opened its
    database is erased.

    \b
    Examples:
      ghostcrm clients delete 52d3a2c1
      ghostcrm clients delete 52d3a2c1 --yes --no-export
    """

    async def work(installation: Installation) -> int:
        found = await find_client_id(installation, client_id)
        client, _, _ = await describe(installation, found)
        name = client.name if yes or client.status == "deleted" else _ask_for_name(client)
        accepted = await delete_client(
            installation,
            found,
            confirmed_name=name,
            requested_by="cli",
            reason=reason,
            with_export=not no_export,
        )
        return await _see_through(installation, accepted, no_wait, timeout, as_json=as_json)

    run_with_installation(work, as_json=as_json, may_begin=False)


def export_command(
    client_id: ClientId,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            help="The dump's file. Beside it lie the users' dump (.users.dump) and the manifest (.json). "
            "Default: a new name in GHOSTCRM_EXPORTS.",
        ),
    ] = None,
    reason: Reason = None,
    as_json: Json = False,
) -> None:
    """Write a dump of a client's data, which pg_restore reads. It holds password hashes; its making is audited."""

    async def work(installation: Installation) -> None:
        found = await find_client_id(installation, client_id)
        export = await export_client_data(
            installation, found, requested_by="cli", reason=reason, output=output
        )
        if as_json:
            print_json({"manifest": str(export.path), **export.manifest.as_document()})
            return
        out.print(escape(f"Exported: {export.seen}."))
        for each in export.manifest.files:
            out.print(
                f"  {escape(str(export.path.parent / each.name))}  [dim]{escape(each.holds)}[/]"
            )
        out.print(f"  {escape(str(export.path))}  [dim]the manifest[/]")

    run_with_installation(work, as_json=as_json, may_begin=False)


def _ask_for_name(client: Client) -> str:
    if not sys.stdin.isatty():
        raise NotConfirmed(
            f"Nobody is there to confirm that {client.name} is deleted.",
            next_step="Say --yes to delete it without being asked.",
        )
    err.print(
        f"The database of [bold]{escape(client.name)}[/] ({client.database_name} on "
        f"{escape(client.server_name)}) is removed. There is no way back."
    )
    return str(typer.prompt("Type the client's name to delete it", err=True))


async def _see_through(
    installation: Installation,
    accepted: AcceptedLifecycleChange,
    no_wait: bool,
    timeout_seconds: float,
    *,
    as_json: bool,
) -> int:
    if accepted.run_id is None:
        client, _, document = await describe(installation, accepted.client_id)
        if as_json:
            print_json(document | {"changed": False})
        else:
            out.print(
                f"[bold]{escape(client.name)}[/] is {client.status} already; nothing was done."
            )
        return 0
    if no_wait:
        await say_who_works(installation)
    else:
        try:
            await watch(installation, accepted.run_id, timeout_seconds=timeout_seconds)
        except StillRunning as left:
            await report_change(installation, accepted.client_id, as_json=as_json)
            print_error(left, as_json=False)
            return left.exit_code
    code = await report_change(installation, accepted.client_id, as_json=as_json)
    return 0 if no_wait else code


async def report_change(installation: Installation, client_id: UUID, *, as_json: bool) -> int:
    """Print what came of a suspension, resumption or deletion; returns the exit code of one that was waited
    for."""
    client, run, document = await describe(installation, client_id)
    changed = run.status == "succeeded" and client.status == _ENDS.get(run.kind)
    if as_json:
        more: dict[str, Any] = {"changed": changed}
        print_json(document | more)
    else:
        _print_outcome(client, run, changed=changed)
    return 0 if changed else 1


def _print_outcome(client: Client, run: Run, *, changed: bool) -> None:
    name = f"[bold]{escape(client.name)}[/]"
    if changed:
        said = {"ready": "ready again"}.get(client.status, client.status)
        out.print(f"{name} is {said} ({duration(run.duration_ms)}).")
        if client.absence is not None:
            out.print(f"Seen: {escape(client.absence)}.")
            return
    elif run.status == "failed":
        error = run.error or {}
        out.print(f"{name} [red]{_FAILED[run.kind]}[/]: {escape(str(error.get('message')))}")
        out.print(f"Next: {escape(str(error.get('nextStep')))}")
    else:
        out.print(f"{name} {_ON_ITS_WAY[run.kind]}.")
    verb = {"suspended": "resume", "ready": "connect"}.get(client.status, "explain")
    if not changed:
        verb = "explain"
    out.print(f"[dim]Next: {program()} clients {verb} {client.id}[/]")
