"""Puts the application together, and serves it: bound first, so that a taken port is known at once."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

import uvicorn
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from ghostcrm_provisioning.api.gate import Gate
from ghostcrm_provisioning.api.idempotency import Idempotency
from ghostcrm_provisioning.api.routing import add_api
from ghostcrm_provisioning.dashboard.routing import add_dashboard
from ghostcrm_provisioning.errors import CannotListen
from ghostcrm_provisioning.web.arrival import Arrival
from ghostcrm_provisioning.web.bodies import Bodies
from ghostcrm_provisioning.web.connections import IDLE_SECONDS, Connection
from ghostcrm_provisioning.web.site import Site, open_site
from ghostcrm_provisioning.wiring import Installation

# How long requests may go on after the process was told to leave; streams end at once.
_PATIENCE_SECONDS = 10
# Of the time that a request has, so much is for its body: when that is over, its sender can still be told
# what was slow.
_SHARE_OF_THE_BODY = 0.8
_EVERY_ADDRESS = {"0.0.0.0", "::", ""}  # noqa: S104 - compared with, not bound to


def make_application(installation: Installation) -> FastAPI:
    """The API and the dashboard of an open installation."""
    application = FastAPI(
        title="GhostCRM Client Provisioning",
        version=version("ghostcrm-provisioning"),
        docs_url=None,
        redoc_url=None,
        # An address with a slash too many is none: a redirection would repeat the Host that was sent.
        redirect_slashes=False,
    )
    site = open_site(installation)
    application.state.site = site
    add_api(application)
    add_dashboard(application)
    _add_layers(application, site)
    return application


def _add_layers(application: FastAPI, site: Site) -> None:
    """What a request passes on its way in, the innermost first."""
    settings = site.installation.settings
    application.add_middleware(Idempotency, site=site)
    application.add_middleware(
        Bodies,
        largest=settings.largest_request_bytes,
        seconds=_SHARE_OF_THE_BODY * settings.request_seconds,
    )
    application.add_middleware(Gate, site=site)
    application.add_middleware(Arrival, site=site)
    origins = (settings.cors_origins or "").split()
    if origins:
        application.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "HEAD", "POST", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"],
            expose_headers=[
                "Location",
                "Retry-After",
                "X-Request-Id",
                "RateLimit",
                "RateLimit-Policy",
                "Idempotent-Replayed",
            ],
        )


class Serving:
    """Serves the application on one address until told to stop.

    Raises:
        CannotListen: another program has the port, or the address is not one of this machine.
    """

    def __init__(self, installation: Installation, *, host: str, port: int) -> None:
        self._socket = _bound(host, port)
        self.application = make_application(installation)
        self.site: Site = self.application.state.site
        self._server = _Server(
            uvicorn.Config(
                self.application,
                http=Connection,
                log_config=None,
                log_level="error",  # a warning for each malformed request could fill the disk
                access_log=False,  # web/ writes a line of its own, in which nothing is secret
                lifespan="off",
                ws="none",
                proxy_headers=False,  # web/ believes only the proxies that are named
                server_header=False,
                timeout_graceful_shutdown=_PATIENCE_SECONDS,
                timeout_keep_alive=IDLE_SECONDS,
            )
        )
        shown = "127.0.0.1" if host in _EVERY_ADDRESS else host
        self.url = f"http://{f'[{shown}]' if ':' in shown else shown}:{self._port}"
        self.is_local = host in {"127.0.0.1", "::1", "localhost"}

    @property
    def _port(self) -> int:
        return int(self._socket.getsockname()[1])

    async def run(self) -> None:
        """Serve until :meth:`stop`. Requests that have begun are finished."""
        try:
            await self._server.serve(sockets=[self._socket])
        except OSError as problem:
            raise _cannot_listen(problem, *self._socket.getsockname()[:2]) from problem
        finally:
            await self.site.auditor.close()
            self._server.is_listening.set()  # nobody waits for what will not come
            self._socket.close()

    async def started(self) -> None:
        """Return when connections are accepted, or when :meth:`run` has failed to come so far."""
        await self._server.is_listening.wait()

    def stop(self) -> None:
        """Take no more connections, end the streams, finish the rest."""
        self.site.leaving.set()
        self._server.should_exit = True

    def close(self) -> None:
        """Give the port back; for one that was never run."""
        self._socket.close()


class _Server(uvicorn.Server):
    """uvicorn, whose signals are the command's business: a worker may have to stop with it."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _bound(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as problem:
        raise CannotListen(
            f"{host} is no address of this machine.",
            next_step="Name one of this machine's addresses with --host or GHOSTCRM_HOST.",
        ) from problem
    family, kind, protocol, _, address = sorted(found, key=lambda entry: entry[0])[0]
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # Listening already: two processes that bound the same port would both be content otherwise.
        listener.listen(2048)
    except OSError as problem:
        listener.close()
        raise _cannot_listen(problem, host, port) from problem
    listener.setblocking(False)
    return listener


def _cannot_listen(problem: OSError, host: str, port: int) -> CannotListen:
    if problem.errno == errno.EADDRINUSE:
        return CannotListen(f"Port {port} of {host} is taken by another program.")
    if problem.errno == errno.EADDRNOTAVAIL:
        return CannotListen(
            f"{host} is no address of this machine.",
            next_step="Name one of this machine's addresses with --host or GHOSTCRM_HOST.",
        )
    return CannotListen(f"Port {port} of {host} cannot be used: {os.strerror(problem.errno or 0)}.")
