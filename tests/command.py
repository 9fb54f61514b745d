"""Runs the command ``ghostcrm`` as a user would: as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

COMMAND = [sys.executable, "-m", "ghostcrm_provisioning.cli.main"]


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.stdout)


def start(
    *arguments: str, environment: dict[str, str], stdin: Any = subprocess.DEVNULL
) -> subprocess.Popen[str]:
    """Start a command and leave it running."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        env=environment,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ghostcrm(
    *arguments: str, environment: dict[str, str], stdin: str | None = None, timeout: float = 120
) -> Outcome:
    """Run a command to its end."""
    finished = subprocess.run(
        [*COMMAND, *arguments],
        env=environment,
        input=stdin if stdin is not None else "",
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Outcome(finished.returncode, finished.stdout, finished.stderr)
