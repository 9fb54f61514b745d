"""``ghostcrm admin token``: bearer tokens of the admin API."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from ghostcrm_provisioning.access.scope import Scope, scopes_from
from ghostcrm_provisioning.access.tokens import LONGEST_LIFE, TokenRecord, Tokens
from ghostcrm_provisioning.cli.output import Json, out, print_json, program, say
from ghostcrm_provisioning.cli.session import run_command, run_with_installation
from ghostcrm_provisioning.clients.documents import instant
from ghostcrm_provisioning.errors import InvalidInput
from ghostcrm_provisioning.wiring import Installation

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Tokens with which programs use the admin API.",
)

Scopes = Annotated[
    list[str],
    typer.Option(
        "--scope",
        metavar="SCOPE",
        help="What it may do; may be given several times. `ghostcrm admin token scopes` lists them, "
        "`admin` is everything.",
    ),
]
_TIME = re.compile(r"(?P<number>[1-9][0-9]{0,5})(?P<unit>[mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@app.command("create")
def create(
    name: Annotated[str, typer.Option(help="What uses it, as lists and the audit log show it.")],
    scope: Scopes,
    expires_in: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="For how long it is good: 12h, 30d, 52w. Without it, until revoked.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a token, and show it this once.

    The token alone is printed on stdout, so that a script can keep it. Give each program a token of
    its own with no more scopes than it needs: it can be revoked without touching the others.

    \b
    Examples:
      ghostcrm admin token create --name website --scope registrations:write
      ghostcrm admin token create --name ci --scope clients:read --scope queue:read --expires-in 30d
    """

    async def work(installation: Installation) -> None:
        scopes = scopes_from(scope)
        expires_at = None if expires_in is None else datetime.now(UTC) + read_time(expires_in)
        new = await Tokens(installation.control).create(
            name=name, scopes=scopes, created_by="cli", expires_at=expires_at
        )
        if as_json:
            print_json(
                {
                    "token": new.token.get_secret_value(),
                    "id": str(new.id),
                    "name": name.strip(),
                    "scopes": sorted(scopes),
                    "expiresAt": instant(expires_at),
                }
            )
            return
        out.print(new.token.get_secret_value(), markup=False)
        say("Copy this token now. You cannot see it again.")
        until = "until it is revoked" if expires_at is None else f"until {_moment(expires_at)}"
        say(f"It may: {', '.join(sorted(scopes))}; {until}.")
        say(f"[dim]Revoke it with[/] {escape(program())} admin token revoke {new.id}")

    run_with_installation(work, as_json=as_json)


@app.command("list")
def list_tokens(
    everything: Annotated[
        bool, typer.Option("--all", help="Those that were revoked or have expired as well.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List tokens, the newest first. No secret is shown."""

    async def work(installation: Installation) -> None:
        records = [
            record
            for record in await Tokens(installation.control).list()
            if record.is_valid or everything
        ]
        if as_json:
            print_json({"data": [_document(record) for record in records]})
            return
        if not records:
            out.print("No tokens. Make one:")
            out.print("  ghostcrm admin token create --name ci --scope clients:read", markup=False)
            return
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for title in ("Name", "Prefix", "Scopes", "Made by", "Last used", "Good"):
            table.add_column(title, no_wrap=title == "Prefix")
        for record in records:
            table.add_row(
                escape(record.name),
                record.prefix,
                ", ".join(sorted(record.scopes)),
                escape(record.created_by),
                _moment(record.last_used_at) if record.last_used_at else "never",
                _good_until(record),
            )
        out.print(table)

    run_with_installation(work, as_json=as_json, may_begin=False)


@app.command("revoke")
def revoke(
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="Its id, its prefix, or its name.")],
    as_json: Json = False,
) -> None:
    """Revoke a token, at once and for good: the next call with it is refused."""

    async def work(installation: Installation) -> None:
        tokens = Tokens(installation.control)
        record = await tokens.find(token)
        await tokens.revoke(record.id, revoked_by="cli")
        if as_json:
            print_json({"id": str(record.id), "name": record.name, "revoked": True})
            return
        out.print(f"The token {escape(record.name)} ({record.prefix}) is revoked.")

    run_with_installation(work, as_json=as_json, may_begin=False)


@app.command("scopes")
def list_scopes(as_json: Json = False) -> None:
    """List the scopes that a token or an admin may have, and what each allows."""

    async def work() -> None:
        if as_json:
            print_json(
                {
                    "data": [
                        {"scope": scope.value, "description": scope.description} for scope in Scope
                    ]
                }
            )
            return
        table = Table.grid(padding=(0, 2))
        for scope in Scope:
            table.add_row(f"[bold]{scope.value}[/]", escape(scope.description))
        out.print(table)

    run_command(work(), as_json=as_json)


def read_time(text: str) -> timedelta:
    """``30d`` as a time. Raises InvalidInput."""
    match = _TIME.fullmatch(text.strip())
    time = None if match is None else timedelta(**{_UNITS[match["unit"]]: int(match["number"])})
    if time is None or time > LONGEST_LIFE:
        raise InvalidInput(
            f"{text[:40]!r} is no time that a token can be good for.",
            next_step="Give a number and m, h, d or w: 45m, 12h, 30d, 52w; at most ten years.",
        )
    return time


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _good_until(record: TokenRecord) -> str:
    if record.revoked_at is not None:
        return f"revoked {_moment(record.revoked_at)}"
    if record.expires_at is None:
        return "until revoked"
    return f"{'until' if record.is_valid else 'expired'} {_moment(record.expires_at)}"


def _document(record: TokenRecord) -> dict[str, Any]:
    return {
        "id": str(record.id),
        "name": record.name,
        "prefix": record.prefix,
        "scopes": sorted(record.scopes),
        "createdBy": record.created_by,
        "createdAt": instant(record.created_at),
        "expiresAt": instant(record.expires_at),
        "lastUsedAt": instant(record.last_used_at),
        "revokedAt": instant(record.revoked_at),
        "isValid": record.is_valid,
    }
