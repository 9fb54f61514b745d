"""Logins of a client database on a PostgreSQL server: their names, and how they are made and seen."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Any

from psycopg import sql

from ghostcrm_provisioning.providers.provider import Connection, Login

_SCRAM_ITERATIONS = 4096  # PostgreSQL's own default; some drivers refuse fewer


def login_name(database: str, key: str) -> str:
    """The name of a database's login; at most 63 bytes, as database names are 41."""
    return f"{database}_{key}"


def make_scram_verifier(password: str) -> str:
    """What PostgreSQL stores of a password (RFC 5803), so that no statement and no server log ever
    holds the password itself. Takes a few milliseconds by design; our passwords are ASCII, so
    SASLprep leaves them as they are; any other raises ValueError."""
    if not password.isascii():
        raise ValueError("the password of a login must be ASCII")
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, _SCRAM_ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    parts = (base64.b64encode(part).decode() for part in (salt, stored_key, server_key))
    encoded_salt, encoded_stored, encoded_server = parts
    return f"SCRAM-SHA-256${_SCRAM_ITERATIONS}:{encoded_salt}${encoded_stored}:{encoded_server}"


def let_log_in(role: sql.Identifier, verifier: str) -> sql.Composed:
    """The statement that enables a login with its password's verifier."""
    return sql.SQL("alter role {} login password {}").format(role, sql.Literal(verifier))


def give_password(role: sql.Identifier, verifier: str) -> sql.Composed:
    """The statement that gives a login another password; whether it may log in stays as it is."""
    return sql.SQL("alter role {} password {}").format(role, sql.Literal(verifier))


def creators(database: str, logins: tuple[Login, ...]) -> list[str]:
    """Who makes schemas there. A role that several databases share may be among them: a privilege on
    a database is of use only to a session inside it, which only its own logins have."""
    return sorted(
        {login.acts_as or login_name(database, login.key) for login in logins if login.creates}
    )


async def ensure_logins(
    connection: Connection,
    database: str,
    logins: tuple[Login, ...],
    verifiers: dict[str, str],
    existing: set[str],
) -> None:
    """Make the logins as they are described; ``verifiers`` are what passwords become, by key."""
    for login in logins:
        plain_name = login_name(database, login.key)
        name = sql.Identifier(plain_name)
        await connection.execute(
            sql.SQL("{} role {} {} connection limit {}").format(
                sql.SQL("alter" if plain_name in existing else "create"),
                name,
                sql.SQL("inherit" if login.inherits else "noinherit"),
                sql.Literal(login.connection_limit),
            )
        )
        if login.key in verifiers:
            await connection.execute(let_log_in(name, verifiers[login.key]))
        for setting, values in _session_settings(login):
            await connection.execute(
                sql.SQL("alter role {} set {} = {}").format(
                    name, sql.Identifier(setting), sql.SQL(", ").join(map(sql.Literal, values))
                )
            )
    await _grant_groups(connection, database, logins)


async def _grant_groups(connection: Connection, database: str, logins: tuple[Login, ...]) -> None:
    """Make the logins members of their groups. From 16 on, PostgreSQL locks a group that is granted
    until the transaction ends, and all databases share the groups: so everybody takes them in the
    order of their names (`prepare_server` does, too), and as late as possible."""
    for group in sorted({group for login in logins for group in login.member_of}):
        members = [login_name(database, login.key) for login in logins if group in login.member_of]
        await connection.execute(
            sql.SQL("grant {} to {}").format(
                sql.Identifier(group), sql.SQL(", ").join(map(sql.Identifier, members))
            )
        )


def is_as_wanted(row: dict[str, Any], login: Login) -> bool:
    """Whether a row of ``observe_logins`` shows the login as it is described."""
    wanted = {_as_stored(name, values) for name, values in _session_settings(login)}
    # An operator may have added others; none may make the login act as somebody else.
    seen = set(row["settings"])
    return (
        (row["rolcanlogin"] or login.password is None)
        and row["rolinherit"] == login.inherits
        and row["rolconnlimit"] == login.connection_limit
        and row["member_of"] == sorted(login.member_of)
        and wanted <= seen
        and all(setting in wanted for setting in seen if setting.startswith("role="))
    )


def _session_settings(login: Login) -> list[tuple[str, tuple[str, ...]]]:
    """What the login's sessions begin with; several values for a setting that is a list."""
    settings: list[tuple[str, tuple[str, ...]]] = [
        (name, (value,)) for name, value in login.settings
    ]
    if login.search_path:
        settings.append(("search_path", login.search_path))
    if login.acts_as is not None:
        settings.append(("role", (login.acts_as,)))
    return settings


def _as_stored(name: str, values: tuple[str, ...]) -> str:
    """A setting as PostgreSQL keeps it: the names of a search path are identifiers."""
    if name == "search_path":
        values = tuple(
            value if value.isidentifier() and value.islower() else f'"{value}"' for value in values
        )
    return f"{name}={', '.join(values)}"
