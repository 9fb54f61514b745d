"""A project's own API: its users, what its keys let one see, its buckets."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import bcrypt
import httpx
import jwt
import pytest
from httpx import Client as SyncClient
from supabase_auth import SyncGoTrueAdminAPI, SyncGoTrueClient
from supabase_auth.errors import AuthApiError

from tests.conftest import Server
from tests.running_platform import RunningPlatform
from tests.supabase_platform.conftest import with_key

_COUNT = itertools.count(1)


def new_email() -> str:
    return f"person{next(_COUNT)}-{uuid4().hex[:6]}@example.com"


@pytest.fixture
def admin(project: dict[str, Any]) -> Iterator[httpx.Client]:
    with with_key(project) as client:
        yield client


@pytest.fixture
def stranger(project: dict[str, Any]) -> Iterator[httpx.Client]:
    with with_key(project, "anon") as client:
        yield client


def create_user(admin: httpx.Client, **fields: Any) -> httpx.Response:
    body = {"email": new_email(), "email_confirm": True} | fields
    return admin.post("/auth/v1/admin/users", json=body)


# --- users ----------------------------------------------------------------------------------------


def test_a_user_whose_hash_was_given_signs_in(admin: httpx.Client, stranger: httpx.Client) -> None:
    hashed = bcrypt.hashpw(b"secure-password", bcrypt.gensalt(4)).decode()
    user_id = str(uuid4())
    made = create_user(
        admin, id=user_id, email="Given.Hash@Example.com", password_hash=hashed,
        user_metadata={"company": "ACME"}, app_metadata={"plan": "starter"},
    )  # fmt: skip
    assert made.status_code == 200
    user = made.json()
    assert (user["id"], user["email"]) == (user_id, "given.hash@example.com")
    assert user["app_metadata"] == {
        "provider": "email",
        "providers": ["email"],
        "plan": "starter",
    }
    assert hashed not in made.text
    session = stranger.post(
        "/auth/v1/token?grant_type=password",
        json={"email": "given.hash@example.com", "password": "secure-password"},
    )
    assert session.status_code == 200
    assert session.json()["user"]["id"] == user_id


@pytest.mark.parametrize("version", ["", "2024-01-01"])
def test_refusals_are_said_in_the_words_of_the_version(admin: httpx.Client, version: str) -> None:
    email = new_email()
    assert create_user(admin, email=email).is_success
    headers = {"X-Supabase-Api-Version": version} if version else {}
    answer = admin.post("/auth/v1/admin/users", json={"email": email.upper()}, headers=headers)
    assert answer.status_code == 422
    sentence = "A user with this email address has already been registered"
    assert answer.json() == (
        {"code": "email_exists", "message": sentence}
        if version
        else {"code": 422, "error_code": "email_exists", "msg": sentence}
    )


def test_an_id_that_is_there_is_a_failure_of_the_database(admin: httpx.Client) -> None:
    user_id = create_user(admin).json()["id"]
    answer = create_user(admin, id=user_id)
    assert answer.status_code == 500
    assert answer.json()["code"] == "23505"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"password": "secret-1", "password_hash": "$2b$04$" + "a" * 53}, 400),
        ({"password": "x" * 73}, 400),
        ({"password_hash": "plain text"}, 500),
        ({"email": "nobody"}, 400),
        ({"email": None}, 400),
        ({"ban_duration": "for ever"}, 400),
    ],
)
def test_what_auth_refuses_is_refused(
    admin: httpx.Client, fields: dict[str, Any], status: int
) -> None:
    answer = create_user(admin, **fields)
    assert answer.status_code == status
    assert "secret-1" not in answer.text


def test_users_are_listed_in_pages(admin: httpx.Client) -> None:
    made = {create_user(admin).json()["id"] for _ in range(3)}
    first = admin.get("/auth/v1/admin/users?page=1&per_page=2")
    assert len(first.json()["users"]) == 2
    assert 'rel="next"' in first.headers["link"]
    total = int(first.headers["x-total-count"])
    everybody = admin.get(f"/auth/v1/admin/users?per_page={total}").json()["users"]
    assert made <= {user["id"] for user in everybody}
    assert len(everybody) == total


def test_a_user_is_changed_and_deleted(admin: httpx.Client, stranger: httpx.Client) -> None:
    user = create_user(admin, user_metadata={"a": 1, "b": 2}).json()
    path = f"/auth/v1/admin/users/{user['id']}"
    changed = admin.put(path, json={"user_metadata": {"b": None, "c": 3}, "password": "another"})
    assert changed.json()["user_metadata"] == {"a": 1, "c": 3}
    credentials = {"email": user["email"], "password": "another"}
    assert stranger.post("/auth/v1/token?grant_type=password", json=credentials).is_success
    hashed = bcrypt.hashpw(b"a third one", bcrypt.gensalt(4)).decode()
    assert admin.put(path, json={"password_hash": hashed}).is_success
    assert stranger.post("/auth/v1/token?grant_type=password", json=credentials).is_success, (
        "Auth reads the hash of a password only when a user is created"
    )
    admin.put(path, json={"ban_duration": "1h"})
    assert stranger.post("/auth/v1/token?grant_type=password", json=credentials).status_code == 400
    assert admin.delete(path).json() == {}
    assert admin.get(path).status_code == 404
    assert admin.get("/auth/v1/admin/users/nonsense").status_code == 404


def test_only_the_service_role_administers_users(
    project: dict[str, Any], stranger: httpx.Client
) -> None:
    assert stranger.get("/auth/v1/admin/users").status_code == 403
    assert httpx.get(f"{project['url']}/auth/v1/admin/users", timeout=60).status_code == 401
    with with_key(project, "publishable") as public:
        assert public.get("/auth/v1/admin/users").status_code == 403


def test_the_auth_client_of_supabase_py_creates_and_lists_users(project: dict[str, Any]) -> None:
    headers = {
        "apikey": project["service_role"],
        "Authorization": f"Bearer {project['service_role']}",
    }
    email = new_email()
    with SyncClient(timeout=60) as http:
        admin = SyncGoTrueAdminAPI(
            url=f"{project['url']}/auth/v1", headers=headers, http_client=http
        )
        made = admin.create_user(
            {"email": email, "password": "secure-password", "email_confirm": True}
        ).user
        assert made.email == email
        assert made.id in {user.id for user in admin.list_users(page=1, per_page=1000)}
        assert admin.get_user_by_id(made.id).user.email == email
        renamed = admin.update_user_by_id(made.id, {"user_metadata": {"name": "Ada"}}).user
        assert renamed.user_metadata == {"name": "Ada"}
        with pytest.raises(AuthApiError) as refused:
            admin.create_user({"email": email, "password": "secure-password"})
        assert refused.value.code == "email_exists"
        visitor = SyncGoTrueClient(
            url=f"{project['url']}/auth/v1",
            headers={"apikey": project["anon"]},
            http_client=http,
            auto_refresh_token=False,
            persist_session=False,
        )
        session = visitor.sign_in_with_password({"email": email, "password": "secure-password"})
        assert session.user is not None
        assert session.user.id == made.id
        admin.delete_user(made.id)


# --- who sees what --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def notes(platform: RunningPlatform, project: dict[str, Any]) -> str:
    """A table whose rows are seen by their owners."""
    statements = """
        create table public.notes (id int primary key, owner uuid not null, words text);
        alter table public.notes enable row level security;
        grant select on public.notes to anon, authenticated, service_role;
        create policy own on public.notes for select to authenticated using (owner = (select auth.uid()));
        create table public.hidden (id int);
    """
    with platform.caller() as caller:
        path = f"/v1/projects/{project['ref']}/database/query"
        assert caller.post(path, json={"query": statements}).status_code == 201
    return "notes"


def test_everybody_sees_what_policies_let_them(
    notes: str,
    project: dict[str, Any],
    caller: httpx.Client,
    admin: httpx.Client,
    stranger: httpx.Client,
) -> None:
    user = create_user(admin, password="secure-password").json()
    caller.post(
        f"/v1/projects/{project['ref']}/database/query",
        json={
            "query": "insert into public.notes values (1, $1, 'mine'), (2, $2, 'theirs')",
            "parameters": [user["id"], str(uuid4())],
        },
    )
    session = stranger.post(
        "/auth/v1/token?grant_type=password",
        json={"email": user["email"], "password": "secure-password"},
    ).json()
    path = f"/rest/v1/{notes}?select=words&order=id"
    assert admin.get(path).json() == [{"words": "mine"}, {"words": "theirs"}]
    assert stranger.get(path).json() == []
    token = {"Authorization": f"Bearer {session['access_token']}"}
    assert stranger.get(path, headers=token).json() == [{"words": "mine"}]
    assert stranger.get("/auth/v1/user", headers=token).json()["id"] == user["id"]
    for kind, rows in (("publishable", 0), ("secret", 2)):
        with with_key(project, kind) as client:
            assert len(client.get(path).json()) == rows


def test_without_a_key_or_with_a_wrong_one_nothing_is_seen(
    notes: str, project: dict[str, Any], stranger: httpx.Client
) -> None:
    none = httpx.get(f"{project['url']}/rest/v1/{notes}", timeout=60)
    assert none.status_code == 401
    assert none.json()["message"] == "No API key found in request"
    forged = jwt.encode({"role": "service_role", "ref": project["ref"]}, "x" * 32, "HS256")
    unsigned = jwt.encode({"role": "service_role", "ref": project["ref"]}, "", "none")
    for key in (forged, unsigned, "sb_secret_nonsense", "nonsense"):
        answer = httpx.get(f"{project['url']}/rest/v1/{notes}", headers={"apikey": key}, timeout=60)
        assert answer.status_code == 401, key
        token = {"Authorization": f"Bearer {key}"}
        if not key.startswith("sb_"):
            assert stranger.get(f"/rest/v1/{notes}", headers=token).status_code == 401
    assert stranger.get("/rest/v1/hidden").json()["code"] == "42501"
    assert stranger.get("/rest/v1/hidden").status_code == 401
    assert stranger.get("/rest/v1/nonsense").json()["code"] == "PGRST205"


def test_what_the_owner_wrote_runs_with_the_rights_of_who_asks(
    project: dict[str, Any], caller: httpx.Client, stranger: httpx.Client
) -> None:
    statements = """
        create function public.climb() returns boolean language plpgsql as
            $$ begin set role supabase_auth_admin; return true; end $$;
        create table public.trap (id int);
        insert into public.trap values (1);
        alter table public.trap enable row level security;
        grant select on public.trap to anon;
        create policy trap on public.trap for select to anon using (public.climb());
    """
    path = f"/v1/projects/{project['ref']}/database/query"
    assert caller.post(path, json={"query": statements}).status_code == 201
    answer = stranger.get("/rest/v1/trap")
    assert (answer.status_code, answer.json()["code"]) == (401, "42501")
    secret = caller.get(f"/v1/projects/{project['ref']}/postgrest").json()["jwt_secret"]
    token = jwt.encode({"role": "authenticated", "sub": "nobody"}, secret, "HS256")
    user = stranger.get("/auth/v1/user", headers={"Authorization": f"Bearer {token}"})
    assert user.status_code == 403


def test_only_a_secret_key_opens_the_description_of_the_api(
    project: dict[str, Any], caller: httpx.Client, admin: httpx.Client, stranger: httpx.Client
) -> None:
    statements = """
        create table public.described (id int);
        create function public.describes() returns int language sql as 'select 1';
        create function public.fires() returns trigger language plpgsql as 'begin return new; end';
        grant select on public.described to service_role;
    """
    path = f"/v1/projects/{project['ref']}/database/query"
    assert caller.post(path, json={"query": statements}).status_code == 201
    with with_key(project, "secret") as secret:
        for client in (admin, secret):
            paths = client.get("/rest/v1/").json()["paths"].keys()
            assert {"/", "/described", "/rpc/describes"} <= paths
            assert "/rpc/fires" not in paths
    user = create_user(admin, password="secure-password").json()
    session = stranger.post(
        "/auth/v1/token?grant_type=password",
        json={"email": user["email"], "password": "secure-password"},
    ).json()
    token = {"Authorization": f"Bearer {session['access_token']}"}
    for headers in ({}, token):
        refused = stranger.get("/rest/v1/", headers=headers)
        assert (refused.status_code, refused.json()["message"]) == (401, "Invalid API key")
    with with_key(project, "publishable") as public:
        assert public.get("/rest/v1/").json()["message"] == "Secret API key required"
    # Whoever comes with a secret key and the token of somebody sees what is described to that one.
    with with_key(project, "secret") as secret:
        paths = secret.get("/rest/v1/", headers=token).json()["paths"].keys()
    assert "/described" not in paths
    assert "/rpc/describes" in paths
    assert httpx.get(f"{project['url']}/rest/v1/", timeout=60).status_code == 401


def test_everybody_with_a_key_may_know_how_one_signs_in(
    project: dict[str, Any], stranger: httpx.Client
) -> None:
    assert stranger.get("/auth/v1/settings").json()["external"]["email"] is True
    assert httpx.get(f"{project['url']}/auth/v1/settings", timeout=60).status_code == 401


def test_filters_are_values_and_names_are_names(notes: str, admin: httpx.Client) -> None:
    base = f"/rest/v1/{notes}"
    assert admin.get(base, params={"words": "eq.mine' or '1'='1"}).json() == []
    assert admin.get(base, params={"id": "in.(1,2)", "words": "not.is.null"}).status_code == 200
    assert admin.get(base, params={"words": "like.th*", "limit": "1"}).status_code == 200
    for wrong in (
        {"id": "eq"}, {"id": "drop.1"}, {"select": "owner(*)"}, {"order": "id.sideways"},
        {"limit": "many"}, {'id"; drop table notes; --': "eq.1"},
    ):  # fmt: skip
        assert admin.get(base, params=wrong).status_code == 400, wrong


def test_public_keys_verify_the_tokens_of_users(
    admin: httpx.Client, stranger: httpx.Client, project: dict[str, Any]
) -> None:
    user = create_user(admin, password="secure-password").json()
    session = stranger.post(
        "/auth/v1/token?grant_type=password",
        json={"email": user["email"], "password": "secure-password"},
    ).json()
    keys = jwt.PyJWKSet.from_dict(
        httpx.get(f"{project['url']}/auth/v1/.well-known/jwks.json", timeout=60).json()
    )
    header = jwt.get_unverified_header(session["access_token"])
    claims = jwt.decode(
        session["access_token"],
        keys[header["kid"]].key,
        algorithms=["ES256"],
        audience="authenticated",
        issuer=f"{project['url']}/auth/v1",
    )
    assert (claims["sub"], claims["role"]) == (user["id"], "authenticated")
    assert httpx.get(f"{project['url']}/auth/v1/health", timeout=60).json()["name"] == "GoTrue"


def test_a_project_answers_on_a_host_of_its_name(
    platform: RunningPlatform, project: dict[str, Any]
) -> None:
    answer = httpx.get(
        f"{platform.url}/auth/v1/health",
        headers={"Host": f"{project['ref']}.localhost"},
        timeout=60,
    )
    assert answer.json()["name"] == "GoTrue"
    assert httpx.get(f"{platform.url}/auth/v1/health", timeout=60).status_code == 404


# --- buckets --------------------------------------------------------------------------------------


def test_buckets_are_rows_of_the_project(
    admin: httpx.Client, stranger: httpx.Client, caller: httpx.Client, project: dict[str, Any]
) -> None:
    bucket = {"name": "files", "file_size_limit": "20MB", "allowed_mime_types": ["image/png"]}
    assert admin.post("/storage/v1/bucket", json=bucket).json() == {"name": "files"}
    again = admin.post("/storage/v1/bucket", json=bucket)
    assert (again.status_code, again.json()["statusCode"]) == (400, "409")
    assert stranger.post("/storage/v1/bucket", json={"name": "mine"}).json()["statusCode"] == "403"
    assert stranger.get("/storage/v1/bucket").json() == []
    assert admin.put("/storage/v1/bucket/files", json={"public": True}).is_success
    seen = admin.get("/storage/v1/bucket/files").json()
    assert (seen["public"], seen["file_size_limit"]) == (True, 20 * 1024**2)
    rows = caller.post(
        f"/v1/projects/{project['ref']}/database/query",
        json={"query": "select id, public from storage.buckets where id = 'files'"},
    ).json()
    assert rows == [{"id": "files", "public": True}]
    assert "files" in {
        each["id"] for each in caller.get(f"/v1/projects/{project['ref']}/storage/buckets").json()
    }
    too_large = admin.post("/storage/v1/bucket", json={"name": "large", "file_size_limit": "1GB"})
    assert too_large.json()["statusCode"] == "413"
    assert admin.delete("/storage/v1/bucket/files").is_success
    assert admin.get("/storage/v1/bucket/files").json()["statusCode"] == "404"


def test_files_are_listed_as_far_as_somebody_sees_them(
    admin: httpx.Client,
    stranger: httpx.Client,
    caller: httpx.Client,
    project: dict[str, Any],
    server: Server,
) -> None:
    assert admin.post("/storage/v1/bucket", json={"name": "papers"}).is_success
    rows = "('papers', 'top.txt'), ('papers', 'in/deep/one.txt'), ('papers', 'in/two.txt')"
    path = f"/v1/projects/{project['ref']}/database/query"
    statement = f"insert into storage.objects (bucket_id, name) values {rows}"
    assert caller.post(path, json={"query": statement}).status_code == 201
    listing = "/storage/v1/object/list/papers"

    def names(client: httpx.Client, prefix: str = "", **more: int) -> list[str]:
        answer = client.post(listing, json={"prefix": prefix, **more})
        assert answer.status_code == 200, answer.text
        return [each["name"] for each in answer.json()]

    assert names(admin) == ["in", "top.txt"]
    assert names(admin, limit=1, offset=1) == ["top.txt"]
    assert names(admin, "in") == names(admin, "in/") == ["deep", "two.txt"]
    assert names(stranger) == []
    assert admin.post("/storage/v1/object/list/none", json={"prefix": ""}).json() == []
    # Supabase lets `postgres` make such a policy; PostgreSQL alone has nothing like it.
    with server.superuser(f"supabase_{project['ref']}") as superuser:
        superuser.execute("create policy open on storage.objects for select to anon using (true)")
    assert names(stranger) == ["in", "top.txt"]
    assert (
        httpx.post(f"{project['url']}{listing}", json={"prefix": ""}, timeout=60).status_code == 401
    )
    assert admin.post(listing, json={"prefix": "\0"}).status_code == 400
