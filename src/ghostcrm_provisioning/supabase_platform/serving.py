"""Serves a platform over HTTP until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn

from ghostcrm_provisioning.errors import CannotListen
from ghostcrm_provisioning.settings import Settings
from ghostcrm_provisioning.supabase_platform.application import make_application
from ghostcrm_provisioning.supabase_platform.connections import RememberedConnection
from ghostcrm_provisioning.supabase_platform.platform import Platform, open_platform
from ghostcrm_provisioning.supabase_platform.project import Times

_BACKLOG = 128
_PATIENCE_SECONDS = 5
# Longer than callers keep a connection that they do not use (of those we know, at most a minute): one that is
# closed while its next request is on the way loses it.
_IDLE_SECONDS = 75
_UNKNOWN_SHARE = 0.2  # of the time in which a project comes up, nothing is known of it

Announce = Callable[[Platform, str], None]


class _Server(uvicorn.Server):
    """Leaves signals to us: they are to end the command in good order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def run_platform(
    settings: Settings,
    *,
    host: str,
    port: int,
    coming_up_seconds: float,
    per_minute: int,
    announce: Announce,
) -> None:
    """Open the platform and answer until SIGINT or SIGTERM. ``announce`` is called with it and its URL
    when callers may come.

    Raises:
        CannotListen: somebody else has the port.
    """
    times = Times(
        unknown=coming_up_seconds * _UNKNOWN_SHARE,
        coming_up=coming_up_seconds * (1 - _UNKNOWN_SHARE),
        pausing=coming_up_seconds / 2,
        restoring=coming_up_seconds,
    )
    with _listen(host, port) as door:
        async with open_platform(settings, times=times, per_minute=per_minute) as platform:
            shown = f"[{host}]" if ":" in host else host
            url = f"http://{shown}:{door.getsockname()[1]}"
            await _serve(platform, door, lambda: announce(platform, url))


def _listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections from now on; port 0 is any free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    door = socket.socket(family, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((host, port))
    except OSError as problem:
        door.close()
        raise CannotListen(
            f"The platform cannot listen on {host}:{port}: {problem.strerror}.",
            next_step="Choose another port with --port; 0 is any free one.",
        ) from None
    door.listen(_BACKLOG)
    return door


async def _serve(platform: Platform, door: socket.socket, ready: Callable[[], None]) -> None:
    server = _Server(
        uvicorn.Config(
            make_application(platform),
            http=RememberedConnection,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_PATIENCE_SECONDS,
            timeout_keep_alive=_IDLE_SECONDS,
        )
    )
    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    # The door takes connections already; who comes now is answered in a moment.
    ready()
    await server.serve(sockets=[door])
