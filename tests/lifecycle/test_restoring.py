"""What was exported can be restored, and is the same."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from ghostcrm_provisioning.client_database.blueprint import read_blueprint
from ghostcrm_provisioning.exports.programs import find_programs
from ghostcrm_provisioning.fleet.lifecycle import export_client_data
from ghostcrm_provisioning.provisioning.work import template_of
from ghostcrm_provisioning.wiring import Installation
from tests.conftest import OpenInstallation, Server
from tests.lifecycle.lives import Life, begin_life

_FILL = """
insert into public.companies (name) select 'Company ' || n from generate_series(1, 40) n;
insert into public.tags (name, color) values ('vip', '#ff0000') on conflict do nothing;
"""


@pytest.fixture
async def crm(opened: OpenInstallation, server: Server) -> Life:
    """A client with the shipped blueprint."""
    return await begin_life(await opened(), server, plan="enterprise")


def counts(server: Server, database: str, tables: list[str]) -> dict[str, int]:
    found = {}
    with server.superuser(database) as connection:
        for table in tables:
            row = connection.execute(
                sql.SQL("select count(*) as rows from only {}").format(
                    sql.Identifier(*table.split(".", 1))
                )
            ).fetchone()
            assert row is not None
            found[table] = int(str(row["rows"]))
    return found


def run(program: Path, *arguments: str, url: str) -> str:
    parts: dict[str, Any] = psycopg.conninfo.conninfo_to_dict(url)
    done = subprocess.run(
        [str(program), *arguments],
        env=os.environ
        | {
            "PGHOST": str(parts["host"]),
            "PGPORT": str(parts["port"]),
            "PGUSER": str(parts["user"]),
            "PGPASSWORD": str(parts["password"]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_a_dump_restores_into_a_fresh_database_of_the_blueprint(
    crm: Life, server: Server, tmp_path: Path
) -> None:
    crm.inside(_FILL)
    export = await export_client_data(
        crm.installation, crm.id, requested_by="test", output=tmp_path / "acme.dump"
    )
    assert {each.name for each in export.manifest.files} == {"acme.dump", "acme.users.dump"}
    assert export.path == tmp_path / "acme.json"
    tables = export.manifest.tables
    assert tables["public.companies"] == 40
    assert tables["auth.users"] == 1
    assert counts(server, crm.database, list(tables)) == tables

    database = await fresh_database(crm.installation, server)
    (programs, *_) = await find_programs(None, server_major=1)
    url = server.running.url(database)
    users = ["--data-only", "--exit-on-error", f"--dbname={database}"]
    run(programs.pg_restore, *users, str(tmp_path / "acme.users.dump"), url=url)
    whole = ["--clean", "--if-exists", "--exit-on-error", f"--dbname={database}"]
    run(programs.pg_restore, *whole, str(tmp_path / "acme.dump"), url=url)
    assert counts(server, database, list(tables)) == tables
    with server.superuser(database) as connection:
        open_tables = connection.execute(
            "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'"
            " and not relrowsecurity"
        ).fetchall()
    assert open_tables == [], "row level security came with it"


async def fresh_database(installation: Installation, server: Server) -> str:
    """One that a new client of the blueprint would begin with."""
    provider = await installation.providers.home()
    template = template_of(read_blueprint("ghostcrm"))
    name = await provider.prepare_template(installation.id, template)
    database = f"restored_{uuid4().hex[:12]}"
    with server.superuser() as connection:
        connection.execute(
            sql.SQL("create database {} template {}").format(
                sql.Identifier(database), sql.Identifier(name)
            )
        )
    return database


async def test_what_is_written_during_an_export_is_in_none_or_in_all_of_it(
    crm: Life, tmp_path: Path
) -> None:
    """Counts and dumps are of one snapshot."""
    connection = await psycopg.AsyncConnection.connect(
        crm.server.running.url(crm.database), row_factory=dict_row
    )
    async with connection:
        await connection.execute("insert into public.companies (name) values ('not committed')")
        export = await export_client_data(crm.installation, crm.id, requested_by="test")
        await connection.rollback()
    assert export.manifest.tables["public.companies"] == 0
