"""JWTs of the main project: whose are accepted, which are not, and what happens when its keys cannot be read."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import SecretStr

from ghostcrm_provisioning.access import main_project, published_keys
from ghostcrm_provisioning.access.accounts import Accounts
from ghostcrm_provisioning.access.main_project import MainProject, is_jwt
from ghostcrm_provisioning.access.published_keys import PublishedKeys
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.errors import (
    MainProjectUnreachable,
    NotAuthenticated,
    NotPermitted,
)
from ghostcrm_provisioning.serving import make_application
from ghostcrm_provisioning.wiring import Installation
from tests.access.jwks_server import JwksServer, as_jwk, claims, make_key, serving, signed
from tests.conftest import OpenInstallation

USER = UUID("7b0f6c1e-3c55-4a4e-9f0a-111111111111")
SECRET = "the older secret of the main project"
KEY, ANOTHER, RSA_KEY = make_key(), make_key(), make_key("RS256")


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine may be busy with other tests."""
    monkeypatch.setattr(published_keys, "_TIMEOUT_SECONDS", 30.0)


class Clock:
    """The time that the keys go by."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def published() -> AsyncIterator[JwksServer]:
    """One that publishes KEY as "one" and RSA_KEY as "two"."""
    jwks = JwksServer()
    jwks.published = [as_jwk(KEY, "one"), as_jwk(RSA_KEY, "two")]
    async with serving(jwks):
        yield jwks


@pytest.fixture
async def project(accounts: Accounts, published: JwksServer, clock: Clock) -> MainProject:
    """In which USER is linked with an account that may read clients."""
    await accounts.create(
        email="somebody@example.com",
        scopes=frozenset({Scope.CLIENTS_READ}),
        by="a test",
        password="correct horse battery",
        main_project_user_id=USER,
    )
    keys = PublishedKeys(f"{published.url}/auth/v1/.well-known/jwks.json", clock=clock)
    return MainProject(accounts, url=published.url, legacy_secret=SecretStr(SECRET), keys=keys)


# --- who is let in --------------------------------------------------------------------------------


async def test_a_user_who_is_linked_has_the_rights_of_his_account(
    project: MainProject, published: JwksServer
) -> None:
    payload = claims(published, USER)
    for token in (
        signed(payload, KEY, "one"),
        signed(payload, RSA_KEY, "two", "RS256"),
        signed(payload, SECRET, None, "HS256"),
        signed({**payload, "aud": ["other", "authenticated"]}, KEY, "one"),
    ):
        assert is_jwt(token)
        principal = await project.verify(token)
        assert principal.actor == "admin:somebody@example.com"
        assert principal.scopes == {Scope.CLIENTS_READ}
    assert published.asked == 1


async def test_what_a_token_says_of_rights_and_emails_means_nothing(
    project: MainProject, accounts: Accounts, published: JwksServer
) -> None:
    await accounts.create(
        email="root@example.com",
        scopes=frozenset({Scope.ADMIN}),
        by="a test",
        password="x1y2z3a4b5c6d7",
    )
    more = {
        "email": "root@example.com",
        "app_metadata": {"role": "admin", "scopes": ["admin"]},
        "user_metadata": {"role": "admin"},
        "scope": "admin",
        "scopes": ["admin"],
        "permissions": ["admin"],
        "email_verified": True,
    }
    principal = await project.verify(signed(claims(published, USER, **more), KEY, "one"))
    assert principal.scopes == {Scope.CLIENTS_READ}
    with pytest.raises(NotPermitted):
        await project.verify(signed(claims(published, uuid4(), **more), KEY, "one"))


async def test_rights_end_with_the_account_and_not_with_the_token(
    project: MainProject, accounts: Accounts, published: JwksServer
) -> None:
    token = signed(claims(published, USER), KEY, "one")
    account = await accounts.find_by_email("somebody@example.com")
    await accounts.set_scopes(account.id, frozenset({Scope.QUEUE_READ}), by="a test")
    assert (await project.verify(token)).scopes == {Scope.QUEUE_READ}
    await accounts.disable(account.id, by="a test")
    with pytest.raises(NotPermitted):
        await project.verify(token)


# --- who is not -----------------------------------------------------------------------------------


def unsigned(payload: dict[str, Any], **header: Any) -> str:
    parts = ({"typ": "JWT", **header}, payload)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts]
    return b".".join(encoded).decode() + "."


def public_pem(key: Any) -> bytes:
    return bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def hmac_signed(payload: dict[str, Any], secret: bytes, **header: Any) -> str:
    """With any secret: PyJWT itself refuses to sign with a public key."""
    algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    head = unsigned(payload, alg="HS256", **header)[:-1]
    signature = algorithm.sign(head.encode(), secret)
    return f"{head}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


async def test_a_token_that_does_not_hold_is_refused_in_the_same_words(
    project: MainProject, published: JwksServer
) -> None:
    good = claims(published, USER)
    now = int(time.time())

    def of(**other: Any) -> str:
        return signed(claims(published, USER, **other), KEY, "one")

    right = signed(good, KEY, "one")
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        of_weak = signed(good, weak, "weak", "RS256")
    refused = {
        "no algorithm": unsigned(good, alg="none"),
        "no algorithm, by another spelling": unsigned(good, alg="NoNe", kid="one"),
        "HS256 with the public key as its secret": hmac_signed(good, public_pem(KEY), kid="one"),
        "HS256 with the published key as its secret": hmac_signed(
            good, json.dumps(as_jwk(KEY, "one")).encode(), kid="one"
        ),
        "HS256 with an empty secret": hmac_signed(good, b""),
        "another's key": signed(good, ANOTHER, "one"),
        "another's key, by its own name": signed(good, ANOTHER, "three"),
        "another's key, brought along": jwt.encode(
            good, ANOTHER, "ES256", headers={"kid": "one", "jwk": as_jwk(ANOTHER, "one")}
        ),
        "another's key, to be fetched": jwt.encode(
            good, ANOTHER, "ES256", headers={"kid": "one", "jku": "http://127.0.0.1:1/"}
        ),
        "a key of another kind": signed(good, RSA_KEY, "one", "RS256"),
        "a weak key": of_weak,
        "no name of a key": signed(good, KEY, None),
        "an algorithm that nobody uses here": signed(good, RSA_KEY, "two", "RS512"),
        "no end": of(exp=None),
        "an end that is none": of(exp="tomorrow"),
        "not yet": of(nbf=now + 600),
        "made in the future": of(iat=now + 600),
        "no issuer": of(iss=None),
        "another issuer": of(iss="https://other.supabase.co/auth/v1"),
        "the issuer of keys": of(iss="supabase"),
        "no audience": of(aud=None),
        "another audience": of(aud="anon"),
        "no user": of(sub=None),
        "a user who is none": of(sub="admin"),
        "a user who is a number": of(sub=7),
        "the anonymous key": of(role="anon"),
        "the key of services": of(role="service_role"),
        "no role": of(role=None),
        "an anonymous user": of(is_anonymous=True),
        "the key of services, older": signed(
            {"role": "service_role", "iss": "supabase", "iat": now, "exp": now + 3600},
            SECRET,
            None,
            "HS256",
        ),
        "cut": right[:-4],
        "its contents changed": ".".join(
            (
                right.split(".")[0],
                unsigned(claims(published, uuid4()), alg="x").split(".")[1],
                right.split(".")[2],
            )
        ),
        "a header that must be understood": jwt.encode(
            good, KEY, "ES256", headers={"kid": "one", "crit": ["exp2"]}
        ),
        "dots": "..",
        "nothing to read": "a.b.c",
        "a header that is a list": "W10.e30.x",
        "too long": right + "A" * 20_000,
        "letters of elsewhere": "ä.ö.ü",
    }
    published.published.append(as_jwk(weak, "weak"))
    words = set()
    for what, token in refused.items():
        try:
            await project.verify(token)
        except NotAuthenticated as error:
            words.add(error.message)
        else:
            pytest.fail(what)
    assert len(words) == 1
    await project.verify(right)
    assert published.asked <= 2


async def test_one_that_has_expired_is_told_so(
    project: MainProject, published: JwksServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = int(time.time())
    expired = signed(claims(published, USER, exp=now - 60), KEY, "one")
    with pytest.raises(NotAuthenticated, match="expired"):
        await project.verify(expired)
    # Clocks differ. With more leeway than there is, so that it does not run out under a slow machine.
    monkeypatch.setattr(main_project, "_LEEWAY_SECONDS", 600)
    await project.verify(signed(claims(published, USER, exp=now - 60), KEY, "one"))


async def test_without_the_older_secret_nothing_is_accepted_that_it_signed(
    accounts: Accounts, published: JwksServer, project: MainProject
) -> None:
    without = MainProject(accounts, url=published.url)
    for secret in (SECRET, ""):
        with pytest.raises(NotAuthenticated):
            await without.verify(hmac_signed(claims(published, USER), secret.encode()))


# --- the published keys ---------------------------------------------------------------------------


async def test_a_new_key_is_fetched_when_it_is_first_used(
    project: MainProject, published: JwksServer, clock: Clock
) -> None:
    await project.verify(signed(claims(published, USER), KEY, "one"))
    published.published = [as_jwk(ANOTHER, "three")]
    clock.now += 61
    await project.verify(signed(claims(published, USER), ANOTHER, "three"))
    assert published.asked == 2
    with pytest.raises(NotAuthenticated):  # the old key was taken away
        await project.verify(signed(claims(published, USER), KEY, "one"))


async def test_a_key_that_was_taken_away_is_forgotten_within_ten_minutes(
    project: MainProject, published: JwksServer, clock: Clock
) -> None:
    token = signed(claims(published, USER), KEY, "one")
    await project.verify(token)
    published.published = [as_jwk(ANOTHER, "three")]
    clock.now += 599
    await project.verify(token)
    clock.now += 2
    with pytest.raises(NotAuthenticated):
        await project.verify(token)


async def test_a_flood_of_unknown_keys_fetches_once_a_minute(
    project: MainProject, published: JwksServer, clock: Clock
) -> None:
    good = signed(claims(published, USER), KEY, "one")
    flood = [signed(claims(published, USER), ANOTHER, f"made up {n}") for n in range(200)]
    for _ in range(3):
        outcomes = await asyncio.gather(
            *(project.verify(token) for token in [*flood, good]), return_exceptions=True
        )
        assert all(isinstance(outcome, NotAuthenticated) for outcome in outcomes[:-1])
        assert not isinstance(outcomes[-1], BaseException)
        clock.now += 30
    assert published.asked == 2


async def test_many_at_once_wait_for_one_answer(
    project: MainProject, published: JwksServer
) -> None:
    token = signed(claims(published, USER), KEY, "one")
    await asyncio.gather(*(project.verify(token) for _ in range(50)))
    assert published.asked == 1


@pytest.mark.parametrize(
    "trouble", ["refused", "redirect", "error", "no json", "no keys", "large", "packed", "hangs"]
)
async def test_keys_that_cannot_be_read_make_nobody_a_stranger(
    project: MainProject,
    published: JwksServer,
    clock: Clock,
    trouble: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if trouble == "hangs":
        monkeypatch.setattr(published_keys, "_TIMEOUT_SECONDS", 0.3)
    token = signed(claims(published, USER), KEY, "one")
    keys = project._keys
    match trouble:
        case "refused":
            keys._url = "http://127.0.0.1:9/auth/v1/.well-known/jwks.json"
        case "redirect":
            published.status, published.headers = 302, [(b"location", published.url.encode())]
        case "error":
            published.status = 500
        case "no json":
            published.body = b"<html>"
        case "no keys":
            published.body = b"[1]"
        case "large":
            published.body = b'{"keys":[]}' + b" " * 300_000
        case "packed":
            published.headers = [(b"content-encoding", b"gzip")]
            published.body = b"\x1f\x8b" + b"\0" * 100
        case _:
            published.hangs = True
    for _ in range(20):
        with pytest.raises(MainProjectUnreachable) as unreachable:
            await project.verify(token)
        assert unreachable.value.http_status == 503
        assert unreachable.value.retryable
    assert published.asked <= 1
    # Back again: known again within seconds.
    published.status, published.headers, published.body, published.hangs = 200, [], None, False
    keys._url = f"{published.url}/auth/v1/.well-known/jwks.json"
    clock.now += 5
    monkeypatch.setattr(published_keys, "_TIMEOUT_SECONDS", 30.0)
    await project.verify(token)


async def test_known_keys_serve_on_for_an_hour_while_the_main_project_is_away(
    project: MainProject, published: JwksServer, clock: Clock
) -> None:
    token = signed(claims(published, USER), KEY, "one")
    await project.verify(token)
    published.status = 503
    clock.now += 700
    for _ in range(5):
        await project.verify(token)
    assert published.asked == 2  # once a minute it is tried again
    with pytest.raises(MainProjectUnreachable):  # may be a new key: nobody can say
        await project.verify(signed(claims(published, USER), ANOTHER, "three"))
    clock.now += 3000
    with pytest.raises(MainProjectUnreachable):
        await project.verify(token)


async def test_what_is_no_key_for_signatures_is_passed_over(
    project: MainProject, published: JwksServer
) -> None:
    good = as_jwk(KEY, "one")
    published.published = [
        7,
        None,
        {},
        {"kid": ["x"], "kty": ["EC"]},
        {"kid": "a", "kty": "EC", "crv": "P-256", "x": "!", "y": 7},
        {"kid": "b", "kty": "RSA", "n": "AQAB"},
        {"kid": "oct", "kty": "oct", "k": "c2VjcmV0", "alg": "HS256"},
        {**as_jwk(ANOTHER, "enc"), "use": "enc"},
        {**as_jwk(ANOTHER, "other"), "alg": "RS256"},
        good,
    ]
    for key_id in ("enc", "other"):
        with pytest.raises(NotAuthenticated):
            await project.verify(signed(claims(published, USER), ANOTHER, key_id))
    with pytest.raises(NotAuthenticated):
        await project.verify(hmac_signed(claims(published, USER), b"secret", kid="oct"))
    await project.verify(signed(claims(published, USER), KEY, "one"))


# --- over HTTP ------------------------------------------------------------------------------------


async def test_the_api_tells_a_jwt_from_a_token_of_ours(
    opened: OpenInstallation, published: JwksServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPABASE_URL", published.url)
    installation: Installation = await opened()
    application = make_application(installation)
    accounts = application.state.site.accounts
    for email, scope, user in (
        ("reader@example.com", Scope.CLIENTS_READ, USER),
        ("other@example.com", Scope.QUEUE_READ, uuid4()),
    ):
        await accounts.create(
            email=email,
            scopes=frozenset({scope}),
            by="a test",
            password="correct horse battery",
            main_project_user_id=user,
        )
        if scope is Scope.QUEUE_READ:
            other = signed(claims(published, user), KEY, "one")
    path = f"/api/admin/clients/{uuid4()}"
    transport = httpx.ASGITransport(app=application)
    async with httpx.AsyncClient(transport=transport, base_url="http://ghostcrm.test") as caller:

        async def status(token: str) -> int:
            answer = await caller.get(path, headers={"Authorization": f"Bearer {token}"})
            return answer.status_code

        good = signed(claims(published, USER), KEY, "one")
        assert await status(good) == 404  # let in; there is no such client
        assert await status(other) == 403  # may something else
        assert await status(signed(claims(published, uuid4()), KEY, "one")) == 403  # nobody here
        assert await status(signed(claims(published, USER), ANOTHER, "one")) == 401
        assert await status("gcp_abcdefgh_" + "x" * 43) == 401
        published.status = 500
        application.state.site.main_project._keys._fetched_at = None
        application.state.site.main_project._keys._tried_at = None
        assert await status(good) == 503
