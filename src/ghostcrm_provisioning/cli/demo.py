"""``ghostcrm demo``: a company registers, and one sees what it gets."""

from __future__ import annotations

import asyncio
import shlex
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import dict_row
from rich import box
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from ghostcrm_provisioning.cli.output import Json, duration, out, print_json, program, say
from ghostcrm_provisioning.cli.progress import RunProgress
from ghostcrm_provisioning.cli.provision import describe
from ghostcrm_provisioning.cli.session import run_with_installation
from ghostcrm_provisioning.cli.worker import prepare_template
from ghostcrm_provisioning.client_database.blueprint import read_blueprint
from ghostcrm_provisioning.clients.client import find_client
from ghostcrm_provisioning.clients.run import Run, find_run, list_steps
from ghostcrm_provisioning.connecting import ClientConnection, connect_to
from ghostcrm_provisioning.errors import ClientNotReady, IsolationNotProven
from ghostcrm_provisioning.following import follow, working
from ghostcrm_provisioning.providers.postgres_doors import knock
from ghostcrm_provisioning.provisioning.work import template_of
from ghostcrm_provisioning.registrars.registration import Accepted
from ghostcrm_provisioning.registration_form import checked_form
from ghostcrm_provisioning.wiring import Installation

_COMPANIES = (
    "Acme Rockets",
    "Blue Heron Travel",
    "Cedar & Sons",
    "Dunmore Dairy",
    "Été Parfums",
    "Fjord Marine",
    "Granite Legal",
    "Hopper Logistics",
)
# The first company is shown; the others are registered to measure and to be kept apart from it.
_MEASURED = 5
_PATIENCE_SECONDS = 300.0
_LOOK_EVERY_SECONDS = 0.2
_LOOK = """
select (select count(*) from pg_class where relnamespace = 'public'::regnamespace
        and relkind in ('r', 'p')) as tables,
       (select count(*) from pg_class where relnamespace = 'public'::regnamespace
        and relkind in ('r', 'p') and relrowsecurity) as tables_with_rls,
       (select count(*) from pg_policies where schemaname = 'public') as policies,
       pg_size_pretty(pg_database_size(current_database())) as size
"""


def demo(as_json: Json = False) -> None:
    """Register sample companies, watch a database come into being, see how to connect.

    Uses the embedded PostgreSQL in GHOSTCRM_HOME (default ./.ghostcrm), or the server in
    GHOSTCRM_DATABASE_URL. Each call registers six more companies.
    """

    async def work(installation: Installation) -> int:
        began = perf_counter()
        await prepare_template(installation)
        say(f"[dim]Template database ready ({duration((perf_counter() - began) * 1000)}).[/]")
        number = await _count_demos(installation)
        async with working(installation):
            say(f"\n[bold]{escape(_company(number))}[/] registers for the professional plan.\n")
            with RunProgress() as progress:
                accepted, run = await _register(installation, _company(number), progress)
            client, _, document = await describe(installation, accepted.client_id)
            if client.status != "ready":
                error = run.error or {}
                say(f"[red]Not ready:[/] {escape(str(error.get('message')))}")
                say(f"Next: {escape(str(error.get('nextStep')))}")
                return 1
            say(f"[dim]{_MEASURED} more register, to measure …[/]")
            measured = await measure(
                installation, [_company(number + each) for each in range(1, _MEASURED + 1)]
            )
        connection = await connect_to(installation, client.id, role="app", requested_by="demo")
        seen = await _look_inside(connection)
        refusal = await _knock_next_door(installation, connection, measured.last_client_id)
        document["admin"]["temporaryPassword"] = accepted.temporary_password
        document["measured"] = measured.as_document()
        if as_json:
            print_json(document)
            return 0
        out.print(
            Panel(
                _summary(document, seen, measured, refusal),
                title=f"{escape(client.name)} is ready",
                border_style="green",
                box=box.ROUNDED,
                expand=False,
            )
        )
        _print_next_steps(document, connection)
        return 0

    run_with_installation(work, as_json=as_json)


@dataclass(frozen=True)
class Measured:
    """Accepted-to-ready, and of it the proof of isolation, beside a bare copy of the same template,
    taken in turns. All in ms."""

    ready_ms: list[float]
    bare_ms: list[float]
    proof_ms: list[float]
    last_client_id: UUID

    @property
    def ratio(self) -> float:
        return median(self.ready_ms) / median(self.bare_ms)

    @property
    def proof_ratio(self) -> float:
        return median(self.proof_ms) / median(self.bare_ms)

    def as_document(self) -> dict[str, Any]:
        return {
            "readyMs": [round(each, 1) for each in self.ready_ms],
            "bareCopyMs": [round(each, 1) for each in self.bare_ms],
            "ratioOfMedians": round(self.ratio, 2),
            "proofMs": [round(each, 1) for each in self.proof_ms],
            "proofRatioOfMedians": round(self.proof_ratio, 3),
        }


async def measure(installation: Installation, companies: list[str]) -> Measured:
    """Register the companies, and take a bare ``CREATE DATABASE … TEMPLATE`` before each."""
    provider = await installation.providers.home()
    template = template_of(read_blueprint(installation.settings.blueprint))
    ready_ms, bare_ms, proof_ms, client_id = [], [], [], None
    for company in companies:
        bare_ms.append(await provider.time_bare_copy(installation.id, template))
        accepted, run = await _register_unwatched(installation, company)
        if run.duration_ms is None or run.status != "succeeded":
            raise ClientNotReady(f"{company} did not become ready.")
        ready_ms.append(run.duration_ms)
        async with installation.control.connection() as connection:
            steps = await list_steps(connection, run.id)
        proof_ms.append(next(s.duration_ms or 0.0 for s in steps if s.name == "prove_isolation"))
        client_id = accepted.client_id
    if client_id is None:
        raise ValueError("at least one company is needed to measure")
    return Measured(ready_ms, bare_ms, proof_ms, client_id)


async def _accept(installation: Installation, company: str) -> Accepted:
    return await installation.registrar.register(
        checked_form(
            company_name=company,
            admin_email="admin@acme.example",
            plan="professional",
            blueprint=installation.settings.blueprint,
        ),
        registered_by="demo",
    )


async def _register(
    installation: Installation, company: str, progress: RunProgress
) -> tuple[Accepted, Run]:
    accepted = await _accept(installation, company)
    run = await follow(
        installation,
        accepted.run_id,
        timeout_seconds=_PATIENCE_SECONDS,
        on_change=progress,
        lend_a_hand=False,
    )
    return accepted, run


async def _register_unwatched(installation: Installation, company: str) -> tuple[Accepted, Run]:
    """As a web application does: accepted, then looked at again. Watching each step from this very
    process would take time from the worker that is being measured."""
    accepted = await _accept(installation, company)
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
            async with installation.control.connection() as connection:
                run = await find_run(connection, accepted.run_id)
            if run.is_finished:
                return accepted, run


async def _count_demos(installation: Installation) -> int:
    row = await installation.control.fetch_one(
        "select count(*) as demos from clients where registered_by = 'demo'"
    )
    return int(row["demos"]) if row else 0


def _company(number: int) -> str:
    round_number, index = divmod(number, len(_COMPANIES))
    return _COMPANIES[index] + (f" {round_number + 1}" if round_number else "")


async def _look_inside(connection: ClientConnection) -> dict[str, Any]:
    app = await AsyncConnection.connect(connection.database_url, row_factory=dict_row)
    async with app:
        return await (await app.execute(_LOOK)).fetchone() or {}


async def _knock_next_door(
    installation: Installation, connection: ClientConnection, neighbour_id: UUID
) -> str:
    """Try this client's login on its neighbour's database; returns what PostgreSQL says.

    Raises:
        IsolationNotProven: it was let in.
        TransientFailure: it cannot be told.
    """
    async with installation.control.connection() as control:
        neighbour = await find_client(control, neighbour_id)
    next_door = urlsplit(connection.database_url)._replace(path=f"/{neighbour.database_name}")
    knocked = await knock(next_door.geturl(), at=neighbour.database_name, where="its server")
    if knocked.refused is None:
        raise IsolationNotProven(
            f"The login of one client opened the database of {neighbour.name}."
        )
    reason = knocked.refused.partition(' "')[0]
    return f"its login was refused by the database of {neighbour.name}: {reason}"


def _summary(
    document: dict[str, Any], seen: dict[str, Any], measured: Measured, refusal: str
) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    admin = document["admin"]
    ready, bare = median(measured.ready_ms), median(measured.bare_ms)
    rows = [
        ("Database", f"{document['database']['name']} ({seen['size']})"),
        (
            "Schema",
            f"{seen['tables']} tables, {seen['tables_with_rls']} of them with row level security, "
            f"{seen['policies']} policies",
        ),
        ("Admin", f"{admin['email']}, temporary password {admin['temporaryPassword']}"),
        ("Kept apart", refusal),
        (
            "Time",
            f"{duration(document['durationMs'])} from accepted to ready for this first one. The next "
            f"{len(measured.ready_ms)}: {duration(ready)} (median, without spares), that is "
            f"{measured.ratio:.1f} × a bare CREATE DATABASE … TEMPLATE ({duration(bare)})",
        ),
    ]
    for number, step in enumerate(document["steps"]):
        title = "" if number else "Steps"
        rows.append(
            (title, f"{step['name'].replace('_', ' '):<20} {duration(step['durationMs']):>8}")
        )
    for title, value in rows:
        table.add_row(title, escape(value))
    return table


def _print_next_steps(document: dict[str, Any], connection: ClientConnection) -> None:
    identifier, command = document["id"], program()
    out.print("\n[bold]Connect[/] as the application (row level security applies):")
    out.print(f"  {command} clients psql {identifier}")
    out.print("or, with a psql of your own:")
    out.print(f"  psql {escape(shlex.quote(connection.database_url))}")
    out.print("\n[bold]Next[/]")
    for arguments, purpose in (
        (f"clients connect {identifier}", "database URL and API keys, for other roles too"),
        (f"clients show {identifier}", "what was done, step by step"),
        ('provision "My Company" --admin-email me@example.com', "register your own"),
        ("up", "the dashboard, the admin API and a worker"),
        ("--help", "everything else"),
    ):
        out.print(f"  {command} {escape(arguments)}\n      [dim]{purpose}[/]")
    out.print("\n[dim]The database keeps running; `make down` stops it, and its data stays.[/]")
