"""Bearer tokens: who has one, who no longer has, and what nobody can give away."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.access.tokens import NewToken, Tokens
from ghostcrm_provisioning.errors import (
    Conflict,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    NotPermitted,
)
from ghostcrm_provisioning.wiring import Installation


@pytest.fixture
def tokens(installation: Installation) -> Tokens:
    return Tokens(installation.control)


async def make(tokens: Tokens, name: str = "ci", *scopes: Scope) -> NewToken:
    return await tokens.create(
        name=name, scopes=frozenset(scopes or (Scope.QUEUE_READ,)), created_by="a test"
    )


async def test_a_token_that_does_not_hold_is_refused_in_the_same_words(
    tokens: Tokens, installation: Installation
) -> None:
    good, revoked, expired = [await make(tokens, name) for name in ("good", "revoked", "expired")]
    await tokens.revoke(revoked.id, revoked_by="a test")
    await installation.control.execute(
        "update admin_tokens set expires_at = clock_timestamp() where name = 'expired'"
    )
    while good.token.get_secret_value().split("_")[1].isdigit():  # which has no capitals
        await tokens.revoke(good.id, revoked_by="a test")
        good = await make(tokens, "good")
    text = good.token.get_secret_value()
    _, prefix, secret = text.split("_", 2)
    another = (await make(tokens, "another")).token.get_secret_value()
    words = set()
    for token in (
        revoked.token.get_secret_value(),
        expired.token.get_secret_value(),
        f"gcp_{prefix}_{another.split('_', 2)[2]}",
        f"gcp_{prefix}_{secret[:-1]}",
        f"gcp_{prefix}_{secret[:-1]}{'a' if secret[-1] != 'a' else 'b'}",
        f"gcp_{prefix.upper()}_{secret}",
        f"gcp_{'a' * 8}_{secret}",
        text + " ",
        text.upper(),
        "gcp_",
        "",
        "\0",
        "ä",
        "x" * 100_000,
    ):
        with pytest.raises(NotAuthenticated) as refused:
            await tokens.authenticate(token)
        words.add(refused.value.message)
    assert len(words) == 1
    assert (await tokens.authenticate(text)).name == "good"


async def test_the_secret_of_a_token_is_nowhere_in_the_control_database(
    tokens: Tokens, installation: Installation
) -> None:
    new = await make(tokens)
    text = new.token.get_secret_value()
    await tokens.authenticate(text)
    secret = text.split("_", 2)[2]
    stored = [
        str(row)
        for statement in (
            "select admin_tokens::text as row from admin_tokens",
            "select audit_log::text as row from audit_log",
        )
        for row in await installation.control.fetch_all(statement)
    ]
    assert len(stored) >= 2
    assert secret not in "".join(stored)
    assert secret not in repr((new, await tokens.list()))


async def test_its_use_is_recorded_once_a_minute(
    tokens: Tokens, installation: Installation
) -> None:
    new = await make(tokens)
    for _ in range(3):
        await tokens.authenticate(new.token.get_secret_value())
    first = (await tokens.find("ci")).last_used_at
    await tokens.authenticate(new.token.get_secret_value())
    assert (await tokens.find("ci")).last_used_at == first is not None
    await installation.control.execute(
        "update admin_tokens set last_used_at = last_used_at - interval '61 seconds'"
    )
    await tokens.authenticate(new.token.get_secret_value())
    again = (await tokens.find("ci")).last_used_at
    assert again is not None
    assert again > first


async def test_nobody_makes_a_token_that_may_do_more_than_he(tokens: Tokens) -> None:
    manager = Principal(
        "token", uuid4(), "manager", frozenset({Scope.ACCESS_MANAGE, Scope.QUEUE_READ})
    )
    for scopes in ({Scope.ADMIN}, {Scope.QUEUE_READ, Scope.CLIENTS_CONNECT}):
        with pytest.raises(NotPermitted):
            await tokens.create(name="more", scopes=frozenset(scopes), created_by=manager)
    assert await tokens.list() == []
    await tokens.create(name="as much", scopes=frozenset({Scope.QUEUE_READ}), created_by=manager)
    (record,) = await tokens.list()
    assert record.created_by == "token:manager"
    # Taking a right away from somebody gives nobody anything.
    stronger = await make(tokens, "stronger", Scope.ADMIN)
    await tokens.revoke(stronger.id, revoked_by=manager)


async def test_a_name_belongs_to_one_token_until_it_is_revoked(tokens: Tokens) -> None:
    outcomes = await asyncio.gather(
        *(make(tokens, "CI" if n % 2 else "ci") for n in range(6)), return_exceptions=True
    )
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 5
    (made,) = [outcome for outcome in outcomes if isinstance(outcome, NewToken)]
    await tokens.revoke(made.id, revoked_by="a test")
    with pytest.raises(NotFound):
        await tokens.revoke(made.id, revoked_by="a test")
    await make(tokens)


async def test_a_token_is_found_by_id_prefix_or_name(tokens: Tokens) -> None:
    new = await make(tokens, "Ci")
    record = await tokens.find("ci")
    assert record.id == new.id
    assert await tokens.find(str(new.id).upper()) == await tokens.find(record.prefix) == record
    await make(tokens, record.prefix)  # its name is another one's prefix
    with pytest.raises(Conflict):
        await tokens.find(record.prefix)
    for nobody in ("", "c", "%", "\N{LATIN SMALL LETTER DOTLESS I}"):
        with pytest.raises(NotFound):
            await tokens.find(nobody)


async def test_what_cannot_be_a_token_is_refused(tokens: Tokens) -> None:
    for name in ("", " ", "x" * 101, "a\nb", "a\0b", "\ud800"):
        with pytest.raises(InvalidInput):
            await make(tokens, name)
    with pytest.raises(InvalidInput):
        await tokens.create(name="x", scopes=frozenset(), created_by="a test")
    with pytest.raises(InvalidInput):
        await tokens.create(
            name="x",
            scopes=frozenset({Scope.ADMIN}),
            created_by="a test",
            expires_at=datetime.now(UTC) - timedelta(seconds=1),
        )


async def test_a_right_of_a_later_version_is_none_here(
    tokens: Tokens, installation: Installation
) -> None:
    new = await make(tokens)
    await installation.control.execute("update admin_tokens set scopes = '{queue:read,moon:write}'")
    principal = await tokens.authenticate(new.token.get_secret_value())
    assert principal.scopes == {Scope.QUEUE_READ}
