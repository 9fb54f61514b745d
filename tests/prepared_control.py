"""A control database that is ready for use: made once for each process of a test run, copied for each
of its tests.

It has our schema, the queue, the row that says who the installation is, and the home server's; its
sealing keys are copied with it. So the installations of all these tests are one and the same to the
server: they share the template database of a blueprint, whose name holds the installation's id. That of
the shipped blueprint is there already: built by the first process of the run that comes, and copied by
the others. Tests of another process have another installation: two control databases cannot take turns
at building one template, since an advisory lock holds in one database only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import DictRow

_ROOT = Path(__file__).parents[1]
_TEMPLATE_OWNER = "provisioner"
_PATIENCE_SECONDS = 120.0
_EXISTS = "select from pg_database where datname = %(name)s"


@dataclass(frozen=True)
class PreparedControl:
    """The database to copy, the folder with its sealing keys, and the template of the shipped
    blueprint."""

    database: str
    keys: Path
    template: str


def when_nobody_is_in_it(superuser: psycopg.Connection[Any], statement: sql.Composed) -> None:
    """Copy or drop a database whose last sessions may still be ending: PostgreSQL waits five seconds for
    them, and a busy machine may need longer to end a process."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            superuser.execute(statement)
        except psycopg.errors.ObjectInUse:
            if time.monotonic() > until:
                raise
        else:
            return


def create_database(
    superuser: psycopg.Connection[DictRow], name: str, *, owner: str, template: str = "template1"
) -> None:
    """A database that only its owner may enter."""
    database = sql.Identifier(name)
    when_nobody_is_in_it(
        superuser,
        sql.SQL("create database {} owner {} template {}").format(
            database, sql.Identifier(owner), sql.Identifier(template)
        ),
    )
    superuser.execute(sql.SQL("revoke all on database {} from public").format(database))


def open_for_the_first_time(superuser: psycopg.Connection[DictRow], url: str, home: Path) -> str:
    """Open the installation of that control database and home, in a process of its own, and have it build
    the template of the shipped blueprint, or find a copy there of the one that another process of this run
    had built; returns its name."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.integration.another_process", "prepare"],
        cwd=_ROOT,
        env={**os.environ, "GHOSTCRM_HOME": str(home), "GHOSTCRM_DATABASE_URL": url},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        wanted = json.loads(process.stdout.readline())
        finished = f"prepared_template_{wanted['fingerprint'][:16]}"
        superuser.execute("select pg_advisory_lock(2)")  # one process of the run after the other
        try:
            found = superuser.execute(_EXISTS, {"name": finished}).fetchone()
            if found is not None:
                _copy_template(superuser, finished, wanted["name"], stamp=wanted["stamp"])
            answer, _ = process.communicate(b"go\n")
            assert process.returncode == 0
            template = str(json.loads(answer.splitlines()[-1])["template"])
            assert template == wanted["name"]
            if found is None:
                _copy_template(superuser, template, finished)
        finally:
            superuser.execute("select pg_advisory_unlock(2)")
    return template


def _copy_template(
    superuser: psycopg.Connection[DictRow], template: str, name: str, *, stamp: str | None = None
) -> None:
    create_database(superuser, name, owner=_TEMPLATE_OWNER, template=template)
    identifier = sql.Identifier(name)
    if stamp is not None:
        superuser.execute(
            sql.SQL("comment on database {} is {}").format(identifier, sql.Literal(stamp))
        )
    superuser.execute(sql.SQL("alter database {} allow_connections false").format(identifier))
