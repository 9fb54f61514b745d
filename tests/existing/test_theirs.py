"""What is in a database and not ours is as it was, or nothing happened at all."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from ghostcrm_provisioning.errors import DatabaseNotUsable, DatabaseRejected
from ghostcrm_provisioning.providers.existing.examination import connect
from ghostcrm_provisioning.providers.existing.theirs import leaving_theirs_alone
from tests.existing.conftest import SomebodysDatabase

TOTAL = "function public.total() returns bigint language sql as 'select 1::bigint'"
THINGS = """
    create table public.invoices (id integer primary key, paid boolean default false);
    insert into public.invoices values (1), (2);
    create view public.open_invoices as select * from public.invoices where not paid;
    create type public.mood as enum ('good', 'bad');
    create function public.total() returns bigint language sql as 'select count(*) from public.invoices';
    create function public.noted() returns trigger language plpgsql as 'begin return new; end';
    create trigger note before update on public.invoices for each row execute function public.noted();
    alter table public.invoices enable row level security;
    create policy everyone on public.invoices using (true);
    create schema shop;
    create table shop.goods (id integer);
    create sequence shop.numbers;
    comment on table shop.goods is 'what is sold';
    alter default privileges in schema public grant select on tables to public;
"""


@pytest.fixture
def theirs_with_things(theirs: SomebodysDatabase) -> SomebodysDatabase:
    login = theirs.owner
    with psycopg.connect(theirs.url(login), autocommit=True) as connection:
        connection.execute(THINGS.encode())
    return theirs


def state(theirs: SomebodysDatabase) -> list[Any]:
    """All that there is to see, by other means than the code's: a dump's words."""
    with theirs.inside() as connection:
        return [
            connection.execute(question.encode()).fetchall()
            for question in (
                "select oid, xmin::text, relname, relacl::text from pg_class where relnamespace in"
                " ('public'::regnamespace, 'shop'::regnamespace) order by oid",
                "select oid, xmin::text from pg_proc where pronamespace = 'public'::regnamespace"
                " order by oid",
                "select nspname, nspacl::text from pg_namespace where nspname in ('public', 'shop')",
                "select defaclrole, defaclnamespace, defaclobjtype, defaclacl::text from pg_default_acl"
                " order by 1, 2, 3",
                "select * from public.invoices order by id",
            )
        ]


async def attempt(theirs: SomebodysDatabase, *statements: str, is_shared: bool = True) -> None:
    given = theirs.given()
    async with (
        connect(given) as connection,
        leaving_theirs_alone(connection, is_shared=is_shared, where=given.where),
    ):
        for statement in statements:
            await connection.execute(statement.encode())


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("alter table public.invoices add column more text", "relation public.invoices"),
        ("alter table public.invoices alter column paid set default true", "column public.invoices.paid"),
        ("alter table public.invoices rename to bills", "public.invoices"),
        ("alter table public.invoices disable row level security", "relation public.invoices"),
        ("alter table public.invoices drop constraint invoices_pkey", "constraint invoices_pkey"),
        ("drop table shop.goods", "relation shop.goods"),
        (f"create or replace {TOTAL}", "function public.total()"),
        ("create or replace view public.open_invoices as select * from public.invoices", "rule"),
        ("drop trigger note on public.invoices", "trigger note on public.invoices"),
        ("alter table public.invoices disable trigger note", "trigger note on public.invoices"),
        ("alter policy everyone on public.invoices using (false)", "policy everyone on public.invoices"),
        ("alter type public.mood rename value 'bad' to 'worse'", "value 'bad' of the type public.mood"),
        ("alter schema shop rename to store", "shop"),
        ("comment on table shop.goods is 'ours'", "comment on table shop.goods"),
        ("revoke all on function public.total() from public", "privilege EXECUTE of - on the function"),
        ("revoke create on schema public from pg_database_owner", "privilege CREATE of pg_database_owner"),
        ("revoke connect on database {} from public", "privilege CONNECT of - on the database"),
        ("update public.invoices set paid = true where id = 1", "rows of public.invoices"),
        ("insert into shop.goods values (1)", "rows of shop.goods"),
        ("delete from public.invoices", "rows of public.invoices"),
    ],
)  # fmt: skip
async def test_what_touches_it_is_undone_and_named(
    theirs_with_things: SomebodysDatabase, statement: str, named: str
) -> None:
    theirs = theirs_with_things
    before = state(theirs)
    with pytest.raises(DatabaseNotUsable) as caught:
        await attempt(
            theirs, "create table public.ours (id integer)", statement.replace("{}", theirs.name)
        )
    assert named in caught.value.message
    assert state(theirs) == before


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("create table public.invoices ()", 'relation "invoices" already exists'),
        ("create view public.invoices as select 1", "already exists"),
        ("create function public.total() returns bigint language sql as 'select 1::bigint'", "already exists"),
        ("create type public.mood as enum ()", "already exists"),
        ("create schema shop", 'schema "shop" already exists'),
        ("create policy everyone on public.invoices", "already exists"),
        ("alter table public.invoices add column paid text", "already exists"),
    ],
)  # fmt: skip
async def test_a_name_that_is_taken_is_named(
    theirs_with_things: SomebodysDatabase, statement: str, said: str
) -> None:
    theirs = theirs_with_things
    before = state(theirs)
    with pytest.raises(DatabaseNotUsable) as caught:
        await attempt(theirs, "create table public.ours (id integer)", statement)
    assert "A name that we need is taken" in caught.value.message
    assert said in caught.value.message
    assert state(theirs) == before


OURS = (
    "create table public.ours (id integer primary key, name text)",
    "create index on public.ours (name)",
    "create schema private",
    "create function private.ours() returns integer language sql as 'select 1'",
    "insert into public.ours values (1, 'one')",
    "grant select on public.ours to public",
    "create table public.refers (id integer references public.invoices)",
)
CLOSING = (
    "revoke all on schema public from public",
    "alter default privileges revoke execute on functions from public",
    "alter default privileges in schema public revoke all on tables from public",
    "alter default privileges in schema public revoke all on sequences from public",
    "alter default privileges in schema shop grant insert on tables to pg_monitor with grant option",
)


async def test_what_is_ours_goes_beside_it(theirs_with_things: SomebodysDatabase) -> None:
    theirs = theirs_with_things
    before = state(theirs)
    await attempt(theirs, *OURS, *CLOSING)
    after = state(theirs)
    theirs_still = [row for row in after[0] if row["oid"] in {each["oid"] for each in before[0]}]
    assert [row | {"xmin": ""} for row in theirs_still] == [row | {"xmin": ""} for row in before[0]]
    assert after[1] == before[1]
    assert {row["nspname"] for row in after[2]} == {"public", "shop"}
    assert after[3] == before[3], "what they will make is as open as it was"
    assert after[4] == before[4]
    with theirs.inside() as connection:
        usage = "select has_schema_privilege('pg_monitor', 'public', 'usage') as holds"
        assert connection.execute(usage.encode()).fetchone() == {"holds": True}


async def test_an_empty_database_is_closed_as_ours_are(theirs: SomebodysDatabase) -> None:
    await attempt(theirs, *CLOSING[:4], is_shared=False)
    with theirs.inside() as connection:
        usage = "select has_schema_privilege('pg_monitor', 'public', 'usage') as holds"
        assert connection.execute(usage.encode()).fetchone() == {"holds": False}
        kept = connection.execute("select count(*) as n from pg_default_acl").fetchone()
        assert kept is not None
        assert kept["n"] > 0


async def test_whatever_fails_leaves_nothing(theirs_with_things: SomebodysDatabase) -> None:
    before = state(theirs_with_things)
    with pytest.raises(DatabaseRejected, match="division by zero"):
        await attempt(theirs_with_things, *OURS, "select 1 / 0")
    assert state(theirs_with_things) == before
