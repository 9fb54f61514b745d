"""``ghostcrm platform``: a local server that speaks Supabase's Management API."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ghostcrm_provisioning.cli.output import Json, out, print_json, say
from ghostcrm_provisioning.cli.session import run_command
from ghostcrm_provisioning.provisioning_log import start_logging
from ghostcrm_provisioning.settings import read_settings
from ghostcrm_provisioning.supabase_platform.platform import Platform, open_platform
from ghostcrm_provisioning.supabase_platform.project import Times
from ghostcrm_provisioning.supabase_platform.serving import listen, serve

_UNKNOWN_SHARE = 0.2  # of the time in which a project comes up, nothing is known of it


def platform(
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 = any free one.")
    ],
    host: Annotated[
        str,
        typer.Option("--host", help="Address to listen on; everybody who reaches it may knock."),
    ] = "127.0.0.1",
    coming_up: Annotated[
        float,
        typer.Option(
            "--coming-up",
            min=0,
            max=3600,
            help="Seconds until a new or restored project is healthy.",
        ),
    ] = 1.0,
    rate_limit: Annotated[
        int,
        typer.Option(
            "--rate-limit", min=1, help="Requests a minute for each endpoint and project."
        ),
    ] = 120,
    as_json: Json = False,
) -> None:
    """Serve Supabase's Management API over our own PostgreSQL, until Ctrl-C or SIGTERM.

    For trying and testing what is done on Supabase without an account there. Projects are real
    databases, and stay until they are deleted.
    """

    async def work() -> None:
        settings = read_settings()
        start_logging(
            settings.logs,
            verbose=settings.debug_provisioning,
            keep_days=settings.keep_logs_days,
        )
        door = listen(host, port)
        times = Times(
            unknown=coming_up * _UNKNOWN_SHARE,
            coming_up=coming_up * (1 - _UNKNOWN_SHARE),
            pausing=coming_up / 2,
            restoring=coming_up,
        )
        with door:
            async with open_platform(settings, times=times, per_minute=rate_limit) as opened:
                shown_host = f"[{host}]" if ":" in host else host
                url = f"http://{shown_host}:{door.getsockname()[1]}"
                await serve(opened, door, lambda: _announce(opened, url, as_json=as_json))

    run_command(work(), as_json=as_json)


def _announce(platform: Platform, url: str, *, as_json: bool) -> None:
    token = platform.identity.access_token.get_secret_value()
    slug = platform.first_organization
    environment = {
        "SUPABASE_API_URL": url,
        "SUPABASE_ACCESS_TOKEN": token,
        "SUPABASE_ORGANIZATION_SLUG": slug,
    }
    profile = _write_profile(platform.identity.folder, url)
    if as_json:
        print_json(
            {
                "url": url,
                "accessToken": token,
                "organizationSlug": slug,
                "environment": environment,
                "profile": str(profile),
            }
        )
        return
    for name, value in environment.items():
        out.print(f"export {name}={value}", markup=False)
    say(f"[dim]The Supabase CLI: supabase --profile {escape(str(profile))} projects list[/]")
    say("The local platform runs. Stop it with Ctrl-C; its projects stay.")


def _write_profile(folder: Path, url: str) -> Path:
    """What the Supabase CLI is told with ``--profile``."""
    profile = folder / "profile.yaml"
    # A host without a port, as the CLI wants it; it is not asked by any of the commands that work here.
    profile.write_text(
        f"name: ghostcrm\napi_url: {url}\ndashboard_url: {url}\nproject_host: localhost\n",
        encoding="utf-8",
    )
    return profile
