"""A control database that is ready for use: made once for each process of a test run, copied for each
of its tests.

It has our schema, the queue, the row that says who the installation is, and the home server's; its
sealing keys are copied with it. So the installations of all these tests are one and the same to the
server: they share the template database of a blueprint, whose name holds the installation's id. That of
the shipped blueprint is built here. Tests of another process have
another installation: two control databases cannot take turns at building one template, since an
advisory lock holds in one database only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.rows import DictRow

_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class PreparedControl:
    """The database to copy, the folder with its sealing keys, and the template of the shipped
    blueprint."""

    database: str
    keys: Path
    template: str


def create_database(
    superuser: psycopg.Connection[DictRow], name: str, *, owner: str, template: str = "template1"
) -> None:
    """A database that only its owner may enter."""
    database = sql.Identifier(name)
    superuser.execute(
        sql.SQL("create database {} owner {} template {}").format(
            database, sql.Identifier(owner), sql.Identifier(template)
        )
    )
    superuser.execute(sql.SQL("revoke all on database {} from public").format(database))


def open_for_the_first_time(url: str, home: Path) -> str:
    """Open the installation of that control database and home, in a process of its own, and build the
    template of the shipped blueprint; returns its name."""
    prepared = subprocess.run(
        [sys.executable, "-m", "tests.integration.another_process", "prepare"],
        cwd=_ROOT,
        env={**os.environ, "GHOSTCRM_HOME": str(home), "GHOSTCRM_DATABASE_URL": url},
        input=b"go\n",
        stdout=subprocess.PIPE,
        check=True,
    )
    return str(json.loads(prepared.stdout.splitlines()[-1])["template"])
