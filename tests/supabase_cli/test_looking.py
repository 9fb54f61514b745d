"""The Supabase CLI looks at a client database, and finds what it would find on Supabase."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ghostcrm_provisioning.client_database.blueprint import read_blueprint
from tests.conftest import Server
from tests.provisioned import ProvisionedClient
from tests.supabase_cli.conftest import SupabaseCli

pytestmark = pytest.mark.long

ADVISORS = ("db", "advisors", "--type", "all", "--level", "info", "--fail-on", "warn")
# `db-stats`, `outliers` and `calls` read pg_stat_statements, which only a superuser can bring.
INSPECTIONS = (
    "table-stats", "index-stats", "role-stats", "vacuum-stats", "bloat", "toast-sizes", "xid-age",
    "locks", "blocking", "long-running-queries", "replication-slots", "traffic-profile",
)  # fmt: skip


def test_the_history_of_migrations_is_read(
    supabase: SupabaseCli, owner_url: str, project: Path
) -> None:
    listed = supabase.ask("migration", "list", url=owner_url, folder=project)
    versions = [migration.version for migration in read_blueprint("ghostcrm").migrations]
    assert [migration["remote"] for migration in listed["migrations"]] == versions


def test_the_advisors_find_nothing_but_indexes_that_nobody_has_used_yet(
    supabase: SupabaseCli, owner_url: str, project: Path
) -> None:
    found = supabase.ask(*ADVISORS, url=owner_url, folder=project)["results"]
    assert {(result["name"], result["level"]) for result in found} == {("unused_index", "INFO")}


def test_the_advisors_would_have_said_so(
    supabase: SupabaseCli,
    new_client: Callable[[str], ProvisionedClient],
    server: Server,
    project: Path,
) -> None:
    """The canary: what is wrong on purpose is found, so that silence means something."""
    client = new_client("Canary")
    with server.superuser(client.database) as inside:
        inside.execute("set role ghostcrm_client_owner")
        inside.execute("create table public.leaky (id integer, token text)")
        inside.execute("grant select on public.leaky to anon")
        inside.execute("create function public.one() returns int language sql return 1")
        inside.execute("create policy everything on public.profiles to authenticated using (true)")
    finished = supabase.attempt(
        *ADVISORS, "--output-format", "json", url=client.url("owner"), folder=project
    )
    assert finished.code != 0
    found = Counter(result["name"] for result in finished.document["results"])
    assert {
        "rls_disabled_in_public",
        "no_primary_key",
        "function_search_path_mutable",
        "multiple_permissive_policies",
    } <= set(found)


def test_types_are_generated_for_every_table(
    supabase: SupabaseCli, owner_url: str, client: ProvisionedClient, server: Server, project: Path
) -> None:
    types = supabase.run("gen", "types", "--lang", "typescript", url=owner_url, folder=project)
    assert "export type Database = {" in types.stdout
    with server.superuser(client.database) as inside:
        rows = inside.execute(
            "select tablename from pg_tables where schemaname = 'public'"
        ).fetchall()
    assert len(rows) >= 44
    for row in rows:
        assert f'"{row["tablename"]}": {{' in types.stdout


def test_the_database_is_inspected(supabase: SupabaseCli, owner_url: str, project: Path) -> None:
    def inspect(what: str) -> int:
        rows = supabase.ask("inspect", "db", what, url=owner_url, folder=project)["rows"]
        return len(rows)

    with ThreadPoolExecutor(2) as pool:
        seen = dict(zip(INSPECTIONS, pool.map(inspect, INSPECTIONS), strict=True))
    assert seen["table-stats"] >= 44
    assert seen["index-stats"] >= 44
    assert seen["role-stats"] > 0


def test_statistics_of_statements_are_said_to_be_missing(
    supabase: SupabaseCli, owner_url: str, project: Path
) -> None:
    finished = supabase.attempt(
        "inspect", "db", "outliers", "--output-format", "json", url=owner_url, folder=project
    )
    assert finished.code != 0
    assert "pg_stat_statements" in finished.document["error"]["message"]


def test_a_query_runs_as_the_owner_of_the_schema(
    supabase: SupabaseCli, owner_url: str, project: Path
) -> None:
    question = "select current_user as role, count(*)::int as roles from public.roles"
    rows = supabase.ask("db", "query", "--read-only", question, url=owner_url, folder=project)
    assert rows == [{"role": "ghostcrm_client_owner", "roles": 5}]
