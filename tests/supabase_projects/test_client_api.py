"""The whole CRM of a client that is a project, provisioned by the command: its API shows nothing to strangers,
and what somebody opens afterwards is found there."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from ghostcrm_provisioning.providers.supabase.api_attack import NOBODY
from ghostcrm_provisioning.providers.supabase.project_api import headers_of
from tests.command import ghostcrm
from tests.conftest import Server
from tests.running_platform import RunningPlatform, new_home

pytestmark = pytest.mark.long


@pytest.mark.timeout(2400)
def test_what_is_opened_at_a_client_is_found_over_its_api(
    platform: RunningPlatform, caller: httpx.Client, server: Server, tmp_path: Path
) -> None:
    environment = new_home(server, tmp_path) | {
        "GHOSTCRM_PROVIDER": "supabase",
        "SUPABASE_API_URL": platform.url,
        "SUPABASE_ACCESS_TOKEN": platform.token,
        "SUPABASE_ORGANIZATION_SLUG": platform.organization,
    }
    made = ghostcrm(
        "provision", "ACME", "--admin-email", "ada@example.com", "--json",
        environment=environment, timeout=900,
    )  # fmt: skip
    assert made.code == 0, made.stderr
    client = made.document
    (proof,) = [step for step in client["steps"] if step["name"] == "prove_isolation"]
    assert "knocks at its API: nothing was shown" in proof["observation"]

    connection = ghostcrm("clients", "connect", client["id"], "--json", environment=environment)
    url = connection.document["supabaseUrl"]
    admin = headers_of(connection.document["serviceRoleKey"])
    users = httpx.get(f"{url}/auth/v1/admin/users", headers=admin, timeout=60).json()["users"]
    assert [user["email"] for user in users] == ["ada@example.com"], "the stranger is gone"

    # Two doors: one that the attack inside the database finds, too, and one that it cannot see.
    ref = url.rpartition("/")[2]
    opened = caller.post(
        f"/v1/projects/{ref}/database/query",
        json={"query": "grant select on public.contacts to anon"},
    )
    assert opened.status_code == 201
    public = httpx.put(
        f"{url}/storage/v1/bucket/files", headers=admin, json={"public": True}, timeout=60
    )
    assert public.is_success

    verified = ghostcrm("verify", client["id"], "--json", environment=environment, timeout=900)
    assert verified.code != 0
    found = {
        (finding["code"], finding["subject"], finding["caller"])
        for finding in verified.document["findings"]
    }
    assert {
        ("bucket_public", "files", NOBODY),
        ("may_ask", "contacts", "the anon key"),
        ("may_ask", "contacts", "the publishable key"),
    } <= found

    # What is found inside counts, too, when the API cannot be asked any more.
    mended = caller.post(
        f"/v1/projects/{ref}/database/query",
        json={"query": "revoke select on public.contacts from anon"},
    )
    assert mended.status_code == 201
    hidden = httpx.put(
        f"{url}/storage/v1/bucket/files", headers=admin, json={"public": False}, timeout=60
    )
    assert hidden.is_success
    released = ghostcrm(
        "clients", "release", client["id"], "--json", environment=environment, timeout=900
    )
    assert released.code == 0, released.stderr
    assert caller.post(
        f"/v1/projects/{ref}/database/query",
        json={"query": "grant select on public.contacts to anon"},
    ).is_success
    for key in caller.get(f"/v1/projects/{ref}/api-keys").json():
        if key["type"] == "secret":
            assert caller.delete(f"/v1/projects/{ref}/api-keys/{key['id']}").is_success
    verified = ghostcrm("verify", client["id"], "--json", environment=environment, timeout=900)
    assert verified.document["holds"] is False, verified.stderr
    shown = ghostcrm("clients", "show", client["id"], "--json", environment=environment)
    assert shown.document["status"] == "quarantined"
