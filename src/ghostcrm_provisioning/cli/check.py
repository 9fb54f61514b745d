"""``ghostcrm check``: what is wrong with a blueprint, before anything touches a client."""

from __future__ import annotations

import os
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ghostcrm_provisioning.blueprint_check.check import check_blueprint, unreadable
from ghostcrm_provisioning.blueprint_check.finding import Finding, Report
from ghostcrm_provisioning.cli.output import Json, out, print_json
from ghostcrm_provisioning.cli.session import run_with_installation
from ghostcrm_provisioning.client_database.blueprint import find_blueprint, read_blueprint
from ghostcrm_provisioning.errors import InvalidBlueprint
from ghostcrm_provisioning.wiring import Installation

_COLOURS = {"error": "bold red", "warning": "yellow", "note": "cyan"}


def check(
    blueprint: Annotated[
        str,
        typer.Argument(metavar="BLUEPRINT", help="A shipped blueprint's name, or a folder."),
    ],
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
    as_json: Json = False,
) -> None:
    """Build a blueprint in a scratch database and say what is wrong with it.

    Looks for what would fail, be open, be slow, or keep clients waiting when a later migration is
    carried to them. Exits 1 when there is an error. The scratch database is dropped afterwards; no
    client is touched.

    \b
    Example:
      ghostcrm check ./my-blueprint
    """

    async def work(installation: Installation) -> int:
        report = await examine(installation, blueprint)
        if as_json:
            print_json(report.as_document(strict=strict))
        else:
            _print(report, strict=strict)
        return 0 if report.is_clean(strict=strict) else 1

    run_with_installation(work, as_json=as_json)


async def examine(installation: Installation, reference: str) -> Report:
    """Everything there is to say about a blueprint.

    Raises:
        InvalidBlueprint: there is none.
    """
    folder = find_blueprint(reference)
    try:
        blueprint = read_blueprint(reference)
    except InvalidBlueprint as invalid:
        return Report(str(folder), None, built=False, findings=(unreadable(invalid, str(folder)),))
    provider = await installation.providers.home()
    async with provider.scratch_database(installation.id) as connection:
        return await check_blueprint(connection, blueprint, str(folder))


def _print(report: Report, *, strict: bool) -> None:
    for _, group in groupby(report.findings, key=lambda each: each.place and each.place.path):
        for finding in group:
            _print_finding(report, finding)
        out.print()
    for observation in report.observations:
        out.print(f"[green]✓[/] {escape(observation)}")
    if not report.built:
        out.print("It could not be built, so what it would have made was not looked at.")
    counts = ", ".join(
        f"{count} {severity}{'' if count == 1 else 's'}"
        for severity in ("error", "warning", "note")
        if (count := report.count(severity))
    )
    verdict = "[green]clean[/]" if report.is_clean(strict=strict) else "[red]not clean[/]"
    out.print(
        f"{escape(report.name or report.folder)} is {verdict}: {counts or 'nothing was found'}."
    )


def _print_finding(report: Report, finding: Finding) -> None:
    place = _shown(report.folder, finding)
    colour = _COLOURS[finding.severity]
    code = f"{finding.code} {finding.sqlstate}" if finding.sqlstate else finding.code
    out.print(
        f"[bold]{escape(place)}[/] [{colour}]{finding.severity}:[/] {escape(finding.sentence)} "
        f"[dim]({code})[/]"
    )
    if finding.excerpt:
        out.print(f"[dim]{escape(finding.excerpt)}[/]")
    out.print(f"    [dim]→[/] {escape(finding.fix)}")


def _shown(folder: str, finding: Finding) -> str:
    """``path:line:`` from where the reader is, so that an editor can jump there."""
    if finding.place is None:
        return f"{os.path.relpath(folder)}:"
    path = os.path.relpath(Path(folder) / finding.place.path)
    return f"{path}:{finding.place.line}:" if finding.place.line else f"{path}:"
