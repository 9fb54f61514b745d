"""``ghostcrm platform``: a local server that speaks Supabase's Management API."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from ghostcrm_provisioning.cli.output import Json, out, print_json, say
from ghostcrm_provisioning.cli.session import run_command
from ghostcrm_provisioning.provisioning_log import start_logging
from ghostcrm_provisioning.settings import read_settings

if TYPE_CHECKING:
    from ghostcrm_provisioning.supabase_platform.platform import Platform


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
        # Slow to load, and no other command needs it.
        from ghostcrm_provisioning.supabase_platform.serving import run_platform  # noqa: PLC0415

        settings = read_settings()
        start_logging(
            settings.logs,
            verbose=settings.debug_provisioning,
            keep_days=settings.keep_logs_days,
        )
        await run_platform(
            settings,
            host=host,
            port=port,
            coming_up_seconds=coming_up,
            per_minute=rate_limit,
            announce=lambda opened, url: _announce(opened, url, as_json=as_json),
        )

    run_command(work(), as_json=as_json)


def _announce(platform: Platform, url: str, *, as_json: bool) -> None:
    token = platform.identity.access_token.get_secret_value()
    slug = platform.first_organization
    environment = {
        "SUPABASE_API_URL": url,
        "SUPABASE_ACCESS_TOKEN": token,
        "SUPABASE_ORGANIZATION_SLUG": slug,
    }
    if platform.home.warning is not None:
        say(f"[yellow]{escape(platform.home.warning)}[/]")
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
