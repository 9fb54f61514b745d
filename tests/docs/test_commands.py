"""Every command that the documentation shows can be given like that."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from ghostcrm_provisioning.cli.main import app
from tests.docs.pages import GENERATED, PAGES, ROOT, Block, blocks

_TARGET = re.compile(r"^([a-z-]+):.*##", re.MULTILINE)
_IN_A_SENTENCE = re.compile(r"`((?:ghostcrm|make) [^`]+)`")


def _lines() -> Iterator[tuple[Block, str]]:
    for page in PAGES:
        if page.parent == GENERATED:
            continue
        for block in blocks(page, "sh", "bash", "console"):
            for line in block.text.replace("\\\n", " ").splitlines():
                if block.language == "console" and not line.startswith("$ "):
                    continue
                yield block, line.removeprefix("$ ").split("  #")[0].strip()
        for command in _IN_A_SENTENCE.findall(page.read_text(encoding="utf-8")):
            yield Block(page, 0, "sentence", command), command


def _shown(program: str) -> list[Any]:
    return [
        pytest.param(line, id=f"{block} {line}")
        for block, line in _lines()
        if line.split(" ")[0].rpartition("/")[2] == program
    ]


def _leaves(command: Any) -> Iterator[Any]:
    children = getattr(command, "commands", {})
    if not children:
        yield command
    for child in children.values():
        yield from _leaves(child)


@pytest.fixture(scope="module")
def command() -> Any:
    """The whole tree: to build it takes longer than to read a line."""
    return get_command(app)


@pytest.mark.parametrize("line", _shown("ghostcrm"))
def test_a_shown_command_exists_with_its_options(line: str, command: Any) -> None:
    called = []
    for leaf in _leaves(command):
        leaf.callback = lambda name=leaf.name, **_: called.append(name)
    arguments = shlex.split(line)[1:]
    if "…" in arguments or arguments[-1:] == ["--help"]:
        return
    if len(arguments) <= 3 and arguments[0] in command.commands and _is_unfinished(line, command):
        return  # a sentence that speaks of a command, as in `ghostcrm clients explain`
    with pytest.raises(SystemExit) as left:
        command.main(arguments, prog_name="ghostcrm")
    assert left.value.code == 0, line
    assert called, line


def _is_unfinished(line: str, command: Any) -> bool:
    """Whether the line names a command and none of its arguments."""
    for word in shlex.split(line)[1:]:
        children = getattr(command, "commands", {})
        if word not in children:
            return False
        command = children[word]
    return True


@pytest.mark.parametrize("line", _shown("make"))
def test_a_shown_target_is_in_the_makefile(line: str) -> None:
    targets = _TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8"))
    assert line.split()[1] in targets
