"""What a command prints: data on stdout, everything else on stderr; with ``--json`` one document."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from ghostcrm_provisioning.errors import GhostcrmError

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")
]

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def program() -> str:
    """How this command was called, so that what is printed can be copied and run as it stands."""
    called = Path(sys.argv[0])
    if called.name != "ghostcrm" or shutil.which("ghostcrm") == str(called.absolute()):
        return "ghostcrm"
    return str(called)


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2, default=str) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """Something for the person, not for the script: on stderr. ``text`` may hold Rich markup."""
    err.print(text)


def print_error(error: GhostcrmError, *, as_json: bool) -> None:
    """One clear sentence, its code, and what to do next."""
    if as_json:
        print_json({"error": error.as_record()})
    err.print(f"[bold red]Error[/]  {escape(error.message)} [dim]({error.code})[/]")
    err.print(f"[bold]Next[/]   {escape(error.next_step)}")


def duration(milliseconds: float | None) -> str:
    """``4 ms``, ``2.3 s``, ``3 min 20 s``."""
    if milliseconds is None:
        return ""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
