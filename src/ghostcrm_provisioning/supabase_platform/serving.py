"""Serves a platform over HTTP until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn

from ghostcrm_provisioning.errors import ConfigurationError
from ghostcrm_provisioning.supabase_platform.application import make_application
from ghostcrm_provisioning.supabase_platform.connections import RememberedConnection
from ghostcrm_provisioning.supabase_platform.platform import Platform

_BACKLOG = 128
_PATIENCE_SECONDS = 5


class _Server(uvicorn.Server):
    """Leaves signals to us: they are to end the command in good order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections from now on; port 0 is any free one.

    Raises:
        ConfigurationError: somebody else has the port.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    door = socket.socket(family, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((host, port))
    except OSError as problem:
        door.close()
        raise ConfigurationError(
            f"The platform cannot listen on {host}:{port}: {problem.strerror}.",
            next_step="Choose another port with --port; 0 is any free one.",
        ) from None
    door.listen(_BACKLOG)
    return door


async def serve(platform: Platform, door: socket.socket, announce: Callable[[], None]) -> None:
    """Answer until SIGINT or SIGTERM. ``announce`` is called when callers may come."""
    server = _Server(
        uvicorn.Config(
            make_application(platform),
            http=RememberedConnection,
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=_PATIENCE_SECONDS,
        )
    )
    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    announce()
    await server.serve(sockets=[door])
