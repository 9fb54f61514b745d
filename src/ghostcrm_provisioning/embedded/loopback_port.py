"""Which port on 127.0.0.1 the server gets, and who has it when it is taken."""

from __future__ import annotations

import errno
import random
import socket

import psutil

from ghostcrm_provisioning.errors import (
    EmbeddedPostgresError,
    EmbeddedPostgresPermissionDenied,
    EmbeddedPostgresPortInUse,
)

LOOPBACK = "127.0.0.1"

# Below the range from which systems take the source ports of outgoing connections (Linux 32768,
# IANA 49152): a remembered port is then not taken by a passing connection before the next start.
_CANDIDATES = range(20000, 32000)
_TRIES = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on ``port`` now.

    Raises EmbeddedPostgresPermissionDenied for a port that only root may open.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As PostgreSQL does it: connections of a server that has just ended do not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno == errno.EACCES:
                raise EmbeddedPostgresPermissionDenied(
                    f"This user may not open port {port}.",
                    next_step="Set GHOSTCRM_EMBEDDED_PORT to a port above 1023 (0 = any free one).",
                    port=port,
                ) from None
            return False
    return True


def pick_free() -> int:
    """A port that is free now. Somebody may take it before it is used: be ready to pick again."""
    # Chance, not secrecy: two homes that start at once should not pick the same port.
    for port in random.sample(_CANDIDATES, _TRIES):
        if is_free(port):
            return port
    raise EmbeddedPostgresError(
        f"None of {_TRIES} ports tried between {_CANDIDATES.start} and {_CANDIDATES.stop} is free.",
        next_step="Set GHOSTCRM_EMBEDDED_PORT to a port that is free.",
    )


def port_in_use(port: int) -> EmbeddedPostgresPortInUse:
    """The error for ``port``, with the program that has it as far as we are allowed to see."""
    holder = _holder(port)
    if holder is None:
        return EmbeddedPostgresPortInUse(
            f"Port {port} on {LOOPBACK}, which the embedded PostgreSQL was told to use, is taken "
            f"by another program.",
            port=port,
        )
    pid, name = holder
    return EmbeddedPostgresPortInUse(
        f"Port {port} on {LOOPBACK}, which the embedded PostgreSQL was told to use, is taken by "
        f"{name} (process {pid}).",
        port=port,
        holderPid=pid,
        holderName=name,
    )


def _holder(port: int) -> tuple[int, str] | None:
    try:
        for connection in psutil.net_connections(kind="tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and connection.laddr.port == port
                and connection.pid
            ):
                return connection.pid, psutil.Process(connection.pid).name()
    except psutil.Error:  # other people's processes are not ours to see everywhere (macOS)
        return None
    return None
