"""Tests of single modules, without a server: quick enough to run at every save."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the person who runs the tests has set must not reach them."""
    for variable in list(os.environ):
        name = variable.upper()
        if name.startswith(("GHOSTCRM_", "DEBUG_")) and not name.startswith("GHOSTCRM_TEST_"):
            monkeypatch.delenv(variable)
