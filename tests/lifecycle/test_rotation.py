"""What opens a client's database is exchanged: the new opens it, the old does not, and nobody is locked out."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import jwt
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from ghostcrm_provisioning.clients.rotation import Rotation, read_rotation
from ghostcrm_provisioning.connecting import (
    ClientConnection,
    connect_to,
    program_settings,
    reset_admin_password,
)
from ghostcrm_provisioning.errors import (
    ClientNotReady,
    ClientSuspended,
    Conflict,
    InvalidInput,
    NotOffered,
)
from ghostcrm_provisioning.fleet.changing_plan import preview_plan_change
from ghostcrm_provisioning.fleet.rotating import rotate_credentials
from ghostcrm_provisioning.provisioning.rotate_credentials import ROTATE_CREDENTIALS
from ghostcrm_provisioning.provisioning.work import open_secrets
from ghostcrm_provisioning.registrars.rotation import AcceptedRotation
from tests.integration.control import register
from tests.integration.waiting import eventually
from tests.lifecycle.lives import Life, carry_out, is_let_in
from tests.lifecycle.test_dying_workers import dies

STEPS = range(len(ROTATE_CREDENTIALS.steps))


async def connect(life: Life, role: str) -> ClientConnection:
    return await connect_to(life.installation, life.id, role=role, requested_by="test")


async def connections(life: Life) -> dict[str, ClientConnection]:
    """With every login that there is."""
    found = {}
    for role in ("app", "service", "auth", "owner", "api"):
        try:
            found[role] = await connect(life, role)
        except NotOffered:
            assert life.is_supabase
    return found


async def ask(life: Life, **wanted: Any) -> AcceptedRotation:
    return await rotate_credentials(life.installation, life.id, requested_by="test", **wanted)


async def rotate(life: Life, **wanted: Any) -> Rotation:
    accepted = await ask(life, **wanted)
    run = await carry_out(life.installation, accepted.run_id)
    assert run["status"] == "succeeded", run["error"]
    return await rotation_of(life, accepted)


async def rotation_of(life: Life, accepted: AcceptedRotation) -> Rotation:
    async with life.installation.control.connection() as connection:
        return await read_rotation(connection, accepted.run_id)


async def nothing_is_pending(life: Life) -> bool:
    async with life.installation.control.connection() as connection:
        credentials, _ = await open_secrets(
            connection, life.installation.sealer, await life.client()
        )
    return credentials.pending is None


async def opens_api(connection: ClientConnection, key: str) -> bool:
    assert connection.supabase_url is not None
    async with httpx.AsyncClient(timeout=60) as caller:
        answer = await caller.get(
            f"{connection.supabase_url}/rest/v1/no_such_table", headers={"apikey": key}
        )
    assert answer.status_code in {401, 404}, answer.text
    return answer.status_code == 404


async def see_that_it_is_exchanged(
    life: Life, before: dict[str, ClientConnection], after: dict[str, ClientConnection]
) -> None:
    """The new opens it, the old does not."""
    for role, old in before.items():
        assert old.database_url != after[role].database_url, role
        assert await is_let_in(after[role].database_url), role
        assert not await is_let_in(old.database_url), role
    old, new = before["app"], after["app"]
    assert {old.anon_key, old.service_role_key}.isdisjoint({new.anon_key, new.service_role_key})
    if life.is_supabase:
        for key in (new.anon_key, new.service_role_key):
            assert await opens_api(new, key)
        for key in (old.anon_key, old.service_role_key):
            assert not await opens_api(new, key)


async def test_the_new_opens_it_and_the_old_does_not(life: Life) -> None:
    before = await connections(life)
    accepted = await ask(life, reason="somebody has left")
    assert accepted.created
    assert await connect(life, "app") == before["app"], "nothing has changed yet"
    run = await carry_out(life.installation, accepted.run_id)
    assert run["status"] == "succeeded", run["error"]
    after = await connections(life)
    await see_that_it_is_exchanged(life, before, after)
    assert await nothing_is_pending(life)
    assert await life.audited() == ["client.rotation_requested", "client.credentials_rotated"]
    notified = await life.installation.control.fetch_all("select run_id from notifications")
    assert accepted.run_id not in {row["run_id"] for row in notified}
    # All that rests on it goes on.
    assert await reset_admin_password(life.installation, life.id, requested_by="test")
    assert (await preview_plan_change(life.installation, life.id, "enterprise")).fits
    verdict = await life.installation.verifier.verify(life.id, requested_by="test")
    assert verdict.holds, verdict
    again = await rotate(life)
    assert again.number == 2
    await see_that_it_is_exchanged(life, after, await connections(life))


@pytest.mark.long
@pytest.mark.timeout(900)  # a whole life for every step
async def test_wherever_a_worker_dies_nobody_is_locked_out(life: Life) -> None:
    for after in STEPS:
        before = await connections(life)
        accepted = await ask(life)
        await dies(life, accepted.run_id, ROTATE_CREDENTIALS, after)
        # Whoever asks meanwhile is given what opens it, and our own work goes on.
        for role, connection in (await connections(life)).items():
            assert await is_let_in(connection.database_url), (after, role)
        assert await reset_admin_password(life.installation, life.id, requested_by="test")
        assert (await preview_plan_change(life.installation, life.id, "enterprise")).fits
        run = await carry_out(life.installation, accepted.run_id)
        assert run["status"] == "succeeded", run["error"]
        await see_that_it_is_exchanged(life, before, await connections(life))
        assert await nothing_is_pending(life)
    assert (await life.audited()).count("client.credentials_rotated") == len(STEPS)


async def test_what_failed_half_way_is_finished_by_the_next_one(life: Life) -> None:
    before = await connections(life)
    accepted = await ask(life, passwords=True)
    await dies(life, accepted.run_id, ROTATE_CREDENTIALS, 1)
    await life.installation.control.execute(
        "update runs set status = 'failed', finished_at = clock_timestamp(), error = '{}' where id = %(id)s",
        id=accepted.run_id,
    )
    for role, connection in (await connections(life)).items():
        assert await is_let_in(connection.database_url), role
    rotation = await rotate(life, keys=True)
    assert (rotation.number, rotation.passwords, rotation.keys) == (2, True, True)
    await see_that_it_is_exchanged(life, before, await connections(life))
    assert await nothing_is_pending(life)


async def test_only_what_is_asked_for(life: Life) -> None:
    before = await connect(life, "app")
    await rotate(life, passwords=True)
    after = await connect(life, "app")
    assert after.database_url != before.database_url
    assert (after.anon_key, after.service_role_key) == (before.anon_key, before.service_role_key)
    await rotate(life, keys=True)
    last = await connect(life, "app")
    assert last.database_url == after.database_url
    assert {last.anon_key, last.service_role_key}.isdisjoint(
        {after.anon_key, after.service_role_key}
    )
    assert await is_let_in(last.database_url)


async def test_sessions_stay_open_unless_they_are_to_end(life: Life) -> None:
    owner = await connect(life, "owner")
    async with await psycopg.AsyncConnection.connect(owner.database_url) as session:
        await rotate(life, passwords=True)
        await session.execute("select")
        await session.commit()
        await rotate(life, end_sessions=True)
        with pytest.raises(psycopg.OperationalError):
            await session.execute("select")
    assert await is_let_in((await connect(life, "owner")).database_url)


async def test_the_same_wish_is_the_same_run(life: Life) -> None:
    accepted = await ask(life)
    for wanted in ({}, {"keys": True}, {"passwords": True}):
        again = await ask(life, **wanted)
        assert (again.run_id, again.created) == (accepted.run_id, False)
    with pytest.raises(Conflict, match="Something else is being done"):
        await ask(life, end_sessions=True)
    many = await asyncio.gather(*(ask(life) for _ in range(5)))
    assert {each.run_id for each in many} == {accepted.run_id}
    with pytest.raises(Conflict, match="exchange credentials"):
        await life.ask_suspend()
    await carry_out(life.installation, accepted.run_id)
    assert (await ask(life)).created


async def test_who_is_closed_is_refused(life: Life) -> None:
    await life.suspend(with_export=False)
    with pytest.raises(ClientSuspended, match="is suspended") as refused:
        await ask(life)
    assert "clients resume" in (refused.value.next_step or "")
    waiting = await register(life.installation, "Not ready yet")
    with pytest.raises(ClientNotReady, match="is not ready"):
        await rotate_credentials(life.installation, waiting.client_id, requested_by="test")


async def test_a_closed_database_is_not_opened(on_postgres: Life) -> None:
    life = on_postgres
    accepted = await ask(life)
    client = await life.client()
    provider = await life.installation.providers.of_server(client.server_id)
    async with life.installation.control.connection() as connection:
        credentials, _ = await open_secrets(connection, life.installation.sealer, client)
    from ghostcrm_provisioning.provisioning.work import request_of

    request = request_of(client, credentials, installation_id=life.installation.id)
    await provider.close(request)
    run = await carry_out(life.installation, accepted.run_id)
    assert (run["status"], run["error"]["code"]) == ("failed", "database_closed")
    assert (await provider.observe_closed(request)).holds


async def test_a_login_that_nobody_uses_stays_shut(on_postgres: Life) -> None:
    life = on_postgres
    await rotate(life)
    rows = life.inside(
        f"select rolname from pg_roles where starts_with(rolname, '{life.database}') and rolcanlogin"
    )
    enabled = {row["rolname"].removeprefix(f"{life.database}_") for row in rows}
    assert enabled == {"app", "owner", "caretaker"}
    service = await connect(life, "service")
    assert await is_let_in(service.database_url)


async def test_an_application_that_uses_up_its_connections_is_no_obstacle(
    on_postgres: Life,
) -> None:
    life = on_postgres
    old = await connect(life, "app")
    role = conninfo_to_dict(old.database_url)["user"]
    life.inside(f'alter role "{role}" connection limit 1')
    async with await psycopg.AsyncConnection.connect(old.database_url):
        await rotate(life)
        new = await connect(life, "app")
        assert not await is_let_in(old.database_url)

    async def there_is_room() -> bool:
        return await is_let_in(new.database_url)

    await eventually(there_is_room, what="the server has ended the sessions that were closed")


async def test_programs_are_given_keys_that_fit_together(on_postgres: Life) -> None:
    life = on_postgres
    await rotate(life, keys=True)
    settings = await program_settings(life.installation, life.id, role="api", requested_by="test")
    connection = await connect(life, "app")
    for key, role in (
        (connection.anon_key, "anon"),
        (connection.service_role_key, "service_role"),
    ):
        claims = jwt.decode(key, settings["PGRST_JWT_SECRET"], algorithms=["HS256"])
        assert claims["role"] == role


@pytest.mark.long
async def test_older_keys_are_switched_off_only_if_asked(on_supabase: Life) -> None:
    life = on_supabase

    async def legacy() -> tuple[str | None, str | None]:
        async with life.installation.control.connection() as connection:
            credentials, _ = await open_secrets(
                connection, life.installation.sealer, await life.client()
            )
        assert credentials.services is not None
        return credentials.services["anon"], credentials.services["service_role"]

    anon, service = await legacy()
    connection = await connect(life, "app")
    assert anon is not None
    assert service is not None
    await rotate(life, keys=True)
    assert await opens_api(connection, anon)
    rotation = await rotate(life, legacy_keys=True)
    assert (rotation.keys, rotation.passwords, rotation.legacy_keys) == (True, False, True)
    assert not await opens_api(connection, anon)
    assert not await opens_api(connection, service)
    assert await legacy() == (None, None)


@pytest.mark.long
async def test_somebody_elses_keys_are_left_and_named(on_supabase: Life, platform: Any) -> None:
    life = on_supabase
    ref = ((await connect(life, "app")).supabase_url or "").rsplit("/", 1)[1]
    with platform.caller() as caller:
        made = caller.post(
            f"/v1/projects/{ref}/api-keys?reveal=true", json={"type": "secret", "name": "night_job"}
        )
        key = made.raise_for_status().json()["api_key"]
    rotation = await rotate(life, keys=True)
    assert rotation.keys_left == ("night_job",)
    connection = await connect(life, "app")
    assert await opens_api(connection, key)


async def test_what_does_not_go_together_is_refused(on_postgres: Life) -> None:
    for wanted in (
        {"passwords": True, "legacy_keys": True},
        {"keys": True, "end_sessions": True},
        {"reason": "x" * 501},
    ):
        with pytest.raises(InvalidInput):
            await ask(on_postgres, **wanted)
    with pytest.raises(NotOffered, match="no project at Supabase"):
        await ask(on_postgres, legacy_keys=True)
    assert await nothing_is_pending(on_postgres)


@pytest.mark.long
async def test_a_password_that_somebody_else_has_set_is_replaced(
    on_supabase: Life, platform: Any
) -> None:
    life = on_supabase
    before = await connections(life)
    ref = (before["app"].supabase_url or "").rsplit("/", 1)[1]
    with platform.caller() as caller:
        caller.patch(
            f"/v1/projects/{ref}/database/password", json={"password": "set-in-the-dashboard"}
        ).raise_for_status()
    assert not await is_let_in(before["owner"].database_url)
    await rotate(life, passwords=True)
    for role, connection in (await connections(life)).items():
        assert await is_let_in(connection.database_url), role
        assert connection.database_url != before[role].database_url
