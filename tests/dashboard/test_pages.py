"""What the pages say: the numbers, names of every kind, secrets once and never again, errors as pages."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
from scenery import paint

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.web.site import Site
from tests.dashboard.conftest import Visiting

HOSTILE = '<script>alert("x")</script> & <b>Bold</b> Partners'
ESCAPED = "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt; &amp; &lt;b&gt;Bold&lt;/b&gt; Partners"
PAGES = (
    "/admin/",
    "/admin/?window=30d",
    "/admin/clients",
    "/admin/queue",
    "/admin/servers",
    "/admin/audit",
    "/admin/notifications",
    "/admin/access",
    "/admin/access/tokens/new",
    "/admin/access/admins/new",
    "/admin/sessions",
    "/admin/change-password",
)
_INLINE = re.compile(
    r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", re.IGNORECASE
)
_TOKEN = re.compile(r"gcp_[a-z0-9]{8}_[A-Za-z0-9_-]{43}")


async def test_every_page_is_strict_and_shows_names_as_they_are(
    visiting: Visiting, site: Site
) -> None:
    visitor = await visiting(Scope.ADMIN)
    await site.tokens.create(
        name=HOSTILE, scopes=frozenset({Scope.CLIENTS_READ}), created_by=HOSTILE
    )
    for is_empty in (True, False):
        if not is_empty:
            await paint(site.installation.control)
        for path in PAGES:
            answer = await visitor.see(path)
            assert answer.status_code == 200, path
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-frame-options"] == "DENY"
            assert _INLINE.search(answer.text) is None, path
            assert "<b>Bold" not in answer.text, path
            assert answer.text.count("<h1") == 1, path
            assert "<html lang=" in answer.text
    for path in ("/admin/clients", "/admin/audit", "/admin/access"):
        assert ESCAPED in (await visitor.see(path)).text, path


async def test_the_overview_says_what_needs_attention(visiting: Visiting, site: Site) -> None:
    visitor = await visiting(Scope.ADMIN)
    await paint(site.installation.control)
    text = (await visitor.see("/admin/")).text
    assert "Glass House Analytics is in quarantine" in text
    assert "favicon-attention.svg" in text
    assert re.search(r"<title>\(\d+\) Overview", text)
    assert "server_unreachable" in text
    assert "2×" in text
    assert 'role="img"' in text
    assert "<desc" in text
    assert "app-1:4711" in text
    assert ESCAPED in text
    answer = await visitor.see("/admin/?window=century")
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/html")


async def test_who_may_not_see_the_audit_log_is_not_sent_there(
    visiting: Visiting, site: Site
) -> None:
    await paint(site.installation.control)
    visitor = await visiting(Scope.CLIENTS_READ)
    text = (await visitor.see("/admin/")).text
    for path in ("/admin/audit", "/admin/access", "/admin/servers", "/admin/queue"):
        assert f'href="{path}"' not in text
    assert "Provision client" not in text


async def test_a_token_is_shown_once_and_revoked_with_a_form(
    visiting: Visiting, site: Site
) -> None:
    visitor = await visiting(Scope.ADMIN)
    answer = await visitor.send(
        "/admin/access/tokens/new", {"name": "ci", "scopes": ["clients:read"], "lifetime": "30"}
    )
    assert answer.status_code == 303
    assert _TOKEN.search(answer.headers["location"] + str(answer.headers)) is None
    page = await visitor.see(answer.headers["location"])
    found = _TOKEN.findall(page.text)
    assert len(set(found)) == 1
    assert "You cannot see it again" in page.text
    assert (await site.tokens.authenticate(found[0])).name == "ci"
    again = await visitor.see(answer.headers["location"])
    assert _TOKEN.search(again.text) is None
    (record,) = await site.tokens.list()
    assert record.expires_at is not None
    assert record.expires_at - datetime.now(UTC) < timedelta(days=31)
    # The same name once more is a conflict, in words; nothing was made.
    answer = await visitor.send(
        "/admin/access/tokens/new", {"name": "ci", "scopes": ["clients:read"], "lifetime": "0"}
    )
    assert answer.status_code == 409
    assert "There is a token named" in answer.text
    answer = await visitor.send(f"/admin/access/tokens/{record.id}/revoke")
    assert answer.status_code == 303
    assert "The token is revoked" in (await visitor.see("/admin/access")).text
    assert (await site.tokens.list())[0].is_valid is False
    # What was in no page but the one: not in the audit log, nor in any other page.
    for path in PAGES:
        assert found[0] not in (await visitor.see(path)).text
    # Taking it back twice says what is so.
    assert (await visitor.send(f"/admin/access/tokens/{record.id}/revoke")).status_code == 404


async def test_nobody_gives_away_more_than_he_has(visiting: Visiting, site: Site) -> None:
    visitor = await visiting(Scope.ACCESS_MANAGE, Scope.CLIENTS_READ)
    page = (await visitor.see("/admin/access/tokens/new")).text
    assert 'value="clients:read"' in page
    assert 'value="clients:connect"' not in page
    answer = await visitor.send(
        "/admin/access/tokens/new", {"name": "ci", "scopes": "admin", "lifetime": "0"}
    )
    assert answer.status_code == 403
    assert await site.tokens.list() == []


async def test_admins_are_made_and_disabled_but_never_the_last_one(
    visiting: Visiting, site: Site
) -> None:
    visitor = await visiting(Scope.ADMIN)
    answer = await visitor.send(
        "/admin/access/admins/new", {"email": "Night@GhostCRM.example", "scopes": "queue:read"}
    )
    assert answer.status_code == 303
    page = await visitor.see(answer.headers["location"])
    assert "The temporary password of night@ghostcrm.example" in page.text
    account = await site.accounts.find_by_email("night@ghostcrm.example")
    assert account.must_change_password
    answer = await visitor.send(
        f"/admin/access/admins/{account.id}/rights", {"scopes": ["queue:read", "clients:read"]}
    )
    assert answer.status_code == 303
    assert (await site.accounts.find(account.id)).scopes == {Scope.QUEUE_READ, Scope.CLIENTS_READ}
    assert (await visitor.send(f"/admin/access/admins/{account.id}/disable")).status_code == 303
    assert not (await site.accounts.find(account.id)).is_enabled
    own = await site.accounts.find_by_email(visitor.email)
    answer = await visitor.send(f"/admin/access/admins/{own.id}/disable")
    assert answer.status_code == 409
    assert "the only account left" in answer.text
    answer = await visitor.see(f"/admin/access/admins/{uuid4()}")
    assert answer.status_code == 404


async def test_the_audit_log_is_filtered_paged_and_exported(visiting: Visiting, site: Site) -> None:
    visitor = await visiting(Scope.AUDIT_READ)
    await paint(site.installation.control)
    seen: list[str] = []
    path = "/admin/audit?action=client.registered&actor=token%3Aweb+shop"
    for _ in range(5):
        text = (await visitor.see(path)).text
        seen += re.findall(r'<td data-label="What"><code>([^<]*)</code>', text)
        following = re.search(r'href="([^"]*)" rel="next"', text)
        if following is None:
            break
        path = following[1].replace("&amp;", "&")
        assert "action=client.registered" in path
    assert seen == ["client.registered"] * 130
    assert "No entries match these filters" in (await visitor.see("/admin/audit?actor=x")).text
    wrong = await visitor.see("/admin/audit?since=yesterday&client=7&result=odd&after=x")
    assert wrong.status_code == 422
    assert wrong.text.count("A day is written like") == 1
    exported = await visitor.see("/admin/audit.csv?action=client.connected")
    assert exported.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in exported.headers["content-disposition"]
    lines = exported.text.splitlines()
    assert lines[0].startswith("at,actor,action")
    assert len(lines) == 3
    assert (await visitor.see("/admin/audit.csv?since=x")).status_code == 422


async def test_notifications_are_filtered(visiting: Visiting, site: Site) -> None:
    visitor = await visiting(Scope.NOTIFICATIONS_READ)
    assert "No notifications" in (await visitor.see("/admin/notifications")).text
    await paint(site.installation.control)
    text = (await visitor.see("/admin/notifications?severity=critical")).text
    assert text.count('class="card message"') == 1
    assert "Glass House Analytics is in quarantine" in text
    text = (await visitor.see("/admin/notifications?delivery=pending&before=99999")).text
    assert "ACME Corp could not be provisioned" in text


async def test_errors_are_pages_with_the_request_id(
    visiting: Visiting, stranger: httpx.AsyncClient, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = await visiting(Scope.ADMIN)
    for path in ("/admin/no/such/page", "/admin/clients/not-an-id", f"/admin/clients/{uuid4()}"):
        answer = await visitor.see(path, **{"X-Request-Id": "asked-for-by-a-test"})
        assert answer.status_code == 404, path
        assert "There is nothing here" in answer.text
        assert "asked-for-by-a-test" in answer.text
    assert (await stranger.get("/admin/no-such-page")).status_code == 404

    async def break_down(*_: object) -> None:
        raise RuntimeError("password=hunter2 at /srv/secret")

    monkeypatch.setattr(type(site.statistics), "overview", break_down)
    answer = await visitor.see("/admin/", **{"X-Request-Id": "asked-for-by-a-test"})
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    assert "asked-for-by-a-test" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_static_files_are_kept_when_asked_for_by_their_digest(
    stranger: httpx.AsyncClient,
) -> None:
    page = (await stranger.get("/admin/sign-in")).text
    found = re.findall(r'(?:href|src)="(/admin/static/[^"]*)"', page)
    assert len(found) >= 3
    for path in found:
        answer = await stranger.get(path)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    answer = await stranger.get("/admin/static/live.js")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (await stranger.get("/admin/static/../routing.py")).status_code == 404


async def test_colours_are_chosen_without_a_script(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.post(
        "/admin/theme", data={"theme": "dark", "return_to": "https://evil.example/"}
    )
    assert answer.headers["location"] == "/admin/"
    assert 'data-theme="dark"' in (await stranger.get("/admin/sign-in")).text
    await stranger.post("/admin/theme", data={"theme": '"><script>', "return_to": ""})
    assert 'data-theme="system"' in (await stranger.get("/admin/sign-in")).text
