"""What every page has: live numbers, colours, keys, room for narrow screens; and axe finds nothing serious."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.pages.conftest import Dashboard, NewPage

# What the law asks for too, and names that screen readers need.
_GUIDELINES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
OWN_PAGES = (
    "/admin/",
    "/admin/audit?action=client.connected",
    "/admin/notifications",
    "/admin/access?all_tokens=true",
    "/admin/access/tokens/new",
    "/admin/sessions",
    "/admin/change-password",
    "/admin/no-such-page",
)
PAGES = (
    *OWN_PAGES,
    "/admin/audit",
    "/admin/clients",
    "/admin/queue",
    "/admin/servers",
    "/admin/access/admins/new",
)


def serious(page: Page, axe: str, *rules: str) -> list[str]:
    """What axe-core finds that is serious or critical: with all its rules, or with some."""
    page.evaluate(axe)
    chosen = {"resultTypes": ["violations"], "runOnly": list(rules) or _GUIDELINES}
    found: dict[str, Any] = page.evaluate("options => axe.run(document, options)", chosen)
    return [
        f"{page.url}: {violation['id']}: {node['html'][:160]}"
        for violation in found["violations"]
        if violation["impact"] in {"serious", "critical"}
        for node in violation["nodes"][:3]
    ]


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(
    signed_in: NewPage, new_page: NewPage, axe: str, scheme: str
) -> None:
    # Only the colours are others in the dark.
    rules = () if scheme == "light" else ("color-contrast",)
    stranger = new_page(scheme=scheme)
    stranger.goto("/admin/sign-in")
    found = serious(stranger, axe, *rules)
    page = signed_in(scheme=scheme)
    for path in OWN_PAGES:
        page.goto(path)
        found += serious(page, axe, *rules)
    page.set_viewport_size({"width": 375, "height": 800})
    page.goto("/admin/")
    page.get_by_label("Menu", exact=True).click()
    found += serious(page, axe, *rules)
    assert found == []


@pytest.mark.parametrize("width", [375, 320])
def test_no_page_scrolls_sideways(signed_in: NewPage, width: int) -> None:
    page = signed_in(width=width)
    wide = {}
    for path in PAGES:
        page.goto(path)
        wide[path] = page.evaluate("document.documentElement.scrollWidth")
    assert {path: pixels for path, pixels in wide.items() if pixels > width} == {}


def test_the_overview_changes_by_itself(signed_in: NewPage, dashboard: Dashboard) -> None:
    page = signed_in()
    page.goto("/admin/")
    live = page.locator("[data-live-text]")
    expect(live).to_contain_text("Live, updated")
    name = "Kranich Logistik KG"
    # What nobody touches stays as it is meanwhile: an open table, the focus.
    page.get_by_text("The same as a table").click()
    page.get_by_role("link", name="7 days").focus()
    dashboard.execute("update clients set name = 'Renamed AG' where starts_with(name, 'Bäckerei')")
    dashboard.execute(
        "update runs set status = 'failed', finished_at = clock_timestamp(),"
        ' error = \'{"code": "worker_died_repeatedly", "message": "It died."}\''
        " where status = 'running'"
    )
    expect(page.get_by_text("Renamed AG failed")).to_be_visible()
    expect(page.get_by_text("worker_died_repeatedly")).to_be_visible()
    expect(page.get_by_role("region", name="Time to ready, numbers")).to_be_visible()
    assert name not in page.title()
    page.get_by_role("button", name="Pause").click()
    expect(live).to_contain_text("Paused. Showing data from")


def test_what_was_asked_for_before_a_pause_does_not_end_it(signed_in: NewPage) -> None:
    page = signed_in()
    asked: list[Route] = []
    page.route(
        "**/admin/queue",
        lambda route: (
            asked.append(route) if "x-live" in route.request.headers else route.continue_()
        ),
    )
    page.goto("/admin/queue")
    live, button = page.locator("[data-live-text]"), page.locator("[data-live-pause]")
    expect(live).to_contain_text("Live, updated")
    button.click()
    with page.expect_request(lambda request: "x-live" in request.headers):
        button.click()  # it goes on, and looks what is new
    button.click()
    expect(live).to_contain_text("Paused. Showing data from")
    with page.expect_event("requestfinished", lambda request: "x-live" in request.headers):
        for route in asked:
            route.continue_()
    # What was on its way before this has come with it.
    page.evaluate("fetch(location.href).then((answer) => answer.text())")
    expect(live).to_contain_text("Paused. Showing data from")


def test_lost_live_updates_are_said(signed_in: NewPage) -> None:
    page = signed_in()
    page.route("**/admin/events*", lambda route: route.abort())
    page.goto("/admin/")
    expect(page.locator("[data-live-text]")).to_contain_text("Live updates lost. Showing data from")
    expect(page.get_by_text("Glass House Analytics is in quarantine")).to_be_visible()


def test_the_colours_are_switched_and_stay(signed_in: NewPage) -> None:
    page = signed_in()
    page.goto("/admin/")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("[data-theme-switch] button").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark != light
    page.goto("/admin/audit")
    # The server has rendered it so: it is dark before any script has run.
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark


def test_times_are_shown_in_the_zone_that_is_wished(signed_in: NewPage) -> None:
    page = signed_in()
    page.goto("/admin/audit")
    first = page.locator("main time").first
    expect(first).to_contain_text("UTC")
    page.get_by_label("Your account").click()
    page.get_by_role("button", name="Show times in my zone").click()
    expect(page.locator("[data-zone]")).to_contain_text("Times are those of")
    page.reload()
    expect(page.locator("[data-zone]")).to_contain_text("Times are those of")


def test_the_keyboard_reaches_everything(signed_in: NewPage) -> None:
    page = signed_in()
    page.goto("/admin/audit")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("/")
    expect(page.locator("#top-search")).to_be_focused()
    page.keyboard.type("acme")
    page.keyboard.press("Enter")
    page.wait_for_url("**/admin/clients?search=acme")
