"""A project's life: made, shown, paused, restored, removed; and the database that it really has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from ghostcrm_provisioning.supabase_platform.project import Project, Times, new_secrets
from ghostcrm_provisioning.supabase_platform.routes.projects import ProjectToCreate
from tests.conftest import Server
from tests.running_platform import RunningPlatform, create_project, wait_for
from tests.supabase_platform.conftest import with_key


def _sql(caller: httpx.Client, project: dict[str, Any], query: str, **more: Any) -> httpx.Response:
    return caller.post(
        f"/v1/projects/{project['ref']}/database/query", json={"query": query, **more}
    )


def _databases(server: Server, ref: str) -> tuple[list[Any], list[Any]]:
    with server.superuser() as superuser:
        databases = superuser.execute(
            "select datname from pg_database where datname = %s", (f"supabase_{ref}",)
        ).fetchall()
        logins = superuser.execute(
            "select rolname from pg_roles where starts_with(rolname, %s)", (f"supabase_{ref}",)
        ).fetchall()
    return databases, logins


# --- asking for one -------------------------------------------------------------------------------


def test_without_the_token_nothing_is_answered(platform: RunningPlatform) -> None:
    for headers in ({}, {"Authorization": "Bearer sbp_" + "0" * 40}):
        answer = httpx.get(f"{platform.url}/v1/projects", headers=headers, timeout=60)
        assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"colour": "red"}, "colour"),
        ({"name": "x" * 257}, "name"),
        ({"name": ""}, "name"),
        ({"region": "moon-1"}, "region"),
        ({"region": None}, "region"),
        ({"region_selection": {"type": "smartGroup", "code": "emea"}}, "region"),
        ({"db_pass": "abc"}, "db_pass"),
        ({"db_pass": "pässword"}, "db_pass"),
        ({"desired_instance_size": "huge"}, "desired_instance_size"),
    ],
)
def test_what_cannot_be_is_refused_and_says_what(
    caller: httpx.Client, platform: RunningPlatform, fields: dict[str, Any], named: str
) -> None:
    body = {
        "name": "wrong",
        "db_pass": "a password",
        "organization_slug": platform.organization,
        "region": "us-east-1",
    } | fields
    body = {name: value for name, value in body.items() if value is not None}
    answer = caller.post("/v1/projects", json=body)
    assert answer.status_code == 400
    assert named in answer.json()["message"]
    assert "pässword" not in answer.text
    assert "wrong" not in {each["name"] for each in caller.get("/v1/projects").json()}


def test_a_smart_group_becomes_a_region() -> None:
    wanted = ProjectToCreate.model_validate(
        {
            "name": "x",
            "db_pass": "a password",
            "organization_slug": "x",
            "region_selection": {"type": "smartGroup", "code": "apac"},
        }
    )
    assert wanted.chosen_region == "ap-southeast-1"
    assert "a password" not in repr(wanted)


def test_a_name_is_taken_once(caller: httpx.Client, platform: RunningPlatform) -> None:
    name = f"twice {uuid4().hex[:6]}"
    first = create_project(caller, platform.organization, name=name)
    body = {
        "name": name,
        "db_pass": "a password",
        "organization_slug": platform.organization,
        "region": "us-east-1",
    }
    again = caller.post("/v1/projects", json=body)
    assert again.status_code == 400
    assert "already exists" in again.json()["message"]
    wait_for(caller, first["ref"])
    assert caller.delete(f"/v1/projects/{first['ref']}").is_success
    # Free again.
    second = create_project(caller, platform.organization, name=name)
    assert second["ref"] != first["ref"]


# --- its life -------------------------------------------------------------------------------------


def test_it_arrives_by_and_by_and_goes_without_a_trace(
    caller: httpx.Client, platform: RunningPlatform, server: Server
) -> None:
    # Held on its way: how long that lasts by itself is for the clock to say.
    stuck = {"kind": "stuck", "method": "POST", "path": "/v1/projects", "state": "COMING_UP"}
    held = caller.post("/platform/faults", json=stuck).json()
    made = create_project(caller, platform.organization)
    ref = made["ref"]
    assert made["status"] in {"UNKNOWN", "COMING_UP"}
    early = _sql(caller, made, "select 1")
    assert early.status_code == 544
    assert caller.delete(f"/platform/faults/{held['id']}").is_success
    seen = wait_for(caller, ref)
    assert seen in (["COMING_UP", "ACTIVE_HEALTHY"], ["ACTIVE_HEALTHY"])
    databases, logins = _databases(server, ref)
    assert (len(databases), len(logins)) == (1, 4)
    gone = caller.delete(f"/v1/projects/{ref}")
    assert gone.json().keys() == {"id", "ref", "name"}
    assert _databases(server, ref) == ([], [])
    _nothing_secret_is_kept(server, platform, ref)
    for answer in (caller.get(f"/v1/projects/{ref}"), caller.delete(f"/v1/projects/{ref}")):
        assert (answer.status_code, answer.json()) == (
            400,
            {"message": "Resource has been removed"},
        )
    assert ref not in {each["ref"] for each in caller.get("/v1/projects").json()}


def _nothing_secret_is_kept(server: Server, platform: RunningPlatform, ref: str) -> None:
    identifier = UUID((platform.profile.parent / "id").read_text().strip())
    with server.superuser(f"ghostcrm_platform_{identifier.hex[:12]}") as records:
        seen = records.execute(
            """select length(secrets) as secrets, auth_settings,
                      (select count(*) from ghostcrm.api_keys k where k.project_id = p.id) as keys
               from ghostcrm.projects p where ref = %s""",
            (ref,),
        ).fetchall()
    assert seen == [{"secrets": 0, "auth_settings": None, "keys": 0}]


_MADE_AT = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("state", "settles_after", "shown"),
    [
        ("creating", None, {0.0: "UNKNOWN", 0.19: "UNKNOWN", 0.2: "COMING_UP", 60.0: "COMING_UP"}),
        ("active", 1.0, {0.0: "UNKNOWN", 0.2: "COMING_UP", 0.99: "COMING_UP", 1.0: "ACTIVE_HEALTHY"}),
        ("active", None, {0.0: "ACTIVE_HEALTHY"}),
        ("pausing", None, {0.0: "PAUSING", 60.0: "PAUSING"}),
        ("paused", 0.5, {0.0: "PAUSING", 0.49: "PAUSING", 0.5: "INACTIVE"}),
        ("restoring", None, {0.0: "RESTORING", 60.0: "RESTORING"}),
        ("removing", None, {0.0: "GOING_DOWN"}),
        ("removed", None, {0.0: "REMOVED"}),
        ("failed", None, {0.0: "INIT_FAILED"}),
    ],
)  # fmt: skip
def test_what_is_shown_follows_from_the_state_and_the_clock(
    state: str, settles_after: float | None, shown: dict[float, str]
) -> None:
    project = Project(
        id=uuid4(),
        number=1,
        ref="abcdefghijklmnopqrst",
        organization_slug="acme",
        name="acme",
        region="eu-central-1",
        instance_size="nano",
        state=state,
        settles_at=None if settles_after is None else _MADE_AT + timedelta(seconds=settles_after),
        stuck_as=None,
        legacy_keys_enabled=True,
        postgrest_settings={},
        storage_settings={},
        network_restrictions=None,
        created_at=_MADE_AT,
        secrets=new_secrets("a password"),
        auth_settings={},
    )
    seen = {
        after: project.shown_status(Times(), _MADE_AT + timedelta(seconds=after)) for after in shown
    }
    assert seen == shown


def test_a_project_that_is_being_made_is_not_removed(
    caller: httpx.Client, platform: RunningPlatform
) -> None:
    made = create_project(caller, platform.organization)
    answer = caller.delete(f"/v1/projects/{made['ref']}")
    if answer.status_code == 400:  # else it was made in the meantime
        assert answer.json() == {"message": "Project not ready for deletion."}
        wait_for(caller, made["ref"])
        assert caller.delete(f"/v1/projects/{made['ref']}").is_success


def test_a_paused_project_lets_nobody_in_and_a_restored_one_has_its_rows(
    caller: httpx.Client, platform: RunningPlatform
) -> None:
    made = create_project(caller, platform.organization, db_pass="the owner's")
    ref = made["ref"]
    wait_for(caller, ref)
    _sql(caller, made, "create table public.kept (i int); insert into public.kept values (7)")
    place = caller.get(f"/v1/projects/{ref}/config/database/pooler").json()[0]
    keys = caller.get(f"/v1/projects/{ref}/api-keys?reveal=true").json()
    project = {"url": f"{platform.url}/project/{ref}", "anon": keys[0]["api_key"]}
    assert caller.post(f"/v1/projects/{ref}/pause").content == b""
    assert wait_for(caller, ref, "INACTIVE") in (["PAUSING", "INACTIVE"], ["INACTIVE"])
    assert _sql(caller, made, "select 1").status_code == 400
    with with_key(project, "anon") as stranger:
        assert stranger.get("/rest/v1/kept").status_code == 540
    with pytest.raises(psycopg.OperationalError):
        _direct(place, "the owner's")
    assert caller.post(f"/v1/projects/{ref}/pause").status_code == 400
    assert caller.post(f"/v1/projects/{ref}/restore").content == b""
    wait_for(caller, ref)
    assert _sql(caller, made, "select * from public.kept").json() == [{"i": 7}]
    _direct(place, "the owner's").close()
    assert caller.post(f"/v1/projects/{ref}/restore").status_code == 400


def _direct(place: dict[str, Any], password: str) -> psycopg.Connection[Any]:
    return psycopg.connect(
        host=place["db_host"],
        port=place["db_port"],
        user=place["db_user"],
        dbname=place["db_name"],
        password=password,
        connect_timeout=60,
    )


def test_its_database_password_opens_it_until_there_is_another(
    caller: httpx.Client, platform: RunningPlatform
) -> None:
    made = create_project(caller, platform.organization, db_pass="the first")
    wait_for(caller, made["ref"])
    place = caller.get(f"/v1/projects/{made['ref']}/config/database/pooler").json()[0]
    with _direct(place, "the first") as connection:
        connection.execute("create schema mine; create table mine.x (i int)")
    path = f"/v1/projects/{made['ref']}/database/password"
    assert caller.patch(path, json={"password": "abc"}).status_code == 400
    assert caller.patch(path, json={"password": "the second"}).is_success
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        _direct(place, "the first")
    _direct(place, "the second").close()


def test_two_projects_do_not_open_each_other(
    caller: httpx.Client, platform: RunningPlatform, project: dict[str, Any]
) -> None:
    other = create_project(caller, platform.organization, db_pass="the other's")
    wait_for(caller, other["ref"])
    place = caller.get(f"/v1/projects/{other['ref']}/config/database/pooler").json()[0]
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        _direct(place | {"db_name": f"supabase_{project['ref']}"}, "the other's")
    url = f"{platform.url}/project/{other['ref']}"
    for kind in ("anon", "service_role", "publishable", "secret"):
        with with_key(project | {"url": url}, kind) as stranger:
            assert stranger.get("/rest/v1/anything").status_code == 401, kind


# --- SQL ------------------------------------------------------------------------------------------


def test_sql_is_answered_in_rows(caller: httpx.Client, project: dict[str, Any]) -> None:
    answer = _sql(
        caller,
        project,
        """select 1::bigint as small, 9007199254740993 as large, 1.50::numeric as exact, true as yes,
                  null as nothing, '{"a": [1]}'::jsonb as document, array['x', 'y'] as several,
                  timestamptz '2026-01-02 03:04:05+00' as moment, '\\x00ff'::bytea as bytes""",
    )
    assert answer.status_code == 201
    row = answer.json()[0]
    assert row.pop("moment").startswith("2026-01-02 03:04:05")
    assert row == {
        "small": 1,
        "large": "9007199254740993",
        "exact": "1.50",
        "yes": True,
        "nothing": None,
        "document": {"a": [1]},
        "several": ["x", "y"],
        "bytes": "\\x00ff",
    }


def test_several_statements_are_one_transaction(
    caller: httpx.Client, project: dict[str, Any]
) -> None:
    answer = _sql(caller, project, "create table public.half (i int); select * from nonsense")
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(
        'Failed to run sql query: ERROR: 42P01: relation "nonsense" does not exist\nLINE 1: '
    )
    rows = _sql(caller, project, "select to_regclass('public.half') as half").json()
    assert rows == [{"half": None}]


def test_parameters_are_values(caller: httpx.Client, project: dict[str, Any]) -> None:
    answer = _sql(
        caller,
        project,
        "select $1::int + $2::int as sum, $3::text as text, $4::jsonb -> 'a' as member",
        parameters=[2, "3", "'; drop table x; --", {"a": True}],
    )
    assert answer.json() == [{"sum": 5, "text": "'; drop table x; --", "member": True}]


def test_a_read_only_query_writes_nothing(caller: httpx.Client, project: dict[str, Any]) -> None:
    refused = _sql(caller, project, "create table public.no (i int)", read_only=True)
    assert refused.status_code == 400
    assert "25006" in refused.json()["message"]


@pytest.mark.parametrize(
    "statement",
    [
        "create table auth.mine (i int)",
        "create table storage.mine (i int)",
        "alter table auth.users add column mine int",
        "set role supabase_auth_admin",
        "set role supabase_admin",
        "create role somebody superuser",
        "select pg_read_file('/etc/passwd')",
        "drop schema auth cascade",
    ],
)
def test_the_owner_is_no_superuser(
    caller: httpx.Client, project: dict[str, Any], statement: str
) -> None:
    answer = _sql(caller, project, statement)
    assert answer.status_code == 400
    assert "42501" in answer.json()["message"]


@pytest.mark.parametrize(
    "statement",
    [
        "create schema private; create table private.x (i int)",
        "create schema supabase_migrations",
        "create table public.of_users (u uuid references auth.users (id))",
        "select count(*) from auth.users",
        "create extension pg_trgm with schema extensions",
        "set role anon; select 1",
        "create policy p on storage.objects to authenticated using (false)",
        "grant usage on schema public to anon",
    ],
)
def test_the_owner_may_what_postgres_may_there(
    caller: httpx.Client, project: dict[str, Any], statement: str
) -> None:
    answer = _sql(caller, project, statement)
    if statement.startswith("create policy"):
        # On Supabase, too, only the owner of the table makes policies; there it is asked for by an extension.
        assert answer.status_code == 400
        return
    assert answer.status_code == 201, answer.text


def test_ghostcrm_has_left_nothing_of_its_own_in_it(
    caller: httpx.Client, project: dict[str, Any]
) -> None:
    rows = _sql(caller, project, "select nspname from pg_namespace where nspname !~ '^pg_'").json()
    names = {row["nspname"] for row in rows}
    assert {"auth", "storage", "extensions", "public"} <= names
    assert "ghostcrm_provisioning" not in names
    assert _sql(caller, project, "set role ghostcrm_client_owner").status_code == 400


# --- health ---------------------------------------------------------------------------------------


def test_health_is_what_is_so(caller: httpx.Client, project: dict[str, Any]) -> None:
    path = f"/v1/projects/{project['ref']}/health"
    answer = caller.get(f"{path}?services=auth,db,pooler,rest,storage,realtime").json()
    status = {each["name"]: each["status"] for each in answer}
    assert status.pop("realtime") == "UNHEALTHY"
    assert set(status.values()) == {"ACTIVE_HEALTHY"}
    assert caller.get(path).status_code == 400
    assert caller.get(f"{path}?services=coffee").status_code == 400
