"""Errors of psycopg and of the network become errors of ours, told apart and without secrets."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import psycopg_pool
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.pq import DiagnosticField

from ghostcrm_provisioning.errors import (
    DatabaseBusy,
    DatabaseRejected,
    GhostcrmError,
    InvalidEmail,
    NotFound,
    ServerUnreachable,
    ToldToWait,
    UnexpectedFailure,
)
from ghostcrm_provisioning.postgres_errors import translated, translating, was_undone

DETAIL = "Key (email)=(hunter2) already exists."


def server_error(sqlstate: str, said: str = "it failed") -> psycopg.Error:
    """As psycopg makes it of PostgreSQL's answer."""
    answer = {
        DiagnosticField.SQLSTATE: sqlstate.encode(),
        DiagnosticField.MESSAGE_PRIMARY: said.encode(),
        DiagnosticField.MESSAGE_DETAIL: DETAIL.encode(),
    }
    known = psycopg.errors._sqlcodes.get(sqlstate, psycopg.DatabaseError)
    return known(f"{said}\nDETAIL:  {DETAIL}", info=answer)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sqlstate", "ours"),
    [
        ("08000", ServerUnreachable),  # connection_exception
        ("08006", ServerUnreachable),  # connection_failure
        ("08P01", ServerUnreachable),  # protocol_violation, also what a pooler says
        ("25P03", ServerUnreachable),  # idle_in_transaction_session_timeout
        ("25P04", ServerUnreachable),  # transaction_timeout
        ("57P01", ServerUnreachable),  # admin_shutdown
        ("57P02", ServerUnreachable),  # crash_shutdown
        ("57P05", ServerUnreachable),  # idle_session_timeout
        ("57P03", ToldToWait),  # cannot_connect_now
        ("40001", DatabaseBusy),  # serialization_failure
        ("40P01", DatabaseBusy),  # deadlock_detected
        ("53000", DatabaseBusy),  # insufficient_resources
        ("53100", DatabaseBusy),  # disk_full
        ("53200", DatabaseBusy),  # out_of_memory
        ("53300", DatabaseBusy),  # too_many_connections
        ("55006", DatabaseBusy),  # object_in_use
        ("55P03", DatabaseBusy),  # lock_not_available
        ("57014", DatabaseBusy),  # query_canceled
        ("58030", DatabaseBusy),  # io_error
        ("XX000", DatabaseBusy),  # internal_error
        ("0A000", DatabaseRejected),  # feature_not_supported
        ("22001", DatabaseRejected),  # string_data_right_truncation
        ("22P02", DatabaseRejected),  # invalid_text_representation
        ("23502", DatabaseRejected),  # not_null_violation
        ("23505", DatabaseRejected),  # unique_violation
        ("25P02", DatabaseRejected),  # in_failed_sql_transaction
        ("28000", DatabaseRejected),  # invalid_authorization_specification
        ("28P01", DatabaseRejected),  # invalid_password
        ("3D000", DatabaseRejected),  # invalid_catalog_name
        ("42501", DatabaseRejected),  # insufficient_privilege
        ("42601", DatabaseRejected),  # syntax_error
        ("42P01", DatabaseRejected),  # undefined_table
        ("42P07", DatabaseRejected),  # duplicate_table
        ("54000", DatabaseRejected),  # program_limit_exceeded
        ("57P04", DatabaseRejected),  # database_dropped
        ("P0001", DatabaseRejected),  # raise_exception
        ("XX001", DatabaseRejected),  # data_corrupted
        ("ZZ999", DatabaseRejected),  # unheard of
    ],
)
def test_what_may_pass_is_told_from_what_will_not(sqlstate: str, ours: type[GhostcrmError]) -> None:
    error = translated(server_error(sqlstate), where="the server")
    assert type(error) is ours
    assert "it failed" in error.message
    assert "the server" in error.message
    assert "hunter2" not in str(error.as_record())
    if ours is not ToldToWait:
        assert error.details == {"sqlstate": sqlstate}


def test_every_sqlstate_that_psycopg_knows_becomes_a_failure_of_ours() -> None:
    assert len(psycopg.errors._sqlcodes) > 200
    for sqlstate in psycopg.errors._sqlcodes:
        error = translated(server_error(sqlstate), where="the server")
        assert isinstance(
            error, ServerUnreachable | DatabaseBusy | DatabaseRejected | ToldToWait
        ), sqlstate
        assert "hunter2" not in str(error.as_record())


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (psycopg_pool.PoolTimeout("hunter2"), DatabaseBusy),
        (TimeoutError("hunter2"), DatabaseBusy),
        (TimeoutError(), DatabaseBusy),
        (ConnectionRefusedError(errno.ECONNREFUSED, "hunter2"), ServerUnreachable),
        (ConnectionResetError(), ServerUnreachable),
        (BrokenPipeError("hunter2"), ServerUnreachable),
        (OSError(errno.EHOSTUNREACH, "hunter2"), ServerUnreachable),
        (OSError(errno.ENETUNREACH, "hunter2"), ServerUnreachable),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), ServerUnreachable),
        # Files are no server.
        (FileNotFoundError(errno.ENOENT, "hunter2", "/hunter2"), UnexpectedFailure),
        (PermissionError(errno.EACCES, "hunter2", "/hunter2"), UnexpectedFailure),
        (OSError(errno.ENOSPC, "hunter2"), UnexpectedFailure),
        (OSError("hunter2"), UnexpectedFailure),
        (psycopg.OperationalError("consuming input failed: SSL error"), ServerUnreachable),
        (psycopg.OperationalError(""), ServerUnreachable),
        (psycopg.InterfaceError("hunter2"), UnexpectedFailure),
        (psycopg.ProgrammingError("hunter2"), UnexpectedFailure),
        (psycopg.DataError("hunter2"), UnexpectedFailure),
        (ValueError("hunter2"), UnexpectedFailure),
        (KeyError("hunter2"), UnexpectedFailure),
        (ExceptionGroup("hunter2", [ValueError("hunter2")]), UnexpectedFailure),
        (asyncio.CancelledError("hunter2"), UnexpectedFailure),
        (KeyboardInterrupt("hunter2"), UnexpectedFailure),
    ],
)
def test_whatever_else_goes_wrong_has_its_class_and_keeps_its_secrets(
    error: BaseException, ours: type[GhostcrmError]
) -> None:
    result = translated(error, where="the server")
    assert type(result) is ours
    assert "hunter2" not in str(result.as_record())
    assert "the server" in result.message


def test_a_full_disk_is_named_as_such() -> None:
    error = translated(OSError(errno.ENOSPC, ""), where="this command")
    assert "No space left on device" in error.message


def test_an_error_of_ours_stays_what_it_is() -> None:
    ours = InvalidEmail("no")
    assert translated(ours, where="anywhere") is ours


SECRET = "p4ssw0rd-of-the-property"
ERRORS: st.SearchStrategy[BaseException] = st.one_of(
    st.sampled_from(sorted(psycopg.errors._sqlcodes)).map(server_error),
    st.sampled_from(
        [ValueError, OSError, ConnectionError, TimeoutError, RuntimeError, LookupError, MemoryError]
    ).map(lambda kind: kind(f"postgresql://u:{SECRET}@h/d {DETAIL}")),
    st.sampled_from([psycopg.DataError, psycopg.InterfaceError, psycopg.ProgrammingError]).map(
        lambda kind: kind(f"password={SECRET} {DETAIL}")
    ),
    st.sampled_from([psycopg.OperationalError, psycopg.errors.ConnectionTimeout]).map(
        lambda kind: kind(f"connection failed: FATAL:  no\nDETAIL:  {DETAIL}\npassword={SECRET}")
    ),
    st.integers(1, 140).map(lambda number: OSError(number, f"{SECRET} {DETAIL}", SECRET)),
)


@given(error=ERRORS, where=st.text(min_size=1, max_size=20))
def test_whatever_the_exception_neither_detail_nor_password_is_told(
    error: BaseException, where: str
) -> None:
    ours = translated(error, where=where)
    assert isinstance(ours, GhostcrmError)
    told = f"{ours} {ours.as_record()}"
    assert SECRET not in told
    assert "hunter2" not in told
    assert "DETAIL" not in told
    assert ours.message
    assert ours.next_step


# --- what a server says while a connection is made ------------------------------------------------


@contextmanager
def server_that_says(sqlstate: str, sentence: str) -> Iterator[int]:
    """Listens as PostgreSQL does and refuses whoever comes, as it does; yields its port."""
    body = f"SFATAL\0VFATAL\0C{sqlstate}\0M{sentence}\0D{DETAIL}\0\0".encode()
    answer = b"E" + struct.pack("!i", len(body) + 4) + body
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            thread.join(120)


@pytest.mark.parametrize(
    ("sqlstate", "sentence", "ours"),
    [
        ("57P03", "the database system is starting up", ToldToWait),
        ("57P03", "the database system is shutting down", ToldToWait),
        ("57P03", "the database system is in recovery mode", ToldToWait),
        ("57P03", "the database system is not yet accepting connections", ToldToWait),
        ("57P03", "the database system is not accepting connections", ToldToWait),
        ("53300", "sorry, too many clients already", DatabaseBusy),
        ("53300", 'too many connections for role "ghostcrm_1_app"', DatabaseBusy),
        ("53300", 'too many connections for database "ghostcrm_1"', DatabaseBusy),
        (
            "53300",
            "remaining connection slots are reserved for roles with the SUPERUSER attribute",
            DatabaseBusy,
        ),
        ("28P01", 'password authentication failed for user "u"', DatabaseRejected),
        # Its name is not what it says.
        (
            "3D000",
            'database "the database system is starting up" does not exist',
            DatabaseRejected,
        ),
    ],
)
def test_what_a_server_says_to_a_new_connection_is_understood(
    sqlstate: str, sentence: str, ours: type[GhostcrmError]
) -> None:
    with (
        server_that_says(sqlstate, sentence) as port,
        pytest.raises(psycopg.OperationalError) as refused,
    ):
        psycopg.connect(
            f"host=127.0.0.1 port={port} user=u password=hunter2 dbname=d sslmode=disable "
            "gssencmode=disable connect_timeout=120"
        )
    assert refused.value.sqlstate is None  # which is why the sentence has to be read
    error = translated(refused.value, where="the server")
    assert type(error) is ours
    assert sentence in error.message
    assert "hunter2" not in str(error.as_record())


def test_a_port_where_nobody_listens_is_unreachable() -> None:
    # Held, so that no other process takes it meanwhile, but nobody listens.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(psycopg.OperationalError) as refused:
            psycopg.connect(f"postgresql://u:hunter2@127.0.0.1:{port}/d", connect_timeout=120)
    error = translated(refused.value, where="the server")
    assert type(error) is ServerUnreachable
    assert "hunter2" not in str(error.as_record())


# --- the boundary ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (server_error("42601"), DatabaseRejected),
        (psycopg_pool.PoolTimeout(), DatabaseBusy),
        (ConnectionRefusedError(), ServerUnreachable),
        (NotFound("x"), NotFound),
    ],
)
def test_errors_that_cross_the_boundary_are_translated(
    error: Exception, ours: type[GhostcrmError]
) -> None:
    with pytest.raises(ours) as crossed, translating("the server"):
        raise error
    assert crossed.value is error or crossed.value.__cause__ is error


@pytest.mark.parametrize("error", [ValueError("ours to mend"), KeyboardInterrupt()])
def test_what_is_not_the_databases_passes_the_boundary_unchanged(error: BaseException) -> None:
    with pytest.raises(type(error)) as crossed, translating("the server"):
        raise error
    assert crossed.value is error


@pytest.mark.parametrize(
    ("sqlstate", "said", "undone"),
    [
        ("40P01", "deadlock detected", True),
        ("40001", "could not serialize access due to concurrent update", True),
        ("XX000", "tuple concurrently updated", True),
        ("XX000", "tuple concurrently deleted", True),
        ("XX000", "cache lookup failed for role 5", False),
        ("55P03", "canceling statement due to lock timeout", False),
        ("23505", "duplicate key value", False),
    ],
)
def test_what_was_given_up_for_another_transaction_is_known(
    sqlstate: str, said: str, *, undone: bool
) -> None:
    error = server_error(sqlstate, said)
    assert was_undone(error) is undone
    assert was_undone(translated(error, where="the server")) is undone
    assert not was_undone(ValueError("tuple concurrently updated"))
