"""Links lead somewhere, and nothing of the machine on which a page was written stands in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ghostcrm_provisioning.client_database.roles import SHARED_ROLES
from ghostcrm_provisioning.settings import Settings, environment_variable
from tests.docs.pages import PAGES, ROOT, name_of

_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)
_MACHINE = re.compile(r"(?<![\w.])/(?:work|root|home|Users)/")
# Put together here, so that this file does not name them either.
_REGISTRY_HOSTS = [
    ".".join(words)
    for words in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("debian", "org"),
    )
]
_REGISTRY = re.compile(
    r"(?i)\b(?:[\w-]+\.)*(?:" + "|".join(re.escape(host) for host in _REGISTRY_HOSTS) + ")"
)
_SETTING = re.compile(r"\b(?:GHOSTCRM_[A-Z_]+[A-Z]|DEBUG_PROVISIONING)\b")
_PATH = re.compile(
    r"`((?:src|tests|docs|scripts|cli|clients|client_database|control_database|embedded|providers"
    r"|provisioning|queue|notifications|blueprints)/[\w./-]+|\w+\.py)`"
)
_PACKAGE = ROOT / "src" / "ghostcrm_provisioning"

every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def _anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = _HEADING.findall(_FENCED.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in _LINK.findall(_FENCED.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = page if not path else (page.parent / path).resolve()
        assert found.exists(), target
        if anchor:
            assert anchor in _anchors(found), target


@every_page
def test_no_page_knows_the_machine_it_was_written_on(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert _MACHINE.findall(text) == []
    assert _REGISTRY.findall(text) == []


@every_page
def test_every_setting_that_is_named_exists(page: Path) -> None:
    known = {environment_variable(field) for field in Settings.model_fields}
    assert set(_SETTING.findall(page.read_text(encoding="utf-8"))) <= known


@every_page
def test_every_file_that_is_named_exists(page: Path) -> None:
    for named in _PATH.findall(_FENCED.sub("", page.read_text(encoding="utf-8"))):
        if "NNN" in named:
            continue
        places = [ROOT / named, _PACKAGE / named, *_PACKAGE.rglob(named)]
        assert any(place.exists() for place in places), named


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        seen.add(page)
        for target in _LINK.findall(page.read_text(encoding="utf-8")):
            found = (page.parent / target.partition("#")[0]).resolve()
            if found.suffix == ".md" and found.is_file() and found not in seen:
                ahead.append(found)
    assert {page for page in PAGES if page.is_relative_to(ROOT / "docs")} <= seen


def test_the_shared_roles_that_are_shown_are_those_that_are_made() -> None:
    shown = (ROOT / "docs" / "how-to" / "use-your-own-postgresql.md").read_text(encoding="utf-8")
    statements = re.findall(r'^create role "(\w+)" (.+);$', shown, re.MULTILINE)
    assert statements
    made = {(role.name, role.attributes) for role in SHARED_ROLES}
    assert set(statements) <= made


def test_every_room_has_its_sentence_in_the_architecture() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for entry in _PACKAGE.iterdir():
        if entry.name.startswith(("_", ".")) or entry.name == "py.typed":
            continue
        name = f"{entry.name}/" if entry.is_dir() else entry.name
        assert f"`{name}" in text, name
