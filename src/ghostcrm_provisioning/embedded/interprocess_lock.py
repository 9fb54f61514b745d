"""One process at a time may make, start or stop the server of one home."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ghostcrm_provisioning.errors import EmbeddedPostgresError

if sys.platform != "win32":
    import fcntl

_POLL_SECONDS = 0.02


@contextmanager
def interprocess_lock(path: Path, *, timeout_seconds: float) -> Iterator[int]:
    """Hold the lock at ``path``; yields its file descriptor.

    The kernel frees the lock when the last process that has the descriptor open ends, however it
    ends. A child that must be finished before anybody else may act (initdb) inherits it.

    Raises EmbeddedPostgresError when another process holds it for longer than ``timeout_seconds``.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _acquire(descriptor, path, time.monotonic() + timeout_seconds)
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"Another process has been starting or stopping the embedded PostgreSQL for "
                    f"too long; it holds {path}.",
                    next_step=f"Find that process with `fuser {path}`, end it, and start again.",
                    lock=str(path),
                ) from None
            time.sleep(_POLL_SECONDS)
        else:
            return
