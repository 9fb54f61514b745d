"""How a project is set: as wanted, and again after somebody has set it otherwise; what is not ours stays."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network
from typing import Any
from uuid import uuid4

import httpx
import pytest

from ghostcrm_provisioning.errors import GhostcrmError, SupabaseRejected
from ghostcrm_provisioning.mail_server import MailServer
from ghostcrm_provisioning.providers.supabase.documents import NetworkRestrictions
from ghostcrm_provisioning.providers.supabase.project_settings import (
    ProjectSettings,
    WantedSettings,
    wanted_settings,
)
from ghostcrm_provisioning.settings import read_settings
from tests.supabase_projects.conftest import Asking
from tests.supabase_projects.workers import Worker

pytestmark = pytest.mark.long

MAIL = MailServer("smtp.example.com", 587, "apikey", "hunter2 of the mail", "crm@example.com")
WANTED = WantedSettings(
    site_url="https://crm.example.com",
    redirect_urls=("https://*.example.com/**", "crm://signed-in"),
    password_min_length=10,
    mail_server=MAIL,
    allowed_networks=(ip_network("203.0.113.0/24"), ip_network("2001:db8::/32")),
)


@pytest.fixture
async def ref(worker: Worker) -> str:
    return str((await worker.until_done("ensure", uuid4())).ref)


@pytest.fixture
def set_otherwise(caller: httpx.Client, ref: str) -> Callable[..., dict[str, Any]]:
    """What somebody does in Supabase's dashboard."""

    def set_(path: str, **settings: Any) -> dict[str, Any]:
        caller.patch(f"/v1/projects/{ref}/{path}", json=settings).raise_for_status()
        answer: dict[str, Any] = caller.get(f"/v1/projects/{ref}/{path}").json()
        return answer

    return set_


def _seen(caller: httpx.Client, ref: str, path: str) -> dict[str, Any]:
    answer: dict[str, Any] = caller.get(f"/v1/projects/{ref}/{path}").json()
    return answer


def _open_networks(caller: httpx.Client, ref: str) -> None:
    body = {"dbAllowedCidrs": ["0.0.0.0/0"]}
    caller.post(f"/v1/projects/{ref}/network-restrictions/apply", json=body).raise_for_status()


def _changes(worker: Worker) -> list[str]:
    return [path for method, path in worker.watched.sent if method != "GET"]


async def test_a_new_project_is_set_and_then_left_alone(
    worker: Worker, ref: str, caller: httpx.Client
) -> None:
    settings = ProjectSettings(worker.api, WANTED)
    before = await settings.observe(ref)
    assert not before.holds
    assert "disable_signup is False, not True" in before.seen
    after = await settings.apply(ref)
    assert after.holds, after.seen
    assert "203.0.113.0/24" in after.seen
    assert "not in force yet" in after.seen  # the platform keeps nobody out, and says so
    auth = _seen(caller, ref, "config/auth")
    assert {name: auth[name] for name in ("disable_signup", "site_url", "uri_allow_list")} == {
        "disable_signup": True,
        "site_url": "https://crm.example.com",
        "uri_allow_list": "https://*.example.com/**,crm://signed-in",
    }
    assert [auth[f"smtp_{name}"] for name in ("host", "port", "user", "admin_email")] == [
        "smtp.example.com", "587", "apikey", "crm@example.com",
    ]  # fmt: skip
    assert (auth["password_min_length"], auth["external_anonymous_users_enabled"]) == (10, False)
    assert _seen(caller, ref, "network-restrictions")["config"] == {
        "dbAllowedCidrs": ["203.0.113.0/24"],
        "dbAllowedCidrsV6": ["2001:db8::/32"],
    }
    worker.watched.sent.clear()
    assert (await settings.apply(ref)).holds
    assert _changes(worker) == []


async def test_what_was_set_otherwise_is_set_back(
    worker: Worker, ref: str, set_otherwise: Callable[..., dict[str, Any]], caller: httpx.Client
) -> None:
    settings = ProjectSettings(worker.api, WANTED)
    await settings.apply(ref)
    set_otherwise("config/auth", disable_signup=False, smtp_pass="another", jwt_exp=600)
    _open_networks(caller, ref)
    seen = await settings.observe(ref)
    assert not seen.holds
    for part in ("disable_signup", "smtp_pass is the one that is set", "0.0.0.0/0"):
        assert part in seen.seen
    assert MAIL.password not in seen.seen
    assert (await settings.apply(ref)).holds
    assert _seen(caller, ref, "config/auth")["jwt_exp"] == 600  # is not ours


async def test_without_wishes_only_signing_up_is_closed(
    worker: Worker,
    ref: str,
    set_otherwise: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = set_otherwise("config/auth", site_url="https://theirs.example.com", smtp_host="theirs")
    assert (await ProjectSettings(worker.api, wanted_settings(read_settings())).apply(ref)).holds
    after = set_otherwise("config/auth")
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"disable_signup", "password_min_length"}
    assert ("GET", "/v1/projects/*/network-restrictions") not in worker.watched.sent
    monkeypatch.setenv("GHOSTCRM_SUPABASE_ALLOW_SIGNUPS", "true")
    seen = await ProjectSettings(worker.api, wanted_settings(read_settings())).apply(ref)
    assert seen.holds
    assert "anybody may sign up" in seen.seen


@pytest.mark.parametrize(
    ("exposed", "right"),
    [
        ("public,graphql_public", None),
        ("public,graphql_public,private", "public,graphql_public"),
        ("ghostcrm_provisioning, private ,auth", "public"),
        ("theirs, public", None),
        ("ghostcrm_provisioning", None),  # it was closed
        ("", "public"),
    ],
)
async def test_no_schema_of_ours_is_shown_by_the_rest_api(
    exposed: str,
    right: str | None,
    worker: Worker,
    ref: str,
    set_otherwise: Callable[..., dict[str, Any]],
) -> None:
    set_otherwise("postgrest", db_schema=exposed)
    settings = ProjectSettings(worker.api, WantedSettings())
    worker.watched.sent.clear()
    assert (await settings.apply(ref)).holds
    assert ("/v1/projects/*/postgrest" in _changes(worker)) == (right is not None)
    assert set_otherwise("postgrest")["db_schema"] == (exposed if right is None else right)


@pytest.mark.parametrize("kind", ["drop_reply", "error_before", "error_after"])
async def test_a_reply_that_was_lost_is_looked_for(
    kind: str, worker: Worker, ref: str, fault: Asking
) -> None:
    settings = ProjectSettings(worker.api, WANTED)
    for method, path in (
        ("PATCH", "/v1/projects/*/config/auth"),
        ("POST", "/v1/projects/*/network-restrictions/apply"),
    ):
        fault(kind=kind, method=method, path=path)
    seen = await worker.repeat(lambda: settings.apply(ref))
    assert seen.holds
    assert worker.errors.count("supabase_unavailable") == 2


async def test_an_organization_that_may_not_restrict_networks_is_told_so(
    worker: Worker, ref: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def not_entitled(_: str) -> NetworkRestrictions:
        return NetworkRestrictions(entitled=False, allowed=())

    monkeypatch.setattr(worker.api, "network_restrictions", not_entitled)
    settings = ProjectSettings(worker.api, WANTED)
    assert "not entitled" in (await settings.observe(ref)).seen
    with pytest.raises(SupabaseRejected, match="not entitled") as raised:
        await settings.apply(ref)
    assert "GHOSTCRM_SUPABASE_ALLOWED_NETWORKS" in raised.value.next_step
    assert "/v1/projects/*/network-restrictions/apply" not in _changes(worker)


async def test_a_mail_servers_password_is_in_no_error(
    worker: Worker, ref: str, fault: Asking
) -> None:
    for kind in ("error_before", "drop_reply"):
        fault(kind=kind, method="PATCH", path="/v1/projects/*/config/auth")
        with pytest.raises(GhostcrmError) as raised:
            await ProjectSettings(worker.api, WANTED).apply(ref)
        assert MAIL.password not in str(raised.value.as_record()) + repr(raised.value)
    assert MAIL.password not in repr(WANTED)
