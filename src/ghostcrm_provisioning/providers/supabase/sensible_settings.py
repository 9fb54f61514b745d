"""Whether what is set for projects at Supabase makes sense, for ``ghostcrm doctor``. Asks nobody.

What cannot be used at all is refused when settings are read; here is what can, and is hardly meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_network
from urllib.parse import urlsplit

from ghostcrm_provisioning.providers.supabase.examination import Examined
from ghostcrm_provisioning.settings import Settings

_ON_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})
# Of the official description, May 2026. Others may come.
_SIZES = frozenset(
    {"nano", "micro", "small", "medium", "large", "xlarge"}
    | {f"{number}xlarge" for number in (2, 4, 8, 12, 16, 24, 48)}
)
_SPECIAL_SIZE = re.compile(r"(?:24|48)xlarge_(?:optimized_memory|optimized_cpu|high_memory)")
_MEGABYTE = 1024**2


def examine_plans(settings: Settings, plans: Iterable[str]) -> Examined:
    """What projects of each plan get.

    Args:
        plans: those of the blueprint.
    """
    known = list(plans)
    seen = "; ".join(_words_of_plan(settings, plan) for plan in known)
    for variable, pairs in (
        ("GHOSTCRM_SUPABASE_REGIONS", settings.supabase_regions),
        ("GHOSTCRM_SUPABASE_INSTANCE_SIZES", settings.supabase_instance_sizes),
        ("GHOSTCRM_SUPABASE_LARGEST_FILES", settings.supabase_largest_files),
    ):
        for pair in (pairs or "").split():
            plan, _, value = pair.partition("=")
            if plan not in known:
                return Examined(
                    "warning",
                    f"{variable} names the plan {plan}, which the blueprint does not have",
                    f"Name one of {', '.join(known)}, or leave it out.",
                )
            if variable.endswith("SIZES") and not _is_size(value):
                return Examined(
                    "warning",
                    f"{variable} names the size {value}, which is none of those known here",
                    f"Compare it with Supabase's: {', '.join(sorted(_SIZES, key=_order))}.",
                )
    return Examined("ok", seen)


def _words_of_plan(settings: Settings, plan: str) -> str:
    region = settings.supabase_region_for(plan) or "where Supabase chooses"
    size = settings.supabase_instance_size(plan) or "smallest size"
    return (
        f"{plan}: {region}, {size}, files of {_words_of_size(settings.supabase_largest_file(plan))}"
    )


def _words_of_size(size: int) -> str:
    return f"{size / _MEGABYTE:g} MB" if size >= _MEGABYTE else f"{size} bytes"


def _is_size(text: str) -> bool:
    return text in _SIZES or _SPECIAL_SIZE.fullmatch(text) is not None


def _order(size: str) -> tuple[int, str]:
    number = re.match(r"\d+", size)
    small = ("nano", "micro", "small", "medium", "large", "xlarge")
    return (int(number[0]) + len(small) if number else small.index(size), size)


def examine_sign_in(settings: Settings) -> Examined:
    """Where Auth's links lead, and who may sign up."""
    site = settings.supabase_site_url
    if site is None:
        return Examined(
            "warning",
            "no site URL: the links in Auth's mails lead to port 3000 of whoever opens them",
            "Set GHOSTCRM_SUPABASE_SITE_URL to the address of the CRM.",
        )
    addresses = [site, *(settings.supabase_redirect_urls or "").split()]
    for address in addresses:
        parts = urlsplit(address)
        if parts.scheme == "http" and parts.hostname not in _ON_THIS_MACHINE:
            return Examined(
                "warning",
                f"{address} is sent the sessions of those who sign in, and they can be read on the way",
                "Use https://.",
            )
        # "https://**" fits every address there is; "https://*.example.com" only those below one.
        if parts.scheme.startswith("http") and re.fullmatch(r"\*[*.]*(?::.*)?", parts.netloc):
            return Examined(
                "warning",
                f"{address} lets Auth send those who sign in to any site at all",
                "Name the host in GHOSTCRM_SUPABASE_REDIRECT_URLS.",
            )
    seen = f"{site}; {len(addresses) - 1} more addresses"
    if settings.supabase_allow_signups:
        return Examined(
            "warning",
            f"{seen}; anybody may sign up at every client's project",
            "Unset GHOSTCRM_SUPABASE_ALLOW_SIGNUPS, unless that is meant.",
        )
    return Examined("ok", f"{seen}; users are invited")


def examine_mail(settings: Settings) -> Examined:
    """Through whom Auth sends mails. Nobody is asked whether that server is there."""
    server = settings.supabase_mail_server
    if server is None:
        return Examined(
            "warning",
            "Auth sends its mails through Supabase's own server: two an hour, and not to your clients",
            "Set GHOSTCRM_SUPABASE_SMTP_URL.",
        )
    return Examined("ok", f"{server.host}:{server.port}, as {server.sender}")


def examine_networks(settings: Settings) -> Examined:
    """From where databases may be reached."""
    texts = (settings.supabase_allowed_networks or "").split()
    if not texts:
        return Examined("ok", "databases may be reached from anywhere, with their password")
    networks = [ip_network(text) for text in texts]
    for network in networks:
        if network.prefixlen and (network.is_private or network.is_loopback):
            return Examined(
                "warning",
                f"nobody reaches Supabase from {network}, which is a network of its own",
                "Name the addresses under which this network is seen from outside.",
            )
    everything = [str(network) for network in networks if network.prefixlen == 0]
    missing = {4, 6} - {network.version for network in networks if network.prefixlen == 0}
    more = [network for network in networks if network.prefixlen]
    if everything and any(network.version not in missing for network in more):
        return Examined(
            "warning",
            f"{', '.join(everything)} lets everybody in; the other networks change nothing",
            "Name either.",
        )
    return Examined(
        "ok",
        f"databases may be reached from {', '.join(texts)}; the workers must be in there, which cannot be "
        "seen from here",
    )
