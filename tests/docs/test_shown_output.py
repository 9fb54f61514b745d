"""What the documentation shows of a command's output is what the command says.

The commands of a page's ``console`` blocks are run, in their order, in one installation; the SQL and
TOML blocks that begin with ``-- file: …`` or ``# append to: …`` are written where they say first. A
line that is shown must occur in the output, in the order shown; numbers, ids and passwords may differ,
and ``…`` stands for anything, also for any number of lines.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, Block, blocks, name_of
from tests.loaded_command import LoadedCommand

_COLUMNS = "100"
_FILE = re.compile(r"(?:--|#) (?P<how>file|append to): (?P<path>\S+)\n")
_CLIENT = re.compile(r"\b[0-9a-f]{8}\b")
# What differs from one time to another; in this order.
_CHANGING = [
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"ghostcrm_[0-9a-f]{32}"), "<database>"),
    (re.compile(r"(?<=temporary password )\w{20}"), "<password>"),
    (re.compile(r"\b\d+ min \d+ s\b|\b\d+(\.\d+)? (ms|s)\b"), "<time>"),
    (re.compile(r"\d+\.\d+ GB"), "<space>"),
    (re.compile(r"PostgreSQL \d+(\.\d+)?, \d+ connections"), "<server>"),
    (re.compile(r"(home|embedded): \d+ of"), "<server>: <number> of"),
    (re.compile(r"[│╭╮╰╯─]"), " "),
]


def _plain(text: str) -> str:
    for pattern, replacement in _CHANGING:
        text = pattern.sub(replacement, text)
    return " ".join(text.split())


def _pattern(shown: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in _plain(shown).split("…")))


def _exchanges(block: Block) -> Iterator[tuple[str, list[str]]]:
    """Each command of a console block with the lines that are shown of its output."""
    command = ""
    shown: list[str] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            if command:
                yield command, shown
            command, shown = line.removeprefix("$ "), []
        elif line.strip() not in {"", "…"}:
            shown.append(line)
    yield command, shown


@pytest.fixture(scope="module")
def loaded() -> Iterator[LoadedCommand]:
    """Commands of a terminal of that width."""
    loaded = LoadedCommand(COLUMNS=_COLUMNS)
    yield loaded
    loaded.end()


class Terminal:
    """A shell in an installation of its own."""

    def __init__(self, folder: Path, environment: dict[str, str], programs: list[Path]) -> None:
        self._folder = folder
        self._environment = environment | {
            "PATH": os.pathsep.join([*map(str, programs), environment["PATH"]]),
            "COLUMNS": _COLUMNS,
        }

    def run(self, command: str) -> str:
        # The environment is set up already.
        command = command.replace("make demo", "ghostcrm demo")
        if re.search("clients|verify", command) and _CLIENT.search(command):
            command = _CLIENT.sub(self._latest_client(), command)
        return self._output(command, errors_too=True)

    def _latest_client(self) -> str:
        listed = json.loads(
            self._output("ghostcrm clients list --with-deleted --json", errors_too=False)
        )
        return str(listed["data"][0]["id"])[:8]

    def _output(self, command: str, *, errors_too: bool) -> str:
        with subprocess.Popen(
            ["/bin/sh", "-c", command],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if errors_too else subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        ) as process:
            try:
                return process.communicate(timeout=300)[0]
            finally:
                if process.poll() is None:  # with all that the shell has started
                    os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.long
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "console")], ids=name_of)
def test_what_is_shown_is_what_is_said(
    page: Path,
    environment: Callable[..., dict[str, str]],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    (tmp_path / "src").symlink_to(ROOT / "src")
    shipped = ROOT / "src" / "ghostcrm_provisioning" / "blueprints" / "ghostcrm"
    programs = [Path(sys.executable).parent]
    if page.name != "README.md":  # where the program is run as it was installed
        loaded: LoadedCommand = request.getfixturevalue("loaded")
        programs.insert(0, loaded.program_folder())
    terminal = Terminal(tmp_path, environment(), programs)
    if "cp -r" not in page.read_text(encoding="utf-8"):
        terminal.run(f"cp -r '{shipped}' my-blueprint")
    for block in blocks(page, "console", "sql", "toml"):
        if block.language != "console":
            if file := _FILE.match(block.text):
                path = tmp_path / file["path"]
                path.parent.mkdir(exist_ok=True)
                with path.open("w" if file["how"] == "file" else "a", encoding="utf-8") as written:
                    written.write(block.text)
            continue
        for command, shown in _exchanges(block):
            said = terminal.run(command)
            rest = [_plain(line) for line in said.splitlines()]
            for line in shown:
                # It starts the embedded PostgreSQL only where no other server is configured.
                if line.startswith("Starting the embedded PostgreSQL"):
                    continue
                pattern = _pattern(line)
                while rest and not pattern.search(rest[0]):
                    del rest[0]
                assert rest, f"{block}: $ {command} does not say (here): {line}\n\n{said}"
                del rest[0]
