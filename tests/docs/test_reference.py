"""The reference says what the code says."""

from __future__ import annotations

import subprocess
import sys

from tests.docs.pages import ROOT


def test_the_reference_is_what_the_code_says() -> None:
    finished = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "write-reference"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
