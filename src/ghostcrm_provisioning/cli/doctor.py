"""``ghostcrm doctor``: is everything there that is needed, and if not, what to do."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from rich.markup import escape

from ghostcrm_provisioning.cli.output import Json, out, print_json
from ghostcrm_provisioning.cli.session import run_command
from ghostcrm_provisioning.client_database.blueprint import read_blueprint
from ghostcrm_provisioning.clients.client import CLIENTS
from ghostcrm_provisioning.clients.run import RUNS
from ghostcrm_provisioning.clients.verdict import VERDICTS
from ghostcrm_provisioning.errors import ConfigurationError, GhostcrmError, InvalidBlueprint
from ghostcrm_provisioning.postgres_errors import translated
from ghostcrm_provisioning.settings import Settings, read_settings
from ghostcrm_provisioning.wiring import Installation, open_installation

_LITTLE_SPACE_BYTES = 2 * 1024**3
_OLDEST_POSTGRES = 15
_RECENT_DAYS = 30


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. ``status`` is ok, warning or failed."""

    name: str
    status: str
    seen: str
    next_step: str | None = None

    def as_document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "status": self.status,
            "seen": self.seen,
            "nextStep": self.next_step,
        }


def doctor(as_json: Json = False) -> None:
    """Check settings, disk, server, roles, blueprint, workers and Supabase. Exits 1 when something is wrong."""

    async def work() -> int:
        findings = await examine(read_settings())
        failed = any(finding.status == "failed" for finding in findings)
        if as_json:
            print_json(
                {"healthy": not failed, "findings": [each.as_document() for each in findings]}
            )
            return int(failed)
        marks = {"ok": "[green]✓[/]", "warning": "[yellow]![/]", "failed": "[red]✕[/]"}
        for finding in findings:
            out.print(f"{marks[finding.status]} [bold]{finding.name}[/]  {escape(finding.seen)}")
            if finding.next_step:
                out.print(f"  [dim]→[/] {escape(finding.next_step)}")
        return int(failed)

    run_command(work(), as_json=as_json)


async def examine(settings: Settings) -> list[Finding]:
    """Look at everything that provisioning needs; goes on after what is wrong, as far as it can."""
    findings = [_disk(settings), await _finding("Blueprint", lambda: _blueprint(settings))]
    try:
        async with open_installation(settings) as installation:
            findings.append(await _finding("Control database", lambda: _control(installation)))
            findings.append(await _finding("Server", lambda: _server(installation)))
            findings.append(await _finding("Capacity", lambda: _capacity(installation)))
            findings.append(await _finding("Workers", lambda: _workers(installation)))
            findings.append(await _finding("Failures", lambda: _failures(installation)))
            findings.append(await _finding("Isolation", lambda: _isolation(installation)))
            findings += await _unreachable_places(installation)
            if settings.supabase_access_token is not None:
                findings += await _supabase(installation)
            elif settings.provider == "supabase":
                findings.append(
                    Finding(
                        "Supabase token",
                        "failed",
                        "GHOSTCRM_PROVIDER is supabase, and SUPABASE_ACCESS_TOKEN is not set",
                        "Set it to an access token of somebody in the organization.",
                    )
                )
    except GhostcrmError as error:
        findings.append(Finding("Control database", "failed", error.message, error.next_step))
    return findings


async def _finding(name: str, look: Callable[[], Awaitable[Finding]]) -> Finding:
    try:
        return await look()
    except Exception as error:
        ours = translated(error, where=name.lower())
        return Finding(name, "failed", ours.message, ours.next_step)


def _disk(settings: Settings) -> Finding:
    folder = settings.home
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        return Finding(
            "Home", "failed", f"{folder} is not writable", "Set GHOSTCRM_HOME to a folder that is."
        )
    free = shutil.disk_usage(folder).free
    seen = f"{settings.home}, {free / 1024**3:.1f} GB free"
    if free < _LITTLE_SPACE_BYTES:
        return Finding(
            "Home", "warning", seen, "Free some space: a client database takes 10 MB and more."
        )
    return Finding("Home", "ok", seen)


async def _blueprint(settings: Settings) -> Finding:
    blueprint = await asyncio.to_thread(read_blueprint, settings.blueprint)
    return Finding(
        "Blueprint",
        "ok",
        f"{blueprint.name}: {len(blueprint.migrations)} migrations, plans {', '.join(blueprint.plans)}",
    )


async def _control(installation: Installation) -> Finding:
    row = await installation.control.fetch_one(CLIENTS["who_may_connect_here"])
    if row and row["everyone"]:
        return Finding(
            "Control database",
            "warning",
            "reached and up to date; every login of the server may enter it, clients' too",
            "They can read nothing there; to keep them out, have its owner run: "
            f'revoke all on database "{row["database"]}" from public;',
        )
    return Finding("Control database", "ok", "reached and up to date")


async def _server(installation: Installation) -> Finding:
    row = await installation.control.fetch_one(
        "select current_setting('server_version') as version,"
        " current_setting('server_version_num')::integer / 10000 as major,"
        " current_setting('max_connections')::integer as connections"
    )
    seen = (
        f"PostgreSQL {row['version'].split()[0]}, {row['connections']} connections" if row else ""
    )
    if not row or row["major"] < _OLDEST_POSTGRES:
        return Finding(
            "Server", "failed", seen, f"PostgreSQL {_OLDEST_POSTGRES} or newer is needed."
        )
    return Finding("Server", "ok", f"{seen}; roles are prepared")


async def _capacity(installation: Installation) -> Finding:
    rows = await installation.control.fetch_all(CLIENTS["list_servers"])
    seen = "; ".join(
        f"{row['name']}: {row['clients']} of {row['client_limit'] or 'unlimited'} clients"
        for row in rows
    )
    open_to_more = any(
        row["accepting"] and (row["client_limit"] is None or row["clients"] < row["client_limit"])
        for row in rows
    )
    if not open_to_more:
        return Finding(
            "Capacity", "failed", seen, "Add a server, or raise a server's client limit."
        )
    return Finding("Capacity", "ok", seen)


async def _unreachable_places(installation: Installation) -> list[Finding]:
    """Where clients are that cannot be worked on as things are set; they go on working by themselves."""
    findings = []
    for row in await installation.control.fetch_all(CLIENTS["list_servers"]):
        if not row["clients"]:
            continue
        try:
            await installation.providers.of_server(row["id"])
        except ConfigurationError as error:
            findings.append(
                Finding(
                    "Clients",
                    "failed",
                    f"{row['clients']} at {row['name']} cannot be verified or changed: {error.message}",
                    error.next_step,
                )
            )
    return findings


async def _workers(installation: Installation) -> Finding:
    row = await installation.control.fetch_one(
        RUNS["count_alive_workers"], lease_seconds=installation.settings.lease_seconds
    )
    if not row or not row["standing"]:
        return Finding(
            "Workers",
            "warning",
            "none is running; registrations wait until one starts",
            "Start one: ghostcrm up",
        )
    return Finding("Workers", "ok", f"{row['standing']} running")


async def _failures(installation: Installation) -> Finding:
    row = await installation.control.fetch_one(RUNS["count_failed_since"], hours=24)
    failed = row["failed"] if row else 0
    if failed:
        return Finding(
            "Failures",
            "warning",
            f"{failed} failed in the last 24 hours",
            "List them: ghostcrm clients list --status failed",
        )
    return Finding("Failures", "ok", "none in the last 24 hours")


async def _isolation(installation: Installation) -> Finding:
    row = await installation.control.fetch_one(
        VERDICTS["summary"],
        days=_RECENT_DAYS,
        deadline_seconds=installation.settings.verify_deadline_seconds,
    )
    row = row or {"ready": 0, "verified": 0, "unanswered": 0, "quarantined": 0}
    seen = (
        f"{row['verified']} of {row['ready']} ready clients attacked in the last {_RECENT_DAYS} days, and "
        f"proven; {row['quarantined'] or 'none'} in quarantine"
    )
    if row["quarantined"]:
        return Finding(
            "Isolation",
            "warning",
            seen,
            "List them: ghostcrm clients list --status quarantined; ask why: ghostcrm clients explain ID",
        )
    if row["unanswered"]:
        return Finding(
            "Isolation",
            "warning",
            f"{seen}; the latest attack on {row['unanswered']} could not be carried out",
            "Look for verification_not_possible in the log.",
        )
    return Finding("Isolation", "ok", seen)


async def _supabase(installation: Installation) -> list[Finding]:
    """Slow to load, so only where there is a token."""
    from ghostcrm_provisioning.providers.supabase import (  # noqa: PLC0415
        examination,
        sensible_settings,
    )

    settings = installation.settings
    looks = {
        "Supabase token": examination.examine_token,
        "Supabase organization": examination.examine_organization,
        "Supabase region": examination.examine_region,
        "Supabase projects": examination.examine_room,
    }
    findings: list[Finding] = []
    async with examination.open_management_api(settings, installation.control) as api:
        for name, look in looks.items():
            try:
                seen = await look(api, settings)
            except GhostcrmError as error:
                findings.append(Finding(name, "failed", error.message, error.next_step))
                if name == "Supabase token":  # without it, nothing else can be looked at
                    return findings
            else:
                findings.append(Finding(name, seen.status, seen.seen, seen.next_step))
    sensible = {
        "Supabase sign-in": sensible_settings.examine_sign_in(settings),
        "Supabase mail": sensible_settings.examine_mail(settings),
        "Supabase networks": sensible_settings.examine_networks(settings),
    }
    with suppress(InvalidBlueprint):  # said above
        blueprint = await asyncio.to_thread(read_blueprint, settings.blueprint)
        sensible["Supabase plans"] = sensible_settings.examine_plans(settings, blueprint.plans)
    return findings + [
        Finding(name, seen.status, seen.seen, seen.next_step) for name, seen in sensible.items()
    ]
