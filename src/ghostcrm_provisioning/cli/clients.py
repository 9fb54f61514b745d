"""``ghostcrm clients``: look at clients, ask why one is not ready, connect to one, change one."""

from __future__ import annotations

import os
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from psycopg.conninfo import conninfo_to_dict
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ghostcrm_provisioning.cli.change_plan import change_plan_command, report_plan_change
from ghostcrm_provisioning.cli.isolation import print_findings, release, verdicts, verified
from ghostcrm_provisioning.cli.lifecycle import (
    delete_command,
    export_command,
    report_change,
    resume_command,
    suspend_command,
)
from ghostcrm_provisioning.cli.output import Json, duration, err, out, print_json, say
from ghostcrm_provisioning.cli.progress import steps_table
from ghostcrm_provisioning.cli.provision import describe, report, watch
from ghostcrm_provisioning.cli.rotate import report_rotation, rotate_command
from ghostcrm_provisioning.cli.session import ClientId, find_client_id, run_with_installation
from ghostcrm_provisioning.client_database.program_settings import PLACEHOLDERS, as_env_file
from ghostcrm_provisioning.client_database.roles import CLIENT_LOGIN_ROLES
from ghostcrm_provisioning.clients.client import Client
from ghostcrm_provisioning.clients.documents import attempt_document, client_row_document
from ghostcrm_provisioning.clients.lifecycle import DELETE, RESUME, SUSPEND
from ghostcrm_provisioning.clients.listing import (
    STATUSES,
    ClientFilter,
    Place,
    count_by_status,
    list_clients,
)
from ghostcrm_provisioning.clients.rotation import ROTATE
from ghostcrm_provisioning.clients.run import RUNS, find_first_run, list_steps
from ghostcrm_provisioning.connecting import (
    connect_to,
    program_settings,
    reset_admin_password,
)
from ghostcrm_provisioning.embedded.binaries import find_psql
from ghostcrm_provisioning.errors import InvalidInput
from ghostcrm_provisioning.fleet.lifecycle import explain_as_seen
from ghostcrm_provisioning.provisioning.change_plan import CHANGE_PLAN
from ghostcrm_provisioning.provisioning.client_database_provisioner import WORKFLOWS
from ghostcrm_provisioning.registrars.registration import Accepted
from ghostcrm_provisioning.wiring import Installation

app = typer.Typer(
    no_args_is_help=True,
    help="Look at clients, ask why one is not ready, connect to one, change one.",
)

_WIDE = 100  # columns
_NARROWEST_NAME = 16
_COLOURS = {
    "ready": "green",
    "failed": "red",
    "quarantined": "red",
    "suspended": "yellow",
    "deleting": "yellow",
    "deleted": "dim",
    "provisioning": "cyan",
    "registered": "cyan",
}


@app.command("list")
def list_clients_command(
    search: Annotated[
        str,
        typer.Option(
            help="Only those with words that begin so in their name or their admin's email, or whose id "
            "begins so."
        ),
    ] = "",
    status: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Only those: {', '.join(STATUSES[:-1])} or {STATUSES[-1]}. May be given several times, as "
            "the others may."
        ),
    ] = None,
    plan: Annotated[list[str] | None, typer.Option(help="Only those on this plan.")] = None,
    region: Annotated[
        list[str] | None, typer.Option(help="Only those on servers of this region.")
    ] = None,
    server: Annotated[list[str] | None, typer.Option(help="Only those on this server.")] = None,
    with_deleted: Annotated[
        bool, typer.Option("--with-deleted", help="Those that were deleted, too.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 50,
    after: Annotated[
        str | None, typer.Option(help="Go on after the client with this id (nextCursor).")
    ] = None,
    as_json: Json = False,
) -> None:
    """List clients, newest first, without those that were deleted."""

    async def work(installation: Installation) -> None:
        for each in status or ():
            if each not in STATUSES:
                raise InvalidInput(
                    f"There is no status {each!r}; there are: {', '.join(STATUSES)}."
                )
        wanted = ClientFilter(
            search,
            tuple(status or ()),
            tuple(plan or ()),
            tuple(region or ()),
            tuple(server or ()),
            with_deleted,
        )
        place = None
        if after is not None:
            client, _, _ = await describe(installation, await find_client_id(installation, after))
            place = Place(client.created_at, client.id)
        async with installation.control.connection() as connection:
            page = await list_clients(connection, wanted, limit=limit, after=place)
            deleted = 0
            if not as_json and wanted.leaves_out_deleted:
                counts = await count_by_status(connection, wanted)
                deleted = sum(each.clients for each in counts if each.status == "deleted")
        cursor = str(page.rows[-1]["id"]) if page.has_more else None
        if as_json:
            data = [client_row_document(row) for row in page.rows]
            print_json({"data": data, "nextCursor": cursor, "hasMore": page.has_more})
            return
        _print_rows(page.rows, wanted, deleted=deleted)
        asked = _as_options(wanted)
        if cursor:
            out.print(f"[dim]More: ghostcrm clients list {escape(asked)}--after {cursor}[/]")
        elif deleted:
            more = f"ghostcrm clients list {asked}--with-deleted"
            out.print(f"[dim]And {deleted:,} deleted: {escape(more)}[/]")

    run_with_installation(work, as_json=as_json, may_begin=False)


def _as_options(wanted: ClientFilter) -> str:
    """The options that ask for it again, with a space after each."""
    options = [("search", wanted.search)] if wanted.search else []
    options += [("status", each) for each in wanted.statuses]
    options += [("plan", each) for each in wanted.plans]
    options += [("region", each) for each in wanted.regions]
    options += [("server", each) for each in wanted.servers]
    asked = "".join(f"--{name} {shlex.quote(value)} " for name, value in options)
    return asked + ("--with-deleted " if wanted.with_deleted else "")


def _print_rows(rows: list[dict[str, Any]], wanted: ClientFilter, *, deleted: int) -> None:
    if not rows:
        statuses = " or ".join(wanted.statuses)
        if wanted.is_empty and deleted:
            said = "No clients any more."
        elif wanted.is_empty:
            said = (
                "No clients yet. Register one: "
                'ghostcrm provision "ACME Corp" --admin-email admin@acme.com'
            )
        elif wanted == ClientFilter(statuses=wanted.statuses):
            said = f"No client is {statuses}."
        else:
            said = "No client is as asked for."
        out.print(said)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    # Short columns first: a narrow terminal folds the name. The beginning of an id is enough for every command.
    for title in ("ID", "Status", "Plan", "Verified"):
        table.add_column(title, no_wrap=True)
    table.add_column("Name", overflow="fold", min_width=_NARROWEST_NAME)
    is_wide = out.width >= _WIDE or not out.is_terminal
    id_length = 36 if is_wide else 8
    for row in rows:
        status_ = f"[{_COLOURS[row['status']]}]{row['status']}[/]"
        plan = _plan(row["plan"], row["wanted_plan"])
        day = f"{row['verified_at']:%Y-%m-%d}" if row["verified_at"] else "–"
        table.add_row(str(row["id"])[:id_length], status_, escape(plan), day, escape(row["name"]))
    # What is read by a program is as wide as it has to be.
    lines = out if out.is_terminal else Console(width=max(out.width, _WIDE), highlight=False)
    lines.print(table)


def _ended(client: Client) -> list[tuple[str, str]]:
    """Since when it is suspended or deleted, and what was seen then."""
    if client.suspended_at is not None:
        return [("Suspended", f"{client.suspended_at:%Y-%m-%d %H:%M:%S} UTC")]
    if client.deleted_at is not None:
        return [
            ("Deleted", f"{client.deleted_at:%Y-%m-%d %H:%M:%S} UTC"),
            ("Absence", f"seen then: {client.absence}"),
        ]
    return []


def _plan(plan: str, wanted: str) -> str:
    """The plan that a client has, and the one that it is to have when that is another."""
    return plan if plan == wanted else f"{plan} (wanted: {wanted})"


@app.command("show")
def show(client_id: ClientId, as_json: Json = False) -> None:
    """Show one client with the steps of its latest run."""

    async def work(installation: Installation) -> None:
        client, run, document = await describe(
            installation, await find_client_id(installation, client_id)
        )
        if as_json:
            attempts = await installation.control.fetch_all(RUNS["list_attempts"], run_id=run.id)
            print_json(document | {"attempts": [attempt_document(row) for row in attempts]})
            return
        async with installation.control.connection() as connection:
            first = await find_first_run(connection, client.id)
        colour = _COLOURS[client.status]
        out.print(f"[bold]{escape(client.name)}[/]  [{colour}]{client.status}[/]")
        table = Table.grid(padding=(0, 2))
        for title, value in (
            ("Id", str(client.id)),
            ("Plan", _plan(client.plan, client.wanted_plan)),
            ("Admin", client.admin_email),
            ("Database", f"{client.database_name} on {client.server_name} ({client.provider})"),
            *_project_of(client),
            ("Blueprint", client.blueprint),
            ("Registered", f"{client.created_at:%Y-%m-%d %H:%M:%S} UTC"),
            *_ended(client),
            ("Ready after", duration(first.duration_ms) if client.status == "ready" else "–"),
            ("Verified", verified(client.verified_at, client.isolation_holds)),
        ):
            table.add_row(f"[dim]{title}[/]", escape(value))
        out.print(table)
        out.print()
        if run.id != first.id:
            out.print(f"[bold]{WORKFLOWS[run.kind].title}[/], {run.status}")
        async with installation.control.connection() as connection:
            out.print(steps_table(run, await list_steps(connection, run.id)))

    run_with_installation(work, as_json=as_json, may_begin=False)


def _project_of(client: Client) -> list[tuple[str, str]]:
    """The line about its project at Supabase, if it has one."""
    if client.project_ref is None:
        return []
    return [("Project", f"{client.project_ref}, {client.project_status or 'not seen yet'}")]


@app.command("explain")
def explain(client_id: ClientId, as_json: Json = False) -> None:
    """Say why a client is not ready: what, since when, and what to do.

    Of one that is ready and a project at Supabase, it is looked whether Supabase has paused it.
    """

    async def work(installation: Installation) -> None:
        explanation = await explain_as_seen(
            installation, await find_client_id(installation, client_id)
        )
        if as_json:
            print_json(explanation.as_document())
            return
        out.print(f"[bold]{escape(explanation.sentence)}[/]")
        table = Table.grid(padding=(0, 2))
        since = f"{explanation.since:%Y-%m-%d %H:%M:%S} UTC" if explanation.since else None
        step = None
        if explanation.step is not None:
            attempts = f"attempt {explanation.attempt} of {explanation.max_attempts}"
            if explanation.retryable is False:
                attempts = "not tried again, for it would fail again"
            step = (
                f"{explanation.step_number} of {explanation.steps} ({explanation.step}), {attempts}"
            )
        for title, value in (
            ("Step", step),
            ("Cause", explanation.cause and f"{explanation.cause} ({explanation.code})"),
            ("Since", since),
            ("Fix", explanation.fix),
            ("Then", explanation.then),
        ):
            if value:
                table.add_row(f"[dim]{title}[/]", escape(value))
        out.print(table)
        print_findings(
            explanation.client_id, [finding["sentence"] for finding in explanation.findings]
        )

    run_with_installation(work, as_json=as_json, may_begin=False)


class Format(StrEnum):
    """How `clients connect` says it."""

    TEXT = "text"
    ENV = "env"


app.command("verdicts")(verdicts)
app.command("release")(release)


@app.command("connect")
def connect(
    client_id: ClientId,
    role: Annotated[
        str,
        typer.Option(
            help="; ".join(f"{role.key}: {role.purpose}" for role in CLIENT_LOGIN_ROLES) + ".",
        ),
    ] = "app",
    format_: Annotated[
        Format,
        typer.Option(
            "--format",
            help="text: for people; env: settings of the programs that connect so, for an env file"
            " (auth: GoTrue; app and api: PostgREST).",
        ),
    ] = Format.TEXT,
    as_json: Json = False,
) -> None:
    """Print how to connect to a client's database. The output holds secrets; its use is audited."""

    async def work(installation: Installation) -> None:
        found = await find_client_id(installation, client_id)
        if format_ is Format.ENV:
            settings = await program_settings(installation, found, role=role, requested_by="cli")
            if as_json:
                print_json({"environment": settings})
                return
            sys.stdout.write(as_env_file(settings))
            if ours := [name for name in PLACEHOLDERS if name in settings]:
                say(f"[dim]Yours to change: {', '.join(ours)}.[/]")
            return
        connection = await connect_to(installation, found, role=role, requested_by="cli")
        if connection.warning is not None:
            err.print(f"[yellow]![/] {escape(connection.warning)}")
        if as_json:
            print_json(connection.as_document())
            return
        if connection.supabase_url is not None:
            out.print(f"[dim]Supabase URL[/]      {escape(connection.supabase_url)}")
        out.print(f"[dim]Database URL[/]      {escape(connection.database_url)}")
        out.print(f"[dim]anon key[/]          {connection.anon_key}")
        out.print(f"[dim]service role key[/]  {connection.service_role_key}")
        out.print(f"\npsql {escape(shlex.quote(connection.database_url))}")

    run_with_installation(work, as_json=as_json, may_begin=False)


@app.command("reset-admin-password")
def reset_password(client_id: ClientId, as_json: Json = False) -> None:
    """Give a client's admin a new temporary password. It is shown this once; the act is audited."""

    async def work(installation: Installation) -> None:
        found = await find_client_id(installation, client_id)
        password = await reset_admin_password(installation, found, requested_by="cli")
        client, _, _ = await describe(installation, found)
        if as_json:
            print_json(
                {
                    "id": str(client.id),
                    "admin": {"email": client.admin_email, "temporaryPassword": password},
                }
            )
            return
        out.print(
            f"Admin {escape(client.admin_email)}, temporary password [bold]{escape(password)}[/] "
            "(shown this once; to be changed)"
        )

    run_with_installation(work, as_json=as_json, may_begin=False)


@app.command("psql")
def psql(
    client_id: ClientId,
    role: Annotated[str, typer.Option(help="As for `clients connect`.")] = "app",
) -> None:
    """Open psql on a client's database; the one that comes with us where you have none."""

    async def work(installation: Installation) -> None:
        connection = await connect_to(
            installation,
            await find_client_id(installation, client_id),
            role=role,
            requested_by="cli",
        )
        parts = conninfo_to_dict(connection.database_url)
        # By the environment: arguments are visible to everybody on this machine.
        variables = {
            name: str(parts[part])
            for name, part in (
                ("PGHOST", "host"),
                ("PGPORT", "port"),
                ("PGUSER", "user"),
                ("PGPASSWORD", "password"),
                ("PGDATABASE", "dbname"),
                ("PGSSLMODE", "sslmode"),
            )
            if part in parts
        }
        found = find_psql(installation.settings.postgres_binaries)
        opened.append((found, variables))

    opened: list[tuple[Path, dict[str, str]]] = []
    try:
        run_with_installation(work, as_json=False, may_begin=False)
    except typer.Exit as ended:
        if ended.exit_code:
            raise
    program_path, variables = opened[0]
    os.execve(program_path, [str(program_path)], {**os.environ, **variables})  # noqa: S606


@app.command("retry")
def retry(
    client_id: ClientId,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return at once.")] = False,
    timeout: Annotated[
        float, typer.Option(help="Stop watching after so many seconds; it goes on.")
    ] = 600.0,
    as_json: Json = False,
) -> None:
    """Have a failed client, or a failed change of one, go on where it stopped."""

    async def work(installation: Installation) -> int:
        found = await find_client_id(installation, client_id)
        run = await installation.registrar.retry(found, requested_by="cli")
        if not no_wait:
            await watch(installation, run.id, timeout_seconds=timeout)
        if run.kind == CHANGE_PLAN.kind:
            code = await report_plan_change(installation, found, {}, as_json=as_json)
            return 0 if no_wait else code
        if run.kind in {SUSPEND, RESUME, DELETE}:
            code = await report_change(installation, found, as_json=as_json)
            return 0 if no_wait else code
        if run.kind == ROTATE:
            code = await report_rotation(installation, found, run.id, as_json=as_json)
            return 0 if no_wait else code
        accepted = Accepted(found, run.id, created=True)
        return await report(installation, accepted, as_json=as_json, waited=not no_wait)

    run_with_installation(work, as_json=as_json, may_begin=False)


app.command("change-plan")(change_plan_command)
app.command("suspend")(suspend_command)
app.command("resume")(resume_command)
app.command("export")(export_command)
app.command("delete")(delete_command)
app.command("rotate")(rotate_command)
