"""Signing in: the cookie, the waits, a temporary password, sessions that end."""

from __future__ import annotations

import httpx
from fastapi import FastAPI

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.web.site import Site
from tests.access.conftest import hold_waits
from tests.dashboard.conftest import PASSWORD, Visiting, Visitor


def cookies_of(answer: httpx.Response) -> dict[str, str]:
    """The attributes of every cookie that was set, by its name."""
    return {text.partition("=")[0]: text.lower() for text in answer.headers.get_list("set-cookie")}


async def test_the_cookie_cannot_be_read_by_scripts_nor_sent_by_other_sites(
    visiting: Visiting,
) -> None:
    visitor = await visiting(Scope.ADMIN, is_signed_in=False)
    answer = await visitor.sign_in()
    assert answer.status_code == 303
    assert answer.headers["location"] == "/admin/"
    cookie = cookies_of(answer)["ghostcrm_session"]
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/" in cookie
    assert "max-age" not in cookie  # it ends with the browser


async def test_behind_tls_the_cookie_is_secure_and_of_this_host_only(
    application: FastAPI, visiting: Visiting
) -> None:
    visitor = await visiting(Scope.ADMIN, is_signed_in=False)
    transport = httpx.ASGITransport(app=application)
    async with httpx.AsyncClient(transport=transport, base_url="https://ghostcrm.test") as browser:
        answer = await Visitor(browser, visitor.email).sign_in()
        assert "secure" in cookies_of(answer)["__Host-ghostcrm_session"]
        assert (await browser.get("/admin/sessions")).status_code == 200


async def test_a_sign_in_always_begins_another_session(visiting: Visiting) -> None:
    visitor = await visiting(Scope.ADMIN)
    before = visitor.browser.cookies["ghostcrm_session"]
    csrf_before = await visitor.csrf_token()
    # Who is signed in already sees no form, so it takes a sign-out in between.
    await visitor.send("/admin/sign-out")
    assert (await visitor.see("/admin/sessions")).status_code == 303
    assert (await visitor.sign_in()).status_code == 303
    assert visitor.browser.cookies["ghostcrm_session"] != before
    assert await visitor.csrf_token() != csrf_before


async def test_signing_out_takes_a_form(visiting: Visiting) -> None:
    visitor = await visiting(Scope.ADMIN)
    assert (await visitor.see("/admin/sign-out")).status_code == 405
    assert (await visitor.see("/admin/sessions")).status_code == 200
    answer = await visitor.send("/admin/sign-out")
    assert answer.headers["location"] == "/admin/sign-in"
    assert (await visitor.see("/admin/sessions")).status_code == 303


async def test_a_wrong_password_is_told_in_the_same_words_as_an_unknown_address(
    visiting: Visiting,
) -> None:
    visitor = await visiting(Scope.ADMIN, is_signed_in=False)
    known = await visitor.sign_in(password="wrong")
    unknown = await Visitor(visitor.browser, "nobody@ghostcrm.example").sign_in(password="wrong")
    assert known.status_code == unknown.status_code == 401
    assert "The email address or the password is wrong." in known.text
    assert "The email address or the password is wrong." in unknown.text
    # The address is kept, the password is not.
    assert visitor.email in known.text
    assert 'wrong"' not in known.text


async def test_after_many_failures_the_page_says_how_long_to_wait(
    visiting: Visiting, site: Site
) -> None:
    visitor = await visiting(Scope.ADMIN, is_signed_in=False)
    answer = await visitor.sign_in(password="wrong")
    for _ in range(30):
        if answer.status_code == 429:
            break
        answer = await visitor.sign_in(password="wrong")
    assert answer.status_code == 429
    wait = answer.headers["retry-after"]
    assert f"Try again in {wait} s" in answer.text
    # The right password does not help either: it is not looked at.
    await hold_waits(site.installation)
    assert (await visitor.sign_in()).status_code == 429


async def test_a_temporary_password_opens_one_page_only(visiting: Visiting, site: Site) -> None:
    visitor = await visiting(Scope.ADMIN, is_signed_in=False)
    account = await site.accounts.find_by_email(visitor.email)
    temporary = await site.accounts.set_password(account.id, by="a test")
    assert temporary is not None
    await visitor.sign_in(password=temporary.get_secret_value())
    for path in ("/admin/", "/admin/access", "/admin/sessions"):
        answer = await visitor.see(path)
        assert answer.headers["location"] == "/admin/change-password", path
    page = await visitor.see("/admin/change-password")
    assert "temporary password" in page.text
    token = await visitor.csrf_token("/admin/change-password")
    fields = {
        "csrf_token": token,
        "current_password": temporary.get_secret_value(),
        "new_password": "not so long",
        "new_again": "not so long",
    }
    answer = await visitor.browser.post("/admin/change-password", data=fields)
    assert answer.status_code == 422
    assert "11 characters; at least 12 are needed" in answer.text
    fields |= {"new_password": "another good password", "new_again": "another good password"}
    answer = await visitor.browser.post("/admin/change-password", data=fields)
    assert answer.status_code == 303
    assert (await visitor.see("/admin/access")).status_code == 200


async def test_sessions_are_listed_and_can_be_ended(visiting: Visiting) -> None:
    visitor = await visiting(Scope.ADMIN)
    async with httpx.AsyncClient(
        transport=visitor.browser._transport, base_url=visitor.browser.base_url
    ) as elsewhere:
        other = Visitor(elsewhere, visitor.email)
        await other.sign_in()
        page = await visitor.see("/admin/sessions")
        assert page.text.count("End session") == 1
        answer = await visitor.send("/admin/sessions/end-others")
        assert answer.status_code == 303
        assert (await other.see("/admin/sessions")).status_code == 303
    assert "1 other session has ended." in (await visitor.see("/admin/sessions")).text
    # A sentence about what was done is said once.
    assert "has ended" not in (await visitor.see("/admin/sessions")).text


async def test_a_page_that_is_left_open_does_not_keep_the_session(
    visiting: Visiting, site: Site
) -> None:
    visitor = await visiting(Scope.ADMIN)
    control = site.installation.control
    age = "update admin_sessions set last_seen_at = clock_timestamp() - interval '20 minutes'"
    look = "select clock_timestamp() - last_seen_at < interval '1 minute' as is_fresh from admin_sessions"
    await control.execute(age)
    for headers in ({"X-Live": "1"}, {"Accept": "text/event-stream"}):
        assert (await visitor.see("/admin/sessions", **headers)).status_code == 200
    assert (await control.fetch_one(look) or {})["is_fresh"] is False
    await visitor.see("/admin/sessions")
    assert (await control.fetch_one(look) or {})["is_fresh"] is True
    await control.execute(age.replace("20", "31"))
    assert (await visitor.see("/admin/sessions")).status_code == 303


async def test_passwords_are_asked_for_again_before_rights_are_given(
    visiting: Visiting, site: Site
) -> None:
    visitor = await visiting(Scope.ADMIN)
    control = site.installation.control
    await control.execute(
        "update admin_sessions set confirmed_at = clock_timestamp() - interval '6 minutes'"
    )
    fields = {"name": "ci", "scopes": "clients:read", "lifetime": "30"}
    answer = await visitor.send("/admin/access/tokens/new", fields)
    assert answer.status_code == 422
    assert "Give your password once more." in answer.text
    answer = await visitor.send("/admin/access/tokens/new", fields | {"password": "wrong"})
    assert answer.status_code == 422
    assert "not your password" in answer.text
    assert await site.tokens.list() == []
    answer = await visitor.send("/admin/access/tokens/new", fields | {"password": PASSWORD})
    assert answer.status_code == 303
