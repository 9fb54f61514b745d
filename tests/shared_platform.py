"""The local platform that all tests of a process share; each makes the projects, or the organization, that it
needs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Server
from tests.running_platform import RunningPlatform, new_home, running_platform


@pytest.fixture(scope="session")
def platform(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    """Quick to come up, and with a budget that no test uses up."""
    environment = new_home(server, tmp_path_factory.mktemp("platform"))
    with running_platform(environment, "--coming-up", "0.1", "--rate-limit", "100000") as started:
        yield started
