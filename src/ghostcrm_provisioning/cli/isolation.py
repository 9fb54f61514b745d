"""``ghostcrm verify``, ``clients verdicts`` and ``clients release``: is a client's isolation proven?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape

from ghostcrm_provisioning.cli.output import (
    Json,
    duration,
    out,
    print_error,
    print_json,
    program,
    say,
)
from ghostcrm_provisioning.cli.session import ClientId, find_client_id, run_with_installation
from ghostcrm_provisioning.client_database.isolation.verdict import CATALOG
from ghostcrm_provisioning.clients.client import Client, find_client
from ghostcrm_provisioning.clients.documents import instant, verdict_document
from ghostcrm_provisioning.clients.verdict import StoredVerdict, list_verdicts
from ghostcrm_provisioning.errors import GhostcrmError, InvalidInput
from ghostcrm_provisioning.verification.doors import API, CONNECT, CONNECT_AS_ANOTHER_CLIENT
from ghostcrm_provisioning.wiring import Installation

_MOST_SENTENCES = 12


def verify(
    client_id: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="The client's id, or its first characters."),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(min=1, help="Instead of one client: so many, the longest unverified first."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Attack a client's database as everybody who must not get in. Exits 0 only if all is refused.

    Every attack is taken back, and leaves a dated verdict. A proof that fails puts the client into
    quarantine: nobody is let in, until `ghostcrm clients release ID` finds it proven again.
    """

    async def work(installation: Installation) -> int:
        if (client_id is None) == (sample is None):
            raise InvalidInput(
                "Say which client to verify, or how many.",
                next_step="Give an ID, or --sample N.",
            )
        if client_id is None:
            return await _verify_sample(installation, sample or 1, as_json=as_json)
        found = await find_client_id(installation, client_id)
        client = await _find(installation, found)
        say(f"[dim]Attacking the database of {escape(client.name)} …[/]")
        verdict = await installation.verifier.verify(
            found, requested_by="cli", on_wait=_say_that_it_waits
        )
        return _report(await _find(installation, found), verdict, as_json=as_json)

    run_with_installation(work, as_json=as_json, may_begin=False)


async def _verify_sample(installation: Installation, sample: int, *, as_json: bool) -> int:
    chosen = await installation.verifier.longest_unverified(sample)
    reports: list[dict[str, Any]] = []
    for number, client_id in enumerate(chosen, start=1):
        client = await _find(installation, client_id)
        say(f"[dim]{number} of {len(chosen)}: attacking the database of {escape(client.name)} …[/]")
        try:
            verdict = await installation.verifier.verify(
                client_id, requested_by="cli", on_wait=_say_that_it_waits
            )
        except GhostcrmError as problem:
            # The others have their turn all the same.
            print_error(problem, as_json=False)
            reports.append({"clientId": str(client_id), "error": problem.as_record()})
            continue
        client = await _find(installation, client_id)
        reports.append(_document(client, verdict))
        if not as_json:
            _print_verdict(client, verdict)
    failed = sum("error" in report or not report["holds"] for report in reports)
    if as_json:
        print_json({"data": reports, "verified": len(reports), "failed": failed})
    elif not chosen:
        out.print("No client is ready: there is nothing to verify.")
    else:
        out.print(f"[bold]{len(chosen) - failed}[/] of {len(chosen)} proven.")
    return int(failed > 0)


def verdicts(
    client_id: ClientId,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    as_json: Json = False,
) -> None:
    """List what the full attacks on a client's database found, newest first."""

    async def work(installation: Installation) -> None:
        found = await find_client_id(installation, client_id)
        client = await _find(installation, found)
        async with installation.control.connection() as connection:
            stored = await list_verdicts(connection, found, limit=limit)
        if as_json:
            print_json({"data": [verdict_document(verdict) for verdict in stored]})
            return
        if not stored:
            out.print(
                f"{escape(client.name)} was proven at its hand-over, and not attacked since. "
                f"Do it now: {program()} verify {client.id}"
            )
        for verdict in stored:
            _print_verdict(client, verdict, dated=True)

    run_with_installation(work, as_json=as_json, may_begin=False)


def release(client_id: ClientId, as_json: Json = False) -> None:
    """Attack a client in quarantine once more, and open its database if, and only if, all is refused."""

    async def work(installation: Installation) -> int:
        found = await find_client_id(installation, client_id)
        client = await _find(installation, found)
        say(f"[dim]Attacking the database of {escape(client.name)} …[/]")
        verdict = await installation.verifier.release(
            found, requested_by="cli", on_wait=_say_that_it_waits
        )
        client = await _find(installation, found)
        code = _report(client, verdict, as_json=as_json)
        if code == 0 and not as_json:
            out.print(f"[bold]{escape(client.name)}[/] is open again: it is {client.status}.")
        return code

    run_with_installation(work, as_json=as_json, may_begin=False)


def verified(at: datetime | None, holds: bool | None) -> str:
    """When a client was last attacked, and whether it was proven, in words."""
    if at is None:
        return "at its hand-over"
    return f"{at:%Y-%m-%d %H:%M:%S} UTC, {'proven' if holds else 'not proven'}"


async def _find(installation: Installation, client_id: UUID) -> Client:
    async with installation.control.connection() as connection:
        return await find_client(connection, client_id)


def _say_that_it_waits() -> None:
    say("[dim]Another verification is at work on this server; waiting for it to end …[/]")


def _document(client: Client, verdict: StoredVerdict) -> dict[str, Any]:
    """A verdict, with what became of the client."""
    return verdict_document(verdict) | {
        "clientName": client.name,
        "clientStatus": client.status,
        "quarantinedAt": instant(client.quarantined_at),
    }


def _report(client: Client, verdict: StoredVerdict, *, as_json: bool) -> int:
    """Print a verdict; returns the exit code."""
    if as_json:
        print_json(_document(client, verdict))
    else:
        _print_verdict(client, verdict)
        if client.status == "quarantined":
            verb = "release" if verdict.holds else "explain"
            out.print(
                f"{escape(client.name)} is in [red]quarantine[/]: nobody is let into its database."
            )
            out.print(f"[dim]Next: {program()} clients {verb} {client.id}[/]")
    return 0 if verdict.holds else 1


def _print_verdict(client: Client, verdict: StoredVerdict, *, dated: bool = False) -> None:
    when = f"{verdict.began_at:%Y-%m-%d %H:%M:%S} UTC: " if dated else ""
    outcome = "isolation is proven" if verdict.holds else "isolation is [red]not proven[/]"
    mark = "[green]✓[/]" if verdict.holds else "[red]✕[/]"
    total = sum(
        number
        for kind, number in verdict.attempts.items()
        # Compared, not attacked; counted as connect already.
        if kind not in {CATALOG, CONNECT_AS_ANOTHER_CLIENT}
    )
    out.print(
        f"{mark} {when}[bold]{escape(client.name)}[/]: {outcome}; {total} attacks in "
        f"{duration(verdict.duration_ms)}"
    )
    kinds = ", ".join(
        f"{number} {kind}"
        for kind, number in verdict.attempts.items()
        if kind not in {CATALOG, CONNECT, CONNECT_AS_ANOTHER_CLIENT, API}
    )
    if kinds:
        out.print(f"  [dim]Inside[/]    {escape(kinds)}")
    if CATALOG in verdict.attempts:
        out.print(f"  [dim]Catalog[/]   {verdict.attempts[CATALOG]} facts compared")
    if CONNECT in verdict.attempts:
        others = (
            "as another client's application, and with this client's login elsewhere"
            if verdict.attempts.get(CONNECT_AS_ANOTHER_CLIENT)
            else "with this client's login elsewhere; there was no other client on this server whose "
            "login could be tried"
        )
        out.print(f"  [dim]At doors[/]  {verdict.attempts[CONNECT]} connect, {others}")
    if API in verdict.attempts:
        out.print(
            f"  [dim]At its API[/] {verdict.attempts[API]} questions, without a key, with the public keys, and "
            "as a signed-in stranger"
        )
    print_findings(client.id, verdict.sentences, indent="  ")


def print_findings(client_id: UUID, sentences: Sequence[str], *, indent: str = "") -> None:
    """The first of the findings; one mistake has many consequences."""
    for sentence in sentences[:_MOST_SENTENCES]:
        out.print(f"{indent}[red]✕[/] {escape(sentence)}")
    if (more := len(sentences) - _MOST_SENTENCES) > 0:
        out.print(
            f"{indent}[dim]… and {more} more; all of them: "
            f"{program()} clients verdicts {client_id} --json[/]"
        )
