"""What every provider promises, tried with each of them: sentences of ``providers/provider.py``.

What only a server of our own has (templates, logins for each purpose) is tried in ``tests/providers``.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict

from ghostcrm_provisioning.errors import (
    DatabaseClosed,
    GhostcrmError,
    NotOffered,
    StampMismatch,
    ToldToWait,
    TransientFailure,
)
from ghostcrm_provisioning.providers.provider import DatabaseRequest, Login, Provider
from tests.every_provider.worlds import APP_PASSWORD, OWNER_PASSWORD, World, with_password

_PATIENCE_SECONDS = 150.0


async def made(provider: Provider, request: DatabaseRequest) -> None:
    """Created, however often one is told to wait."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            try:
                await provider.create(request)
            except ToldToWait as told:
                await asyncio.sleep(told.wait_seconds)
            else:
                return


async def until_it_is_so(what: object) -> None:
    """Call again for as long as one is told to wait."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            try:
                await what()  # type: ignore[operator]
            except ToldToWait as told:
                await asyncio.sleep(told.wait_seconds)
            else:
                return


def login_of(request: DatabaseRequest, key: str) -> Login:
    return next(each for each in request.logins if each.key == key)


async def can_enter(url: str) -> bool:
    try:
        connection = await AsyncConnection.connect(url, connect_timeout=60)
    except psycopg.OperationalError:
        return False
    await connection.close()
    return True


# --- making ---------------------------------------------------------------------------------------


async def test_it_is_there_when_it_was_created_and_not_before(
    world: World, provider: Provider
) -> None:
    request = world.request()
    before = await provider.observe(request)
    assert not before.holds
    assert before.seen
    await made(provider, request)
    assert (await provider.observe(request)).holds
    assert world.count(request) == 1
    async with provider.administer(request) as connection:
        row = await (await connection.execute("select 1 as one")).fetchone()
        assert row == {"one": 1}


async def test_creating_it_again_changes_nothing(world: World, provider: Provider) -> None:
    request = world.request()
    await made(provider, request)
    before = world.state(request)
    await made(provider, request)
    await made(await world.provider(), request)
    assert world.state(request) == before


@pytest.mark.long
async def test_eight_at_once_make_one(world: World) -> None:
    request = world.request()
    providers = [await world.provider() for _ in range(8)]
    await asyncio.gather(*(made(each, request) for each in providers))
    assert world.count(request) == 1
    for each in providers:
        assert (await each.observe(request)).holds


async def test_two_requests_make_two(world: World, provider: Provider) -> None:
    first, second = world.request(), world.request()
    await asyncio.gather(made(provider, first), made(provider, second))
    assert (world.count(first), world.count(second)) == (1, 1)
    async with provider.administer(first) as connection:
        await connection.execute("create table public.only_here (id integer)")
    async with provider.administer(second) as connection:
        row = await (
            await connection.execute("select to_regclass('public.only_here') is null as none")
        ).fetchone()
    assert row == {"none": True}


async def test_looking_changes_nothing(world: World, provider: Provider) -> None:
    request = world.request()
    await provider.observe(request)
    assert world.count(request) == 0
    await made(provider, request)
    before = world.state(request)
    for _ in range(3):
        await provider.observe(request)
    assert world.state(request) == before


async def test_what_is_not_ours_any_more_is_neither_used_nor_removed(
    world: World, provider: Provider
) -> None:
    request = world.request()
    await made(provider, request)
    world.make_strange(request)
    before = world.state(request)
    for attempt in (provider.observe, provider.create, provider.remove):
        with pytest.raises(StampMismatch):
            await attempt(request)
    assert world.state(request) == before


# --- getting in -----------------------------------------------------------------------------------


async def test_its_owner_makes_tables_and_what_is_given_out_works(
    world: World, provider: Provider
) -> None:
    request = world.request()
    await made(provider, request)
    owner = login_of(request, "owner")
    await provider.enable_login(request, owner)
    async with await AsyncConnection.connect(await provider.login_url(request, owner)) as given:
        await given.execute("create schema made_by_the_owner")
    async with provider.log_in(request, owner) as connection:
        await connection.execute("drop schema made_by_the_owner")


async def test_a_wrong_password_is_refused_and_told_by_no_error(
    world: World, provider: Provider
) -> None:
    request = world.request()
    await made(provider, request)
    wrong = "certainly not this-one"
    if provider.kind in {"postgres", "existing"}:
        login = with_password(login_of(request, "owner"), wrong)
        with pytest.raises(GhostcrmError) as refused:
            async with provider.log_in(request, login):
                pass
    else:
        with pytest.raises(GhostcrmError) as refused:
            async with provider.log_in(
                replace(request, owner_password=wrong), login_of(request, "owner")
            ):
                pass
    said = f"{refused.value} {refused.value.next_step} {refused.value.as_record()}"
    assert wrong not in said
    for secret in (OWNER_PASSWORD, APP_PASSWORD, wrong):
        assert secret not in repr(request)


async def test_the_application_is_held_back_by_policies(world: World, provider: Provider) -> None:
    request = world.request()
    await made(provider, request)
    application = login_of(request, "app")
    url = await provider.login_url(request, application)
    async with provider.administer(request) as administrator:
        await administrator.execute(
            "create table public.of_others (id integer);"
            " insert into public.of_others values (1);"
            " alter table public.of_others enable row level security;"
            " grant select on public.of_others to authenticated"
        )
    async with await AsyncConnection.connect(url) as connection:
        row = await (await connection.execute("select count(*) from public.of_others")).fetchone()
        assert row == (0,)


async def test_logins_are_there_or_refused_with_what_there_is_instead(
    world: World, provider: Provider
) -> None:
    request = world.request()
    await made(provider, request)
    for key in ("service", "auth", "api", "caretaker"):
        login = Login(key, "a password-of-that-login")
        if await provider.offers_login(request, key):
            await provider.enable_login(request, login)
            async with provider.log_in(request, login):
                pass
            continue
        if key == "service" and await provider.is_supabase(request):
            # It is the owner's, and begins as whom one asked for.
            await provider.enable_login(request, login)
            url = await provider.login_url(request, login)
            async with await AsyncConnection.connect(url) as connection:
                row = await (await connection.execute("select current_user::text")).fetchone()
                assert row == ("service_role",)
        else:
            for attempt in (provider.enable_login, provider.login_url):
                with pytest.raises(NotOffered) as refused:
                    await attempt(request, login)
                assert key in refused.value.message
                assert refused.value.next_step
        assert await provider.connection_limit(request, key) is None


async def test_the_applications_connections_are_limited_where_it_has_a_login(
    world: World, provider: Provider
) -> None:
    request = world.request()
    await made(provider, request)
    limited = replace(login_of(request, "app"), connection_limit=3)
    if not await provider.offers_login(request, "app"):
        assert await provider.connection_limit(request, "app") is None
        with pytest.raises(NotOffered):
            await provider.limit_connections(request, limited)
        return
    assert await provider.connection_limit(request, "app") == 7
    await provider.limit_connections(request, limited)
    assert await provider.connection_limit(request, "app") == 3


async def test_what_does_not_answer_may_answer_later(world: World) -> None:
    nothing = await world.provider_of_nothing()
    request = world.request()
    with pytest.raises((TransientFailure, ToldToWait)) as lost:
        await nothing.create(request)
    assert lost.value.retryable
    assert "a-secret" not in f"{lost.value} {lost.value.as_record()}"


async def test_who_owns_it_does_not_say_how_our_sessions_begin(
    world: World, provider: Provider
) -> None:
    request = world.request()
    await made(provider, request)
    owner = login_of(request, "owner")
    await provider.enable_login(request, owner)
    url = await provider.login_url(request, owner)
    async with await AsyncConnection.connect(url, autocommit=True) as theirs:
        await theirs.execute("set role none; create schema theirs")
        await theirs.execute(
            "create function theirs.set_config(text, text, boolean) returns text language sql as $$ select $2 $$"
        )
        settings = ["search_path = theirs, pg_catalog", "statement_timeout = '1ms'", "role = anon"]
        if provider.kind != "existing":  # there it is the word of whoever gave the database
            settings.append("default_transaction_read_only = on")
        for setting in sorted(settings):
            await theirs.execute(
                f"set statement_timeout = 0; alter role current_user set {setting}"
            )
    async with provider.administer(request) as ours:
        row = await (
            await ours.execute(
                "select current_user = session_user as ourselves, current_setting('search_path') as path,"
                " current_setting('default_transaction_read_only') as read_only,"
                " current_setting('statement_timeout') as seconds"
            )
        ).fetchone()
        assert row is not None
        assert row["ourselves"]
        assert "theirs" not in row["path"]
        assert row["read_only"] == "off"
        assert row["seconds"] != "1ms"
        await ours.execute("create table public.written (id integer)")


# --- exchanging what opens it -----------------------------------------------------------------------


async def test_a_new_password_opens_it_and_the_old_one_does_not(
    world: World, provider: Provider
) -> None:
    request = replace(world.request(), next_owner_password="another-one-for-owner")
    await made(provider, request)
    owner = login_of(request, "owner")
    await provider.enable_login(request, owner)
    keys = await provider.enabled_logins(request)
    assert keys <= {"app", "owner"}
    for key in sorted(keys):
        old = login_of(request, key)
        new = with_password(old, f"another-one-for-{key}")
        old_url = await provider.login_url(request, old)
        assert await provider.opens(request, old)
        assert not await provider.opens(request, new)
        async with await AsyncConnection.connect(old_url) as session:
            for _ in range(2):  # it may be done again
                await until_it_is_so(lambda new=new: provider.set_password(request, new))
            await session.execute("select")
            assert await provider.opens(request, new)
            assert not await provider.opens(request, old)
            assert not await can_enter(old_url)
            assert await can_enter(await provider.login_url(request, new))
            # Whoever knows both gets in, whichever it is now.
            async with provider.administer(request) as administrator:
                await administrator.execute("select")
            await session.rollback()
            await provider.end_sessions(request, [key])
            with pytest.raises(psycopg.OperationalError):
                await session.execute("select")
    with pytest.raises((NotOffered, ValueError)):
        await provider.set_password(request, Login("nobody", "x"))


async def test_a_closed_database_gets_no_new_password(world: World, provider: Provider) -> None:
    request = world.request()
    await made(provider, request)
    await until_it_is_so(lambda: provider.close(request))
    with pytest.raises((DatabaseClosed, NotOffered)):
        await provider.set_password(request, with_password(login_of(request, "app"), "another"))
    assert (await provider.observe_closed(request)).holds


# --- closing --------------------------------------------------------------------------------------


async def test_closed_nobody_enters_and_reopened_everybody_does(
    world: World, provider: Provider
) -> None:
    request = world.request()
    await made(provider, request)
    owner, application = login_of(request, "owner"), login_of(request, "app")
    await provider.enable_login(request, owner)
    urls = [await provider.login_url(request, each) for each in (owner, application)]
    async with provider.administer(request) as administrator:
        await administrator.execute("create table public.stays (id integer)")
    assert not (await provider.observe_closed(request)).holds
    inside = await AsyncConnection.connect(urls[0], autocommit=True)
    # What a session calls itself, everybody chooses who has the password.
    called_ours = await AsyncConnection.connect(
        urls[0], autocommit=True, application_name="ghostcrm provider"
    )
    for _ in range(2):
        await provider.close(request)
        seen = await provider.observe_closed(request)
        assert seen.holds, seen.seen
    for each in (inside, called_ours):
        with pytest.raises(psycopg.OperationalError):
            await each.execute("select 1")
    assert [await can_enter(url) for url in urls] == [False, False]
    assert not (await provider.observe(request)).holds
    with pytest.raises((DatabaseClosed, NotOffered)):
        await provider.enable_login(request, owner)
    assert not await can_enter(urls[0])
    async with provider.administer(request) as administrator:
        row = await (
            await administrator.execute("select to_regclass('public.stays') as stays")
        ).fetchone()
        assert row is not None
        assert row["stays"] is not None
    for _ in range(2):
        await provider.reopen(request)
        seen = await provider.observe(request)
        assert seen.holds, seen.seen
    assert [await can_enter(url) for url in urls] == [True, True]
    assert not (await provider.observe_closed(request)).holds


async def test_suspended_nobody_enters_and_resumed_everything_is_there(
    world: World, provider: Provider
) -> None:
    request = world.request()
    await made(provider, request)
    owner = login_of(request, "owner")
    await provider.enable_login(request, owner)
    url = await provider.login_url(request, owner)
    async with provider.administer(request) as administrator:
        await administrator.execute("create table public.stays (id integer)")
    assert not (await provider.observe_suspended(request)).holds
    await until_it_is_so(lambda: provider.suspend(request))
    seen = await provider.observe_suspended(request)
    assert seen.holds, seen.seen
    assert not await can_enter(url)
    await until_it_is_so(lambda: provider.resume(request))
    assert (await provider.observe(request)).holds
    assert await can_enter(url)
    async with provider.administer(request) as administrator:
        row = await (
            await administrator.execute("select to_regclass('public.stays') as stays")
        ).fetchone()
        assert row is not None
        assert row["stays"] is not None


# --- removing -------------------------------------------------------------------------------------


async def test_removed_nothing_of_it_is_left(world: World, provider: Provider) -> None:
    request, neighbour = world.request(), world.request()
    assert (await provider.observe_absent(request)).holds
    await until_it_is_so(lambda: provider.remove(request))  # there is nothing to remove
    await asyncio.gather(made(provider, request), made(provider, neighbour))
    url = await provider.login_url(request, login_of(request, "owner"))
    assert not (await provider.observe_absent(request)).holds
    for _ in range(2):
        await until_it_is_so(lambda: provider.remove(request))
        seen = await provider.observe_absent(request)
        assert seen.holds, seen.seen
    assert world.count(request) == 0
    assert not await can_enter(url)
    assert conninfo_to_dict(url)["dbname"]
    assert (await provider.observe(neighbour)).holds


# --- what runs beside it --------------------------------------------------------------------------


async def test_what_runs_beside_it_says_where_it_is(world: World, provider: Provider) -> None:
    request = world.request()
    await made(provider, request)
    services = provider.services(request)
    assert (services is not None) == (await provider.is_supabase(request))
    if services is None:
        return
    keys = await services.keys()
    assert keys.url.startswith("http")
    assert keys.secret
    assert keys.publishable
    for secret in filter(None, (keys.secret, keys.service_role, keys.anon)):
        assert secret not in repr(keys)


async def test_what_the_whole_server_keeps_can_be_asked_beside_it_where_there_are_templates(
    world: World, provider: Provider
) -> None:
    request = world.request()
    await made(provider, request)
    where = "select pg_postmaster_start_time() as began, current_database() as database"
    async with provider.administer(request) as inside, provider.ask_server(request) as beside:
        assert (beside is not None) == provider.copies_templates
        if beside is not None:
            own = await (await inside.execute(where)).fetchone()
            others = await (await beside.execute(where)).fetchone()
            assert own is not None
            assert others is not None
            assert own["began"] == others["began"]
            assert own["database"] == inside.info.dbname != others["database"]


async def test_a_program_of_its_own_gets_in_as_the_administrator_does(
    world: World, provider: Provider
) -> None:
    request = world.request()
    # What is given, runs before anything is made in it.
    assert (await provider.observe_running(request)).holds == (provider.kind == "existing")
    await made(provider, request)
    for close in (False, True):
        if close:
            await provider.close(request)
        seen = await provider.observe_running(request)
        assert seen.holds, seen.seen
        async with provider.administer(request) as connection:
            row = await (await connection.execute("select session_user::text as who")).fetchone()
        url = await provider.administer_url(request)
        async with await AsyncConnection.connect(url) as program:
            found = await (await program.execute("select session_user::text")).fetchone()
        assert row is not None
        assert found == (row["who"],)
