"""Every Python snippet is a program of its own, and runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, Block, blocks

SNIPPETS = [block for page in PAGES for block in blocks(page, "python")]


@pytest.mark.long
@pytest.mark.parametrize("snippet", SNIPPETS, ids=str)
def test_a_snippet_runs_as_it_stands(
    snippet: Block, environment: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    program = tmp_path / "snippet.py"
    program.write_text(snippet.text, encoding="utf-8")
    finished = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


def test_there_are_snippets() -> None:
    assert len(SNIPPETS) >= 5
