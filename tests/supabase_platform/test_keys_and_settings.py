"""The keys of a project, and its settings: kept, shown as they may be, and of effect."""

from __future__ import annotations

import hmac
from typing import Any

import httpx
import jwt

from tests.supabase_platform.conftest import with_key


def _base(project: dict[str, Any]) -> str:
    return f"/v1/projects/{project['ref']}"


def test_secret_keys_are_masked_until_they_are_asked_for(
    caller: httpx.Client, project: dict[str, Any]
) -> None:
    masked = {
        (key["type"], key["name"]): key["api_key"]
        for key in caller.get(f"{_base(project)}/api-keys").json()
    }
    assert masked["legacy", "anon"] == project["anon"]
    assert masked["publishable", "default"] == project["publishable"]
    assert masked["secret", "default"] != project["secret"]
    assert masked["secret", "default"].endswith("·" * 26)
    assert project["secret"].startswith(masked["secret", "default"].rstrip("·"))


def test_legacy_keys_are_tokens_with_the_project_in_them(
    caller: httpx.Client, project: dict[str, Any]
) -> None:
    secret = caller.get(f"{_base(project)}/postgrest").json()["jwt_secret"]
    for role in ("anon", "service_role"):
        claims = jwt.decode(project[role], secret, algorithms=["HS256"])
        assert (claims["role"], claims["ref"], claims["iss"]) == (role, project["ref"], "supabase")


def test_a_key_is_made_used_and_taken_back(caller: httpx.Client, project: dict[str, Any]) -> None:
    path = f"{_base(project)}/api-keys"
    assert caller.post(path, json={"type": "secret", "name": "No"}).status_code == 400
    new = caller.post(f"{path}?reveal=true", json={"type": "secret", "name": "nightly_job"})
    assert new.status_code == 201
    again = caller.post(path, json={"type": "secret", "name": "nightly_job"})
    assert again.status_code == 400
    with with_key(project | {"new": new.json()["api_key"]}, "new") as job:
        assert job.get("/auth/v1/admin/users").is_success
        shown = caller.delete(f"{path}/{new.json()['id']}")
        assert shown.json()["api_key"].endswith("·" * 26)
        assert job.get("/auth/v1/admin/users").status_code == 401
    assert caller.get(f"{path}/{new.json()['id']}").status_code == 404


def test_legacy_keys_can_be_disabled(caller: httpx.Client, project: dict[str, Any]) -> None:
    path = f"{_base(project)}/api-keys"
    assert caller.put(f"{path}/legacy?enabled=false").json() == {"enabled": False}
    with with_key(project) as old:
        assert old.get("/auth/v1/admin/users").status_code == 401
    with with_key(project, "secret") as new:
        assert new.get("/auth/v1/admin/users").is_success
    assert {key["type"] for key in caller.get(path).json()} == {"publishable", "secret"}
    assert caller.put(f"{path}/legacy?enabled=true").json() == {"enabled": True}


def test_auth_settings_are_kept_and_a_password_is_not_shown(
    caller: httpx.Client, project: dict[str, Any]
) -> None:
    path = f"{_base(project)}/config/auth"
    wanted = {
        "site_url": "https://crm.example.com",
        "disable_signup": True,
        "smtp_host": "mail.example.com",
        "smtp_pass": "the mail server's",
        "not_a_setting": 1,
    }
    answer = caller.patch(path, json=wanted)
    assert answer.is_success
    kept = caller.get(path).json()
    assert kept == answer.json()
    assert (kept["site_url"], kept["disable_signup"]) == ("https://crm.example.com", True)
    assert "the mail server's" not in caller.get(path).text
    keyed = hmac.digest(project["ref"].encode(), b"the mail server's", "sha256").hex()
    assert kept["smtp_pass"] == keyed  # by which the Supabase CLI sees whether it has changed
    with with_key(project, "publishable") as anybody:
        assert anybody.get("/auth/v1/settings").json()["disable_signup"] is True
    assert httpx.get(f"{project['url']}/auth/v1/settings", timeout=60).status_code == 401
    assert "not_a_setting" not in kept
    wrong = caller.patch(path, json={"disable_signup": "yes"})
    assert (wrong.status_code, wrong.json()) == (
        400,
        {"message": "disable_signup: Expected boolean"},
    )


def test_network_restrictions_are_kept_and_said_to_be_only_stored(
    caller: httpx.Client, project: dict[str, Any]
) -> None:
    path = f"{_base(project)}/network-restrictions"
    assert caller.get(path).json()["status"] == "applied"
    answer = caller.post(f"{path}/apply", json={"dbAllowedCidrs": ["10.0.0.0/8"]})
    assert answer.status_code == 201
    changed = caller.patch(
        path,
        json={
            "add": {"dbAllowedCidrs": ["192.0.2.0/24"]},
            "remove": {"dbAllowedCidrs": ["10.0.0.0/8"]},
        },
    )
    assert changed.json()["config"]["dbAllowedCidrs"] == [{"address": "192.0.2.0/24", "type": "v4"}]
    now = caller.get(path).json()
    assert (now["status"], now["config"]["dbAllowedCidrs"]) == ("stored", ["192.0.2.0/24"])
    assert caller.post(f"{path}/apply", json={"dbAllowedCidrs": ["everywhere"]}).status_code == 400


def test_advisors_find_what_is_wrong_and_nothing_else(
    caller: httpx.Client, project: dict[str, Any]
) -> None:
    query = f"{_base(project)}/database/query"
    before = caller.get(f"{_base(project)}/advisors/security").json()["lints"]
    assert before == []
    statements = """
        create table public.parent (id int primary key);
        create table public.open (id int primary key, parent int references public.parent (id));
        grant select on public.open to anon;
        create index one on public.open (id);
        create index other on public.open (id);
        alter table public.parent enable row level security;
        create function public.loose() returns int language sql as 'select 1';
        create table public.keyless (i int);
        create table public.slow (id uuid primary key);
        alter table public.slow enable row level security;
        create policy a on public.slow for select to authenticated using (id = auth.uid());
        create policy b on public.slow for select to authenticated using (id = (select auth.uid()));
        create policy m on public.slow for delete to authenticated
            using ((select auth.jwt()) -> 'user_metadata' ->> 'x' = 'y');
        create view public.people as select email from auth.users;
        grant select on public.people to authenticated;
    """
    assert caller.post(query, json={"query": statements}).status_code == 201
    found = {
        (lint["name"], lint["metadata"]["name"])
        for kind in ("security", "performance")
        for lint in caller.get(f"{_base(project)}/advisors/{kind}").json()["lints"]
        if lint["name"] != "unused_index"
    }
    assert found == {
        ("rls_disabled_in_public", "open"),
        ("unindexed_foreign_keys", "open"),
        ("duplicate_index", "open"),
        ("rls_enabled_no_policy", "parent"),
        ("function_search_path_mutable", "loose"),
        ("no_primary_key", "keyless"),
        ("auth_rls_initplan", "slow"),
        ("multiple_permissive_policies", "slow"),
        ("rls_references_user_metadata", "slow"),
        ("security_definer_view", "people"),
        ("auth_users_exposed", "people"),
    }


def test_types_are_those_of_the_database(caller: httpx.Client, project: dict[str, Any]) -> None:
    statements = """
        create schema shapes;
        create type shapes.mood as enum ('good', 'bad');
        create table shapes.thing (id bigint generated always as identity primary key, name text not null,
            mood shapes.mood not null default 'good', tags text[], extra jsonb);
        create table shapes.part (thing_id bigint not null references shapes.thing (id), "odd name" int);
        create view shapes.names as select name from shapes.thing;
        create function shapes.twice(n int, m int default 2) returns setof text language sql as 'select 1::text';
    """
    path = f"{_base(project)}/database/query"
    assert caller.post(path, json={"query": statements}).status_code == 201
    types = caller.get(f"{_base(project)}/types/typescript?included_schemas=shapes").json()["types"]
    squeezed = " ".join(types.split())
    mood = 'Database["shapes"]["Enums"]["mood"]'
    for part in (
        f"thing: {{ Row: {{ extra: Json | null id: number mood: {mood} name: string tags: string[] | null }}",
        f"Insert: {{ extra?: Json | null id?: never mood?: {mood} name: string tags?: string[] | null }}",
        '"odd name": number | null',
        'foreignKeyName: "part_thing_id_fkey" columns: ["thing_id"] isOneToOne: false '
        'referencedRelation: "thing"',
        "names: { Row: { name: string | null }",
        "twice: { Args: { n: number; m?: number }; Returns: string[] }",
        'mood: "good" | "bad"',
    ):
        assert part in squeezed, part
    # The advisors would find it, whenever they are asked.
    gone = caller.post(path, json={"query": "drop schema shapes cascade"})
    assert gone.status_code == 201
