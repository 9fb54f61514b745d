"""Runs the command ``ghostcrm`` in processes that need not load its libraries first.

Loading them takes a command longer than most of what tests have it do. So one process for each test
process loads them, once, and every command is a fork of it: a process of its own with its own
environment, arguments, folder and streams, which begins where ``python -m`` has done with its imports.
It starts the module ``cli.main`` just as ``python -m`` does.

``python -m tests.loaded_command SOCKET`` is that process; it ends when its standard input does. A shell
finds a program ``ghostcrm`` that asks it in a folder of its own: :meth:`LoadedCommand.program_folder`.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[1]
MODULE = "ghostcrm_provisioning.cli.main"
# What commands load only when they need it.
_LOADED_WHEN_NEEDED = (
    "asyncpg",
    "email_validator",
    "jwt",
    "typer.rich_utils",
    "ghostcrm_provisioning.queue.worker",
)
_OURS = ("GHOSTCRM_", "SUPABASE_", "PYTEST_")
# Asks the process that has everything loaded, with as little of Python as will do.
_PROGRAM = """\
#!/bin/sh
exec '{python}' -I -S -c '
import json, os, socket, sys
order = {{"arguments": sys.argv[2:], "environment": dict(os.environ), "folder": os.getcwd()}}
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(sys.argv[1])
    socket.send_fds(connection, [b"streams"], [0, 1, 2])
    connection.sendall(json.dumps(order).encode() + b"\\n")
    answers = connection.makefile("r", encoding="utf-8")
    answers.readline()
    sys.exit(int(answers.readline()))
' '{address}' "$@"
"""


class LoadedCommand:
    """The process that has everything loaded, as the tests see it."""

    def __init__(self, **more: str) -> None:
        """``more`` is in its environment, and what libraries read there when they are loaded."""
        self._folder = tempfile.TemporaryDirectory(prefix="ghostcrm-command-")
        self._address = f"{self._folder.name}/socket"
        self._environment = self._apart_from_ours(os.environ | more)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.loaded_command", self._address],
            cwd=_ROOT,
            env=os.environ | more,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    @staticmethod
    def _apart_from_ours(environment: dict[str, str]) -> dict[str, str]:
        return {name: value for name, value in environment.items() if not name.startswith(_OURS)}

    def may_run(self, environment: dict[str, str]) -> bool:
        """Settings of ours are read by a command when it runs. Anything else in the environment may
        have been read already, when the libraries were loaded."""
        return self._apart_from_ours(environment) == self._environment

    def program_folder(self) -> Path:
        """For a PATH: here, ``ghostcrm`` is a program that has this process do it, with whatever is in
        its own environment."""
        program = Path(self._folder.name) / "programs" / "ghostcrm"
        if not program.exists():
            program.parent.mkdir()
            text = _PROGRAM.format(python=sys.executable, address=self._address)
            program.write_text(text, encoding="utf-8")
            program.chmod(0o755)
        return program.parent

    def run(
        self, *arguments: str, environment: dict[str, str], stdin: str, timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end.

        Raises:
            subprocess.TimeoutExpired: it has not ended; it was killed.
        """
        order = {
            "arguments": arguments,
            "environment": environment,
            "folder": str(Path.cwd()),
        }
        with (
            tempfile.TemporaryFile("w+", encoding="utf-8") as given,
            tempfile.TemporaryFile("w+", encoding="utf-8") as out,
            tempfile.TemporaryFile("w+", encoding="utf-8") as err,
            socket.socket(socket.AF_UNIX) as connection,
        ):
            given.write(stdin)
            given.seek(0)
            connection.settimeout(timeout)
            connection.connect(self._address)
            streams = [stream.fileno() for stream in (given, out, err)]
            socket.send_fds(connection, [b"streams"], streams)
            connection.sendall(json.dumps(order).encode() + b"\n")
            answers = connection.makefile("r", encoding="utf-8")
            pid = int(answers.readline())
            try:
                code = int(answers.readline())
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired([MODULE, *arguments], timeout) from None
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(
                [MODULE, *arguments], code, stdout=out.read(), stderr=err.read()
            )

    def end(self) -> None:
        self._process.communicate()
        self._folder.cleanup()


# --- the process itself -------------------------------------------------------------------------


def _serve(address: str) -> None:
    for module in (MODULE, *_LOADED_WHEN_NEEDED):
        importlib.import_module(module)
    # It is run, not imported, by every command.
    del sys.modules[MODULE]
    # Whoever attends to a command is waited for by nobody.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        # Whoever comes when so many wait already is turned away; a test may give many orders at once.
        listener.listen(1024)
        os.write(1, b"ready\n")
        while True:
            ready, _, _ = select.select([0, listener.fileno()], [], [])
            if 0 in ready:
                return
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _attend(connection)
            connection.close()


def _attend(connection: socket.socket) -> None:
    """Have a fork of this process carry out one order, and tell how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, _, _ = socket.recv_fds(connection, len(b"streams"), 3)
    order = json.loads(connection.makefile("r", encoding="utf-8").readline())
    pid = os.fork()
    if pid == 0:
        connection.close()
        _carry_out(order, streams)
    connection.sendall(f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _carry_out(order: dict[str, Any], streams: list[int]) -> None:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    # Anew, as an interpreter makes them: these may be of another kind than ours were.
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(  # noqa: SIM115
        2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False
    )
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    sys.argv = [MODULE, *order["arguments"]]
    code = 1
    try:
        runpy.run_module(MODULE, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    except Exception:
        traceback.print_exc()
    finally:
        for written in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                written.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve(sys.argv[1])
