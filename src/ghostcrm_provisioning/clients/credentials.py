"""The credentials of one client database: passwords of its logins, JWT secret, API keys.

They are made at the registration, so that every attempt, and every zombie of one, uses the same
ones; they rest sealed in the control database.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass, field, replace
from typing import Any

# Supabase's own legacy keys run for ten years; rotation replaces them earlier.
_KEY_LIFETIME_SECONDS = 10 * 365 * 24 * 3600
_PASSWORD_BYTES = 24
# Not a login's: the owner's while a database is closed, where a password is what closes it.
CLOSED = "closed"


@dataclass(frozen=True)
class Credentials:
    """All secrets of a client database. Never printed, logged or put into a job.

    Attributes:
        services: where the services are that came with the database, and what opens them, by the names
            of a provider's ServiceKeys.
        given: the database that whoever registered has named, by the names of a provider's Given.
    """

    passwords: dict[str, str] = field(repr=False)
    jwt_secret: str = field(repr=False)
    anon_key: str = field(repr=False)
    service_role_key: str = field(repr=False)
    services: dict[str, Any] | None = field(default=None, repr=False)
    given: dict[str, Any] | None = field(default=None, repr=False)

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
            }
        )

    @classmethod
    def from_text(cls, text: str) -> Credentials:
        fields = json.loads(text)
        return cls(
            passwords=fields["passwords"],
            jwt_secret=fields["jwtSecret"],
            anon_key=fields["anonKey"],
            service_role_key=fields["serviceRoleKey"],
            services=fields.get("services"),
            given=fields.get("given"),
        )


def with_password_for(credentials: Credentials, login: str) -> Credentials:
    """The same, with a password for one more login: of a client that was registered before there was
    a login of that name."""
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    return replace(credentials, passwords=credentials.passwords | {login: password})


def make_credentials(
    logins: tuple[str, ...], *, given: dict[str, Any] | None = None
) -> Credentials:
    """New random credentials for the logins that are named."""
    jwt_secret = secrets.token_urlsafe(48)  # ≥ 32 characters, as Supabase requires
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
