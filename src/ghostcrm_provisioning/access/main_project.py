"""People who are signed in to the main GhostCRM project: their JWTs, checked, and whose account that is.

A token says who somebody is, never what he may do: rights are those of the admin account that an admin
has linked with the user's id. An email in a token means nothing here, nor does any claim about roles.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import jwt
from pydantic import SecretStr

from ghostcrm_provisioning.access.accounts import Accounts
from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.published_keys import PublishedKeys
from ghostcrm_provisioning.errors import InvalidIdentifier, NotAuthenticated, NotPermitted
from ghostcrm_provisioning.registration_form import check_identifier

_LONGEST = 16 * 1024  # characters
_LEEWAY_SECONDS = 10  # between the main project's clock and ours
_AUDIENCE = "authenticated"  # of users; anon and service_role have no audience
_ROLE = "authenticated"


def is_jwt(token: str) -> bool:
    """Whether it is written as a JWT: a token of ours never has a dot in it."""
    return token.count(".") == 2


class MainProject:
    """The main project at ``url`` (``SUPABASE_URL``), with its older secret where it has one."""

    def __init__(
        self,
        accounts: Accounts,
        *,
        url: str,
        legacy_secret: SecretStr | None = None,
        keys: PublishedKeys | None = None,
    ) -> None:
        self._accounts = accounts
        self._issuer = f"{url.rstrip('/')}/auth/v1"
        self._legacy_secret = legacy_secret
        self._keys = keys or PublishedKeys(f"{self._issuer}/.well-known/jwks.json")

    async def verify(self, token: str) -> Principal:
        """Whose token this is, with the rights of his account here.

        Raises:
            NotAuthenticated: it is not a valid token of a user of the main project.
            NotPermitted: it is, and he has no enabled admin account here.
            MainProjectUnreachable: nobody can say whether it is.
        """
        user_id = _user_of(await self._claims(token))
        principal = await self._accounts.of_main_project_user(user_id)
        if principal is None:
            raise NotPermitted(
                "This user of the main project has no admin account here.",
                next_step=f"Have an admin link one: `ghostcrm admin link EMAIL {user_id}`.",
            )
        return principal

    async def _claims(self, token: str) -> dict[str, Any]:
        algorithm, key = await self._key_for(token)
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=self._issuer,
                audience=_AUDIENCE,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise NotAuthenticated("The main project's token has expired.") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
            raise NotAuthenticated from None

    async def _key_for(self, token: str) -> tuple[str, Any]:
        """The one key that may have signed it, and the one algorithm that this key is for."""
        if len(token) > _LONGEST or not token.isascii():
            raise NotAuthenticated
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError):
            raise NotAuthenticated from None
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm == "HS256" and self._legacy_secret is not None:
            return "HS256", self._legacy_secret.get_secret_value()
        if algorithm not in {"ES256", "RS256"} or not isinstance(key_id, str):
            raise NotAuthenticated
        key = await self._keys.find(key_id)
        if key is None or key.algorithm_name != algorithm:
            raise NotAuthenticated
        return algorithm, key


def _user_of(claims: dict[str, Any]) -> UUID:
    """The id of a person. Raises NotAuthenticated for a key of the project, and for nobody's user."""
    if claims.get("role") != _ROLE or claims.get("is_anonymous"):
        raise NotAuthenticated
    try:
        return check_identifier(claims["sub"])
    except InvalidIdentifier:
        raise NotAuthenticated from None
