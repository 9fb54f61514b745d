"""Runs the command ``ghostcrm`` as a user would: as a process of its own."""

from __future__ import annotations

import atexit
import functools
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from tests.loaded_command import MODULE, LoadedCommand

COMMAND = [sys.executable, "-m", MODULE]


@functools.cache
def _loaded_command() -> LoadedCommand:
    loaded = LoadedCommand()
    atexit.register(loaded.end)
    return loaded


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
    *arguments: str, environment: dict[str, str], stdin: str | None = None, timeout: float = 600
) -> Outcome:
    """Run a command to its end."""
    loaded = _loaded_command()
    if loaded.may_run(environment):
        finished = loaded.run(
            *arguments, environment=environment, stdin=stdin or "", timeout=timeout
        )
    else:
        finished = subprocess.run(
            [*COMMAND, *arguments],
            env=environment,
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    return Outcome(finished.returncode, finished.stdout, finished.stderr)
