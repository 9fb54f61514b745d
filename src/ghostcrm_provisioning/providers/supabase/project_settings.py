"""How a client's project at Supabase is set: Auth, the schemas that its REST API shows, networks.

Observed and applied; applying looks first, changes what differs, and looks again. What is not set here is
left as it is. Restricting networks comes last, because it may shut us out: our own address must be among
those allowed. The Management API is not restricted, so a mistake can be undone by setting other networks;
whether our connections still work is for the caller to see.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from ghostcrm_provisioning.errors import SupabaseRejected
from ghostcrm_provisioning.mail_server import MailServer
from ghostcrm_provisioning.observation import Observation
from ghostcrm_provisioning.providers.supabase.documents import (
    NetworkRestrictions,
    PostgrestSettings,
)
from ghostcrm_provisioning.providers.supabase.management_api import ManagementApi
from ghostcrm_provisioning.settings import Settings

_SHOWN_SCHEMA = "public"
# The one schema that a project shows while it is closed: one that nobody may use. Whoever has closed it opens
# it again; a step that goes on meanwhile, or a zombie of one, must not.
CLOSED_SCHEMA = "ghostcrm_provisioning"
# Through the REST API nobody may so much as ask for what is in these.
_HIDDEN_SCHEMAS = frozenset(
    {
        "private", CLOSED_SCHEMA, "supabase_migrations",
        "auth", "vault", "pg_catalog", "information_schema",
    }
)  # fmt: skip
_IN_FORCE = "applied"
_HASH_LENGTH = 64

Network = IPv4Network | IPv6Network


@dataclass(frozen=True)
class WantedSettings:
    """How a project is to be set; None and empty leave what is there.

    Attributes:
        redirect_urls: in Auth's form, with * and **.
        password_min_length: in characters.
    """

    site_url: str | None = None
    redirect_urls: tuple[str, ...] = ()
    allow_signups: bool = False
    password_min_length: int = 8
    mail_server: MailServer | None = None
    allowed_networks: tuple[Network, ...] = ()


def wanted_settings(settings: Settings) -> WantedSettings:
    """What the settings of this process say of every project."""
    return WantedSettings(
        site_url=settings.supabase_site_url,
        redirect_urls=tuple((settings.supabase_redirect_urls or "").split()),
        allow_signups=settings.supabase_allow_signups,
        password_min_length=settings.supabase_password_min_length,
        mail_server=settings.supabase_mail_server,
        allowed_networks=tuple(
            ip_network(each) for each in (settings.supabase_allowed_networks or "").split()
        ),
    )


@dataclass(frozen=True)
class _Seen:
    """A project's settings as they are."""

    auth: Mapping[str, Any] = field(repr=False)
    postgrest: PostgrestSettings
    networks: NetworkRestrictions | None


class ProjectSettings:
    """Has projects set as they are wanted."""

    def __init__(self, api: ManagementApi, wanted: WantedSettings) -> None:
        self._api = api
        self._wanted = wanted

    async def observe(self, ref: str) -> Observation:
        """Whether the project is set as wanted. Changes nothing.

        Raises:
            ProjectGone, SupabaseAccessDenied, SupabaseUnavailable, ToldToWait: it cannot be seen.
        """
        return self._observation(ref, await self._look(ref))

    async def apply(self, ref: str) -> Observation:
        """Set what differs; how it is then.

        Raises:
            SupabaseRejected: Supabase does not take a value, or restricts no networks for this plan.
            ProjectGone, SupabaseAccessDenied, SupabaseUnavailable, ToldToWait: as ever.
        """
        seen = await self._look(ref)
        if auth := self._auth_differences(ref, seen.auth):
            await self._set_auth(ref, auth)
        schemas = _schemas_of(seen.postgrest)
        if (right := _right_schemas(schemas)) != schemas:
            await self._api.set_postgrest(ref, db_schema=",".join(right))
        if self._networks_differ(seen.networks):
            await self._restrict_networks(ref, seen.networks)
        return self._observation(ref, await self._look(ref))

    async def _look(self, ref: str) -> _Seen:
        return _Seen(
            auth=await self._api.auth_settings(ref),
            postgrest=await self._api.postgrest(ref),
            # Not every token may see them: so only where they matter.
            networks=(
                await self._api.network_restrictions(ref) if self._wanted.allowed_networks else None
            ),
        )

    def _observation(self, ref: str, seen: _Seen) -> Observation:
        wrong = [
            f"{name} is {_shown(name, seen.auth.get(name))}, not {_shown(name, value)}"
            for name, value in self._auth_differences(ref, seen.auth).items()
        ]
        schemas = _schemas_of(seen.postgrest)
        if _right_schemas(schemas) != schemas:
            wrong.append(f"its REST API shows {', '.join(schemas) or 'no schema'}")
        if self._networks_differ(seen.networks):
            wrong.append(_words_of(seen.networks))
        if wrong:
            return Observation(False, "; ".join(wrong))
        right = [
            "anybody may sign up" if self._wanted.allow_signups else "nobody signs up by himself",
            f"its REST API shows {', '.join(schemas)}",
        ]
        if seen.networks is not None:
            right.append(_words_of(seen.networks))
        return Observation(True, "; ".join(right))

    # --- Auth -------------------------------------------------------------------------------------

    def _wanted_auth(self) -> dict[str, Any]:
        """By Supabase's names."""
        wanted: dict[str, Any] = {
            "disable_signup": not self._wanted.allow_signups,
            "password_min_length": self._wanted.password_min_length,
        }
        if not self._wanted.allow_signups:
            # Who signs in without being anybody is let in as any user is.
            wanted["external_anonymous_users_enabled"] = False
        if self._wanted.site_url is not None:
            wanted["site_url"] = self._wanted.site_url
        if self._wanted.redirect_urls:
            wanted["uri_allow_list"] = ",".join(self._wanted.redirect_urls)
        if (server := self._wanted.mail_server) is not None:
            wanted |= {
                "smtp_host": server.host,
                "smtp_port": str(server.port),
                "smtp_user": server.user,
                "smtp_pass": server.password,
                "smtp_admin_email": server.sender,
                "smtp_sender_name": server.sender_name or server.sender,
            }
        return wanted

    def _auth_differences(self, ref: str, seen: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: value
            for name, value in self._wanted_auth().items()
            if not _is_same(ref, name, value, seen.get(name))
        }

    async def _set_auth(self, ref: str, differences: Mapping[str, Any]) -> None:
        wanted = self._wanted_auth()
        changes = dict(differences)
        if any(name.startswith("smtp_") for name in changes):
            # A server, its user and its password belong together.
            changes |= {name: value for name, value in wanted.items() if name.startswith("smtp_")}
        password = wanted.get("smtp_pass")
        await self._api.set_auth_settings(
            ref, changes, secrets=() if password is None else (password,)
        )

    # --- networks ---------------------------------------------------------------------------------

    def _networks_differ(self, seen: NetworkRestrictions | None) -> bool:
        if seen is None:
            return False
        return not seen.entitled or _networks(seen.allowed) != set(self._wanted.allowed_networks)

    async def _restrict_networks(self, ref: str, seen: NetworkRestrictions | None) -> None:
        if seen is not None and not seen.entitled:
            raise SupabaseRejected(
                f"The project {ref} may not restrict networks: its organization is not entitled to.",
                next_step="Choose a plan at Supabase that has network restrictions, or unset "
                "GHOSTCRM_SUPABASE_ALLOWED_NETWORKS, then retry the client.",
            )
        allowed = self._wanted.allowed_networks
        await self._api.restrict_networks(
            ref,
            ipv4=[str(each) for each in allowed if each.version == 4],
            ipv6=[str(each) for each in allowed if each.version == 6],
        )


# --- comparing ------------------------------------------------------------------------------------


def _is_same(ref: str, name: str, wanted: Any, seen: Any) -> bool:
    if name == "smtp_pass":
        return _is_same_secret(ref, str(wanted), seen)
    if name == "uri_allow_list":
        return _parts(str(wanted)) == _parts(str(seen or ""))
    if name == "site_url":
        return str(wanted).rstrip("/") == str(seen or "").rstrip("/")
    return bool(wanted == seen)


def _is_same_secret(ref: str, wanted: str, seen: Any) -> bool:
    """Supabase answers a secret's hash, keyed with the project's reference, as its own CLI compares it.
    Where it is answered in another form, whether it is the same cannot be seen: then that there is one
    is enough."""
    if not isinstance(seen, str) or not seen:
        return False
    if len(seen) != _HASH_LENGTH or not all(sign in "0123456789abcdef" for sign in seen):
        return True
    return hmac.compare_digest(
        hmac.digest(ref.encode(), wanted.encode(), "sha256").hex().encode(), seen.encode()
    )


def _parts(text: str) -> set[str]:
    return {part.strip() for part in text.split(",") if part.strip()}


def _shown(name: str, value: Any) -> str:
    if name == "smtp_pass":
        return "the one that is set" if value else "empty"
    return "empty" if value in {None, ""} else str(value)


def _schemas_of(settings: PostgrestSettings) -> list[str]:
    return [part.strip() for part in (settings.schemas or "").split(",") if part.strip()]


def _right_schemas(schemas: list[str]) -> list[str]:
    """What may be shown of them, in their order; the first one is what is asked when none is named."""
    if schemas == [CLOSED_SCHEMA]:
        return schemas
    kept = [each for each in schemas if each not in _HIDDEN_SCHEMAS]
    return kept if _SHOWN_SCHEMA in kept else [_SHOWN_SCHEMA, *kept]


def _networks(texts: Iterable[str]) -> set[Network | str]:
    """What cannot be read is different from everything; none at all, as before any were set, is all."""
    found: set[Network | str] = set()
    texts = list(texts) or ["0.0.0.0/0", "::/0"]
    for text in texts:
        try:
            found.add(ip_network(text, strict=False))
        except ValueError:
            found.add(text)
    return found


def _words_of(seen: NetworkRestrictions | None) -> str:
    if seen is None:
        return "networks are not asked for"
    if not seen.entitled:
        return "its organization is not entitled to restrict networks"
    said = f"its database is to be reached from {', '.join(seen.allowed) or 'anywhere'}"
    return said if seen.status == _IN_FORCE else f"{said} (noted at Supabase, not in force yet)"
