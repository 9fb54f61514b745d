"""The blueprint's access matrix is tried, and every table and function must be in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from ghostcrm_provisioning.blueprint_check.check import check_blueprint, unreadable
from ghostcrm_provisioning.blueprint_check.finding import Place, Report
from ghostcrm_provisioning.client_database.blueprint import read_blueprint
from ghostcrm_provisioning.client_database.install import Connection
from ghostcrm_provisioning.errors import InvalidBlueprint
from ghostcrm_provisioning.providers.postgres import PostgresProvider

_SCHEMA = """
create table public.members (id uuid primary key, role text not null);
alter table public.members enable row level security;
grant select on public.members to authenticated;
create policy members_select on public.members for select to authenticated
    using (id = (select auth.uid()));

create table public.forgotten (id uuid primary key);
alter table public.forgotten enable row level security;

create function public.forgotten_call(integer, text) returns integer language sql set search_path = ''
as $$ select 1 $$;
grant execute on function public.forgotten_call(integer, text) to authenticated;
"""

_MATRIX = """
roles = ["boss", "helper"]
people = ["me", "other"]
me = "me"

[tables.members]
cells = '''
        mine  others
boss    s---  {boss}
helper  s---  ----
'''
"""

_GONE = """
[tables.gone]
cells = '''
        any
boss    ----
helper  ----
'''
"""

_ROWS = """
insert into public.members (id, role) values
    (md5('person me')::uuid, 'helper'), (md5('person other')::uuid, 'helper');
insert into pg_temp.access_rows values
    ('members', 'mine', jsonb_build_object('id', md5('person me')::uuid)),
    ('members', 'others', jsonb_build_object('id', md5('person other')::uuid));
"""

_STATEMENTS = """
-- name: become_role
update public.members set role = %(role)s where id = md5('person me')::uuid
"""


async def _check(connection: Connection, folder: Path) -> Report:
    return await check_blueprint(connection, read_blueprint(str(folder)), str(folder))


async def test_the_access_matrix(provider: PostgresProvider, write: Callable[..., Path]) -> None:
    folder = write(_001_things=_SCHEMA)
    access = folder / "access"
    access.mkdir()
    matrix = access / "matrix.toml"
    matrix.write_text(_MATRIX.format(boss="s---"))
    (access / "rows.sql").write_text(_ROWS)
    (access / "statements.sql").write_text(_STATEMENTS)
    async with provider.scratch_database(uuid4()) as connection:
        report = await _check(connection, folder)
        found = {
            (each.code, each.subject): each.place
            for each in report.findings
            if each.severity == "error"
        }
        assert found == {
            ("access_matrix_differs", "forgotten"): Place("001_things.sql", 8),
            ("access_matrix_differs", "forgotten_call(integer, text)"): Place("001_things.sql", 11),
            ("attack_succeeded", "members"): Place("001_things.sql", 2),
            ("isolation_not_proven", None): None,
        }
        (refused,) = [each for each in report.findings if each.code == "attack_succeeded"]
        assert "the role boss cannot select a row of members (others)" in refused.sentence

        # The schema is there from now on; only the folder access changes.
        matrix.write_text(_MATRIX.format(boss="----") + _GONE)
        report = await _check(connection, folder)
        missing = [each for each in report.findings if each.subject == "gone"]
        assert [(each.code, each.place) for each in missing] == [
            ("access_matrix_differs", Place("access/matrix.toml", 13))
        ]
        await connection.execute("drop table public.forgotten")
        await connection.execute("drop function public.forgotten_call")
        matrix.write_text(_MATRIX.format(boss="----"))
        (access / "rows.sql").write_text("select nonsense")
        report = await _check(connection, folder)
        (broken,) = [each for each in report.findings if each.severity == "error"]
        assert (broken.code, broken.place) == ("access_matrix_not_tried", Place("access/rows.sql"))
        (access / "rows.sql").write_text(_ROWS)
        report = await _check(connection, folder)
        assert [each for each in report.findings if each.severity == "error"] == []
        assert "the access matrix lists all of them, 16 cells" in report.observations[-1]


def test_a_matrix_that_cannot_be_read_has_its_place(write: Callable[..., Path]) -> None:
    folder = write()
    access = folder / "access"
    access.mkdir()
    for name, text in (("matrix.toml", "roles = \n"), ("rows.sql", ""), ("statements.sql", "")):
        (access / name).write_text(text)
    with pytest.raises(InvalidBlueprint) as caught:
        read_blueprint(str(folder))
    assert unreadable(caught.value, str(folder)).place == Place("access/matrix.toml", 1)
