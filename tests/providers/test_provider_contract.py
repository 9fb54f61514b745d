"""The contract of every provider: each sentence of ``providers/provider.py``, tried."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from contextlib import suppress
from dataclasses import replace
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest

from ghostcrm_provisioning.errors import (
    DatabaseClosed,
    GhostcrmError,
    PermanentFailure,
    ServerUnreachable,
    StampMismatch,
    TransientFailure,
    WrongPassword,
)
from ghostcrm_provisioning.providers.provider import (
    Connection,
    DatabaseRequest,
    Login,
    Provider,
    Template,
)
from tests.integration.waiting import enter, eventually
from tests.providers.conftest import OnPostgres

STRANGE = r"""p@ss:/?#[]!$&'()*+,;=% "\<>^`{|}~-._"""


async def _can_log_in(provider: Provider, request: DatabaseRequest, login: Login) -> bool:
    try:
        async with provider.log_in(request, login):
            return True
    except GhostcrmError:
        return False


async def _room_is_left(provider: Provider, request: DatabaseRequest, login: Login) -> None:
    """Sessions count for a limit until the server has ended them, which is some time after they were closed
    here, or refused."""
    await eventually(lambda: _can_log_in(provider, request, login), what="there is room for one")


# --- calling again ends with one database ---------------------------------------------------------


async def test_a_database_is_made_as_requested(world: OnPostgres, provider: Provider) -> None:
    request = world.request()
    assert not (await provider.observe(request)).holds
    await provider.create(request)
    assert (await provider.observe(request)).holds
    assert world.inside(request.name) == ["from the template"]
    async with provider.administer(request) as connection:
        row = await (await connection.execute("select current_database() as name")).fetchone()
    assert row == {"name": request.name}


async def test_creating_it_twice_changes_nothing_the_second_time(
    world: OnPostgres, provider: Provider
) -> None:
    request = world.request(Login("owner"))
    await provider.create(request)
    before = world.state(request)
    await provider.create(request)
    assert world.state(request) == before
    await (await world.provider()).create(request)
    assert world.state(request) == before


async def test_creating_it_eight_times_at_once_makes_one(world: OnPostgres) -> None:
    request = world.request()
    providers = [await world.provider() for _ in range(8)]
    await asyncio.gather(*(each.create(request) for each in providers))
    assert len(world.databases(request)) == 2, "the database and its template"
    for each in providers:
        assert (await each.observe(request)).holds
    assert await _can_log_in(providers[0], request, request.logins[0])
    assert world.builds.count == 1


async def test_many_databases_at_once_from_one_template(
    world: OnPostgres, provider: Provider
) -> None:
    first = world.request()
    requests = [first, *(world.another(first) for _ in range(7))]
    await asyncio.gather(*(provider.create(request) for request in requests))
    for request in requests:
        assert (await provider.observe(request)).holds
    assert world.builds.count == 1
    assert len({request.name for request in requests}) == 8


async def test_what_a_killed_process_began_is_adopted(
    world: OnPostgres, provider: Provider
) -> None:
    """Killed between the making of the database and the transaction that opens it."""
    request = world.request(Login("app", "its own password"))
    held = world.hold_logins(request)
    with held:
        process = world.start_process(request)

        async def is_made() -> bool:
            return request.name in world.databases(request)

        await eventually(is_made, what="the other process has made the database")
        process.kill()
        assert world.stamp_of(request.name) is None
        assert not (await provider.observe(request)).holds
        (made,) = world.ask("select oid from pg_database where datname = %s", request.name)
    held.close()
    await provider.create(request)
    assert (await provider.observe(request)).holds
    (adopted,) = world.ask("select oid from pg_database where datname = %s", request.name)
    assert adopted == made, "it was adopted, not made anew"


# --- its stamp ------------------------------------------------------------------------------------


async def test_the_stamp_names_installation_and_database(
    world: OnPostgres, provider: Provider
) -> None:
    request = world.request()
    await provider.create(request)
    stamp = json.loads(world.stamp_of(request.name) or "")
    assert stamp == {
        "ghostcrm": {
            "installation": str(request.installation_id),
            "database": str(request.database_id),
        }
    }


@pytest.mark.parametrize(
    "stamp",
    [
        None,
        "somebody's own comment",
        "{}",
        '{"ghostcrm": {"installation": "another", "database": "another"}}',
        "the right database of another installation",
        "another database of this installation",
    ],
)
async def test_a_thing_with_another_stamp_is_neither_used_nor_touched(
    world: OnPostgres, provider: Provider, stamp: str | None
) -> None:
    request = world.request()
    ours = {"installation": str(request.installation_id), "database": str(request.database_id)}
    if stamp == "the right database of another installation":
        stamp = json.dumps({"ghostcrm": ours | {"installation": str(uuid4())}})
    elif stamp == "another database of this installation":
        stamp = json.dumps({"ghostcrm": ours | {"database": str(uuid4())}})
    world.make_by_hand(request.name, stamp=stamp)
    # But for what a vacuum changes.
    seen = "select to_jsonb(d) - 'datfrozenxid' - 'datminmxid' as row from pg_database d where datname = %s"
    before = world.ask(seen, request.name)
    with pytest.raises(StampMismatch):
        await provider.observe(request)
    with pytest.raises(StampMismatch):
        await provider.create(request)
    assert world.stamp_of(request.name) == stamp
    assert before == world.ask(seen, request.name)


async def test_somebody_elses_closed_database_is_not_taken_for_unfinished_work(
    world: OnPostgres, provider: Provider
) -> None:
    request = world.request()
    world.make_by_hand(request.name, stamp=None)
    world.do("alter database {name} allow_connections false", name=request.name)
    with pytest.raises(StampMismatch):
        await provider.create(request)
    assert world.stamp_of(request.name) is None


async def test_a_foreign_database_in_the_place_of_the_template_is_left_alone(
    world: OnPostgres, provider: Provider
) -> None:
    request = world.request()
    await provider.create(request)
    (template,) = set(world.databases(request)) - {request.name}
    other = replace(world.another(request), template=Template(uuid4().hex * 2, world.builds))
    name = template.replace(request.template.fingerprint[:16], other.template.fingerprint[:16])
    world.make_by_hand(name, stamp="somebody else's")
    with pytest.raises(StampMismatch):
        await provider.create(other)
    assert world.stamp_of(name) == "somebody else's"


# --- looking --------------------------------------------------------------------------------------


async def test_looking_changes_nothing(world: OnPostgres, provider: Provider) -> None:
    request = world.request()
    assert not (await provider.observe(request)).holds
    assert world.databases(request) == []
    assert world.builds.count == 0
    await provider.create(request)
    before = world.state(request)
    for _ in range(3):
        assert (await provider.observe(request)).holds
    assert world.state(request) == before


@pytest.mark.parametrize(
    "drift",
    [
        "grant connect on database {database} to public",
        "grant connect on database {database} to {stranger}",
        "grant create on database {database} to public",
        "grant temporary on database {database} to {stranger}",
        "grant temporary on database {database} to {app}",
        "revoke connect on database {database} from {app}",
        "alter role {app} connection limit 8",
        "alter role {app} nologin",
        "grant {stranger} to {app}",
        "revoke authenticated from {app} granted by provisioner",
        "alter role {app} reset role",
        "alter role {app} reset search_path",
        "alter role {app} set statement_timeout = '1ms'",
        "alter role {app} noinherit",
        "revoke create on database {database} from authenticated",
        "grant create on database {database} to {app}",
        "alter database {database} allow_connections false",
        "drop owned by {owner}; drop role {owner}",
    ],
)
async def test_whatever_has_drifted_is_seen(
    world: OnPostgres, provider: Provider, drift: str
) -> None:
    request = world.request(
        Login(
            "app",
            "its own password",
            ("authenticated",),
            "authenticated",
            7,
            creates=True,
            search_path=("$user", "public"),
            settings=(("statement_timeout", "8s"),),
        ),
        Login("owner"),
    )
    stranger = world.another(request)
    await provider.create(request)
    await provider.create(stranger)
    assert (await provider.observe(request)).holds
    for statement in drift.split("; "):
        world.do(
            statement,
            database=request.name,
            app=f"{request.name}_app",
            owner=f"{request.name}_owner",
            stranger=f"{stranger.name}_app",
        )
    observation = await provider.observe(request)
    assert not observation.holds
    assert observation.seen


async def test_what_has_drifted_is_mended_by_creating_it_again(
    world: OnPostgres, provider: Provider
) -> None:
    request = world.request()
    await provider.create(request)
    names = {"database": request.name, "app": f"{request.name}_app"}
    world.do("grant all on database {database} to public", **names)
    world.do("revoke connect on database {database} from {app}", **names)
    world.do("alter role {app} connection limit 8 nologin", **names)
    world.do("alter database {database} allow_connections false", **names)
    await provider.create(request)
    assert (await provider.observe(request)).holds
    assert await _can_log_in(provider, request, request.logins[0])


# --- who may connect ------------------------------------------------------------------------------


async def test_nobody_elses_login_gets_in_at_any_moment(
    world: OnPostgres, provider: Provider
) -> None:
    """Somebody knocks all the time, at the database and at its template, while they are made."""
    # So many that those which are just being refused are never too many.
    other = world.request(Login("app", "its own password", connection_limit=400))
    await provider.create(other)
    stranger = other.logins[0]
    done = asyncio.Event()
    knocks = 0

    async def knock(name: str) -> None:
        nonlocal knocks
        url = urlsplit(await provider.login_url(other, stranger))
        while not done.is_set():
            knocks += 1
            try:
                connection = await psycopg.AsyncConnection.connect(
                    url._replace(path=f"/{name}").geturl()
                )
            except psycopg.OperationalError as refused:
                assert re.search(  # noqa: PT017 - every single one is looked at
                    "does not exist|not currently accepting|permission denied for database",
                    str(refused),
                )
            else:
                await connection.close()
                raise AssertionError(f"a stranger got into {name}")

    for number in itertools.count(1):
        fresh = world.request()
        template = (
            f"ghostcrm_template_{fresh.installation_id.hex[:8]}_{fresh.template.fingerprint[:16]}"
        )
        done.clear()
        knocking = [asyncio.create_task(knock(name)) for name in (fresh.name, template) * 2]
        await provider.create(fresh)
        done.set()
        await asyncio.gather(*knocking)
        assert template in world.databases(fresh)
        if number >= 5 and knocks > 50:
            break
    assert not await _can_log_in(provider, other, replace(stranger, password="wrong"))


async def test_only_its_own_logins_have_any_privilege_on_it(
    world: OnPostgres, provider: Provider
) -> None:
    request = world.request()
    await provider.create(request)
    rows = world.ask(
        "select a.grantee::regrole::text as who from pg_database, aclexplode(datacl) a"
        " where datname = %s and a.privilege_type = 'CONNECT' and a.grantee <> datdba",
        request.name,
    )
    assert {row["who"] for row in rows} == {f"{request.name}_app", f"{request.name}_owner"}


async def test_a_login_without_a_password_waits_until_it_is_enabled(
    world: OnPostgres, provider: Provider
) -> None:
    request = world.request()
    await provider.create(request)
    (row,) = world.ask("select * from pg_authid where rolname = %s", f"{request.name}_owner")
    assert (row["rolcanlogin"], row["rolpassword"]) == (False, None)
    owner = Login("owner", "now it has one")
    assert not await _can_log_in(provider, request, owner)
    await provider.enable_login(request, owner)
    await provider.enable_login(request, owner)
    assert await _can_log_in(provider, request, owner)
    assert (await provider.observe(request)).holds, "an enabled login is no drift"
    await provider.create(request)
    assert await _can_log_in(provider, request, owner), "creating again leaves it enabled"
    other = world.another(request)
    await provider.create(other)
    assert not await _can_log_in(provider, other, owner), "its namesake elsewhere stays closed"


async def test_enabling_a_login_of_no_database_is_an_error_of_ours(
    world: OnPostgres, provider: Provider
) -> None:
    request = world.request()
    with pytest.raises(GhostcrmError):
        await provider.enable_login(request, Login("app", "a password"))
    assert world.ask("select from pg_roles where starts_with(rolname, %s)", request.name) == []


async def test_a_login_that_an_older_version_has_not_made_is_made_when_it_is_enabled(
    world: OnPostgres, provider: Provider
) -> None:
    request = world.request()
    await provider.create(request)
    later = Login("later", "a password", ("anon",), search_path=("auth",), connection_limit=3)
    await asyncio.gather(*(provider.enable_login(request, later) for _ in range(4)))
    assert await _can_log_in(provider, request, later)
    complete = replace(request, logins=(*request.logins, later))
    assert (await provider.observe(complete)).holds, (
        "exactly as if it had been there from the start"
    )
    assert not (await provider.observe(request)).holds


async def test_a_session_begins_with_the_settings_of_its_login(
    world: OnPostgres, provider: Provider
) -> None:
    login = Login(
        "app",
        "its own password",
        ("authenticated",),
        "authenticated",
        search_path=("$user", "public", "Odd one"),
        settings=(("statement_timeout", "7s"), ("lock_timeout", "5s")),
    )
    request = world.request(login)
    await provider.create(request)
    assert (await provider.observe(request)).holds
    async with provider.log_in(request, login) as connection:
        row = await (
            await connection.execute(
                "select current_setting('search_path') as path, current_user as role,"
                " current_setting('statement_timeout') as patience, current_setting('lock_timeout') as waits"
            )
        ).fetchone()
    assert row == {
        "path": '"$user", public, "Odd one"',
        "role": "authenticated",
        "patience": "7s",
        "waits": "5s",
    }


async def test_a_login_that_does_not_inherit_has_its_groups_rights_only_as_them(
    world: OnPostgres, provider: Provider
) -> None:
    login = Login("api", "its own password", ("anon", "authenticated"), inherits=False)
    request = world.request(login)
    await provider.create(request)
    async with provider.administer(request) as inside:
        await inside.execute("revoke all on public.things from public, anon, authenticated")
        await inside.execute("grant usage on schema public to anon, authenticated")
        await inside.execute("grant select on public.things to authenticated")
    async with provider.log_in(request, login) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute("select from public.things")
        await connection.execute("set role anon")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute("select from public.things")
        await connection.execute("set role authenticated")
        await connection.execute("select from public.things")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute("set role service_role")


# --- who may create -------------------------------------------------------------------------------


async def test_the_login_that_creates_makes_schemas_and_trusted_extensions_in_its_own_database(
    world: OnPostgres, provider: Provider
) -> None:
    """Through the role that it acts as, which its namesake in every other database acts as, too."""
    owner = Login("owner", "its own password", ("authenticated",), "authenticated", creates=True)
    app = Login("app", "another password", ("anon",))
    request = world.request(owner, app)
    other = world.another(request)
    await provider.create(request)
    await provider.create(other)
    before = world.state(other)
    async with provider.log_in(request, owner) as connection:
        await connection.execute("create schema reports")
        await connection.execute("create extension pg_trgm schema reports")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="superuser"):
            await connection.execute("create extension dblink")  # would lead to other databases
        # None of these has to be refused; none of them may change anything elsewhere.
        for statement in (
            "drop owned by authenticated",
            f"revoke all on database {other.name} from authenticated, public",
            f"grant create on database {other.name} to public",
            f"alter database {other.name} rename to mine",
            f"alter database {other.name} set search_path = mine",
            f"comment on database {other.name} is 'mine'",
            f"drop database {other.name}",
            f"alter role {other.name}_owner password 'mine'",
            f"grant {other.name}_owner to {request.name}_owner",
        ):
            with suppress(psycopg.Error):
                await connection.execute(statement.encode())
    assert world.state(other) == before
    assert (await provider.observe(other)).holds
    assert (await provider.observe(request)).holds
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(await provider.login_url(request, owner), dbname=other.name)
    async with provider.log_in(request, app) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute("create schema mine")


async def test_a_login_acts_as_what_it_is_for_and_keeps_its_limit(
    world: OnPostgres, provider: Provider
) -> None:
    login = Login("app", "its own password", ("authenticated", "anon"), "authenticated", 1)
    request = world.request(login)
    await provider.create(request)
    async with provider.log_in(request, login) as connection:
        row = await (
            await connection.execute("select current_user as acts_as, session_user as login")
        ).fetchone()
        assert row == {"acts_as": "authenticated", "login": f"{request.name}_app"}
        assert not await _can_log_in(provider, request, login), "one connection is its limit"


async def test_a_changed_limit_holds_from_the_next_connection_on(
    world: OnPostgres, provider: Provider
) -> None:
    login = Login("app", "its own password", ("authenticated", "anon"), "authenticated", 1)
    request = world.request(login, Login("owner"))
    await provider.create(request)
    assert await provider.connection_limit(request, "app") == 1
    async with provider.log_in(request, login):
        assert not await _can_log_in(provider, request, login)
        await provider.limit_connections(request, replace(login, connection_limit=2))
        assert await provider.connection_limit(request, "app") == 2
        with enter(await provider.login_url(request, login)) as second:
            await provider.limit_connections(request, login)
            second.execute("select 1")  # what is open stays open
            assert not await _can_log_in(provider, request, login)
    await provider.limit_connections(request, login)
    await _room_is_left(provider, request, login)


async def test_limiting_connections_changes_nothing_else(
    world: OnPostgres, provider: Provider
) -> None:
    request = world.request()
    other = world.another(request)
    await provider.create(request)
    await provider.create(other)
    app, owner = request.logins
    of_other = world.state(other)
    before = world.state(request)
    for login in (app, owner):
        await provider.limit_connections(request, replace(login, connection_limit=3))
    for login in (app, owner):
        await provider.limit_connections(request, login)
    assert world.state(request) == before, "not its password, and a closed login stays closed"
    assert world.state(other) == of_other
    assert (await provider.observe(request)).holds


async def test_the_limit_of_a_login_that_is_not_there(
    world: OnPostgres, provider: Provider
) -> None:
    request = world.request()
    assert await provider.connection_limit(request, "app") is None
    with pytest.raises(PermanentFailure):
        await provider.limit_connections(request, Login("app", connection_limit=1))
    assert world.ask("select from pg_roles where starts_with(rolname, %s)", request.name) == []


async def test_logins_can_be_enabled_and_limited_by_many_at_once(world: OnPostgres) -> None:
    request = world.request()
    await (await world.provider()).create(request)
    providers = [await world.provider() for _ in range(8)]
    owner = Login("owner", "now it has one", connection_limit=5)
    await asyncio.gather(
        *(each.enable_login(request, owner) for each in providers),
        *(each.limit_connections(request, owner) for each in providers),
    )
    assert await providers[0].connection_limit(request, "owner") == 5
    assert await _can_log_in(providers[0], request, owner)


# --- passwords ------------------------------------------------------------------------------------


@pytest.mark.parametrize("password", [STRANGE, "%41%00%", "a b", "'", "\\", "@", "/", "x" * 500])
async def test_a_password_may_hold_every_printable_character(
    world: OnPostgres, provider: Provider, password: str
) -> None:
    login = Login("app", password)
    request = world.request(login)
    await provider.create(request)
    async with provider.log_in(request, login):
        pass
    with psycopg.connect(await provider.login_url(request, login)) as connection:
        assert connection.info.dbname == request.name


async def test_no_password_is_ever_sent_in_clear(world: OnPostgres, provider: Provider) -> None:
    passwords = [f"clear-{uuid4().hex}" for _ in range(2)]
    app, owner = Login("app", passwords[0]), Login("owner")
    request = world.request(app, owner)
    await provider.create(request)
    await provider.enable_login(request, replace(owner, password=passwords[1]))
    async with provider.log_in(request, app):
        running = world.ask("select query from pg_stat_activity")
    with pytest.raises(GhostcrmError) as refused:
        async with provider.log_in(request, replace(app, password=f"{passwords[0]}x")):
            pass

    async def is_logged() -> bool:
        return f'alter role "{request.name}_owner"' in world.statements()

    await eventually(is_logged, what="the server has logged the statements")
    seen = (
        world.statements()
        + str(running)
        + str(refused.value.as_record())
        + repr(request)
        + repr(app)
        + repr(provider)
    )
    for password in passwords:
        assert password not in seen


# --- errors ---------------------------------------------------------------------------------------


async def test_a_server_that_does_not_answer_is_said_to_be_unreachable(world: OnPostgres) -> None:
    async with world.provider_of_no_server() as nowhere:
        with pytest.raises(ServerUnreachable) as failed:
            await nowhere.observe(world.request())
        assert "a-secret" not in str(failed.value.as_record())
        with pytest.raises(ServerUnreachable):
            await nowhere.create(world.request())


async def test_a_failing_template_raises_what_it_raised(
    world: OnPostgres, provider: Provider
) -> None:
    world.builds.error = PermanentFailure("the blueprint is broken")
    request = world.request()
    with pytest.raises(PermanentFailure, match="the blueprint is broken"):
        await provider.create(request)


async def test_an_error_of_the_server_in_a_template_is_one_of_ours(
    world: OnPostgres, provider: Provider
) -> None:
    async def build(connection: Connection) -> None:
        await connection.execute("do $$ begin raise exception using errcode = '40001'; end $$")

    request = replace(world.request(), template=Template(uuid4().hex * 2, build))
    with pytest.raises(TransientFailure):
        await provider.create(request)


# --- templates ------------------------------------------------------------------------------------


async def test_eight_processes_at_once_build_the_template_once(
    world: OnPostgres, provider: Provider
) -> None:
    first = world.request(Login("app", "its own password"))
    requests = [first, *(world.another(first) for _ in range(7))]
    processes = [world.start_process(request) for request in requests]
    built = [await asyncio.to_thread(process.built) for process in processes]
    assert sum(built) == 1
    for request in requests:
        assert (await provider.observe(request)).holds


async def test_a_template_that_its_builder_left_half_made_is_built_anew(
    world: OnPostgres, provider: Provider
) -> None:
    request = world.request(Login("app", "its own password"))
    process = world.start_process(request, stuck=True)

    async def is_half_way() -> bool:
        return bool(
            world.ask(
                "select from pg_stat_activity where query = 'select pg_sleep(60)'"
                " and datname like %s and state = 'active'",
                f"ghostcrm_template_{request.installation_id.hex[:8]}%",
            )
        )

    await eventually(is_half_way, what="the other process is in the middle of the template")
    process.kill()
    await provider.create(request)
    assert (await provider.observe(request)).holds
    assert world.builds.count == 1
    assert world.inside(request.name) == ["from the template"]


async def test_a_template_that_could_not_be_built_leaves_nothing_behind(
    world: OnPostgres, provider: Provider
) -> None:
    world.builds.error = PermanentFailure("not today")
    request = world.request()
    with pytest.raises(PermanentFailure):
        await provider.create(request)
    assert world.databases(request) == []
    world.builds.error = None
    await provider.create(request)
    assert (await provider.observe(request)).holds


async def test_building_that_is_broken_off_leaves_nothing_in_the_way(
    world: OnPostgres, provider: Provider
) -> None:
    entered = asyncio.Event()

    async def build(connection: Connection) -> None:
        entered.set()
        await connection.execute("select pg_sleep(60)")

    request = world.request()
    creating = asyncio.create_task(
        provider.create(replace(request, template=replace(request.template, build=build)))
    )
    await entered.wait()
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating
    await provider.create(request)
    assert (await provider.observe(request)).holds


async def test_a_template_that_vanished_is_built_anew(
    world: OnPostgres, provider: Provider
) -> None:
    request = world.request()
    await provider.create(request)
    (template,) = set(world.databases(request)) - {request.name}
    world.do("drop database {template}", template=template)
    second = world.another(request)
    with pytest.raises(TransientFailure, match="built anew"):
        await provider.create(second)
    await provider.create(second)
    assert (await provider.observe(second)).holds


async def test_nobody_can_connect_to_a_finished_template(
    world: OnPostgres, provider: Provider
) -> None:
    request = world.request()
    await provider.create(request)
    (template,) = set(world.databases(request)) - {request.name}
    (row,) = world.ask("select datallowconn from pg_database where datname = %s", template)
    assert row["datallowconn"] is False


# --- closed, and opened again ---------------------------------------------------------------------


async def test_a_closed_database_lets_nobody_in_and_ends_open_sessions(
    world: OnPostgres, provider: Provider
) -> None:
    request = world.request()
    other = world.another(request)
    for each in (request, other):
        await provider.create(each)
    own, stranger = request.logins[0], other.logins[0]
    # Somebody was let in by mistake, and everybody too.
    world.do(
        "grant all on database {name} to {stranger}, public",
        name=request.name,
        stranger=f"{other.name}_app",
    )
    assert not (await provider.observe_closed(request)).holds
    open_session = await psycopg.AsyncConnection.connect(
        await provider.login_url(request, own), autocommit=True
    )
    by_mistake = await psycopg.AsyncConnection.connect(
        urlsplit(await provider.login_url(other, stranger))
        ._replace(path=f"/{request.name}")
        .geturl()
    )
    for _ in range(2):
        await provider.close(request)
        seen = await provider.observe_closed(request)
        assert seen.holds, seen.seen
    for session in (open_session, by_mistake):
        with pytest.raises(psycopg.OperationalError):
            await session.execute("select 1")
        await session.close()
    assert not await _can_log_in(provider, request, own)
    assert (await provider.knock(other.name, stranger, at=request.name)).refused
    assert not (await provider.observe(request)).holds
    with pytest.raises(DatabaseClosed):
        await provider.enable_login(request, Login("owner", "a password"))
    assert (await provider.observe_closed(request)).holds
    async with provider.administer(request):
        pass
    assert await _can_log_in(provider, other, stranger), "others do not notice"


async def test_reopening_lets_its_own_logins_in_as_they_were_and_nobody_else(
    world: OnPostgres, provider: Provider
) -> None:
    request = world.request()
    await provider.create(request)
    owner = Login("owner", "now it has one")
    await provider.enable_login(request, owner)
    world.do("grant connect on database {name} to public", name=request.name)
    await provider.close(request)
    for _ in range(2):
        await provider.reopen(request)
        assert (await provider.observe(request)).holds
    for login in (request.logins[0], owner):
        assert await _can_log_in(provider, request, login)
    other = world.another(request)
    await provider.create(other)
    assert (await provider.knock(other.name, other.logins[0], at=request.name)).refused


async def test_a_login_is_admitted_to_a_closed_database_with_a_password_that_nobody_else_knows(
    world: OnPostgres, provider: Provider
) -> None:
    request = world.request()
    await provider.create(request)
    known = request.logins[0]
    once = replace(known, password="for this once")
    await provider.close(request)
    await provider.admit(request, once)
    assert await _can_log_in(provider, request, once)
    assert not await _can_log_in(provider, request, known)
    await provider.close(request)
    assert (await provider.observe_closed(request)).holds
    assert not await _can_log_in(provider, request, once)
    await provider.reopen(request)
    assert await _can_log_in(provider, request, known)
    assert not await _can_log_in(provider, request, once)


async def test_a_thing_with_another_stamp_is_neither_closed_nor_opened(
    world: OnPostgres, provider: Provider
) -> None:
    request = world.request()
    world.make_by_hand(request.name, stamp="somebody else's")
    before = world.state(request)
    once = Login("app", "for this once")
    for deed in (
        provider.close(request),
        provider.observe_closed(request),
        provider.admit(request, once),
        provider.reopen(request),
    ):
        with pytest.raises(StampMismatch):
            await deed
    assert world.state(request) == before


async def test_a_session_that_cannot_be_ended_is_seen(
    world: OnPostgres, provider: Provider
) -> None:
    """A login that is none of ours, and that a superuser has let in. Before PostgreSQL 16, who may make
    roles may also send everybody away who is no superuser."""
    request = world.request()
    await provider.create(request)
    stranger = f"stranger_{uuid4().hex[:8]}"
    world.do("create role {stranger} login password 'its own'", stranger=stranger)
    world.do("grant connect on database {name} to {stranger}", name=request.name, stranger=stranger)
    url = urlsplit(await provider.login_url(request, request.logins[0]))
    address = f"{stranger}:its%20own@{url.hostname}:{url.port}"
    session = await psycopg.AsyncConnection.connect(url._replace(netloc=address).geturl())
    await provider.close(request)
    seen = await provider.observe_closed(request)
    (version,) = world.ask("select current_setting('server_version_num')::integer as number")
    assert seen.holds is (version["number"] < 160000)
    if not seen.holds:
        assert stranger in seen.seen
    await session.close()

    async def is_closed() -> bool:
        return (await provider.observe_closed(request)).holds

    await eventually(is_closed, what="it has left, and nobody comes back")
    world.do("drop role {stranger}", stranger=stranger)


async def test_knocking_tells_a_refusal_from_an_entry_and_both_from_what_cannot_be_told(
    world: OnPostgres, provider: Provider
) -> None:
    request = world.request()
    other = world.another(request)
    for each in (request, other):
        await provider.create(each)
    app = request.logins[0]
    refused = await provider.knock(request.name, app, at=other.name)
    assert refused.refused is not None
    assert "42501" in refused.refused
    assert (await provider.knock(request.name, app, at=request.name)).refused is None
    with pytest.raises(WrongPassword) as wrong:
        await provider.knock(request.name, replace(app, password="guessed"), at=other.name)
    assert "guessed" not in str(wrong.value.as_record())
    async with world.provider_of_no_server() as nowhere:
        with pytest.raises(ServerUnreachable):
            await nowhere.knock(request.name, app, at=other.name)
    world.do("alter role {app} connection limit 0", app=f"{request.name}_app")
    with pytest.raises(TransientFailure):
        await provider.knock(request.name, app, at=other.name)


async def test_knocking_tells_what_a_login_may_do_inside(
    world: OnPostgres, provider: Provider
) -> None:
    request = world.request()
    await provider.create(request)
    app = request.logins[0]
    assert (await provider.knock(request.name, app, at=request.name)).rights == ()
    async with provider.administer(request) as inside:
        await inside.execute("grant usage on schema public to public")
        # What everybody was given is the keeper's affair, where it is not in our own schemas.
        await inside.execute("grant select on public.things to public")
        assert (await provider.knock(request.name, app, at=request.name)).rights == ()
        await inside.execute(f'grant insert, delete on public.things to "{request.name}_app"')
        await inside.execute("create schema ghostcrm")
        await inside.execute("create table ghostcrm.secrets (secret text)")
        await inside.execute("grant usage on schema ghostcrm to public")
        await inside.execute("grant select (secret) on ghostcrm.secrets to public")
    assert (await provider.knock(request.name, app, at=request.name)).rights == (
        "insert, delete public.things",
        "select ghostcrm.secrets",
    )


async def test_the_shared_databases_are_there(world: OnPostgres, provider: Provider) -> None:
    shared = provider.shared_databases()
    there = world.ask("select datname from pg_database where datname = any(%s)", list(shared))
    assert len(there) == len(shared) >= 1
    assert not [name for name in shared if name.startswith("ghostcrm_")]
