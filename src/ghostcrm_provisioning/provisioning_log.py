"""The log: one JSON object a line, one file a UTC day, safe with several processes writing.

Each line is one ``write`` to a file opened with O_APPEND, so lines of several processes do not mix.
Every line has ``timestamp``, ``clientId``, ``clientName``, ``event``, ``status``, ``durationMs``,
``step``, ``attempt`` and ``error`` (null where they do not apply), and may have more.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

FIELDS = (
    "timestamp",
    "clientId",
    "clientName",
    "event",
    "status",
    "durationMs",
    "step",
    "attempt",
    "error",
)
_SECRET_NAME = re.compile(
    r"(?i)password|secret|token|credential|api_?key|databaseurl|authorization"
)
_URL_PASSWORD = re.compile(r"(?P<before>\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@]+(?=@)")
_BCRYPT = re.compile(r"\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}")
_MASK = "**********"


def log_file(folder: Path, day: datetime) -> Path:
    """The file of a UTC day."""
    return folder / f"provisioning-{day:%Y-%m-%d}.log"


class DailyFile:
    """Writes lines to the file of the present UTC day."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._day = ""
        self._descriptor = -1

    def msg(self, line: str) -> None:
        data = line.encode("utf-8", errors="backslashreplace") + b"\n"
        with self._lock:
            self._open_today()
            os.write(self._descriptor, data)

    info = debug = warning = error = critical = exception = log = msg

    def _open_today(self) -> None:
        now = datetime.now(UTC)
        day = f"{now:%Y-%m-%d}"
        if day == self._day:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = os.open(
            log_file(self._folder, now), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640
        )
        self._day = day


def masked(value: Any) -> Any:
    """``value`` without what looks like a secret: the last line of defence, not the first."""
    if isinstance(value, str):
        return _BCRYPT.sub(_MASK, _URL_PASSWORD.sub(rf"\g<before>{_MASK}", value))
    if isinstance(value, dict):
        return {
            key: _MASK if _SECRET_NAME.search(str(key)) else masked(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [masked(item) for item in value]
    return value


def _mask_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {key: masked(item) for key, item in masked(dict(event)).items()}


def _in_contract_order(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    timestamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    ordered = {name: event.pop(name, None) for name in FIELDS}
    return {**ordered, "timestamp": timestamp, **event}


def start_logging(folder: Path, *, verbose: bool) -> None:
    """Send the log of this process into ``folder``. ``verbose`` adds every observation."""
    file = DailyFile(folder)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            _mask_secrets,
            _in_contract_order,
            structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.DEBUG if verbose else logging.INFO
        ),
        logger_factory=lambda *_: file,
        cache_logger_on_first_use=False,
    )
    # PgQueuer and psycopg speak through the standard library: keep their warnings, in our format.
    logging.basicConfig(handlers=[_IntoProvisioningLog()], level=logging.WARNING, force=True)


class _IntoProvisioningLog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger("library").warning(
            "library_message",
            library=record.name,
            message=record.getMessage(),
            exc_info=record.exc_info or None,
        )
