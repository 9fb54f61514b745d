"""Clients in a real browser: provisioned, explained, found, changed, revealed."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PASSWORD, Served
from tests.command import ghostcrm
from tests.integration.small_blueprint import raising, write_small_blueprint

STEPS = (
    "Acquire database",
    "Install blueprint",
    "Create admin",
    "Apply plan settings",
    "Prove isolation",
    "Hand over",
)


def _provision(page: Page, name: str, email: str) -> None:
    """Through the form; afterwards the client's page is there."""
    page.goto("/admin/clients")
    page.get_by_role("link", name=re.compile("Provision")).first.click()
    page.get_by_label("Company").fill(name)
    page.get_by_label("Email of its admin").fill(email)
    page.get_by_role("button", name="Provision client").click()
    page.wait_for_url(re.compile(r"/admin/clients/[0-9a-f-]{36}"))


def _by_command(served: Served, name: str, *arguments: str) -> str:
    made = ghostcrm(
        "provision", name, "--admin-email", "admin@example.com", "--json", *arguments,
        environment=served.environment,
    )  # fmt: skip
    assert made.code == 0, made.stderr
    return str(made.document["id"])


@pytest.fixture(scope="module")
def client_path(served: Served) -> str:
    """The page of a client that is ready."""
    return f"/admin/clients/{_by_command(served, 'Nordlicht Inc', '--plan', 'starter')}"


def test_a_client_is_provisioned_before_ones_eyes(page: Page) -> None:
    page.goto("/admin/clients/new")
    # What is wrong is said at the field, and the focus moves to the summary.
    page.get_by_role("button", name="Provision client").click()
    expect(page.locator("[data-focus]")).to_be_focused()
    expect(page.get_by_label("Company")).to_have_attribute("aria-invalid", "true")

    _provision(page, "Nordwind & Söhne GmbH", "admin@nordwind.example")
    password = page.locator("#temporary-password")
    expect(password).to_have_text(re.compile(r"^\w{20}$"))
    # Without a reload, every step becomes done.
    for step in STEPS:
        line = page.locator(".step", has_text=step)
        expect(line).to_contain_text("Done")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Ready")
    expect(page).to_have_title(re.compile("^✓ Ready: Nordwind"))
    expect(page.locator("[data-live-line]")).to_contain_text("Live, updated")
    expect(password).to_be_visible()  # a live update takes nothing away that is shown once
    page.reload()
    expect(password).to_have_count(0)


@pytest.mark.long
def test_a_failure_is_explained_and_retried_after_it_was_mended(page: Page, served: Served) -> None:
    write_small_blueprint(served.blueprint, _002_more=raising("22023"))
    try:
        _provision(page, "Broken Ltd", "admin@broken.example")
        expect(page).to_have_title(re.compile("^✕ Failed: Broken Ltd"))
        why = page.locator("#live-why")
        expect(why).to_contain_text("is not ready: it failed at")
        expect(why).to_contain_text("Fix")
        expect(why).to_contain_text("ghostcrm clients retry")
        # The step that failed has opened by itself.
        expect(page.locator(".step-failed .step-error")).to_be_visible()
        expect(page.locator("#favicon")).to_have_attribute("href", re.compile("attention"))
    finally:
        (served.blueprint / "002_more.sql").unlink()
    page.get_by_role("button", name="Retry run").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Ready")
    expect(page.locator("#live-why")).to_contain_text("Broken Ltd is ready.")


def test_one_searches_as_one_types(page: Page, served: Served) -> None:
    _by_command(served, "Company 26", "--no-wait")
    page.goto("/admin/clients")
    search = page.get_by_role("searchbox", name="Search", exact=True)
    page.keyboard.press("/")
    expect(search).to_be_focused()
    search.press_sequentially("company 26", delay=15)
    expect(page.locator("a.client-name")).to_have_text(["Company 26"])
    expect(page).to_have_url(re.compile(r"search=company\+26"))
    expect(page.locator("#announcer")).to_have_text("1 client found")
    expect(search).to_be_focused()
    search.fill("nobody at all")
    expect(page.get_by_text("No clients match these filters")).to_be_visible()
    page.reload()
    expect(search).to_have_value("nobody at all")
    page.get_by_role("link", name="Clear the filters").click()
    expect(page).to_have_url(re.compile(r"/admin/clients$"))
    page.goto("/admin/clients?size=50")
    page.get_by_label("Per page").select_option("25")
    expect(page).to_have_url(re.compile(r"/admin/clients$"))


@pytest.mark.long
def test_a_plan_is_changed_after_one_saw_what_it_means(page: Page, client_path: str) -> None:
    page.goto(client_path)
    page.get_by_role("link", name="Change plan").click()
    page.get_by_label("Enterprise").check()
    page.get_by_role("button", name="Show what it would mean").click()
    expect(page.get_by_role("heading", name="Starter → Enterprise")).to_be_visible()
    expect(page.get_by_text("Fits")).to_be_visible()
    page.get_by_role("button", name="Change to Enterprise").click()
    expect(page.locator(".notice")).to_contain_text("Its plan is being changed to enterprise")
    expect(page.locator("#live-why")).to_contain_text("Nordlicht Inc is ready.")
    expect(page.locator("#steps")).to_contain_text("starter → enterprise")
    expect(page.locator("#live-properties dd", has_text="Enterprise")).to_be_visible()


def test_a_connection_is_revealed_after_the_password_was_given_again(
    page: Page, client_path: str
) -> None:
    page.goto(client_path)
    page.get_by_role("link", name="Reveal connection").click()
    page.get_by_label("Reason").fill("Ticket 4711")
    if page.get_by_label("Your password").count():
        page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Reveal for 30 s").click()
    expect(page.locator(".secret")).to_contain_text("postgresql://")
    expect(page.locator('meta[http-equiv="refresh"]')).to_have_attribute(
        "content", re.compile("^30;")
    )
    page.get_by_role("link", name="Hide it now").click()
    expect(page.locator("#connection")).to_be_visible()
    expect(page.locator("main")).not_to_contain_text("_app:")
    expect(page.locator("#live-audit")).to_contain_text("client.connected")


def test_isolation_is_verified_by_a_worker_while_one_waits(page: Page, client_path: str) -> None:
    page.goto(client_path)
    page.get_by_role("button", name="Verify isolation").click()
    isolation = page.locator("#live-isolation")
    expect(isolation).to_contain_text("all of them were refused")
    expect(isolation).to_contain_text("Isolation proven")


def test_everything_can_be_reached_with_the_keyboard(page: Page, client_path: str) -> None:
    page.goto(client_path)
    steps = page.locator("summary.step-line .step-name").all_inner_texts()
    assert steps
    wanted = {"Change plan", "Verify isolation", "Reveal connection", "Reset admin password"}
    wanted |= {step.strip() for step in steps}
    # A live update on the way costs some more.
    for _ in range(200):
        page.keyboard.press("Tab")
        reached = page.evaluate("document.activeElement.textContent.trim()")
        wanted = {label for label in wanted if not reached.startswith(label)}
        if not wanted:
            break
    assert wanted == set()
