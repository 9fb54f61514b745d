"""Sessions: two time-outs, what ends them, and that no right is in one."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from ghostcrm_provisioning.access.accounts import Accounts
from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.access.sessions import NewSession, Session, Sessions, is_csrf_token
from ghostcrm_provisioning.errors import AccountLocked, NotAuthenticated, NotFound
from ghostcrm_provisioning.wiring import Installation
from tests.access.conftest import hold_waits

OLGA, PASSWORD, HERE = "olga@example.com", "correct horse battery", "192.0.2.1"


@pytest.fixture
async def olga(accounts: Accounts) -> Principal:
    """Signed in."""
    await accounts.create(
        email="root@example.com", scopes=frozenset({Scope.ADMIN}), by="a test", password=PASSWORD
    )
    await accounts.create(
        email=OLGA, scopes=frozenset({Scope.CLIENTS_READ}), by="a test", password=PASSWORD
    )
    return await accounts.authenticate(OLGA, PASSWORD, address=HERE)


async def begin(sessions: Sessions, principal: Principal) -> NewSession:
    return await sessions.begin(principal, address=HERE, user_agent="a browser")


async def found(sessions: Sessions, new: NewSession) -> Session:
    session = await sessions.find(new.cookie.get_secret_value())
    assert session is not None
    return session


async def is_over(sessions: Sessions, new: NewSession) -> bool:
    return await sessions.find(new.cookie.get_secret_value()) is None


async def age(installation: Installation, column: str, minutes: float) -> None:
    await installation.control.execute(
        {
            "last_seen_at": "update admin_sessions set last_seen_at = last_seen_at"
            " - make_interval(secs => %(seconds)s)",
            "signed_in_at": "update admin_sessions set signed_in_at = signed_in_at"
            " - make_interval(secs => %(seconds)s)",
            "confirmed_at": "update admin_sessions set confirmed_at = confirmed_at"
            " - make_interval(secs => %(seconds)s)",
        }[column],
        seconds=minutes * 60,
    )


async def test_a_session_is_found_by_its_cookie_alone(
    sessions: Sessions, olga: Principal, installation: Installation
) -> None:
    new, another = await begin(sessions, olga), await begin(sessions, olga)
    session = await found(sessions, new)
    assert session.principal == olga
    assert session.is_confirmed
    assert session.csrf_token == new.csrf_token.get_secret_value()
    assert is_csrf_token(session.csrf_token, session)
    assert not is_csrf_token(another.csrf_token.get_secret_value(), session)
    assert not is_csrf_token("", session)
    assert not is_csrf_token("ä\ud800", session)
    for cookie in ("", "x" * 43, new.cookie.get_secret_value()[:-1], "\0", "ä" * 43):
        assert await sessions.find(cookie) is None
    stored = await installation.control.fetch_all("select admin_sessions::text from admin_sessions")
    for secret in (new.cookie, new.csrf_token):
        assert secret.get_secret_value() not in repr((new, session)).replace(
            session.csrf_token, "?"
        )
        assert secret.get_secret_value() not in str(stored)
    assert session.csrf_token not in repr(session)


async def test_what_a_browser_says_of_itself_is_fit_to_be_shown(
    sessions: Sessions, olga: Principal
) -> None:
    await sessions.begin(olga, address="x" * 1000, user_agent="a\0b\nc\ud800" + "y" * 1000)
    (record,) = await sessions.list_of(olga.id)
    assert len(record.address) == 100
    assert record.user_agent.startswith("a\ufffdb\ufffdc\ufffdyyy")
    assert len(record.user_agent) == 300


async def test_a_session_ends_when_it_is_not_used(
    sessions: Sessions, olga: Principal, installation: Installation
) -> None:
    new = await begin(sessions, olga)
    await age(installation, "last_seen_at", 20)
    before = await found(sessions, new)  # which is a use
    await age(installation, "last_seen_at", 20)
    assert (await found(sessions, new)).last_seen_at > before.last_seen_at
    await age(installation, "last_seen_at", 31)
    assert await is_over(sessions, new)
    assert await sessions.list_of(olga.id) == []


async def test_a_page_that_is_left_open_does_not_keep_its_session(
    sessions: Sessions, olga: Principal, installation: Installation
) -> None:
    new = await begin(sessions, olga)
    for _ in range(2):
        await age(installation, "last_seen_at", 16)
        last = await sessions.find(new.cookie.get_secret_value(), is_use=False)
    assert last is None


async def test_a_session_ends_after_twelve_hours_however_much_it_is_used(
    sessions: Sessions, olga: Principal, installation: Installation
) -> None:
    new = await begin(sessions, olga)
    await age(installation, "signed_in_at", 12 * 60 - 1)
    assert not await is_over(sessions, new)
    await age(installation, "signed_in_at", 2)
    assert await is_over(sessions, new)


async def test_whoever_signs_in_takes_away_what_has_expired(
    sessions: Sessions, olga: Principal, installation: Installation
) -> None:
    await begin(sessions, olga)
    await begin(sessions, olga)
    await age(installation, "last_seen_at", 31)
    await begin(sessions, olga)
    row = await installation.control.fetch_one("select count(*) as number from admin_sessions")
    assert row == {"number": 1}


async def test_what_is_sensitive_asks_for_the_password_again_after_five_minutes(
    sessions: Sessions, accounts: Accounts, olga: Principal, installation: Installation
) -> None:
    new = await begin(sessions, olga)
    await age(installation, "confirmed_at", 6)
    session = await found(sessions, new)
    assert not session.is_confirmed
    with pytest.raises(NotAuthenticated):
        await sessions.confirm(session, "not the password", address=HERE)
    assert not (await found(sessions, new)).is_confirmed
    await sessions.confirm(session, PASSWORD, address=HERE)
    assert (await found(sessions, new)).is_confirmed
    # With a stolen cookie there are no more tries than without.
    for _ in range(5):
        with pytest.raises(NotAuthenticated):
            await sessions.confirm(session, "not the password", address=HERE)
    await hold_waits(installation)
    with pytest.raises(AccountLocked):
        await sessions.confirm(session, PASSWORD, address=HERE)
    await sessions.end(session)
    await accounts.unlock(olga.id, by="a test")
    with pytest.raises(NotAuthenticated):
        await sessions.confirm(session, PASSWORD, address=HERE)


async def test_sessions_are_listed_and_ended_one_by_one_or_all_but_this(
    sessions: Sessions, olga: Principal
) -> None:
    first, second, third = [await begin(sessions, olga) for _ in range(3)]
    assert {record.id for record in await sessions.list_of(olga.id)} == {
        first.id,
        second.id,
        third.id,
    }
    with pytest.raises(NotFound):
        await sessions.end_one_of(uuid4(), first.id)  # another account's
    await sessions.end_one_of(olga.id, first.id)
    assert await is_over(sessions, first)
    with pytest.raises(NotFound):
        await sessions.end_one_of(olga.id, first.id)
    assert await sessions.end_all_of(olga.id, but=third.id) == 1
    assert await is_over(sessions, second)
    assert not await is_over(sessions, third)
    await sessions.end(await found(sessions, third))
    assert await is_over(sessions, third)
    assert await sessions.end_all_of(olga.id) == 0


@pytest.mark.parametrize("change", ["disable", "set_password", "change_own_password", "set_scopes"])
async def test_a_session_ends_with_what_it_began_with(
    sessions: Sessions, accounts: Accounts, olga: Principal, change: str
) -> None:
    new = await begin(sessions, olga)
    match change:
        case "disable":
            await accounts.disable(olga.id, by="a test")
            await accounts.enable(olga.id, by="a test")
        case "set_password":
            await accounts.set_password(olga.id, by="a test")
        case "set_scopes":
            await accounts.set_scopes(olga.id, frozenset({Scope.QUEUE_READ}), by="a test")
        case _:
            again = await accounts.change_own_password(
                olga, current=PASSWORD, new="another password", address=HERE
            )
            assert not await is_over(sessions, await begin(sessions, again))
    assert await is_over(sessions, new)
    # Whoever signed in before the change, and comes for his session after it, is too late.
    with pytest.raises(NotAuthenticated):
        await begin(sessions, olga)


async def test_rights_are_those_of_the_account_at_every_request(
    sessions: Sessions, olga: Principal, installation: Installation
) -> None:
    new = await begin(sessions, olga)
    await installation.control.execute(
        "update admin_accounts set scopes = '{queue:read,of-a-later-version}' where id = %(id)s",
        id=olga.id,
    )
    assert (await found(sessions, new)).principal.scopes == {Scope.QUEUE_READ}


async def test_with_a_temporary_password_nothing_is_possible_but_to_change_it(
    sessions: Sessions, accounts: Accounts
) -> None:
    first = await accounts.ensure_first("admin@ghostcrm.internal")
    assert first is not None
    assert first.temporary_password is not None
    temporary = first.temporary_password.get_secret_value()
    principal = await accounts.authenticate(first.email, temporary, address=HERE)
    session = await found(sessions, await begin(sessions, principal))
    assert session.must_change_password
    assert not any(session.principal.may(scope) for scope in Scope)
    changed = await accounts.change_own_password(
        session.principal, current=temporary, new="a password of my own", address=HERE
    )
    session = await found(sessions, await begin(sessions, changed))
    assert not session.must_change_password
    assert session.principal.may(Scope.ACCESS_MANAGE)


async def test_a_session_and_its_end_can_come_at_the_same_moment(
    sessions: Sessions, accounts: Accounts, olga: Principal
) -> None:
    """However they meet, no session of an account that was disabled goes on."""
    begun, _ = await asyncio.gather(
        asyncio.gather(*(begin(sessions, olga) for _ in range(5)), return_exceptions=True),
        accounts.disable(olga.id, by="a test"),
    )
    for new in begun:
        assert isinstance(new, NotAuthenticated) or await is_over(sessions, new)  # type: ignore[arg-type]
    assert await sessions.list_of(olga.id) == []
