"""Mistakes that keep a blueprint from being read or built: each with its file and line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from ghostcrm_provisioning.blueprint_check.check import (
    check_blueprint,
    forbidden_statements,
    unreadable,
)
from ghostcrm_provisioning.blueprint_check.finding import Place
from ghostcrm_provisioning.client_database.blueprint import read_blueprint
from ghostcrm_provisioning.errors import InvalidBlueprint
from ghostcrm_provisioning.providers.postgres import PostgresProvider
from tests.blueprint_check.conftest import Check

Write = Callable[..., Path]


# What is written, the line at which it fails, and what is said about it.
_REFUSED = [
    ("\nselect nonsense\nfrom nowhere;\n", 3, "42P01", 'relation "nowhere" does not exist', "Mend"),
    ("create tabel x ();", 1, "42601", 'syntax error at or near "tabel"', "Mend"),
    (
        "create index concurrently\n  on public.things (name);",
        1,
        "25001",
        "CREATE INDEX CONCURRENTLY cannot run inside a transaction block",
        "CREATE INDEX CONCURRENTLY beforehand",
    ),
    ("vacuum full public.things;", 1, "25001", "VACUUM cannot run inside", "one transaction"),
    ("create table auth.mine (id int);", 1, "42501", "permission denied", "public, private"),
    (
        "-- one\n\ndo $$\nbegin\n  perform 1 / 0;\nend $$;",
        3,
        "22012",
        "division by zero (SQL",
        "Mend",
    ),
    ("select public.thing(1);", 1, "42883", "function public.thing(integer) does not exist", ""),
    # PostgreSQL's own hint is the best advice.
    (
        "select nmae from public.things;",
        1,
        "42703",
        'column "nmae" does not exist',
        'column "things.name"',
    ),
]


async def test_what_postgresql_refuses(provider: PostgresProvider, write: Write) -> None:
    folder = write()
    async with provider.scratch_database(uuid4()) as connection:
        for text, line, sqlstate, sentence, fix in _REFUSED:
            (folder / "002_next.sql").write_text(text)
            # One database serves all: the first migration is there, and nothing of the second remains.
            report = await check_blueprint(connection, read_blueprint(str(folder)), str(folder))
            (finding,) = report.findings
            assert (finding.code, finding.sqlstate) == ("statement_failed", sqlstate), text
            assert finding.place == Place("002_next.sql", line), text
            assert finding.sentence.startswith(sentence)
            assert fix in finding.fix
            assert f">    {line} | {text.splitlines()[line - 1]}" in (finding.excerpt or "")
            assert not report.built
            assert not report.is_clean(strict=False)


async def test_a_seed_that_fails_has_its_place_too(check: Check, write: Write) -> None:
    report = await check(write(seed="\ninsert into public.things values ('x');"))
    (finding,) = report.findings
    assert (finding.code, finding.place) == ("statement_failed", Place("seeds/010_seed.sql", 2))


async def test_a_newer_postgresql_is_asked_for(check: Check, write: Write) -> None:
    folder = write()
    declaration = folder / "blueprint.toml"
    declaration.write_text("minimum_postgres = 99\n" + declaration.read_text())
    report = await check(folder)
    (finding,) = report.findings
    assert finding.code == "invalid_blueprint"
    assert "needs PostgreSQL 99" in finding.sentence


def test_reading_finds_every_forbidden_statement_at_once(write: Write) -> None:
    blueprint = read_blueprint(
        str(
            write(
                _002_next="begin;\nselect 1;\ncommit;",
                _003_next="set role postgres;",
                seed="-- x\nreset session authorization;\nselect 'begin;';",
            )
        )
    )
    assert [(each.code, each.place) for each in forbidden_statements(blueprint)] == [
        ("transaction_control", Place("002_next.sql", 1)),
        ("transaction_control", Place("002_next.sql", 3)),
        ("identity_change", Place("003_next.sql", 1)),
        ("identity_change", Place("seeds/010_seed.sql", 2)),
    ]


async def test_nothing_is_built_with_a_forbidden_statement(check: Check, write: Write) -> None:
    report = await check(write(_002_next="begin;"))
    assert [each.code for each in report.findings] == ["transaction_control"]
    assert not report.built


@pytest.mark.parametrize(
    ("file", "content", "place"),
    [
        ("blueprint.toml", b'name = "small"\ntitle = = 1\n', Place("blueprint.toml", 2)),
        ("blueprint.toml", b'name = "Not A Name"\ntitle = ""\n', Place("blueprint.toml")),
        ("001_again.sql", b"select 1;", Place("001_things.sql")),
        ("not a name.sql", b"select 1;", Place("not a name.sql")),
        ("002_zero.sql", b"select 1;\n\0", Place("002_zero.sql", 2)),
        ("002_latin.sql", b"select '\xe9';", Place("002_latin.sql")),
    ],
)
def test_what_cannot_be_read(file: str, content: bytes, place: Place, write: Write) -> None:
    folder = write()
    (folder / file).write_bytes(content)
    with pytest.raises(InvalidBlueprint) as caught:
        read_blueprint(str(folder))
    finding = unreadable(caught.value, str(folder))
    assert (finding.code, finding.severity, finding.place) == ("invalid_blueprint", "error", place)
    assert finding.fix
