"""Signing in, and admins and tokens, in a real browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import EMAIL
from tests.browser.pages.conftest import Dashboard, NewPage, sign_in


@pytest.mark.long
def test_somebody_signs_in_and_out(new_page: NewPage) -> None:
    page = new_page()
    page.goto("/admin/audit?result=refused")
    expect(page).to_have_title("Sign in · GhostCRM")
    page.get_by_label("Email address").fill(EMAIL)
    page.get_by_label("Password", exact=True).fill("not this one")
    page.keyboard.press("Enter")
    problem = page.get_by_role("alert")
    expect(problem).to_contain_text("The email address or the password is wrong.")
    expect(problem).to_be_focused()
    expect(page.get_by_label("Email address")).to_have_value(EMAIL)
    page.get_by_label("Password", exact=True).fill("correct horse battery")
    page.keyboard.press("Enter")
    # Back where he wanted to go, filter included.
    page.wait_for_url("**/admin/audit?result=refused")
    page.get_by_label(f"Your account, {EMAIL}").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/admin/sign-in")
    expect(page.get_by_role("status").first).to_contain_text("You are signed out.")
    page.goto("/admin/audit")
    expect(page).to_have_title("Sign in · GhostCRM")


def test_it_works_without_a_script(new_page: NewPage) -> None:
    page = new_page(script=False)
    sign_in(page)
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(page.get_by_text("Glass House Analytics is in quarantine")).to_be_visible()
    page.goto("/admin/access/tokens/new")
    page.get_by_label("Name").fill("made without a script")
    page.get_by_role("checkbox", name="clients:read").check()
    page.get_by_role("button", name="Create token").click()
    expect(page.locator("#shown-once")).to_contain_text("gcp_")
    page.get_by_role("row", name="made without a script").get_by_text("Revoke", exact=True).click()
    page.get_by_role("button", name="Revoke token").click()
    expect(page.get_by_text("The token is revoked.")).to_be_visible()
    expect(page.get_by_role("row", name="made without a script")).to_have_count(0)


@pytest.mark.long
def test_after_many_wrong_passwords_the_page_says_how_long_to_wait(new_page: NewPage) -> None:
    page = new_page()
    page.goto("/admin/sign-in")
    for _ in range(30):
        page.get_by_label("Email address").fill("night@ghostcrm.example")
        page.get_by_label("Password", exact=True).fill("guessed")
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.get_by_role("alert").wait_for()
        if "Try again in" in page.get_by_role("alert").inner_text():
            break
    expect(page.get_by_role("alert")).to_contain_text(re.compile(r"Try again in \d+ s"))


@pytest.mark.long
def test_a_token_is_created_copied_and_revoked(signed_in: NewPage, dashboard: Dashboard) -> None:
    page = signed_in()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/admin/access")
    page.get_by_role("link", name="Create token").click()
    page.get_by_label("Name").fill("ci of the browser")
    page.get_by_role("checkbox", name="clients:read").check()
    page.get_by_role("button", name="Create token").click()
    shown = page.locator("#shown-once")
    expect(shown).to_contain_text("gcp_")
    page.get_by_role("button", name="Copy").click()
    expect(page.locator("#announcer")).to_have_text("Copied")
    token = page.evaluate("navigator.clipboard.readText()")
    assert token == shown.inner_text()
    assert dashboard.do(dashboard.site.tokens.authenticate(token)).name == "ci of the browser"
    page.reload()
    expect(page.locator("#shown-once")).to_have_count(0)
    row = page.get_by_role("row", name="ci of the browser")
    row.get_by_text("Revoke", exact=True).click()
    # Escape closes the question and gives the focus back.
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Revoke token")).not_to_be_visible()
    expect(row.get_by_text("Revoke", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Revoke token").click()
    expect(page.get_by_text("The token is revoked.")).to_be_visible()


def test_a_forged_form_is_refused(signed_in: NewPage, dashboard: Dashboard) -> None:
    page = signed_in()
    page.goto("/admin/access/tokens/new")
    page.get_by_label("Name").fill("forged")
    page.get_by_label("admin", exact=False).first.check()
    page.evaluate("document.querySelector('main [name=csrf_token]').value = 'guessed'")
    page.get_by_role("button", name="Create token").click()
    expect(page.get_by_role("heading", name="You may not do this")).to_be_visible()
    names = [token.name for token in dashboard.do(dashboard.site.tokens.list())]
    assert "forged" not in names


def test_an_ended_session_leads_back_to_the_same_page(
    new_page: NewPage, dashboard: Dashboard
) -> None:
    page = new_page()
    sign_in(page)
    page.wait_for_url("**/admin/")
    page.goto("/admin/notifications?severity=critical")
    value = next(
        cookie["value"] for cookie in page.context.cookies() if "session" in cookie["name"]
    )
    session = dashboard.do(dashboard.site.sessions.find(value))
    dashboard.do(dashboard.site.sessions.end(session))
    page.reload()
    expect(page).to_have_title("Sign in · GhostCRM")
    sign_in(page, path=page.url)
    page.wait_for_url("**/admin/notifications?severity=critical")
    expect(
        page.get_by_role("heading", name="Glass House Analytics is in quarantine")
    ).to_be_visible()
