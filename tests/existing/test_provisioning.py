"""A company registers with a database that it has already."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from ghostcrm_provisioning.connecting import connect_to
from ghostcrm_provisioning.errors import (
    ClientQuarantined,
    DatabaseNotUsable,
    NotOffered,
    OtherTablesFound,
)
from ghostcrm_provisioning.registration import Registration, trigger_client_provisioning
from ghostcrm_provisioning.wiring import Installation
from tests.conftest import ADMIN, ADMIN_PASSWORD
from tests.existing.conftest import SomebodysDatabase

pytestmark = pytest.mark.long

_PATIENCE_SECONDS = 90.0
ROLES = (
    "anon", "authenticated", "service_role", "authenticator", "supabase_admin", "supabase_auth_admin",
    "ghostcrm_client_owner",
)  # fmt: skip


async def register(
    installation: Installation, url: str, *, wait: float = _PATIENCE_SECONDS, **what: Any
) -> Registration:
    return await trigger_client_provisioning(
        id=uuid4(),
        name=f"ACME {uuid4().hex[:6]}",
        admin_email="admin@acme.com",
        admin_password="secure-password",
        database_url=url,
        wait_seconds=wait,
        installation=installation,
        **what,
    )


def ours(theirs: SomebodysDatabase) -> str:
    """The URL of a login that may make logins, and to whom the server's roles may be granted."""
    theirs.do("alter database {} owner to {}", theirs.name, ADMIN)
    return theirs.url(ADMIN, ADMIN_PASSWORD)


async def test_a_database_with_a_login_that_makes_logins(
    installation: Installation, theirs: SomebodysDatabase
) -> None:
    done = await register(installation, ours(theirs))
    assert done.status == "ready", done.error
    assert done.connection is not None
    assert f"/{theirs.name}" in done.connection.database_url
    for role in ("app", "service", "auth", "owner", "api"):
        opened = await connect_to(installation, done.client_id, role=role, requested_by="a test")
        async with await psycopg.AsyncConnection.connect(
            opened.database_url, row_factory=dict_row
        ) as connection:
            row = await (await connection.execute("select current_database() as name")).fetchone()
        assert row == {"name": theirs.name}


def work_in_it(theirs: SomebodysDatabase, login: str) -> None:
    """What a superuser does once per server, for a login that makes no logins."""
    for role in ROLES:
        theirs.do("grant {} to {}", role, login)


async def test_an_owner_who_makes_no_logins_is_the_one_login(
    installation: Installation, theirs: SomebodysDatabase
) -> None:
    work_in_it(theirs, theirs.owner)
    done = await register(installation, theirs.url())
    assert done.status == "ready", done.error
    opened = await connect_to(installation, done.client_id, role="owner", requested_by="a test")
    assert opened.database_url == theirs.given().database_url
    for role in ("app", "service", "auth", "api"):
        with pytest.raises(NotOffered) as refused:
            await connect_to(installation, done.client_id, role=role, requested_by="a test")
        assert role in refused.value.message
    with theirs.inside() as connection:
        row = connection.execute(
            "select has_database_privilege('pg_monitor', current_database(), 'connect') as everybody"
        ).fetchone()
    assert row == {"everybody": False}
    verdict = await installation.verifier.verify(done.client_id, requested_by="a test")
    assert verdict.holds, verdict.findings


async def test_two_clients_do_not_share_a_database(
    installation: Installation, theirs: SomebodysDatabase
) -> None:
    url = ours(theirs)
    done = await register(installation, url)
    assert done.status == "ready"
    with pytest.raises(DatabaseNotUsable) as refused:
        await register(installation, url)
    assert "another client" in refused.value.message


async def test_what_cannot_be_is_refused_before_anything_is_recorded(
    installation: Installation, theirs: SomebodysDatabase
) -> None:
    with pytest.raises(DatabaseNotUsable) as refused:
        await register(installation, theirs.url(password="not the one"))
    assert "password authentication failed" in refused.value.message
    theirs.do("create table public.invoices (id integer)")
    with pytest.raises(OtherTablesFound):
        await register(installation, theirs.url())
    rows = await installation.control.fetch_all("select from clients")
    assert rows == []


SHOP = """
    create schema shop;
    create table shop.goods (id integer primary key, price integer);
    insert into shop.goods values (1, 100), (2, 200);
    create table public.invoices_of_the_shop (id integer, goods integer references shop.goods);
    insert into public.invoices_of_the_shop values (1, 1);
    create view public.dear as select * from shop.goods where price > 100;
    create function public.total() returns bigint language sql as 'select sum(price) from shop.goods';
"""


async def test_beside_what_is_not_ours_nothing_of_it_is_touched(
    installation: Installation, theirs: SomebodysDatabase
) -> None:
    work_in_it(theirs, theirs.owner)
    clerk = theirs.login()
    with psycopg.connect(theirs.url(), autocommit=True) as owner:
        owner.execute(SHOP.encode())
        owner.execute(f"grant usage on schema shop to {clerk}".encode())
        owner.execute(f"grant select on shop.goods to {clerk}".encode())
    with pytest.raises(OtherTablesFound):
        await register(installation, theirs.url())
    with pytest.raises(DatabaseNotUsable) as refused:
        await register(installation, theirs.url(), allow_other_tables=True)
    assert "may connect" in refused.value.message
    theirs.do("grant connect on database {} to {}", theirs.name, clerk)
    theirs.do("revoke connect, temporary on database {} from public", theirs.name)
    before = dump(theirs)
    done = await register(installation, theirs.url(), allow_other_tables=True)
    assert done.status == "ready", done.error
    assert dump(theirs) == before
    with psycopg.connect(theirs.url(clerk)) as connection:
        assert connection.execute("select sum(price) from shop.goods").fetchone() == (300,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select * from public.contacts")
    verdict = await installation.verifier.verify(done.client_id, requested_by="a test")
    assert verdict.holds, verdict.findings
    # Their life goes on.
    with psycopg.connect(theirs.url(), autocommit=True) as owner:
        owner.execute("create table public.more_of_the_shop (id integer)")
    verdict = await installation.verifier.verify(done.client_id, requested_by="a test")
    assert verdict.holds, verdict.findings
    with psycopg.connect(theirs.url(), autocommit=True) as owner:
        owner.execute("grant select on public.more_of_the_shop to public")
    verdict = await installation.verifier.verify(done.client_id, requested_by="a test")
    assert verdict.holds, verdict.findings
    # But not what shows the client's own.
    with psycopg.connect(theirs.url(), autocommit=True) as owner:
        owner.execute("create view public.peephole as select * from public.contacts")
        owner.execute("grant select on public.peephole to authenticated")
    # Where the login that was given is the only one, we cannot close the database, and give it to nobody.
    verdict = await installation.verifier.verify(done.client_id, requested_by="a test")
    assert not verdict.holds
    row = await installation.control.fetch_one(
        "select findings::text as text from isolation_verdicts where not holds"
    )
    assert row is not None
    assert "peephole" in row["text"]
    with pytest.raises(ClientQuarantined):
        await connect_to(installation, done.client_id, role="owner", requested_by="a test")


def dump(theirs: SomebodysDatabase) -> object:
    """What is the shop's, with rows and rights."""
    with theirs.inside() as connection:
        return [
            connection.execute(question.encode()).fetchall()
            for question in (
                "select oid, relname, relacl::text, relowner, relrowsecurity from pg_class"
                " where relnamespace = 'shop'::regnamespace or relname ~ 'shop|dear' order by oid",
                "select oid, proname, proacl::text, prosrc from pg_proc where proname = 'total'",
                "select nspacl::text from pg_namespace where nspname = 'shop'",
                "select * from shop.goods order by 1",
                "select * from public.invoices_of_the_shop",
            )
        ]
