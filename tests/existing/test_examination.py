"""A database that was given is looked at, with logins of every kind, and what stands against it is said."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest
from psycopg import sql

from ghostcrm_provisioning.errors import (
    DatabaseNotUsable,
    DatabaseRejected,
    GhostcrmError,
    OtherTablesFound,
    ServerUnreachable,
    StampMismatch,
)
from ghostcrm_provisioning.given_database import read_given_database
from ghostcrm_provisioning.providers.existing.examination import examine
from tests.conftest import Server
from tests.existing.conftest import PASSWORD, SomebodysDatabase
from tests.prepared_control import PreparedControl


async def refused(given: object, error: type[GhostcrmError] = DatabaseNotUsable) -> str:
    """Why, and what to do."""
    with pytest.raises(error) as caught:
        (await examine(given)).refuse()  # type: ignore[arg-type]
    assert PASSWORD not in f"{caught.value.message} {caught.value.next_step}"
    return f"{caught.value.message} {caught.value.next_step}"


# --- who we are -----------------------------------------------------------------------------------


async def test_its_owner_may_use_an_empty_database(theirs: SomebodysDatabase) -> None:
    seen = await examine(theirs.given())
    assert seen.problems() == []
    assert (seen.login, seen.database, seen.owner) == (theirs.owner, theirs.name, theirs.owner)
    assert seen.owns_database
    assert not seen.is_superuser
    assert not seen.makes_logins
    assert not seen.is_supabase
    assert seen.lets_everybody_in
    assert seen.others == ()
    assert theirs.name in seen.sentence
    assert "its owner" in seen.sentence


async def test_who_may_make_logins_is_seen(theirs: SomebodysDatabase) -> None:
    seen = await examine(theirs.given(theirs.login("createrole", owns=True)))
    assert seen.problems() == []
    assert seen.makes_logins
    assert not seen.is_superuser
    seen = await examine(theirs.given(theirs.login("superuser")))
    assert seen.problems() == []
    assert seen.makes_logins
    assert seen.is_superuser


async def test_a_guest_may_not_use_it(theirs: SomebodysDatabase) -> None:
    guest = theirs.login()
    said = await refused(theirs.given(guest))
    assert f"belongs to {theirs.owner}" in said
    # What is said helps.
    (statement,) = [part for part in said.split("run: ") if part.startswith("alter database")]
    theirs.do(statement.split(";")[0])
    assert (await examine(theirs.given(guest))).problems() == []


async def test_a_login_that_only_reads_is_told_so(theirs: SomebodysDatabase) -> None:
    login = theirs.login(owns=True)
    theirs.do("alter role {} set default_transaction_read_only = on", login)
    said = await refused(theirs.given(login))
    assert f"is read-only for {login}" in said
    assert "reset default_transaction_read_only" in said


async def test_a_wrong_password_or_place_is_no_riddle(theirs: SomebodysDatabase) -> None:
    with pytest.raises(DatabaseRejected) as rejected:
        await examine(read_given_database(theirs.url(password="not it")))
    assert "password authentication failed" in rejected.value.message
    assert "not it" not in rejected.value.message
    missing = theirs.url().replace(theirs.name, "nowhere")
    with pytest.raises(DatabaseRejected):
        await examine(read_given_database(missing))
    with pytest.raises(ServerUnreachable):
        await examine(read_given_database("postgresql://u:p@127.0.0.1:1/db"))


# --- whose it is ----------------------------------------------------------------------------------


async def test_what_is_ours_already_is_not_given_again(
    server: Server, prepared_control: PreparedControl, control_url: str
) -> None:
    said = await refused(read_given_database(control_url), StampMismatch)
    assert "control database" in said
    # The superuser enters where nobody else may.
    template = server.running.url(prepared_control.template)
    with server.superuser() as superuser:
        allowed = superuser.execute(
            "select datallowconn from pg_database where datname = %s", (prepared_control.template,)
        ).fetchone()
    if allowed and allowed["datallowconn"]:
        assert "template" in await refused(read_given_database(template), StampMismatch)
    for name in ("postgres", "template1"):
        assert "server's own" in await refused(read_given_database(server.running.url(name)))


async def test_another_clients_database_is_refused(theirs: SomebodysDatabase) -> None:
    database_id = uuid4()
    theirs.do("create schema ghostcrm_provisioning")
    theirs.do("create table ghostcrm_provisioning.stamp (database_id uuid)")
    assert "template" in await refused(theirs.given(theirs.login("superuser")), StampMismatch)
    theirs.do("insert into ghostcrm_provisioning.stamp values ({})", sql.Literal(str(database_id)))
    superuser = theirs.given(theirs.login("superuser"))
    assert "another client" in await refused(superuser, StampMismatch)
    # Who may not read whose it is, is refused as well.
    await refused(theirs.given(), StampMismatch)
    seen = await examine(superuser)
    assert seen.problems("a stamp", database_id) == []
    assert seen.problems("a stamp", uuid4())[0].error is StampMismatch


async def test_an_unfinished_database_of_ours_is_refused(theirs: SomebodysDatabase) -> None:
    stamp = '{"ghostcrm": {"installation": "x"}}'
    theirs.do("comment on database {} is {}", theirs.name, sql.Literal(stamp))
    await refused(theirs.given(), StampMismatch)


# --- what is in it --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("create table public.invoices (id integer)", "table public.invoices"),
        ("create view public.looked as select 1 as one", "view public.looked"),
        (
            "create function public.f() returns integer language sql as 'select 1'",
            "function public.f",
        ),
        ("create type public.mood as enum ('good')", "type public.mood"),
        ("create sequence public.numbers", "sequence public.numbers"),
        (
            "create schema private create table secrets (id serial)",
            "table private.secrets, schema private",
        ),
        ("create schema shop create table goods (id serial)", "table shop.goods, schema shop"),
        ('create table public."Odd, name" ()', 'table public."Odd, name"'),
    ],
)
async def test_what_is_not_ours_is_refused_and_named(
    theirs: SomebodysDatabase, statement: str, said: str
) -> None:
    theirs.do(statement)
    sentence = await refused(theirs.given(), OtherTablesFound)
    assert f"holds what is not ours: {said}." in sentence
    assert "--allow-other-tables" in sentence


async def test_extensions_are_nobodys(theirs: SomebodysDatabase) -> None:
    theirs.do("create extension citext")
    theirs.do("create schema more")
    theirs.do("drop schema more")
    assert (await examine(theirs.given())).problems() == []


async def test_many_are_counted(theirs: SomebodysDatabase) -> None:
    for number in range(8):
        theirs.do("create table {} ()", f"t{number}")
    assert "table public.t4 and 3 more" in await refused(theirs.given(), OtherTablesFound)


async def test_beside_others_it_must_be_clear_who_may_enter(theirs: SomebodysDatabase) -> None:
    theirs.do("create table public.invoices (id integer)")
    theirs.do("grant create on schema public to public")
    said = await refused(theirs.given(allow_other_tables=True))
    assert "Everyone who has a login on the server may connect" in said
    assert "Everyone may make tables" in said
    theirs.do("revoke connect, temporary on database {} from public", theirs.name)
    theirs.do("revoke create on schema public from public")
    assert (await examine(theirs.given(allow_other_tables=True))).problems() == []


async def test_a_table_auth_users_of_somebody_else_is_in_the_way(theirs: SomebodysDatabase) -> None:
    theirs.do("create schema auth create table users (id integer)")
    theirs.do("revoke connect on database {} from public", theirs.name)
    said = await refused(theirs.given(allow_other_tables=True))
    assert "neither Supabase Auth's nor ours" in said


async def test_who_would_be_somebody_in_there_is_seen(
    somebodys: Callable[[], SomebodysDatabase],
) -> None:
    theirs = somebodys()
    neighbour, harmless, shut_out = theirs.login(), theirs.login(), theirs.login()
    theirs.do("grant service_role to {}", neighbour)
    theirs.do("grant service_role to {}", shut_out)
    theirs.do("revoke connect on database {} from public", theirs.name)
    theirs.do("grant connect on database {} to {}", theirs.name, harmless)
    assert (await examine(theirs.given())).exposing_logins() == []
    theirs.do("grant connect on database {} to {}", theirs.name, neighbour)
    seen = await examine(theirs.given())
    assert [login for login, _ in seen.other_logins] == sorted([neighbour, harmless])
    (problem,) = seen.exposing_logins()
    assert neighbour in problem.sentence
    assert "service_role" in problem.sentence
    assert (await examine(theirs.given(), our_logins=(neighbour,))).exposing_logins() == []


async def test_a_supabase_url_must_lead_to_supabase(theirs: SomebodysDatabase) -> None:
    given = read_given_database(theirs.url(), project_url="http://localhost:54321")
    assert "not a Supabase project's" in await refused(given)
