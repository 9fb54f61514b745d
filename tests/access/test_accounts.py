"""Admin accounts: who may sign in, how often somebody may try, and what nobody can find out by trying."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from uuid import uuid4

import pytest

from ghostcrm_provisioning.access.accounts import Accounts, NewAccount
from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.access.sessions import Sessions
from ghostcrm_provisioning.access.sign_in_tries import network_of
from ghostcrm_provisioning.errors import (
    AccountLocked,
    Conflict,
    GhostcrmError,
    InvalidEmail,
    InvalidInput,
    InvalidPassword,
    LastAdmin,
    NotAuthenticated,
    NotFound,
    NotPermitted,
)
from ghostcrm_provisioning.wiring import Installation
from tests.access.conftest import hold_waits
from tests.conftest import OpenInstallation

OLGA, PASSWORD = "olga@example.com", "correct horse battery"
HERE, THERE = "192.0.2.1", "198.51.100.7"


async def make(accounts: Accounts, email: str = OLGA, *scopes: Scope) -> NewAccount:
    return await accounts.create(
        email=email,
        scopes=frozenset(scopes or (Scope.ADMIN,)),
        by="a test",
        password=PASSWORD,
    )


async def outcome(work: Awaitable[object]) -> object:
    try:
        return await work
    except GhostcrmError as error:
        return error


async def fail(accounts: Accounts, times: int, email: str = OLGA, address: str = HERE) -> None:
    """Wrong passwords one after the other, the waits between them skipped."""
    for _ in range(times):
        with pytest.raises(NotAuthenticated) as refused:
            await accounts.authenticate(email, "not the password", address=address)
        assert not isinstance(refused.value, AccountLocked)


# --- signing in -----------------------------------------------------------------------------------


async def test_the_right_password_signs_in_whatever_the_case_of_the_address(
    accounts: Accounts,
) -> None:
    new = await make(accounts, "Olga@Example.COM", Scope.CLIENTS_READ)
    assert new.temporary_password is None
    principal = await accounts.authenticate(" OLGA@example.com ", PASSWORD, address=HERE)
    assert principal.id == new.id
    assert principal.actor == "admin:olga@example.com"
    assert principal.scopes == {Scope.CLIENTS_READ}
    account = await accounts.find_by_email(OLGA)
    assert account.last_signed_in_at is not None
    assert account == (await accounts.list())[0] == await accounts.find(new.id)


async def test_unknown_wrong_and_disabled_are_told_the_same(
    accounts: Accounts,
) -> None:
    await make(accounts, "other@example.com")
    gone = await make(accounts, "gone@example.com")
    await make(accounts)
    await accounts.disable(gone.id, by="a test")
    told = set()
    for email, password in (
        ("nobody@example.com", PASSWORD),
        ("gone@example.com", PASSWORD),
        (OLGA, "not the password"),
        (OLGA, PASSWORD + "\0"),
        (OLGA, PASSWORD * 20),
        (OLGA, "\ud800"),
        (OLGA, ""),
        ("", ""),
        ("no address", PASSWORD),
        ("\0", PASSWORD),
        ("\udc00@example.com", PASSWORD),
        ("o" * 100_000, PASSWORD),
    ):
        with pytest.raises(NotAuthenticated) as refused:
            await accounts.authenticate(email, password, address=THERE if email == OLGA else HERE)
        told.add((type(refused.value), refused.value.message, refused.value.next_step))
    assert len(told) == 1


async def test_an_unknown_account_takes_as_long_as_a_wrong_password(
    installation: Installation,
) -> None:
    accounts = Accounts(installation.control)
    await make(accounts)
    times: dict[str, list[float]] = {OLGA: [], "nobody@example.com": []}
    for number in range(4):
        for email, taken in times.items():
            # The processor's time: what others do to the machine meanwhile is not in it.
            begun = time.process_time()
            await outcome(accounts.authenticate(email, "x", address=f"192.0.2.{number}"))
            taken.append(time.process_time() - begun)
    of_olga, of_nobody = (min(taken) for taken in times.values())
    # Comparing takes some hundred times as long as everything else; a missing one would be a tenth.
    assert 0.4 < of_olga / of_nobody < 2.5


async def test_a_temporary_password_is_made_where_none_is_given(accounts: Accounts) -> None:
    new = await accounts.create(email=OLGA, scopes=frozenset({Scope.ADMIN}), by="a test")
    assert new.temporary_password is not None
    assert new.temporary_password.get_secret_value() not in repr(new)
    assert (await accounts.find(new.id)).must_change_password
    await accounts.authenticate(OLGA, new.temporary_password.get_secret_value(), address=HERE)


@pytest.mark.parametrize(
    "password",
    ["elevenchars", "x" * 73, "ä" * 37, "abababababab", "a\0bcdefghijkl", "my olga@example.com!"],
)
async def test_a_password_that_an_admin_must_not_have_is_refused(
    accounts: Accounts, password: str
) -> None:
    with pytest.raises(InvalidPassword):
        await accounts.create(
            email=OLGA, scopes=frozenset({Scope.ADMIN}), by="a test", password=password
        )
    assert await accounts.list() == []


async def test_an_email_has_one_account_and_every_account_some_right(accounts: Accounts) -> None:
    await make(accounts)
    with pytest.raises(Conflict):
        await make(accounts, OLGA.upper())
    with pytest.raises(InvalidInput):
        await accounts.create(email="b@example.com", scopes=frozenset(), by="a test")
    with pytest.raises(InvalidEmail):
        await make(accounts, "admin@localhost")


async def test_somebody_changes_his_own_password_with_the_old_one_only(accounts: Accounts) -> None:
    new = await make(accounts)
    principal = await accounts.authenticate(OLGA, PASSWORD, address=HERE)
    with pytest.raises(NotAuthenticated):
        await accounts.change_own_password(
            principal, current="not the password", new="another password", address=HERE
        )
    with pytest.raises(InvalidPassword):
        await accounts.change_own_password(principal, current=PASSWORD, new=PASSWORD, address=HERE)
    changed = await accounts.change_own_password(
        principal, current=PASSWORD, new="another password", address=HERE
    )
    assert changed.id == new.id
    with pytest.raises(NotAuthenticated):
        await accounts.authenticate(OLGA, PASSWORD, address=HERE)
    assert await accounts.authenticate(OLGA, "another password", address=HERE) == changed


# --- lock-out -------------------------------------------------------------------------------------


@pytest.mark.parametrize("email", [OLGA, "nobody@example.com"])
async def test_after_five_failures_waits_grow_whether_the_account_exists_or_not(
    accounts: Accounts, installation: Installation, email: str
) -> None:
    await make(accounts)
    await fail(accounts, 5, email)
    waits = []
    for _ in range(12):
        (row,) = await installation.control.fetch_all(
            "select extract(epoch from refused_until - last_failed_at)::float8 as seconds"
            " from sign_in_counters where refused_until is not null"
        )
        waits.append(round(row["seconds"]))
        await hold_waits(installation)
        with pytest.raises(AccountLocked) as locked:
            await accounts.authenticate(email, PASSWORD, address=HERE)
        assert 3000 < locked.value.wait_seconds <= waits[-1] + 3600
        assert locked.value.http_status == 429
        await installation.control.execute("update sign_in_counters set refused_until = null")
        await installation.control.execute(
            "update sign_in_counters set failures = 0 where email_digest is null"
        )
        await fail(accounts, 1, email)
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]


async def test_of_fifty_guesses_at_once_one_is_tried(
    accounts: Accounts, installation: Installation
) -> None:
    await make(accounts)
    await fail(accounts, 1)
    # The next failure is the fourteenth in a row; after it 512 seconds have to pass.
    await installation.control.execute("update sign_in_counters set failures = 13")
    outcomes = await asyncio.gather(
        *(outcome(accounts.authenticate(OLGA, f"guess {n}", address=HERE)) for n in range(50))
    )
    assert sum(isinstance(error, AccountLocked) for error in outcomes) == 49
    assert all(isinstance(error, NotAuthenticated) for error in outcomes)
    # One of those that were refused may have been right: nobody looked.
    assert isinstance(
        await outcome(accounts.authenticate(OLGA, PASSWORD, address=HERE)), AccountLocked
    )


async def test_many_addresses_together_have_few_tries_too(
    accounts: Accounts, installation: Installation
) -> None:
    await make(accounts)
    await fail(accounts, 1)
    # The next failure, from wherever it comes, is the thirty-second; after it 60 seconds have to pass.
    await installation.control.execute(
        "update sign_in_counters set failures = 31 where email_digest is not null"
    )
    outcomes = await asyncio.gather(
        *(
            outcome(accounts.authenticate(OLGA, "guess", address=f"198.51.100.{n}"))
            for n in range(40)
        )
    )
    assert sum(not isinstance(error, AccountLocked) for error in outcomes) == 1


async def test_nobody_can_lock_an_admin_out_of_where_he_signs_in_usually(
    accounts: Accounts, installation: Installation
) -> None:
    await make(accounts)
    await accounts.authenticate(OLGA, PASSWORD, address=HERE)
    for n in range(30):
        await outcome(accounts.authenticate(OLGA, "guess", address=f"198.51.100.{n}"))
    await hold_waits(installation)
    with pytest.raises(AccountLocked) as locked:
        await accounts.authenticate(OLGA, PASSWORD, address="203.0.113.99")
    assert locked.value.wait_seconds <= 3600 + 60  # a new address has to wait, and not for long
    await accounts.authenticate(OLGA, PASSWORD, address=HERE)


async def test_an_address_that_fails_at_many_accounts_has_to_wait(
    accounts: Accounts, installation: Installation
) -> None:
    await make(accounts)
    for n in range(20):
        await fail(accounts, 1, f"nobody-{n}@example.com")
    await hold_waits(installation)
    with pytest.raises(AccountLocked):
        await accounts.authenticate(OLGA, PASSWORD, address=HERE)
    await accounts.authenticate(OLGA, PASSWORD, address=THERE)


async def test_the_right_password_forgives_what_failed_before(
    accounts: Accounts, installation: Installation
) -> None:
    await make(accounts)
    for _ in range(7):  # more than 25 failures and 20, were they not in between
        await fail(accounts, 2)
        await accounts.authenticate(OLGA, PASSWORD, address=HERE)
    rows = await installation.control.fetch_all("select failures from sign_in_counters")
    # Of the address 14 failed; of the account from here none since; the first two came from a new one.
    assert sorted(row["failures"] for row in rows) == [0, 2, 14]


async def test_an_hour_without_failures_forgets_them(
    accounts: Accounts, installation: Installation
) -> None:
    await make(accounts)
    await fail(accounts, 4)
    await installation.control.execute(
        "update sign_in_counters set last_failed_at = last_failed_at - interval '61 minutes'"
    )
    await fail(accounts, 4)
    await accounts.authenticate(OLGA, PASSWORD, address=HERE)


async def test_an_operator_can_end_the_wait(accounts: Accounts, installation: Installation) -> None:
    new = await make(accounts)
    await fail(accounts, 5)
    await hold_waits(installation)
    assert isinstance(
        await outcome(accounts.authenticate(OLGA, PASSWORD, address=HERE)), AccountLocked
    )
    await accounts.unlock(new.id, by="a test")
    await accounts.authenticate(OLGA, PASSWORD, address=HERE)
    await fail(accounts, 5)
    await hold_waits(installation)
    await accounts.set_password(new.id, by="a test", password="quite another one")
    await accounts.authenticate(OLGA, "quite another one", address=HERE)


async def test_old_counters_are_taken_away_by_those_who_come_later(
    accounts: Accounts, installation: Installation
) -> None:
    await make(accounts)
    await accounts.authenticate(OLGA, PASSWORD, address=THERE)
    for n in range(5):
        await fail(accounts, 1, f"nobody-{n}@example.com")
    await installation.control.execute(
        "update sign_in_counters set last_failed_at = last_failed_at - interval '2 days'"
    )
    await fail(accounts, 1)
    rows = await installation.control.fetch_all(
        "select last_succeeded_at is not null as was_right from sign_in_counters"
    )
    # What is left: the place from where Olga signs in, and the three counters of the last try.
    assert sorted(row["was_right"] for row in rows) == [False, False, False, True]


def test_a_network_is_whatever_one_customer_has() -> None:
    assert network_of("192.0.2.1") == "192.0.2.1"
    assert network_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert network_of("2001:db8:1:2:3::4") == network_of("2001:db8:1:2:ffff::1")
    assert network_of("2001:db8:1:2::1") != network_of("2001:db8:1:3::1")
    assert network_of("fe80::1%eth0") == "fe80::/64"
    assert network_of("unix socket") == "unix socket"


# --- the first one --------------------------------------------------------------------------------


async def test_of_many_processes_one_makes_the_first_account(
    opened: OpenInstallation,
) -> None:
    installations = [await opened(), await opened()]
    made = await asyncio.gather(
        *(
            Accounts(installations[n % 2].control).ensure_first(f"admin-{n % 3}@ghostcrm.internal")
            for n in range(8)
        )
    )
    (first,) = [account for account in made if account is not None]
    accounts = Accounts(installations[0].control)
    (account,) = await accounts.list()
    assert account.email == first.email
    assert account.scopes == {Scope.ADMIN}
    assert account.must_change_password
    assert first.temporary_password is not None
    await accounts.authenticate(
        first.email, first.temporary_password.get_secret_value(), address=HERE
    )


async def test_where_there_is_an_account_there_is_no_first_one(accounts: Accounts) -> None:
    new = await make(accounts, OLGA, Scope.QUEUE_READ)
    await accounts.disable(new.id, by="a test")
    assert await accounts.ensure_first("admin@ghostcrm.internal") is None


# --- who may change whom --------------------------------------------------------------------------


async def test_nobody_gives_away_rights_that_he_does_not_have(accounts: Accounts) -> None:
    manager = Principal(
        "account", uuid4(), "m@example.com", frozenset({Scope.ACCESS_MANAGE, Scope.CLIENTS_READ})
    )
    admin = await make(accounts)
    reader = await accounts.create(
        email="r@example.com", scopes=frozenset({Scope.CLIENTS_READ}), by=manager
    )
    more = frozenset({Scope.CLIENTS_READ, Scope.CLIENTS_CONNECT})
    for refused in (
        accounts.create(email="x@example.com", scopes=more, by=manager),
        accounts.create(email="x@example.com", scopes=frozenset({Scope.ADMIN}), by=manager),
        accounts.set_scopes(reader.id, more, by=manager),
        accounts.set_password(admin.id, by=manager),
        accounts.set_scopes(admin.id, frozenset({Scope.CLIENTS_READ}), by=manager),
        accounts.disable(admin.id, by=manager),
        accounts.enable(admin.id, by=manager),
        accounts.link(admin.id, uuid4(), by=manager),
        accounts.unlock(admin.id, by=manager),
    ):
        with pytest.raises(NotPermitted):
            await refused
    assert {account.email for account in await accounts.list()} == {OLGA, "r@example.com"}
    await accounts.disable(reader.id, by=manager)


async def test_the_last_one_who_may_do_everything_stays(accounts: Accounts) -> None:
    first = await make(accounts)
    for refused in (
        accounts.disable(first.id, by="a test"),
        accounts.set_scopes(first.id, frozenset({Scope.CLIENTS_READ}), by="a test"),
    ):
        with pytest.raises(LastAdmin):
            await refused
    second = await make(accounts, "second@example.com")
    outcomes = await asyncio.gather(
        *(outcome(accounts.disable(account.id, by="a test")) for account in (first, second))
    )
    assert sorted(type(result).__name__ for result in outcomes) == ["LastAdmin", "NoneType"]
    await accounts.enable(first.id, by="a test")
    await accounts.enable(second.id, by="a test")
    await accounts.set_scopes(first.id, frozenset(), by="a test")
    assert (await accounts.authenticate(OLGA, PASSWORD, address=HERE)).scopes == frozenset()


async def test_a_user_of_the_main_project_has_one_account(accounts: Accounts) -> None:
    user = uuid4()
    first, second = await make(accounts), await make(accounts, "second@example.com")
    await accounts.link(first.id, user, by="a test")
    with pytest.raises(Conflict, match=OLGA):
        await accounts.link(second.id, user, by="a test")
    principal = await accounts.of_main_project_user(user)
    assert principal is not None
    assert principal.id == first.id
    await accounts.disable(first.id, by="a test")
    assert await accounts.of_main_project_user(user) is None
    await accounts.link(first.id, None, by="a test")
    await accounts.link(second.id, user, by="a test")


async def test_what_does_not_exist_is_not_found(accounts: Accounts) -> None:
    for work in (
        accounts.find(uuid4()),
        accounts.find_by_email("nobody@example.com"),
        accounts.disable(uuid4(), by="a test"),
        accounts.set_password(uuid4(), by="a test"),
    ):
        with pytest.raises(NotFound):
            await work


async def test_every_change_is_audited_and_no_password_is(
    accounts: Accounts, installation: Installation
) -> None:
    await make(accounts)
    new = await accounts.create(
        email="b@example.com", scopes=frozenset({Scope.QUEUE_READ}), by="admin:olga@example.com"
    )
    temporary = await accounts.set_password(new.id, by="admin:olga@example.com")
    await accounts.set_scopes(new.id, frozenset({Scope.AUDIT_READ}), by="admin:olga@example.com")
    await accounts.link(new.id, uuid4(), by="admin:olga@example.com")
    await accounts.disable(new.id, by="admin:olga@example.com")
    await accounts.disable(new.id, by="admin:olga@example.com")
    await accounts.enable(new.id, by="admin:olga@example.com")
    rows = await installation.control.fetch_all(
        "select action, audit_log::text as line from audit_log where actor = 'admin:olga@example.com'"
        " order by id"
    )
    assert [row["action"].removeprefix("admin.") for row in rows] == [
        "created",
        "password_set",
        "scopes_set",
        "linked",
        "disabled",
        "enabled",
    ]
    assert temporary is not None
    assert new.temporary_password is not None
    for row in rows:
        assert temporary.get_secret_value() not in row["line"]
        assert new.temporary_password.get_secret_value() not in row["line"]
        assert "$2b$" not in row["line"]


async def test_changes_sign_ins_and_sessions_at_once_do_not_wait_for_one_another(
    accounts: Accounts, sessions: Sessions, installation: Installation
) -> None:
    """A deadlock would be an error, after a second."""
    root = await make(accounts, "root@example.com")
    new = await make(accounts)
    principal = await accounts.authenticate(OLGA, PASSWORD, address=HERE)
    for _ in range(3):
        for _ in range(5):
            await sessions.begin(principal, address=HERE, user_agent="")
        await installation.control.execute(
            "update admin_sessions set last_seen_at = last_seen_at - interval '1 hour'"
        )
        outcomes = await asyncio.gather(
            *(sessions.begin(principal, address=HERE, user_agent="") for _ in range(4)),
            *(accounts.authenticate(OLGA, "guess", address=f"192.0.2.{n}") for n in range(4)),
            *(accounts.set_password(new.id, by="a test", password=PASSWORD) for _ in range(6)),
            *(accounts.set_scopes(new.id, frozenset({Scope.ADMIN}), by="a test") for _ in range(6)),
            accounts.enable(new.id, by="a test"),
            accounts.unlock(new.id, by="a test"),
            accounts.set_scopes(root.id, frozenset({Scope.ADMIN}), by="a test"),
            return_exceptions=True,
        )
        unforeseen = [
            outcome
            for outcome in outcomes
            if isinstance(outcome, BaseException) and not isinstance(outcome, NotAuthenticated)
        ]
        assert unforeseen == []
        principal = await accounts.authenticate(OLGA, PASSWORD, address=HERE)
