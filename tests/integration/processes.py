"""Processes that tests start, and end: by their id, and no others."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.command import COMMAND

_ROOT = Path(__file__).parents[2]


class Processes:
    """Those that one test started; they end with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[subprocess.Popen[bytes]] = []

    def start(
        self, command: list[str], environment: dict[str, str], *, dialogue: bool = False
    ) -> subprocess.Popen[bytes]:
        """Start a process; what it says goes into a file, unless there is a dialogue with it."""
        number = len(self._started)
        with (self._folder / f"process-{number}.err").open("wb") as complaints:
            process = subprocess.Popen(
                command,
                cwd=_ROOT,
                env=environment,
                stdin=subprocess.PIPE if dialogue else subprocess.DEVNULL,
                stdout=subprocess.PIPE if dialogue else complaints,
                stderr=complaints,
            )
        self._started.append(process)
        return process

    def start_worker(self, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        return self.start([*COMMAND, "worker"], environment)

    async def at_once(
        self, count: int, environment: dict[str, str], *arguments: str
    ) -> list[dict[str, Any]]:
        """What ``count`` processes answer that do the same thing at the same moment."""
        module = "tests.integration.another_process"
        process = self.start(
            [sys.executable, "-m", module, "at_once", str(count), *arguments],
            environment,
            dialogue=True,
        )
        assert process.stdout is not None
        for _ in range(count):
            line = await asyncio.to_thread(process.stdout.readline)
            assert line == b"ready\n", self.complaints()
        output, _ = await asyncio.to_thread(process.communicate, b"go\n", timeout=150)
        assert process.returncode == 0, self.complaints()
        documents = [json.loads(line) for line in output.splitlines()]
        assert len(documents) == count
        return documents

    def complaints(self) -> str:
        """What they said."""
        return "\n".join(path.read_text() for path in sorted(self._folder.glob("process-*.err")))

    def end(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.communicate()
