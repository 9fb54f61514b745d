"""The pages of clients, the queue and the servers, full of clients of every kind."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Route, expect

from tests.browser.pages.conftest import Dashboard, NewPage
from tests.browser.pages.test_frame import serious

LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
HOSTILE = '<script>alert("x")</script> & <b>Bold</b> Partners'
NAMES = (
    "ACME Corp",
    "Nordwind Spedition GmbH",
    "Queued & Sons Ltd.",
    "Kaffeerösterei Morgenrot 🌅",
    "Glass House Analytics",
    "شركة الأفق للتجارة والتوريدات",
    HOSTILE,
    LONG,
)


def _path_of(dashboard: Dashboard, name: str) -> str:
    found: dict[str, Any] = dashboard.do(
        dashboard.site.installation.control.fetch_one(
            "select id from clients where name = %(name)s", name=name
        )
    )
    return f"/admin/clients/{found['id']}"


def _paths(dashboard: Dashboard) -> list[str]:
    long = _path_of(dashboard, LONG)
    return [
        *(_path_of(dashboard, name) for name in NAMES),
        "/admin/clients?status=failed&search=nobody",
        "/admin/clients/new",
        *(f"{long}/{what}" for what in ("plan", "connection", "admin-password")),
        f"{_path_of(dashboard, 'Glass House Analytics')}/release",
    ]


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_the_pages_of_clients(
    signed_in: NewPage, dashboard: Dashboard, axe: str, scheme: str
) -> None:
    page = signed_in(scheme=scheme)
    found = []
    paths = _paths(dashboard)
    # What dark may change is contrast, and these two have every colour.
    for path in paths if scheme == "light" else paths[:4:3]:
        page.goto(path)
        found += serious(page, axe)
    assert found == []


@pytest.mark.long
@pytest.mark.parametrize("width", [375, 320])
def test_no_page_of_a_client_scrolls_sideways(
    signed_in: NewPage, dashboard: Dashboard, width: int
) -> None:
    page = signed_in(width=width)
    wide = {}
    for path in _paths(dashboard):
        page.goto(path)
        wide[path] = page.evaluate("document.documentElement.scrollWidth")
    assert {path: pixels for path, pixels in wide.items() if pixels > width} == {}


def test_one_goes_through_the_pages_and_back(signed_in: NewPage) -> None:
    page = signed_in()
    page.goto("/admin/clients?plan=starter")
    names = page.locator("a.client-name")
    first = names.all_inner_texts()
    assert len(first) == 25
    page.get_by_role("link", name="Older").click()
    expect(names.first).not_to_have_text(first[0])
    expect(names).to_have_count(25)  # the whole page has come
    second = names.all_inner_texts()
    assert not set(first) & set(second)
    page.get_by_role("link", name="Older").click()
    expect(names.first).not_to_have_text(second[0])
    page.get_by_role("link", name="Newer").click()
    expect(names).to_have_text(second)
    page.get_by_role("link", name="Newer").click()
    expect(names).to_have_text(first)
    expect(page).to_have_url(re.compile(r"/admin/clients\?plan=starter$"))


def test_filters_are_kept_while_one_searches(signed_in: NewPage) -> None:
    page = signed_in()
    page.goto("/admin/clients")
    page.get_by_label("Plan").select_option("Enterprise")
    expect(page).to_have_url(re.compile("plan=enterprise"))
    page.get_by_role("link", name=re.compile("^Ready")).click()
    page.wait_for_url(re.compile("status=ready"))
    page.get_by_role("searchbox", name="Search", exact=True).press_sequentially("gmbh", delay=10)
    expect(page).to_have_url(
        re.compile(
            r"search=gmbh.*plan=enterprise.*status=ready|search=gmbh.*status=ready.*plan=enterprise"
        )
    )
    expect(page.locator("a.client-name").first).to_contain_text("GmbH")
    shown = page.get_by_role("link", name=re.compile("^Ready")).locator(".number").inner_text()
    expect(page.locator(".pager")).to_contain_text(f"of {shown} on this page")


def test_what_is_typed_before_the_script_is_there_is_searched_for(signed_in: NewPage) -> None:
    page = signed_in()
    scripts: list[Route] = []

    def hold(script: Route) -> None:
        scripts.append(script)

    page.route("**/static/clients.js*", hold)
    with page.expect_request("**/static/clients.js*"):
        page.goto("/admin/clients", wait_until="commit")
    page.get_by_role("searchbox", name="Search", exact=True).fill("initech")
    with page.expect_response(re.compile("search=initech")):
        for script in scripts:
            script.continue_()
    expect(page.locator("a.client-name")).to_have_text(["Initech"])


def test_what_a_client_is_called_is_never_read_as_code(
    signed_in: NewPage, dashboard: Dashboard
) -> None:
    page = signed_in()
    for path in (_path_of(dashboard, HOSTILE), "/admin/clients?search=bold", "/admin/queue"):
        page.goto(path)
        assert page.locator("script:not([src])").count() == 0
        assert page.locator("main b", has_text="Bold").count() == 0
