"""``ghostcrm provision``: register a company and watch its database come into being."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape

from ghostcrm_provisioning.cli.given_database import (
    AllowOtherTables,
    DatabaseKeyFile,
    DatabaseUrl,
    DatabaseUrlFile,
    ProjectUrl,
    read_database_key,
    read_database_url,
    refuse_two_from_stdin,
)
from ghostcrm_provisioning.cli.output import (
    Json,
    duration,
    out,
    print_error,
    print_json,
    program,
    say,
)
from ghostcrm_provisioning.cli.progress import RunProgress
from ghostcrm_provisioning.cli.session import read_password, run_with_installation
from ghostcrm_provisioning.clients.client import Client
from ghostcrm_provisioning.clients.description import describe_client
from ghostcrm_provisioning.clients.run import RUNS, Run, find_run
from ghostcrm_provisioning.errors import StillRunning
from ghostcrm_provisioning.following import follow
from ghostcrm_provisioning.registrars.registration import Accepted
from ghostcrm_provisioning.registration_form import checked_form
from ghostcrm_provisioning.wiring import Installation


def provision(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The company's name.")],
    admin_email: Annotated[str, typer.Option(help="Email of the company's first user, its owner.")],
    plan: Annotated[str, typer.Option(help="starter, professional or enterprise.")] = "starter",
    password_stdin: Annotated[
        bool,
        typer.Option(
            "--password-stdin",
            help="Read the admin's password (8 to 72 bytes) from stdin. Without it, a temporary one "
            "is made and shown once.",
        ),
    ] = False,
    client_id: Annotated[
        str | None,
        typer.Option("--id", help="The client's id (UUID), when you choose it yourself."),
    ] = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option(help="Repeating a registration with the same key gives the same client."),
    ] = None,
    blueprint: Annotated[
        str | None,
        typer.Option(help="A shipped blueprint's name, or a folder. Default: GHOSTCRM_BLUEPRINT."),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            help="Where its project at Supabase is to lie: eu-central-1, say, or emea. Default: the settings'."
        ),
    ] = None,
    database_url: DatabaseUrl = None,
    database_url_file: DatabaseUrlFile = None,
    database_key_file: DatabaseKeyFile = None,
    project_url: ProjectUrl = None,
    allow_other_tables: AllowOtherTables = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Return as soon as the registration is accepted.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(help="Stop watching after so many seconds; provisioning goes on.")
    ] = 600.0,
    as_json: Json = False,
) -> None:
    """Register a company and give it its own database.

    Works by itself: starts the embedded PostgreSQL, and does the work in this process when no
    worker is running. Repeating the same registration gives the same client. With a database that is there
    already, that one becomes the client's: see docs/how-to/use-an-existing-database.md.

    \b
    Example:
      ghostcrm provision "ACME Corp" --admin-email admin@acme.com --plan professional
    """

    async def work(installation: Installation) -> int:
        refuse_two_from_stdin(
            password_stdin=password_stdin, files=(database_url_file, database_key_file)
        )
        password = read_password() if password_stdin else None
        form = checked_form(
            company_name=name,
            admin_email=admin_email,
            plan=plan,
            blueprint=blueprint or installation.settings.blueprint,
            admin_password=password,
            client_id=client_id,
            idempotency_key=idempotency_key,
            database_url=read_database_url(database_url, database_url_file, installation.settings),
            database_key=read_database_key(database_key_file, installation.settings),
            project_url=project_url,
            allow_other_tables=allow_other_tables,
            region=region,
        )
        for note in () if form.given is None else form.given.notes:
            say(f"[dim]{escape(note)}[/]")
        accepted = await installation.registrar.register(form, registered_by="cli")
        if not as_json:
            # At once: whatever interrupts the watching, it is not shown a second time.
            print_temporary_password(form.admin_email, accepted)
        if no_wait:
            await say_who_works(installation)
        else:
            try:
                await watch(installation, accepted.run_id, timeout_seconds=timeout)
            except (StillRunning, asyncio.CancelledError) as left:
                if as_json:
                    await report(installation, accepted, as_json=True, waited=False)
                if isinstance(left, StillRunning):
                    print_error(left, as_json=False)
                    return left.exit_code
                raise
        return await report(installation, accepted, as_json=as_json, waited=not no_wait)

    run_with_installation(work, as_json=as_json)


def print_temporary_password(admin_email: str, accepted: Accepted) -> None:
    """Shown once, when there is one."""
    if accepted.temporary_password is not None:
        out.print(
            f"Admin {escape(admin_email)}, temporary password "
            f"[bold]{escape(accepted.temporary_password)}[/] (shown this once; to be changed)"
        )


async def watch(installation: Installation, run_id: UUID, *, timeout_seconds: float) -> None:
    """Show a run's steps until it ends; Ctrl-C stops the watching, not the run."""
    async with installation.control.connection() as connection:
        if (await find_run(connection, run_id)).is_finished:
            return
    try:
        with RunProgress() as progress:
            await follow(installation, run_id, timeout_seconds=timeout_seconds, on_change=progress)
    except asyncio.CancelledError:
        async with installation.control.connection() as connection:
            run = await find_run(connection, run_id)
        if not run.is_finished:
            say(f"Stopped watching. See how it stands: {program()} clients explain {run.client_id}")
        raise


async def report(
    installation: Installation, accepted: Accepted, *, as_json: bool, waited: bool
) -> int:
    """Print what came of a registration; returns the exit code."""
    client, run, document = await describe(installation, accepted.client_id)
    if accepted.temporary_password is not None:
        document["admin"]["temporaryPassword"] = accepted.temporary_password
    if as_json:
        print_json(document)
    else:
        _print_outcome(client, run, accepted)
    if waited:
        return 0 if client.status == "ready" else 1
    return 0


async def describe(
    installation: Installation, client_id: UUID
) -> tuple[Client, Run, dict[str, Any]]:
    """A client, its latest run, and the document of both."""
    async with installation.control.connection() as connection:
        return await describe_client(connection, client_id)


def _print_outcome(client: Client, run: Run, accepted: Accepted) -> None:
    name = f"[bold]{escape(client.name)}[/]"
    if client.status == "ready":
        took = f" in {duration(run.duration_ms)}" if accepted.created else " (it was already)"
        out.print(f"{name} is ready{took}.")
    elif run.status == "failed":
        error = run.error or {}
        out.print(f"{name} is [red]not ready[/]: {escape(str(error.get('message')))}")
        out.print(f"Next: {escape(str(error.get('nextStep')))}")
    else:
        out.print(f"{name} is accepted; its status is {client.status}.")
    verb = "connect" if client.status == "ready" else "explain"
    out.print(f"[dim]Next: {program()} clients {verb} {client.id}[/]")


async def say_who_works(installation: Installation) -> None:
    """When nobody does: a command that does not wait must not leave that impression."""
    row = await installation.control.fetch_one(
        RUNS["count_alive_workers"], lease_seconds=installation.settings.lease_seconds
    )
    if not row or not row["any_kind"]:
        say("[yellow]No workers are running.[/] Nothing will be done until one starts: ghostcrm up")
