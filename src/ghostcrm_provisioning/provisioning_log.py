"""The log: one JSON object a line, one file a UTC day, safe with several processes writing.

Each line is one ``write`` to a file opened with O_APPEND, so lines of several processes do not mix.
Every line has ``timestamp``, ``clientId``, ``clientName``, ``event``, ``status``, ``durationMs``,
``step``, ``attempt`` and ``error`` (null where they do not apply), and may have more. Files that have
become older than they are to be kept are deleted by whoever writes the first line of a day.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from math import isfinite
from pathlib import Path
from typing import Any

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

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
    r"(?i)pass_?(?:word|wd|phrase)|pwd|secret|token|credential|(?:api|anon|role|private|sealing)_?key"
    r"|database_?url|authorization|cookie|jwt"
)
# Up to the last @: one that stands unescaped in a password must not cut the mask short.
# Lengths are limited, or a long text without any @ would take the square of its length.
_URL_PASSWORD = re.compile(
    r"(?i)(?P<before>\b[a-z][a-z0-9+.-]{0,20}://[^\s:/@]{0,200}:)\S{1,1000}(?=@)"
)
# As in a libpq connection string, or in the query of a URL.
_PASSWORD_PARAMETER = re.compile(
    r"(?i)(?P<before>\bpassword\s*=\s*)(?:'(?:[^'\\]|\\.)*'|[^\s&'\"]+)"
)
_FILE_NAME = re.compile(r"provisioning-(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})\.log")
_BCRYPT = re.compile(r"\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}")
_MASK = "**********"


def log_file(folder: Path, day: datetime) -> Path:
    """The file of a UTC day."""
    return folder / f"provisioning-{day:%Y-%m-%d}.log"


def delete_old_files(folder: Path, today: date, *, keep_days: int) -> list[Path]:
    """Delete the log files of days that lie more than ``keep_days`` before ``today``; 0 keeps all.

    Only a file with exactly the name of one of ours is touched. One that cannot be deleted is left for
    the next day.
    """
    deleted: list[Path] = []
    if keep_days == 0:
        return deleted
    oldest = today - timedelta(days=min(keep_days, today.toordinal() - 1))
    for path in sorted(folder.iterdir()):
        day = _day_of(path.name)
        if day is None or day >= oldest or path.is_symlink() or not path.is_file():
            continue
        with suppress(OSError):
            path.unlink()
            deleted.append(path)
    return deleted


def _day_of(name: str) -> date | None:
    match = _FILE_NAME.fullmatch(name)
    try:
        return None if match is None else date.fromisoformat(match["day"])
    except ValueError:  # a 31st of February
        return None


class DailyFile:
    """Writes lines to the file of the present UTC day; the first one of a day deletes old files."""

    def __init__(self, folder: Path, *, keep_days: int = 0) -> None:
        self._folder = folder
        self._keep_days = keep_days
        self._lock = threading.Lock()
        self._day = ""
        self._descriptor = -1

    def msg(self, line: str) -> None:
        data = line.encode("utf-8", errors="backslashreplace") + b"\n"
        try:
            with self._lock:
                self._open_today()
                os.write(self._descriptor, data)
        except OSError as problem:
            # Work goes on without its log; whoever looks at the terminal still gets the line.
            sys.stderr.write(f"The log cannot be written ({problem.strerror}): {line}\n")

    info = debug = warning = error = critical = exception = log = msg

    def _open_today(self) -> None:
        now = datetime.now(UTC)
        day = f"{now:%Y-%m-%d}"
        if day == self._day:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(
            log_file(self._folder, now), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640
        )
        # Only now: had the opening failed, the number of a closed file would soon be another's.
        self._close()
        self._descriptor, self._day = descriptor, day
        delete_old_files(self._folder, now.date(), keep_days=self._keep_days)

    def close(self) -> None:
        """Give the file back; a later line opens it again."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._day = -1, ""


def masked(value: Any) -> Any:
    """``value`` without what looks like a secret: the last line of defence, not the first."""
    if isinstance(value, dict):
        return {
            str(key): _MASK if _SECRET_NAME.search(str(key)) else masked(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [masked(item) for item in value]
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float) and isfinite(value):
        return value
    # Whatever else it is would be written as its text.
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="backslashreplace")
    text = value if isinstance(value, str) else str(value)
    text = _URL_PASSWORD.sub(rf"\g<before>{_MASK}", text)
    return _BCRYPT.sub(_MASK, _PASSWORD_PARAMETER.sub(rf"\g<before>{_MASK}", text))


def _mask_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return dict(masked(dict(event)))


def _in_contract_order(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    timestamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    ordered = {name: event.pop(name, None) for name in FIELDS}
    return {**ordered, "timestamp": timestamp, **event}


# This process's own log. It is apart from the logging of an application that calls us, and leaves that
# alone: no global configuration is touched.
_file: DailyFile | None = None
_level = logging.INFO
_LIBRARIES = ("pgqueuer", "psycopg")


class _Destination:
    """Hands each line to the log of this process, wherever that is at that moment."""

    def msg(self, line: str) -> None:
        if _file is not None:
            _file.msg(line)

    info = debug = warning = error = critical = exception = log = msg


_DESTINATION = _Destination()


def start_logging(folder: Path, *, verbose: bool, keep_days: int = 0) -> None:
    """Send the log of this process into ``folder``. ``verbose`` adds every observation; files are
    deleted after ``keep_days``, unless that is 0."""
    global _file, _level  # noqa: PLW0603 - a process has one log
    if _file is not None:
        _file.close()
    _file = DailyFile(folder, keep_days=keep_days)
    _level = logging.DEBUG if verbose else logging.INFO
    for library in _LIBRARIES:
        _listen_to(logging.getLogger(library))


def log_every_library() -> None:
    """Take the warnings of all libraries into our log: for a process that is ours alone."""
    _listen_to(logging.getLogger())


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger that writes into this process's log; ``name`` says which part speaks."""
    logger: FilteringBoundLogger = structlog.wrap_logger(
        _DESTINATION,
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            _mask_secrets,
            _in_contract_order,
            structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_level),
    )
    return logger.bind(logger=name)


class _IntoProvisioningLog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        get_logger("library").warning(
            "library_message",
            library=record.name,
            message=record.getMessage(),
            exc_info=record.exc_info or None,
        )


_LISTENER = _IntoProvisioningLog(level=logging.WARNING)


def _listen_to(logger: logging.Logger) -> None:
    if _LISTENER not in logger.handlers:
        logger.addHandler(_LISTENER)
