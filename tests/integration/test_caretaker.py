"""Our own work in a database that was handed over has no rights that its owner could misuse.

The owner of a client's schema may put triggers into it. One of them tries here to become whoever opened
the session, and to make a role with that one's rights.
"""

from __future__ import annotations

import pytest
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from ghostcrm_provisioning.client_database.blueprint import read_blueprint
from ghostcrm_provisioning.client_database.isolation.proof import verify
from ghostcrm_provisioning.clients.client import find_client
from ghostcrm_provisioning.connecting import connect_to, reset_admin_password
from ghostcrm_provisioning.errors import GhostcrmError
from ghostcrm_provisioning.provisioning.work import as_caretaker, find_request, logins_of
from ghostcrm_provisioning.wiring import Installation
from tests.conftest import OpenInstallation
from tests.integration.control import are_ready, at_work, register
from tests.integration.waiting import eventually

_PLANTED = """
create function public.climb() returns trigger language plpgsql as $$
begin
    execute 'reset role';
    execute 'create role climbed_by_a_client createdb createrole';
    return new;
end
$$;
create trigger climb before insert or update on public.profiles
    for each row execute function public.climb();
"""


async def _has_climbed(installation: Installation) -> bool:
    row = await installation.control.fetch_one(
        "select exists (select from pg_roles where rolname = 'climbed_by_a_client') as has"
    )
    return row is not None and bool(row["has"])


async def test_what_a_client_has_planted_gets_no_rights_of_ours(opened: OpenInstallation) -> None:
    installation = await opened()
    client = await register(installation, "Climbers")
    async with at_work(installation):
        await eventually(lambda: are_ready(installation, 1), what="the client is ready")
    owner = await connect_to(installation, client.client_id, role="owner", requested_by="test")
    async with await AsyncConnection.connect(owner.database_url, autocommit=True) as planting:
        await planting.execute(_PLANTED)

    with pytest.raises(GhostcrmError) as refused:
        await reset_admin_password(installation, client.client_id, requested_by="test")
    assert "permission denied" in str(refused.value)
    assert not await _has_climbed(installation)

    async with installation.control.connection() as control:
        found = await find_client(control, client.client_id)
        request, credentials = await find_request(
            control, installation.sealer, found, installation_id=installation.id
        )
    blueprint = read_blueprint("ghostcrm")
    provider = await installation.providers.of_server(found.server_id)
    logins = logins_of(credentials, blueprint.plan(found.plan))
    async with (
        provider.administer(request) as administrator,
        as_caretaker(provider, request, credentials) as caretaker,
        provider.log_in(request, logins[0]) as application,
    ):
        verdict = await verify(
            administrator,
            caretaker=caretaker,
            application=application,
            logins=tuple(f"{found.database_name}_{login.key}" for login in logins),
            access=blueprint.access,
        )
    assert not verdict.holds
    assert "public.profiles climb" in {finding.subject for finding in verdict.findings}
    assert not await _has_climbed(installation)


async def test_the_caretaker_is_nobody_outside_its_database(opened: OpenInstallation) -> None:
    installation = await opened()
    client = await register(installation, "Quiet")
    await register(installation, "Neighbour")
    async with at_work(installation):
        await eventually(lambda: are_ready(installation, 2), what="the clients are ready")
    async with installation.control.connection() as control:
        found = await find_client(control, client.client_id)
        request, credentials = await find_request(
            control, installation.sealer, found, installation_id=installation.id
        )
    provider = await installation.providers.of_server(found.server_id)
    async with as_caretaker(provider, request, credentials) as caretaker:
        caretaker.row_factory = dict_row
        rows = await (
            await caretaker.execute(
                "select rolsuper or rolcreatedb or rolcreaterole or rolbypassrls as may,"
                " array(select datname::text from pg_database where datallowconn"
                "       and has_database_privilege(oid, 'connect')"
                # Of this installation, its template among them: on this server, other tests open others.
                "       and strpos(shobj_description(oid, 'pg_database'), %(installation)s) > 0"
                "       order by 1) as databases"
                " from pg_roles where rolname = session_user",
                {"installation": str(installation.id)},
            )
        ).fetchall()
    assert rows == [{"may": False, "databases": [found.database_name]}]
