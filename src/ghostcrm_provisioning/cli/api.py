"""``ghostcrm api``: the admin API and the dashboard, without a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ghostcrm_provisioning.cli.output import Json, print_json, say
from ghostcrm_provisioning.cli.service import run_until_told_to_stop
from ghostcrm_provisioning.cli.session import run_with_installation
from ghostcrm_provisioning.wiring import Installation

if TYPE_CHECKING:
    from ghostcrm_provisioning.serving import Serving

Host = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Where to listen; else GHOSTCRM_HOST, else 127.0.0.1."),
]
Port = Annotated[
    int | None,
    typer.Option(
        min=0, max=65535, metavar="PORT", help="Else GHOSTCRM_PORT, else 8787; 0 = any free one."
    ),
]


def api(host: Host = None, port: Port = None, as_json: Json = False) -> None:
    """Serve the admin API and the dashboard until Ctrl-C or SIGTERM; workers run elsewhere.

    With --json the document is printed as soon as connections are accepted.
    """

    async def work(installation: Installation) -> None:
        serving = open_serving(installation, host=host, port=port)

        async def announce() -> None:
            await serving.started()
            if as_json:
                print_json(document_of(serving))
            introduce(serving)
            say("Stop it with Ctrl-C.")

        await run_until_told_to_stop([serving], when_running=announce)
        say("Stopped.")

    run_with_installation(work, as_json=as_json)


def open_serving(installation: Installation, *, host: str | None, port: int | None) -> Serving:
    """Raises CannotListen."""
    # FastAPI and all that belongs to it take longer to load than most commands to run.
    from ghostcrm_provisioning.serving import Serving  # noqa: PLC0415

    settings = installation.settings
    return Serving(
        installation,
        host=settings.host if host is None else host,
        port=settings.port if port is None else port,
    )


def document_of(serving: Serving) -> dict[str, Any]:
    """What ``--json`` prints when connections are accepted."""
    return {"url": serving.url, "dashboardUrl": f"{serving.url}/admin"}


def introduce(serving: Serving) -> None:
    """Say where everything is."""
    say(f"Dashboard      {serving.url}/admin")
    say(f"API            {serving.url}/api  (documentation: {serving.url}/docs)")
    if not serving.is_local:
        say(
            "[yellow]Others can reach this address, and it speaks HTTP:[/] put a proxy with TLS in front."
        )
