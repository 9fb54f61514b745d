"""The blueprint of thirty lines has thirty. That it is clean, and that a client gets it, is tried with
the rest of what its page shows (``test_shown_output.py``)."""

from __future__ import annotations

from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs" / "how-to" / "write-a-blueprint.md"


def test_the_blueprint_has_thirty_lines_at_most() -> None:
    declaration, migration, *_ = blocks(PAGE, "toml", "sql")
    assert (declaration.language, migration.language) == ("toml", "sql")
    assert 20 <= len((declaration.text + migration.text).splitlines()) <= 30


def test_what_is_made_of_it_is_shown() -> None:
    shown = blocks(PAGE, "console")[0].text
    assert "$ ghostcrm check ./notes\n" in shown
    assert "notes is clean" in shown
    assert "$ ghostcrm provision" in shown
    assert "Notes Ltd is ready" in shown
