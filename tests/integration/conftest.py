"""Fixtures for the tests of several parts together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.processes import Processes
from tests.integration.small_blueprint import write_small_blueprint


@pytest.fixture
def small_blueprint(tmp_path: Path) -> Path:
    """A blueprint with one table, so that its template is built in no time."""
    return write_small_blueprint(tmp_path / "small")


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Starts processes; whatever becomes of the test, they end with it."""
    started = Processes(tmp_path)
    yield started
    started.end()
