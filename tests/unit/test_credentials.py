"""The credentials of a client database: random, complete, never shown."""

from __future__ import annotations

import time
from dataclasses import replace

import jwt
import pytest

from ghostcrm_provisioning.client_database.roles import LOGIN_ROLES
from ghostcrm_provisioning.clients.credentials import (
    CLOSED,
    Credentials,
    make_credentials,
    with_new,
)

LOGINS = tuple(role.key for role in LOGIN_ROLES)


@pytest.fixture
def credentials() -> Credentials:
    return make_credentials(LOGINS)


@pytest.mark.parametrize("role", ["anon", "service_role"])
def test_a_key_is_a_token_that_postgrest_accepts_for_its_role(
    credentials: Credentials, role: str
) -> None:
    key = credentials.anon_key if role == "anon" else credentials.service_role_key
    assert jwt.get_unverified_header(key) == {"alg": "HS256", "typ": "JWT"}
    claims = jwt.decode(key, credentials.jwt_secret, algorithms=["HS256"])
    assert claims["role"] == role
    assert claims["iss"] == "supabase"
    assert abs(claims["iat"] - time.time()) < 60
    assert claims["exp"] - claims["iat"] == 10 * 365 * 24 * 3600


def test_a_key_does_not_verify_with_another_clients_secret(credentials: Credentials) -> None:
    other = make_credentials(LOGINS)
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(credentials.anon_key, other.jwt_secret, algorithms=["HS256"])


def test_the_secret_is_long_enough_for_supabase(credentials: Credentials) -> None:
    assert len(credentials.jwt_secret) >= 32
    assert credentials.jwt_secret.isascii()


def test_each_login_has_a_password_of_its_own(credentials: Credentials) -> None:
    assert tuple(credentials.passwords) == (*LOGINS, CLOSED)
    assert len(set(credentials.passwords.values())) == len(LOGINS) + 1
    for password in credentials.passwords.values():
        assert len(password) >= 32
        # Neither SASLprep nor a URL has anything to change in it.
        assert set(password) <= set(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        )


def test_no_two_clients_share_a_secret() -> None:
    made = [make_credentials(LOGINS) for _ in range(50)]
    assert len({each.jwt_secret for each in made}) == 50
    assert len({password for each in made for password in each.passwords.values()}) == 50 * (
        len(LOGINS) + 1
    )


def test_credentials_come_back_from_their_text(credentials: Credentials) -> None:
    assert Credentials.from_text(credentials.as_text()) == credentials


def test_credentials_are_not_shown(credentials: Credentials) -> None:
    for shown in (repr(credentials), str(credentials), f"{[credentials]}"):
        assert credentials.jwt_secret not in shown
        assert credentials.anon_key not in shown
        assert credentials.service_role_key not in shown
        assert not any(password in shown for password in credentials.passwords.values())


def test_new_ones_rest_beside_the_current_ones_until_they_are_exchanged() -> None:
    old = make_credentials(LOGINS)
    both = with_new(old, number=1, passwords=True, keys=True)
    assert (both.passwords, both.jwt_secret) == (old.passwords, old.jwt_secret)
    assert both.pending is not None
    assert set(both.pending.passwords) == set(old.passwords) - {CLOSED}
    assert Credentials.from_text(both.as_text()) == both
    assert with_new(both, number=1, passwords=True, keys=True) == both, "the same ones"
    assert with_new(old, number=1, passwords=True, keys=True) != both
    assert both.password_to_set("app") == both.pending.passwords["app"]
    new = both.exchanged()
    assert new.pending is None
    assert new.passwords == old.passwords | both.pending.passwords
    assert new.anon_key != old.anon_key
    assert jwt.decode(new.anon_key, new.jwt_secret, algorithms=["HS256"])["role"] == "anon"
    for secret in (*both.pending.passwords.values(), both.pending.jwt_secret or ""):
        assert secret not in repr(both)


def test_only_what_is_wanted_is_new() -> None:
    old = make_credentials(LOGINS)
    passwords = with_new(old, number=1, passwords=True, keys=False).exchanged()
    assert passwords.passwords["app"] != old.passwords["app"]
    assert (passwords.jwt_secret, passwords.anon_key) == (old.jwt_secret, old.anon_key)
    keys = with_new(old, number=1, passwords=False, keys=True).exchanged()
    assert keys.passwords == old.passwords
    assert keys.service_role_key != old.service_role_key
    # Keys of a project are made there.
    project = replace(old, services={"url": "https://x", "secret": "old"})
    beside = with_new(project, number=3, passwords=False, keys=True)
    assert beside.pending is not None
    assert (beside.pending.jwt_secret, beside.pending.services) == (None, None)
    assert beside.exchanged().services == project.services
