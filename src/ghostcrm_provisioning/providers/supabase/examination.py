"""What ``ghostcrm doctor`` looks at before the first client: token, organization, region, room for projects.

Only reads. What is not set is no failure: a token alone may be there for other programs. How many projects a
plan allows is not told by the API: what is known is said.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ghostcrm_provisioning.control_database.database import ControlDatabase
from ghostcrm_provisioning.errors import InvalidSetting
from ghostcrm_provisioning.providers.supabase.exchange import Exchange
from ghostcrm_provisioning.providers.supabase.management_api import REGION_GROUPS, ManagementApi
from ghostcrm_provisioning.providers.supabase.rate_budget import RateBudget
from ghostcrm_provisioning.settings import Settings

_FREE_PROJECTS = 2  # running at the same time, for each owner; Supabase's price list


@dataclass(frozen=True)
class Examined:
    """One thing that was looked at. ``status`` is ok, warning or failed."""

    status: str
    seen: str
    next_step: str | None = None


@asynccontextmanager
async def open_management_api(
    settings: Settings, control: ControlDatabase
) -> AsyncIterator[ManagementApi]:
    """The Management API with the settings of this process.

    Raises:
        InvalidSetting: there is no access token.
    """
    if settings.supabase_access_token is None:
        raise InvalidSetting("SUPABASE_ACCESS_TOKEN is not set.")
    token = settings.supabase_access_token.get_secret_value()
    budget = RateBudget(control, api_url=settings.supabase_api_url, access_token=token)
    async with Exchange(
        api_url=settings.supabase_api_url,
        access_token=token,
        budget=budget,
        request_seconds=settings.supabase_request_seconds,
    ) as exchange:
        yield ManagementApi(exchange)


async def examine_token(api: ManagementApi, settings: Settings) -> Examined:
    """Raises GhostcrmError: it is not taken, or Supabase does not answer."""
    organizations = await api.organizations()
    names = ", ".join(each.slug for each in organizations) or "none"
    seen = f"taken by {settings.supabase_api_url}; organizations: {names}"
    if not organizations:
        return Examined(
            "failed",
            seen,
            "Make an organization in Supabase's dashboard, or have the token's owner invited to one.",
        )
    return Examined("ok", seen)


async def examine_organization(api: ManagementApi, settings: Settings) -> Examined:
    """Raises GhostcrmError: there is none of that slug, or the token may not see it."""
    slug = settings.supabase_organization_slug
    if slug is None:
        return Examined(
            "warning",
            "not set",
            "Set SUPABASE_ORGANIZATION_SLUG to one that the token's owner is in.",
        )
    organization = await api.organization(slug)
    plan = f", plan {organization.plan}" if organization.plan else ""
    return Examined("ok", f"{slug} ({organization.name}{plan})")


async def examine_region(api: ManagementApi, settings: Settings) -> Examined:
    """Raises GhostcrmError: Supabase does not say which regions there are."""
    slug, region = settings.supabase_organization_slug, settings.supabase_region
    pairs = (settings.supabase_regions or "").split()
    named = {f"GHOSTCRM_SUPABASE_REGIONS ({plan})": each for plan, _, each in map(_split, pairs)}
    if region is not None:
        named["GHOSTCRM_SUPABASE_REGION"] = region
    if slug is not None and named:
        known = await api.regions(slug)
        for variable, each in named.items():
            if each not in known:
                return Examined(
                    "failed",
                    f"{each} is none of Supabase's",
                    f"Set {variable} to one of {', '.join(sorted(known))}.",
                )
    seen = ", ".join([*([] if region is None else [region]), *pairs])
    if region is None:
        recommended = None if slug is None else await api.recommended_region(slug)
        rest = f"{seen}; for other plans not set" if seen else "not set"
        return Examined(
            "warning",
            f"{rest}; Supabase recommends {recommended} from here, and gets to choose"
            if recommended
            else f"{rest}; Supabase gets to choose",
            "If where the data lies matters to you, set GHOSTCRM_SUPABASE_REGION: eu-central-1, for example, "
            f"or {', '.join(sorted(REGION_GROUPS))}.",
        )
    if slug is None:
        return Examined(
            "warning",
            f"{seen}; unknown without an organization whether Supabase has that",
            "Set SUPABASE_ORGANIZATION_SLUG.",
        )
    return Examined("ok", seen)


def _split(pair: str) -> tuple[str, str, str]:
    return pair.partition("=")


async def examine_room(api: ManagementApi, settings: Settings) -> Examined:
    """Raises GhostcrmError: Supabase does not say how many projects there are."""
    slug = settings.supabase_organization_slug
    if slug is None:
        return Examined(
            "warning", "unknown without an organization", "Set SUPABASE_ORGANIZATION_SLUG."
        )
    organization = await api.organization(slug)
    count = await api.count_projects(slug)
    seen = f"{'unknown how many' if count is None else count} projects"
    if organization.plan == "free":
        return Examined(
            "warning",
            f"{seen}; the plan free allows {_FREE_PROJECTS} that run at the same time for each owner, and "
            "pauses what nobody has used for a week",
            "For more clients than that, choose a paid plan in Supabase's dashboard; each project costs.",
        )
    return Examined(
        "ok", f"{seen}; how many the plan {organization.plan or '(unknown)'} allows is not said"
    )
