"""Promise 3: a step is done when that was observed; a failure says step, cause and what to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ghostcrm_provisioning
from tests.command import ghostcrm

SHIPPED = Path(ghostcrm_provisioning.__file__).parent / "blueprints" / "ghostcrm"
BROKEN = """-- A new feature.

create table public.features (id uuid primary key);
alter table public.no_such_table add column x int;
"""
MENDED = """create table public.features (id uuid primary key);
alter table public.features enable row level security;
revoke all on public.features from public, anon, authenticated;
"""
FEW_TABLES = "".join(
    f"create table public.{table} (id uuid primary key default gen_random_uuid(), name text);"
    f"alter table public.{table} enable row level security;"
    f"create policy {table}_select on public.{table} for select to authenticated"
    " using ((select auth.uid()) = id);"
    f"grant select on public.{table} to authenticated;"
    f"insert into public.{table} (name) values ('the first');\n"
    for table in ("contacts", "deals", "pipelines")
)


@pytest.fixture
def blueprint(tmp_path: Path) -> Path:
    """A blueprint of one's own, to break: a copy of the one that is shipped, without the access matrix,
    in which each new table would have to be listed."""
    folder = tmp_path / "blueprint"
    shutil.copytree(SHIPPED, folder, ignore=shutil.ignore_patterns("access"))
    return folder


@pytest.fixture
def few_tables(tmp_path: Path) -> Path:
    """A blueprint with three tables of a CRM, all closed to strangers; built and proven in no time."""
    folder = tmp_path / "few-tables"
    folder.mkdir()
    (folder / "blueprint.toml").write_text(
        'name = "few_tables"\ntitle = "Few tables"\n[plans.starter]\ntitle = "Starter"\n'
    )
    (folder / "001_tables.sql").write_text(FEW_TABLES)
    return folder


def _provision(name: str, environment: dict[str, str], *options: str) -> Any:
    return ghostcrm(
        "provision",
        name,
        "--admin-email",
        "a@acme.com",
        "--json",
        *options,
        environment=environment,
    )


def test_a_broken_migration_fails_at_once_with_file_line_and_sqlstate_and_can_be_mended(
    environment: Callable[..., dict[str, str]], blueprint: Path
) -> None:
    variables = environment()
    before = _provision("Before", variables, "--blueprint", str(blueprint))
    assert before.code == 0, before.stderr
    (blueprint / "002_add_new_feature.sql").write_text(BROKEN)

    failed = _provision("Broken", variables, "--blueprint", str(blueprint))
    assert failed.code == 1
    client_id = failed.document["id"]
    assert failed.document["status"] == "failed"
    assert failed.document["steps"][0]["attempt"] == 1, "no useless retries"

    explained = ghostcrm("clients", "explain", client_id, "--json", environment=variables).document
    assert explained["ready"] is False
    assert explained["code"] == "migration_failed"
    assert "002_add_new_feature.sql, line 4" in explained["cause"]
    assert "42P01" in explained["cause"]
    assert explained["then"] == f"ghostcrm clients retry {client_id}"
    words = ghostcrm("clients", "explain", client_id, environment=variables).stdout
    assert "002_add_new_feature.sql, line 4" in words

    # Clients of another blueprint, and those that were there before, do not notice.
    other = _provision("Other blueprint", variables)
    assert other.code == 0, other.stderr
    shown = ghostcrm("clients", "show", before.document["id"], "--json", environment=variables)
    assert shown.document["status"] == "ready"
    assert ghostcrm("clients", "connect", before.document["id"], environment=variables).code == 0
    refused = ghostcrm("clients", "connect", client_id, "--json", environment=variables)
    assert refused.code == 5
    assert refused.document["error"]["code"] == "client_not_ready"

    (blueprint / "002_add_new_feature.sql").write_text(MENDED)
    retried = ghostcrm("clients", "retry", client_id, "--json", environment=variables)
    assert retried.code == 0, retried.stderr
    assert retried.document["status"] == "ready"
    assert "error" not in retried.document


@pytest.mark.long
def test_a_transient_failure_is_tried_three_times_and_explained(
    environment: Callable[..., dict[str, str]], blueprint: Path
) -> None:
    (blueprint / "002_unlucky.sql").write_text(
        "do $$ begin raise exception 'out of luck' using errcode = 'serialization_failure'; end $$;"
    )
    variables = environment()
    failed = _provision("Unlucky", variables, "--blueprint", str(blueprint))
    assert failed.code == 1
    step = failed.document["steps"][0]
    assert (step["name"], step["status"], step["attempt"]) == ("acquire_database", "failed", 3)
    assert failed.document["error"]["code"] == "database_busy"
    assert [each["status"] for each in failed.document["steps"][1:]] == ["pending"] * 5


def test_the_blueprint_that_is_broken_below_is_in_order_by_itself(
    environment: Callable[..., dict[str, str]], few_tables: Path
) -> None:
    outcome = _provision("Careful", environment(), "--blueprint", str(few_tables))
    assert outcome.code == 0, outcome.stderr


@pytest.mark.parametrize(
    ("migration", "sentence"),
    [
        (
            "create table public.leaky (id uuid primary key);",
            "row level security is off on table leaky",
        ),
        (
            "create policy contacts_open on public.contacts for select to anon using (true);",
            "policy contacts_open on table contacts is for everyone",
        ),
        ("grant select on public.contacts to anon;", "anon may select relation contacts"),
        ("grant insert on public.deals to public;", "everyone may insert relation deals"),
        (
            "drop policy pipelines_select on public.pipelines;"
            "create policy pipelines_select on public.pipelines for select to authenticated"
            " using (true);",
            "policy pipelines_select on table pipelines is always true",
        ),
        (
            "drop policy pipelines_select on public.pipelines;"
            "create policy pipelines_select on public.pipelines for select to authenticated"
            " using (name is not null);",
            "sees rows of pipelines",
        ),
        (
            "create view public.all_contacts as select * from public.contacts;"
            "grant select on public.all_contacts to authenticated;",
            "view all_contacts runs with its owner's rights",
        ),
        (
            "create function public.spy() returns bigint language sql security definer"
            " set search_path = '' as 'select count(*) from public.contacts';"
            "grant execute on function public.spy() to public;",
            "everyone may execute the security definer function",
        ),
        (
            "create materialized view public.totals as select count(*) from public.contacts;"
            "grant select on public.totals to authenticated;",
            "materialized view totals, which no policy protects",
        ),
        (
            "create table extensions.notes (id uuid primary key);"
            "grant select on extensions.notes to authenticated;",
            "row level security is off on table extensions.notes",
        ),
        (
            "create function extensions.leak() returns bigint language sql security definer"
            " set search_path = '' as 'select count(*) from public.contacts';"
            "grant execute on function extensions.leak() to anon;",
            "anon may execute the security definer function extensions.leak()",
        ),
        (
            "create table public.open (id uuid primary key);"
            "alter table public.open enable row level security;"
            "create policy open_all on public.open to authenticated using (true) with check (true);"
            "grant select, insert on public.open to authenticated;",
            "policy open_all on table open is always true",
        ),
    ],
)
def test_a_blueprint_that_lets_strangers_in_hands_nobody_over(
    environment: Callable[..., dict[str, str]], few_tables: Path, migration: str, sentence: str
) -> None:
    """Promise 2: isolation is proven. The checker is tested by breaking things."""
    (few_tables / "002_mistake.sql").write_text(migration)
    failed = _provision("Mistaken", environment(), "--blueprint", str(few_tables))
    assert failed.code == 1
    assert failed.document["status"] == "failed"
    assert failed.document["error"]["code"] == "isolation_not_proven"
    assert sentence in failed.document["error"]["message"].lower()


@pytest.mark.long
@pytest.mark.parametrize(
    "migration",
    [
        "reset role; create table public.t (id int);",
        "RESET SESSION AUTHORIZATION;",
        "set local role none;",
        "discard all;",
        "do $$ begin execute 'reset role'; end $$;",
    ],
)
def test_a_migration_cannot_become_the_administrator(
    environment: Callable[..., dict[str, str]], few_tables: Path, migration: str
) -> None:
    (few_tables / "002_climb.sql").write_text(migration)
    failed = _provision("Climber", environment(), "--blueprint", str(few_tables))
    assert failed.code == 1
    error = failed.document["error"]
    assert (error["code"], error["details"]["sqlstate"]) == ("migration_failed", "42501"), error
    assert "002_climb.sql" in error["message"]
