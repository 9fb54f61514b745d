"""The credentials of one client database: passwords of its logins, JWT secret, API keys.

They are made at the registration, so that every attempt, and every zombie of one, uses the same
ones; they rest sealed in the control database.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import asdict, dataclass, field, replace
from typing import Any

# Supabase's own legacy keys run for ten years; rotation replaces them earlier.
_KEY_LIFETIME_SECONDS = 10 * 365 * 24 * 3600
_PASSWORD_BYTES = 24
_JWT_SECRET_BYTES = 48  # ≥ 32 characters, as Supabase requires
# Not a login's: the owner's while a database is closed, where a password is what closes it.
CLOSED = "closed"


@dataclass(frozen=True)
class NewCredentials:
    """What is to replace some of a client's credentials; sealed beside them before anything is changed where
    they are used, so that whoever goes on uses the same ones.

    Attributes:
        number: of the exchange.
        passwords: by login; empty when they stay.
        keys: whether keys are exchanged. Then either the next three are there, or, where services came with the
            database, ``services``, as soon as its keys are made.
    """

    number: int
    passwords: dict[str, str] = field(default_factory=dict, repr=False)
    keys: bool = False
    jwt_secret: str | None = field(default=None, repr=False)
    anon_key: str | None = field(default=None, repr=False)
    service_role_key: str | None = field(default=None, repr=False)
    services: dict[str, Any] | None = field(default=None, repr=False)

    def as_fields(self) -> dict[str, Any]:
        """For sealing."""
        return asdict(self)


@dataclass(frozen=True)
class Credentials:
    """All secrets of a client database. Never printed, logged or put into a job.

    Attributes:
        services: where the services are that came with the database, and what opens them, by the names
            of a provider's ServiceKeys.
        given: the database that whoever registered has named, by the names of a provider's Given.
        pending: what is about to replace some of them.
    """

    passwords: dict[str, str] = field(repr=False)
    jwt_secret: str = field(repr=False)
    anon_key: str = field(repr=False)
    service_role_key: str = field(repr=False)
    services: dict[str, Any] | None = field(default=None, repr=False)
    given: dict[str, Any] | None = field(default=None, repr=False)
    pending: NewCredentials | None = field(default=None, repr=False)

    def password_to_set(self, login: str) -> str:
        """What a login is to have from now on: when it is about to be exchanged, the new one already."""
        if self.pending is not None and login in self.pending.passwords:
            return self.pending.passwords[login]
        return self.passwords[login]

    def exchanged(self) -> Credentials:
        """The same with what was pending in its place."""
        new = self.pending
        if new is None:
            return self
        return replace(
            self,
            passwords=self.passwords | new.passwords,
            jwt_secret=new.jwt_secret or self.jwt_secret,
            anon_key=new.anon_key or self.anon_key,
            service_role_key=new.service_role_key or self.service_role_key,
            services=new.services or self.services,
            pending=None,
        )

    def as_text(self) -> str:
        """For sealing."""
        return json.dumps(
            {
                "passwords": self.passwords,
                "jwtSecret": self.jwt_secret,
                "anonKey": self.anon_key,
                "serviceRoleKey": self.service_role_key,
                "services": self.services,
                "given": self.given,
                "pending": None if self.pending is None else self.pending.as_fields(),
            }
        )

    @classmethod
    def from_text(cls, text: str) -> Credentials:
        fields = json.loads(text)
        pending = fields.get("pending")
        return cls(
            passwords=fields["passwords"],
            jwt_secret=fields["jwtSecret"],
            anon_key=fields["anonKey"],
            service_role_key=fields["serviceRoleKey"],
            services=fields.get("services"),
            given=fields.get("given"),
            pending=None if pending is None else NewCredentials(**pending),
        )


def with_password_for(credentials: Credentials, login: str) -> Credentials:
    """The same, with a password for one more login: of a client that was registered before there was
    a login of that name."""
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    return replace(credentials, passwords=credentials.passwords | {login: password})


def with_new(credentials: Credentials, *, number: int, passwords: bool, keys: bool) -> Credentials:
    """The same with new ones beside it. What is pending already, of an exchange that has not come to its end,
    stays: some of it may be in use.

    Args:
        number: of the exchange; a project's keys carry it, so those of an earlier one are not used.
    """
    old = credentials.pending or NewCredentials(number)
    made = dict(old.passwords)
    if passwords:
        for login in credentials.passwords:
            if login != CLOSED and login not in made:
                made[login] = secrets.token_urlsafe(_PASSWORD_BYTES)
    new = replace(old, number=number, passwords=made, keys=old.keys or keys, services=None)
    if new.keys and credentials.services is None and new.jwt_secret is None:
        jwt_secret = secrets.token_urlsafe(_JWT_SECRET_BYTES)
        new = replace(
            new,
            jwt_secret=jwt_secret,
            anon_key=_mint("anon", jwt_secret),
            service_role_key=_mint("service_role", jwt_secret),
        )
    return replace(credentials, pending=new)


def make_credentials(
    logins: tuple[str, ...], *, given: dict[str, Any] | None = None
) -> Credentials:
    """New random credentials for the logins that are named."""
    jwt_secret = secrets.token_urlsafe(_JWT_SECRET_BYTES)
    return Credentials(
        passwords={login: secrets.token_urlsafe(_PASSWORD_BYTES) for login in (*logins, CLOSED)},
        jwt_secret=jwt_secret,
        anon_key=_mint("anon", jwt_secret),
        service_role_key=_mint("service_role", jwt_secret),
        given=given,
    )


def _mint(role: str, jwt_secret: str) -> str:
    """A legacy Supabase API key: an HS256 JWT that names a database role."""
    import jwt  # noqa: PLC0415 - slow to load, and only a registration needs it

    now = int(time.time())
    claims = {"role": role, "iss": "supabase", "iat": now, "exp": now + _KEY_LIFETIME_SECONDS}
    return jwt.encode(claims, jwt_secret, algorithm="HS256")
