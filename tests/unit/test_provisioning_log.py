"""The log: one JSON object a line, whatever is logged, by however many processes, without secrets."""

from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import bcrypt
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from ghostcrm_provisioning import provisioning_log
from ghostcrm_provisioning.provisioning_log import (
    FIELDS,
    DailyFile,
    get_logger,
    log_file,
    masked,
    start_logging,
)

HASH = bcrypt.hashpw(b"correct horse", bcrypt.gensalt(4)).decode()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where the log of a test is written; afterwards logging is as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    root.handlers.clear()
    yield tmp_path / "logs" / "provisioning"
    if provisioning_log._file is not None:
        provisioning_log._file.close()
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(folder: Path) -> list[dict[str, Any]]:
    found = []
    for path in sorted(folder.glob("*.log")):
        text = path.read_bytes()
        assert text.endswith(b"\n")
        found += [json.loads(line, parse_constant=not_json) for line in text.split(b"\n")[:-1]]
    return found


def not_json(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def logged(folder: Path, /, **fields: Any) -> dict[str, Any]:
    """The one line that comes of logging these fields."""
    start_logging(folder, verbose=False)
    get_logger("test").info("something_happened", **fields)
    (line,) = lines(folder)
    return line


def open_files(folder: Path) -> int:
    """How many this process has open there. Others come and go: what earlier tests have left is collected."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile, like the folder that is being read
            found += descriptor.readlink().is_relative_to(folder)
    return found


class Clock:
    """Stands in for the module's ``datetime`` and moves when it is told to."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self, zone: timezone) -> datetime:
        return self.moment.astimezone(zone)


# --- the shape of a line --------------------------------------------------------------------------


def test_a_line_has_the_contracts_fields_in_their_order(folder: Path) -> None:
    line = logged(folder, step="create_admin", attempt=2, seen="more")
    assert tuple(line)[: len(FIELDS)] == FIELDS
    contract = "timestamp clientId clientName event status durationMs step attempt error"
    assert " ".join(FIELDS) == contract
    assert line["event"] == "something_happened"
    assert (line["step"], line["attempt"], line["seen"]) == ("create_admin", 2, "more")
    # What does not apply is there and null.
    assert [line[name] for name in ("clientId", "clientName", "status", "durationMs", "error")] == [
        None
    ] * 5
    assert line["level"] == "info"


def test_a_timestamp_is_utc_with_milliseconds(folder: Path) -> None:
    line = logged(folder, timestamp="forged")
    moment = datetime.strptime(line["timestamp"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    assert len(line["timestamp"]) == len("2026-01-01T00:00:00.000Z")
    assert abs(datetime.now(UTC) - moment) < timedelta(minutes=1)


def test_the_file_is_named_after_the_day_in_utc(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One in the morning in Tokyo is still yesterday in UTC.
    tokyo = timezone(timedelta(hours=9))
    monkeypatch.setattr(provisioning_log, "datetime", Clock(datetime(2026, 3, 1, 1, tzinfo=tokyo)))
    line = logged(folder)
    assert [path.name for path in folder.iterdir()] == ["provisioning-2026-02-28.log"]
    assert line["timestamp"] == "2026-02-28T16:00:00.000Z"


def test_at_midnight_a_new_file_begins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(datetime(2025, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC))
    monkeypatch.setattr(provisioning_log, "datetime", clock)
    start_logging(folder, verbose=False)
    log = get_logger("test")
    log.info("last_of_the_year")
    clock.moment += timedelta(milliseconds=1)
    log.info("first_of_the_year")
    log.info("second_of_the_year")
    assert [path.name for path in sorted(folder.iterdir())] == [
        "provisioning-2025-12-31.log",
        "provisioning-2026-01-01.log",
    ]
    assert [line["event"] for line in lines(folder)] == [
        "last_of_the_year",
        "first_of_the_year",
        "second_of_the_year",
    ]


NOT_OURS = (
    "provisioning-2020-01-01.log.gz",
    "provisioning-2020-01-01.log~",
    "provisioning-2020-02-30.log",
    "provisioning-20200101.log",
    "provisioning-2020-1-1.log",
    "Provisioning-2020-01-01.log",
    "a-provisioning-2020-01-01.log",
    "provisioning-.log",
    "2020-01-01.log",
    "notes.txt",
)


def test_the_first_line_of_a_day_deletes_files_that_were_kept_long_enough(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir(parents=True)
    for name in NOT_OURS:
        (folder / name).touch()
    (folder / "provisioning-2020-01-02.log").mkdir()
    (folder / "provisioning-2020-01-03.log").symlink_to(folder / "notes.txt")
    for day in ("2020-01-01", "2025-12-30", "2025-12-31", "2026-01-01", "2026-01-30", "2027-01-01"):
        (folder / f"provisioning-{day}.log").touch()
    before = {path.name for path in folder.iterdir()}
    clock = Clock(datetime(2026, 1, 30, 12, tzinfo=UTC))
    monkeypatch.setattr(provisioning_log, "datetime", clock)
    start_logging(folder, verbose=False, keep_days=30)
    log = get_logger("test")
    log.info("a_line")
    gone = {"provisioning-2020-01-01.log", "provisioning-2025-12-30.log"}
    assert {path.name for path in folder.iterdir()} == before - gone
    (folder / "provisioning-2020-01-01.log").touch()
    log.info("another_line")
    assert (folder / "provisioning-2020-01-01.log").exists(), "once a day is enough"
    clock.moment += timedelta(days=1)
    log.info("a_line_of_the_next_day")
    gone |= {"provisioning-2025-12-31.log"}
    assert {path.name for path in folder.iterdir()} == before - gone | {
        "provisioning-2026-01-31.log"
    }


@pytest.mark.parametrize("keep_days", [0, 10**6])
def test_all_files_may_be_kept(folder: Path, keep_days: int) -> None:
    folder.mkdir(parents=True)
    (folder / "provisioning-0001-01-02.log").touch()
    start_logging(folder, verbose=False, keep_days=keep_days)
    get_logger("test").info("a_line")
    assert (folder / "provisioning-0001-01-02.log").exists()


def test_a_line_that_cannot_be_written_goes_to_stderr_and_work_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock(datetime(2026, 1, 1, tzinfo=UTC))
    monkeypatch.setattr(provisioning_log, "datetime", clock)
    file = DailyFile(tmp_path)
    file.msg("yesterday")
    clock.moment += timedelta(days=1)
    log_file(tmp_path, clock.moment).mkdir()  # in the way of today's file
    for _ in range(2):
        file.msg("a line")
        assert "a line" in capsys.readouterr().err
        # Had yesterday's been closed, its number would be this pipe's, and closed once more.
        reading, writing = os.pipe()
        os.write(writing, b"x")
        assert os.read(reading, 1) == b"x"
        os.close(reading)
        os.close(writing)
    log_file(tmp_path, clock.moment).rmdir()
    file.msg("today")
    assert log_file(tmp_path, clock.moment).read_text() == "today\n"
    file.close()


def test_a_file_is_not_for_everybody_and_is_appended_to(folder: Path) -> None:
    logged(folder)
    start_logging(folder, verbose=False)
    get_logger("test").info("again")
    assert [line["event"] for line in lines(folder)] == ["something_happened", "again"]
    (path,) = folder.iterdir()
    assert not stat.S_IMODE(path.stat().st_mode) & 0o007


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="descriptors are counted in /proc")
def test_starting_the_log_again_and_again_keeps_one_file_open(folder: Path) -> None:
    logged(folder)
    assert open_files(folder) == 1
    for _ in range(20):
        start_logging(folder, verbose=False)
        get_logger("test").info("again")
    assert open_files(folder) == 1


def test_a_logger_from_before_goes_on_after_the_log_was_started_again(folder: Path) -> None:
    start_logging(folder, verbose=False)
    early = get_logger("test").bind(clientId="1")
    early.info("before")
    start_logging(folder, verbose=False)
    early.info("after")
    assert [line["event"] for line in lines(folder)] == ["before", "after"]


# --- what is logged -------------------------------------------------------------------------------


def test_only_a_verbose_log_has_observations(folder: Path) -> None:
    start_logging(folder, verbose=False)
    get_logger("test").debug("step_observed")
    assert not folder.exists()
    start_logging(folder, verbose=True)
    get_logger("test").debug("step_observed")
    assert [line["event"] for line in lines(folder)] == ["step_observed"]


def test_an_exception_is_one_line_with_its_traceback(folder: Path) -> None:
    start_logging(folder, verbose=False)
    try:
        raise ValueError("first\nsecond postgresql://u:hunter2@h/d")
    except ValueError as error:
        get_logger("test").error("run_failed", exc_info=error)
    (line,) = lines(folder)
    assert "Traceback" in line["exception"]
    assert "second postgresql://u:**********@h/d" in line["exception"]
    assert "exc_info" not in line


def test_what_libraries_say_is_logged_in_our_format(folder: Path) -> None:
    start_logging(folder, verbose=False)
    logging.getLogger("pgqueuer").warning("lost %s", "postgresql://u:hunter2@h/d")
    logging.getLogger("pgqueuer").info("not of interest")
    (line,) = lines(folder)
    assert line["event"] == "library_message"
    assert line["library"] == "pgqueuer"
    assert line["message"] == "lost postgresql://u:**********@h/d"


VALUES = st.recursive(
    st.text(st.characters(exclude_categories=()))
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.none()
    | st.binary()
    | st.uuids()
    | st.datetimes(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(st.text() | st.integers() | st.none() | st.tuples(st.integers()), inner)
    ),
    max_leaves=6,
)


@given(value=VALUES)
def test_whatever_value_is_logged_makes_one_line_of_json(value: object) -> None:
    written: list[str] = []
    event = provisioning_log._in_contract_order(
        None, "info", provisioning_log._mask_secrets(None, "info", {"event": "e", "value": value})
    )
    text = structlog.processors.JSONRenderer(default=str, ensure_ascii=False)(None, "info", event)
    assert isinstance(text, str)
    written.append(text)
    data = text.encode("utf-8", errors="backslashreplace")
    assert b"\n" not in data
    assert b"\r" not in data
    assert json.loads(data, parse_constant=not_json)["event"] == "e"


@pytest.mark.parametrize(
    "value",
    [
        "one\ntwo",
        "one\r\ntwo",
        "a\u2028b\u2029c\x85d",
        '"}\n{"event": "forged"',
        "\0\x1b[2J",
        "half \ud800 pair",
        "👩‍👩‍👧‍👦 שלום",
    ],
)
def test_no_value_breaks_its_line(folder: Path, value: str) -> None:
    line = logged(folder, clientName=value)
    assert line["clientName"] == value
    assert line["event"] == "something_happened"


def test_values_of_any_type_are_written_as_their_text(folder: Path) -> None:
    identifier = uuid4()
    line = logged(folder, clientId=identifier, path=Path("/x"), infinite=float("inf"))
    assert (line["clientId"], line["path"], line["infinite"]) == (str(identifier), "/x", "inf")


# --- secrets --------------------------------------------------------------------------------------

SECRET_NAMES = [
    "password",
    "adminPassword",
    "admin_password",
    "PASSWORD_HASH",
    "temporaryPassword",
    "passwd",
    "passphrase",
    "secret",
    "jwtSecret",
    "jwt",
    "token",
    "accessToken",
    "refresh_token",
    "apiKey",
    "api_key",
    "anonKey",
    "serviceRoleKey",
    "service_role_key",
    "sealing_key",
    "databaseUrl",
    "database_url",
    "credentials",
    "Authorization",
    "cookie",
]


@pytest.mark.parametrize("name", SECRET_NAMES)
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_what_is_named_like_a_secret_is_masked_at_any_depth(name: str, depth: int) -> None:
    value: Any = {name: "hunter2", "kept": "in sight"}
    for _ in range(depth):
        value = {"more": [{"inside": (value,)}]}
    text = json.dumps(masked(value))
    assert "hunter2" not in text
    assert "in sight" in text


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://user:hunter2@host:5432/db",
        "see postgres://user:hunter2@host/db, or not",
        "POSTGRESQL://user:hunter2@host/db",
        "postgresql+asyncpg://user:hunter2@host/db",
        "https://:hunter2@host/",
        "json://user:x@hunter2@host",  # not encoded as it should be
        "postgresql:///db?user=u&password=hunter2&host=/run",
        "host=h password=hunter2 dbname=d",
        "host=h password = 'hunter2 and more' dbname=d",
        "host=h PASSWORD='it\\'s hunter2' dbname=d",
    ],
)
def test_a_password_within_a_text_is_masked(text: str) -> None:
    assert "hunter2" not in str(masked(text))
    assert "hunter2" not in str(masked({"error": {"message": [text]}}))
    assert "hunter2" not in str(masked(RuntimeError(text)))
    assert "hunter2" not in str(masked(text.encode()))
    assert "hunter2" not in str(masked({text}))


@pytest.mark.parametrize("variant", ["$2a$", "$2b$", "$2y$"])
def test_a_bcrypt_hash_within_a_text_is_masked(variant: str) -> None:
    hashed = variant + HASH[4:]
    assert hashed[7:] not in str(masked(f"Failing row contains (1, {hashed}, x)."))
    assert str(masked(f"row ({hashed})")) == "row (**********)"


@pytest.mark.parametrize(
    "text",
    [
        "ACME Corp",
        "http://localhost:8787/status",
        "mail to admin@acme.com: done",
        "12:30@noon",
        "the password is wrong",
        "$2 billion",
    ],
)
def test_what_is_no_secret_stays_readable(text: str) -> None:
    assert masked(text) == text


def test_numbers_stay_numbers_and_nothing_stays_nothing() -> None:
    value = {"durationMs": 1.5, "attempt": 2, "holds": True, "error": None, "steps": [1, 2]}
    assert masked(value) == value


@given(st.text(min_size=1, max_size=80).filter(lambda secret: not secret.isspace()))
def test_no_password_of_a_url_survives(secret: str) -> None:
    from urllib.parse import quote

    url = f"postgresql://user:{quote(secret, safe='')}@host/db"
    assert masked(url) == "postgresql://user:**********@host/db"


def test_masking_a_long_text_is_quick() -> None:
    began = time.thread_time()  # what this thread worked, however busy the machine is
    for text in ("a." * 50_000, "a://" * 25_000, "password=" * 10_000, "$2a$10$" * 10_000):
        masked(text)
    assert time.thread_time() - began < 5


def test_nothing_secret_reaches_the_file(folder: Path) -> None:
    logged(
        folder,
        adminPassword="hunter2",
        secret=SecretStr("hunter2"),
        key=SecretStr("hunter2"),
        error={"details": {"databaseUrl": "postgresql://u:hunter2@h/d", "hash": HASH}},
    )
    (path,) = folder.iterdir()
    text = path.read_text()
    assert "hunter2" not in text
    assert HASH not in text


# --- several processes ----------------------------------------------------------------------------

WRITE_LINES = """\
import pathlib, sys
import structlog
from ghostcrm_provisioning.provisioning_log import get_logger, start_logging
folder, number, count = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
start_logging(folder, verbose=False)
log = get_logger("test").bind(clientId=number)
print("ready", flush=True)
sys.stdin.readline()
for line in range(count):
    size = (line * 37 + number * 911) % 9000  # shorter and longer than a page and a pipe's buffer
    log.info("line", attempt=line, size=size, filling="äb\\n"[number % 3] * size)
"""


def test_lines_of_four_processes_do_not_mix(folder: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE_LINES, str(folder), str(number), "500"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=600)
        assert process.returncode == 0
    found = lines(folder)
    assert len(found) == 4 * 500
    for number in range(4):
        mine = [line for line in found if line["clientId"] == number]
        assert [line["attempt"] for line in mine] == list(range(500))
        for line in mine:
            assert line["filling"] == "äb\n"[number % 3] * line["size"]
