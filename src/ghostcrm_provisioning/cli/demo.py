"""``ghostcrm demo``: a company registers, and one sees what it gets."""

from __future__ import annotations

import shlex
from statistics import median
from time import perf_counter
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row
from rich import box
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from ghostcrm_provisioning.cli.output import Json, duration, out, print_json, say
from ghostcrm_provisioning.cli.progress import RunProgress
from ghostcrm_provisioning.cli.provision import describe
from ghostcrm_provisioning.cli.session import run_with_installation
from ghostcrm_provisioning.cli.worker import prepare_template
from ghostcrm_provisioning.client_database.blueprint import read_blueprint
from ghostcrm_provisioning.connecting import ClientConnection, connect_to
from ghostcrm_provisioning.following import follow
from ghostcrm_provisioning.provisioning.work import template_of
from ghostcrm_provisioning.registration_form import checked_form
from ghostcrm_provisioning.wiring import Installation

_COMPANIES = ("Acme Rockets", "Blue Heron Travel", "Cedar & Sons", "Dunmore Dairy", "Été Parfums")
_BARE_COPIES = 3
_LOOK = """
select (select count(*) from pg_class where relnamespace = 'public'::regnamespace
        and relkind in ('r', 'p')) as tables,
       (select count(*) from pg_class where relnamespace = 'public'::regnamespace
        and relkind in ('r', 'p') and relrowsecurity) as tables_with_rls,
       (select count(*) from pg_policies where schemaname = 'public') as policies,
       pg_size_pretty(pg_database_size(current_database())) as size
"""


def demo(as_json: Json = False) -> None:
    """Register a sample company, watch its database come into being, see how to connect.

    Uses the embedded PostgreSQL in GHOSTCRM_HOME (default ./.ghostcrm), or the server in
    GHOSTCRM_DATABASE_URL. Each call registers one more company.
    """

    async def work(installation: Installation) -> int:
        began = perf_counter()
        name = await prepare_template(installation)
        say(f"[dim]Template {name} is ready ({duration((perf_counter() - began) * 1000)}).[/]")
        bare_ms = await measure_bare_copies(installation)
        company = await _next_company(installation)
        say(f"\n[bold]{escape(company)}[/] registers for the professional plan.\n")
        accepted = await installation.registrar.register(
            checked_form(
                company_name=company,
                admin_email="admin@acme.example",
                plan="professional",
                blueprint=installation.settings.blueprint,
            ),
            registered_by="demo",
        )
        with RunProgress() as progress:
            run = await follow(
                installation, accepted.run_id, timeout_seconds=300, on_change=progress
            )
        client, _, document = await describe(installation, accepted.client_id)
        if client.status != "ready":
            error = run.error or {}
            say(f"[red]Not ready:[/] {escape(str(error.get('message')))}")
            say(f"Next: {escape(str(error.get('nextStep')))}")
            return 1
        connection = await connect_to(installation, client.id, role="app", requested_by="demo")
        seen = await _look_inside(connection)
        ratio = (run.duration_ms or 0) / bare_ms
        if as_json:
            document["admin"]["temporaryPassword"] = accepted.temporary_password
            document["bareCopyMs"] = round(bare_ms, 1)
            document["ratioToBareCopy"] = round(ratio, 2)
            print_json(document)
            return 0
        out.print(
            Panel(
                _summary(
                    document, accepted.temporary_password or "", seen, run.duration_ms, bare_ms
                ),
                title=f"{escape(company)} is ready",
                border_style="green",
                box=box.ROUNDED,
                expand=False,
            )
        )
        _print_next_steps(document, connection)
        return 0

    run_with_installation(work, as_json=as_json)


async def measure_bare_copies(installation: Installation) -> float:
    """Median time of a bare ``CREATE DATABASE … TEMPLATE`` of the same template, in ms."""
    provider = await installation.providers.home()
    template = template_of(read_blueprint(installation.settings.blueprint))
    times = [await provider.time_bare_copy(installation.id, template) for _ in range(_BARE_COPIES)]
    return median(times)


async def _next_company(installation: Installation) -> str:
    row = await installation.control.fetch_one(
        "select count(*) as demos from clients where registered_by = 'demo'"
    )
    number = row["demos"] if row else 0
    round_number, index = divmod(number, len(_COMPANIES))
    return _COMPANIES[index] + (f" {round_number + 1}" if round_number else "")


async def _look_inside(connection: ClientConnection) -> dict[str, Any]:
    app = await AsyncConnection.connect(connection.database_url, row_factory=dict_row)
    async with app:
        row = await (await app.execute(_LOOK)).fetchone() or {}
        contacts = await (
            await app.execute("select count(*) as seen from public.contacts")
        ).fetchone()
        return {**row, "seen_as_nobody": contacts["seen"] if contacts else "?"}


def _summary(
    document: dict[str, Any],
    temporary_password: str,
    seen: dict[str, Any],
    duration_ms: float | None,
    bare_ms: float,
) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    admin = document["admin"]
    ratio = (duration_ms or 0) / bare_ms
    for title, value in (
        ("Database", f"{document['database']['name']} ({seen['size']})"),
        (
            "Schema",
            f"{seen['tables']} tables, {seen['tables_with_rls']} of them with row level security, "
            f"{seen['policies']} policies",
        ),
        ("Admin", f"{admin['email']}, temporary password {temporary_password}"),
        (
            "Time",
            f"{duration(duration_ms)} from accepted to ready, without spares: {ratio:.1f} × a bare "
            f"CREATE DATABASE … TEMPLATE ({duration(bare_ms)})",
        ),
    ):
        table.add_row(title, escape(value))
    for step in document["steps"]:
        table.add_row(
            "" if step is not document["steps"][0] else "Steps",
            f"{step['name'].replace('_', ' '):<20} {duration(step['durationMs']):>8}  "
            f"[dim]{escape(step.get('observation', ''))}[/]",
        )
    return table


def _print_next_steps(document: dict[str, Any], connection: ClientConnection) -> None:
    identifier = document["id"]
    out.print("\n[bold]Connect[/] as the application (row level security applies):")
    out.print(f"  psql {escape(shlex.quote(connection.database_url))}")
    out.print("\n[bold]Next[/]")
    for command, purpose in (
        (f"ghostcrm clients connect {identifier}", "connection and API keys, for other roles too"),
        (f"ghostcrm clients show {identifier}", "what was done, step by step"),
        ('ghostcrm provision "My Company" --admin-email me@example.com', "register your own"),
        ("ghostcrm up", "run a worker; then registrations need only be accepted"),
        ("ghostcrm --help", "everything else"),
    ):
        out.print(f"  {escape(command)}\n      [dim]{purpose}[/]")
    out.print(
        "\n[dim]ghostcrm is in .venv/bin. The database keeps running; make down stops it, and its data"
        " stays.[/]"
    )
