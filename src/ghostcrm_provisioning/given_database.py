"""A database that a caller gives us (provider ``existing``): what its address and key say, and refuse.

Nothing is connected to here, and nothing is looked up: an address is read as libpq reads it, and what kind
it is follows from its form alone. Neither the address nor the key is ever part of a message, for a password
that was not percent-encoded ends up anywhere in what is read.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from ghostcrm_provisioning.errors import DatabaseUrlMissing, InvalidDatabaseUrl, InvalidInput

LONGEST_URL = 2000  # characters
LONGEST_KEY = 4000  # characters; a JWT with a few claims has some 250

# Supabase's documentation, "Connect to your database": direct, and the pooler Supavisor.
_PROJECT_HOST = re.compile(r"(?P<ref>[a-z]{20})\.supabase\.(?:co|in|red)")
_DIRECT_HOST = re.compile(r"db\.(?P<ref>[a-z]{20})\.supabase\.(?:co|in|red)")
_POOLER_HOST = re.compile(r"[a-z0-9-]+\.pooler\.supabase\.(?:com|green)")
_POOLER_USER = re.compile(r".+\.(?P<ref>[a-z]{20})")
_POOLER_OPTION = re.compile(r"(?:^|\s)(?:-c\s*)?reference=(?P<ref>[a-z]{20})(?:\s|$)")
_PLATFORM_PATH = re.compile(r"/project/(?P<ref>[a-z]{20})/?")
_TRANSACTION_PORT, _SESSION_PORT = "6543", "5432"
# Supabase's local stack (`supabase start`): its API, and its database one port above.
_STACK_API_PORT, _STACK_DATABASE_PORT = 54321, 54322
_HIGHEST_PORT = 65535
_STACK_LOGIN = "postgres"  # the user's name, its password, and the database's name

# What a URL may say beside where and who. The others name files on this machine to read or write, or other
# places to ask, and an address may come from somewhere else.
_PARAMETERS = frozenset(
    {
        "host", "port", "user", "password", "dbname", "sslmode", "sslrootcert", "sslnegotiation",
        "channel_binding", "options", "connect_timeout", "application_name",
    }
)  # fmt: skip
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# A name, or an address, with the network interface that a link-local one needs.
_HOST = re.compile(r"[\w.:-]+|[\w.:]*:[\w.:]*%[\w.-]+")
_PLACEHOLDER = re.compile(r"\[.*\]|<.*>|YOUR[-_]?PASSWORD", re.IGNORECASE)
_WHERE_TO_FIND_IT = (
    "Give the project's database URL instead, and the key beside it: in Supabase's dashboard it is under "
    "Connect → Session pooler (or Direct connection), with the database password that was chosen when the "
    "project was made."
)
_HOW_TO_ENCODE = (
    "Percent-encode what is special in user and password: @ is %40, : is %3A, / is %2F, # is %23, ? is %3F, "
    "% is %25."
)


@dataclass(frozen=True)
class GivenDatabase:
    """A database as it was given, checked.

    Attributes:
        database_url: a PostgreSQL URL in one form, with user and password.
        project_url: of the API of the Supabase project that it belongs to, where that is known.
        key: the project's service role key or a secret key; it opens everything in the project.
        ref: the reference of the project on Supabase's cloud.
        allow_other_tables: whether tables of others may be in it. They are not touched in any case.
        notes: what was understood in another way than it was written, one sentence each.
    """

    database_url: str = field(repr=False)
    project_url: str | None = None
    key: str | None = field(default=None, repr=False)
    ref: str | None = None
    allow_other_tables: bool = False
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def parameters(self) -> dict[str, Any]:
        """For libpq. Holds the password. What libpq would otherwise take from the environment or a file
        of ours, such as another password, is said here."""
        parameters: dict[str, Any] = conninfo_to_dict(self.database_url)
        parameters.setdefault("password", "")
        return parameters | {"passfile": os.devnull, "gssencmode": "disable"}

    @property
    def host(self) -> str:
        return str(conninfo_to_dict(self.database_url)["host"])

    @property
    def database(self) -> str:
        return str(conninfo_to_dict(self.database_url)["dbname"])

    @property
    def user(self) -> str:
        return str(conninfo_to_dict(self.database_url)["user"])

    @property
    def plain_user(self) -> str:
        """The login by its own name: a pooler wants to hear the project behind it."""
        of_pooler = _POOLER_USER.fullmatch(self.user)
        if of_pooler is not None and _POOLER_HOST.fullmatch(self.host):
            return self.user.removesuffix(f".{of_pooler['ref']}")
        return self.user

    @property
    def certificates(self) -> str | None:
        """The file with whom to trust, on this machine; ``system`` for those that the system trusts."""
        named = conninfo_to_dict(self.database_url).get("sslrootcert")
        return None if named is None else str(named)

    @property
    def where(self) -> str:
        """For messages; it completes "… on"."""
        parameters = conninfo_to_dict(self.database_url)
        return f"the database {parameters['dbname']} at {_place(parameters)}"

    def as_login(self, user: str, password: str) -> GivenDatabase:
        """The same database with another login of it. A pooler wants to hear the project from everybody."""
        parameters = {
            name: str(value) for name, value in conninfo_to_dict(self.database_url).items()
        }
        of_pooler = _POOLER_USER.fullmatch(parameters["user"])
        if of_pooler is not None and _POOLER_HOST.fullmatch(parameters["host"]):
            user = f"{user}.{of_pooler['ref']}"
        url = _as_url(parameters | {"user": user, "password": password})
        return replace(self, database_url=url, key=None)

    @property
    def identity(self) -> bytes:
        """What must be equal for two to be the same database with the same rights. Knows nothing of
        passwords and keys, so that nobody can guess them from it."""
        parameters = conninfo_to_dict(self.database_url)
        parts = [str(parameters[name]) for name in ("host", "port", "dbname", "user")]
        parts += [self.project_url or "", str(self.allow_other_tables)]
        return hashlib.sha256("\0".join(parts).encode()).digest()

    def as_document(self) -> dict[str, Any]:
        """For sealing, and nothing else: what :func:`read_given_database` takes to read it again."""
        return {
            "database_url": self.database_url,
            "database_key": self.key,
            "project_url": self.project_url,
            "allow_other_tables": self.allow_other_tables,
        }


def read_given_database(
    database_url: str,
    database_key: str | None = None,
    *,
    project_url: str | None = None,
    allow_other_tables: bool = False,
) -> GivenDatabase:
    """What was given, understood.

    Args:
        database_url: a PostgreSQL URL, or the URL of a Supabase project.
        database_key: a Supabase project's service role key (a JWT) or secret key (``sb_secret_…``).
        project_url: of a project whose API is somewhere that the database's URL does not tell.

    Raises:
        InvalidDatabaseUrl, InvalidInput: it cannot be used; the message holds no part of a secret.
        DatabaseUrlMissing: tables cannot be made through what was given.
    """
    address = _plain_text(database_url, LONGEST_URL, "database URL")
    key = None if database_key is None else _plain_text(database_key, LONGEST_KEY, "database key")
    if project_url is not None:
        project_url = _read_project_url(_plain_text(project_url, LONGEST_URL, "project URL"))
    if re.match(r"https?://", address, re.IGNORECASE):
        given = _from_project(_read_project_url(address), key, project_url)
    elif re.match(r"postgres(?:ql)?://", address, re.IGNORECASE):
        given = _from_postgres(address, project_url)
    else:
        raise InvalidDatabaseUrl(
            "The database URL begins with neither postgresql:// nor https://.",
            next_step="Write it as postgresql://USER:PASSWORD@HOST:PORT/DATABASE.",
        )
    if key is not None:
        given = _with_key(given, key)
    return replace(given, allow_other_tables=allow_other_tables)


# --- a PostgreSQL URL -----------------------------------------------------------------------------


def _from_postgres(address: str, project_url: str | None) -> GivenDatabase:
    parameters = _read_address(address)
    host, port, user = parameters["host"], parameters["port"], parameters["user"]
    notes: tuple[str, ...] = ()
    ref = None
    if direct := _DIRECT_HOST.fullmatch(host):
        ref = direct["ref"]
    elif _POOLER_HOST.fullmatch(host):
        named = _POOLER_USER.fullmatch(user) or _POOLER_OPTION.search(parameters.get("options", ""))
        if named is None:
            raise InvalidDatabaseUrl(
                "The database URL leads to Supabase's pooler, but its user does not say to which project.",
                next_step="Write the user as the dashboard does: postgres.<reference of the project>.",
            )
        ref = named["ref"]
    if ref is not None:
        if port == _TRANSACTION_PORT:
            # What we do there takes sessions: SET ROLE, locks, prepared statements.
            parameters["port"] = _SESSION_PORT
            notes += (
                f"Port {_TRANSACTION_PORT} is a pooler that gives each transaction another session; "
                f"{_SESSION_PORT}, which keeps one, is used instead.",
            )
        project_url = project_url or f"https://{ref}.supabase.co"
    elif project_url is None and is_loopback(host) and port == str(_STACK_DATABASE_PORT):
        project_url = _url_of("http", host, _STACK_API_PORT)
    _require_tls(parameters, is_cloud=ref is not None)
    return GivenDatabase(_as_url(parameters), project_url, ref=ref, notes=notes)


def _read_address(address: str) -> dict[str, str]:
    """The parameters of a URL, as libpq reads them."""
    try:
        read = conninfo_to_dict(address)
    except psycopg.Error:
        # What libpq says quotes what it could not read.
        raise InvalidDatabaseUrl(
            "The database URL cannot be read.",
            next_step="Write it as postgresql://USER:PASSWORD@HOST:PORT/DATABASE. "
            + _HOW_TO_ENCODE,
        ) from None
    parameters = {name: str(value) for name, value in read.items() if value is not None}
    if unknown := sorted(set(parameters) - _PARAMETERS):
        raise InvalidDatabaseUrl(
            f"The database URL has a parameter that cannot be used here: {unknown[0]}.",
            next_step=f"Leave it out. Those that can be used: {', '.join(sorted(_PARAMETERS))}.",
        )
    if any(not value.isprintable() for value in parameters.values()):
        raise InvalidDatabaseUrl("The database URL holds a character that cannot be shown.")
    _check_who_and_where(parameters)
    parameters["host"] = _plain_host(parameters["host"])
    parameters.setdefault("port", "5432")
    for name in ("connect_timeout", "application_name"):
        parameters.pop(name, None)  # those are ours to choose
    return parameters


def _check_who_and_where(parameters: Mapping[str, str]) -> None:
    host = parameters.get("host", "")
    # The first @ ends the password; where a slash is in it, all of it is taken for something else.
    if "@" in host or "@" in parameters.get("dbname", "") or "@" in parameters.get("port", ""):
        raise InvalidDatabaseUrl(
            "The user or the password in the database URL holds a character that has a meaning there.",
            next_step=_HOW_TO_ENCODE,
        )
    missing = [
        what
        for name, what in (("host", "host"), ("user", "user"), ("dbname", "name of the database"))
        if not parameters.get(name)
    ]
    if missing:
        raise InvalidDatabaseUrl(
            f"The database URL has no {missing[0]}.",
            next_step="Write it as postgresql://USER:PASSWORD@HOST:PORT/DATABASE.",
        )
    if "," in host or "," in parameters.get("port", ""):
        raise InvalidDatabaseUrl(
            "The database URL names several hosts: a client's database is at one.",
            next_step="Name the one that takes writes, or the address that always leads there.",
        )
    if not host.startswith("/") and not _HOST.fullmatch(host):
        raise InvalidDatabaseUrl(
            "The host in the database URL holds a character that no host's name or address has.",
            next_step="Write it as postgresql://USER:PASSWORD@HOST:PORT/DATABASE. "
            + _HOW_TO_ENCODE,
        )
    port = parameters.get("port", "5432")
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= _HIGHEST_PORT):
        raise InvalidDatabaseUrl(
            "The port in the database URL is no number from 1 to 65535.", next_step=_HOW_TO_ENCODE
        )
    password = parameters.get("password", "")
    if _PLACEHOLDER.fullmatch(password):
        raise InvalidDatabaseUrl(
            "The database URL still holds the placeholder for the password.",
            next_step="Put the database's password in its place. " + _HOW_TO_ENCODE,
        )
    if not password and not is_loopback(host):
        raise InvalidDatabaseUrl(
            "The database URL has no password.",
            next_step="Write it as postgresql://USER:PASSWORD@HOST:PORT/DATABASE.",
        )


def _plain_host(host: str) -> str:
    """In small letters, unless it is the folder of a socket."""
    return host if host.startswith("/") else host.rstrip(".").lower()


def _require_tls(parameters: dict[str, str], *, is_cloud: bool) -> None:
    """Over a network, the password and all that the client keeps travel encrypted, unless it is said
    otherwise; to Supabase in any case."""
    mode = parameters.get("sslmode")
    if mode is not None and mode not in _SSL_MODES:
        raise InvalidDatabaseUrl(
            f"The database URL's sslmode is none of {', '.join(_SSL_MODES)}.",
        )
    if (is_cloud and mode in {None, "disable", "allow", "prefer"}) or (
        mode is None and not is_loopback(parameters["host"])
    ):
        parameters["sslmode"] = "require"


def _as_url(parameters: Mapping[str, str]) -> str:
    rest = dict(parameters)
    host, port = rest.pop("host"), rest.pop("port")
    user, password = quote(rest.pop("user"), safe=""), rest.pop("password", None)
    database = quote(rest.pop("dbname"), safe="")
    who = user if not password else f"{user}:{quote(password, safe='')}"
    if host.startswith("/"):  # the folder of a socket, which cannot stand in the authority part
        place, rest = "", {"host": host, "port": port} | rest
    else:
        place = f"{_in_brackets(host).replace('%', '%25')}:{port}"
    query = "&".join(f"{name}={quote(rest[name], safe='')}" for name in rest)
    return f"postgresql://{who}@{place}/{database}" + (f"?{query}" if query else "")


def _place(parameters: Mapping[str, Any]) -> str:
    host = str(parameters["host"])
    return host if host.startswith("/") else f"{_in_brackets(host)}:{parameters['port']}"


def _in_brackets(host: str) -> str:
    """As it stands before a port: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


# --- a project's URL ------------------------------------------------------------------------------


def _read_project_url(address: str) -> str:
    """The URL of a project's API, in one form: without a slash at its end, or what stands behind."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise InvalidDatabaseUrl("The project URL cannot be read.") from None
    if parts.scheme.lower() not in {"http", "https"} or not host:
        raise InvalidDatabaseUrl(
            "The project URL is not one that begins with https:// or http://.",
            next_step="Write it as https://<reference>.supabase.co.",
        )
    if parts.username is not None or parts.query or parts.fragment:
        raise InvalidDatabaseUrl(
            "The project URL holds a user, a query or a fragment.",
            next_step="Write it as https://<reference>.supabase.co; the key is given apart.",
        )
    if host in {"supabase.com", "app.supabase.com", "api.supabase.com"}:
        raise InvalidDatabaseUrl(
            "That is an address of Supabase's dashboard or Management API, not of a project.",
            next_step=_WHERE_TO_FIND_IT,
        )
    if parts.scheme.lower() == "http" and not is_loopback(host):
        raise InvalidDatabaseUrl(
            "The project URL begins with http://: the key would travel unencrypted.",
            next_step="Write it with https://.",
        )
    path = parts.path.rstrip("/")
    for service in ("/rest/v1", "/auth/v1", "/storage/v1"):  # as pasted from an example
        path = path.removesuffix(service)
    return _url_of(parts.scheme.lower(), host, port) + path


def _url_of(scheme: str, host: str, port: int | None) -> str:
    return f"{scheme}://{_in_brackets(host)}" + (f":{port}" if port is not None else "")


def _from_project(url: str, key: str | None, project_url: str | None) -> GivenDatabase:
    """Only the local stack has its database at a place, and with a password, that is known."""
    if project_url is not None and project_url != url:
        raise InvalidInput(
            "Two project URLs were given, and no database URL.",
            next_step="Give the PostgreSQL URL of the project's database as the database URL.",
        )
    if key is not None:
        _kind_of_key(key, ref=_ref_of(url))  # what is wrong with it is said first
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) and not parts.path and parts.scheme == "http":
        port = (parts.port or 80) + _STACK_DATABASE_PORT - _STACK_API_PORT
        if port > _HIGHEST_PORT:
            raise InvalidDatabaseUrl("Behind that port there is none for a local stack's database.")
        parameters = {
            "host": host,
            "port": str(port),
            "user": _STACK_LOGIN,
            "password": _STACK_LOGIN,
            "dbname": _STACK_LOGIN,
        }
        note = f"Taken for Supabase's local stack, whose database is at port {port}."
        return GivenDatabase(_as_url(parameters), url, notes=(note,))
    which = "with the key alone" if key is not None else "alone"
    if _PROJECT_HOST.fullmatch(host):
        raise DatabaseUrlMissing(
            f"Tables cannot be made through {url} {which}: a project's API works on tables that are there. "
            "What is missing is the database URL.",
            next_step=_WHERE_TO_FIND_IT,
        )
    if _PLATFORM_PATH.fullmatch(parts.path):
        raise DatabaseUrlMissing(
            f"Tables cannot be made through the project {url} {which}. What is missing is the database URL.",
            next_step="Give it as the database URL, and this one as the project URL. The platform tells it at "
            "/v1/projects/<reference>/config/database/pooler; the password is the project's db_pass.",
        )
    raise DatabaseUrlMissing(
        f"Tables cannot be made through {url} {which}. What is missing is the database URL.",
        next_step="Give the PostgreSQL URL of the project's database as the database URL, and this one as the "
        "project URL.",
    )


def _ref_of(url: str | None) -> str | None:
    named = _PROJECT_HOST.fullmatch(urlsplit(url or "").hostname or "")
    return named["ref"] if named else None


# --- the key --------------------------------------------------------------------------------------


def _with_key(given: GivenDatabase, key: str) -> GivenDatabase:
    _kind_of_key(key, ref=given.ref or _ref_of(given.project_url))
    if given.project_url is None:
        raise InvalidInput(
            "A key of a Supabase project was given, but the database URL does not tell which project's.",
            next_step="Give the project URL as well, or leave the key out: it is only needed for the API of a "
            "Supabase project.",
        )
    return replace(given, key=key)


def _kind_of_key(key: str, *, ref: str | None) -> str:
    """``secret`` or ``service_role``. Raises InvalidInput when it is none of both."""
    if key.startswith("sb_secret_"):
        return "secret"
    if key.startswith("sb_publishable_"):
        raise InvalidInput(
            "The database key is the project's publishable key, which may not add users.",
            next_step="Give a secret key (sb_secret_…) or the service role key.",
        )
    if key.startswith("sbp_"):
        raise InvalidInput(
            "The database key is an access token for Supabase's Management API, not a key of a project.",
            next_step="Give the project's service role key. With an access token, projects can be made: "
            "GHOSTCRM_PROVIDER=supabase.",
        )
    claims = _claims_of(key)
    if claims is None:
        raise InvalidInput(
            "The database key is neither a secret key (sb_secret_…) nor a service role key (a JWT).",
            next_step="Copy it from the project's dashboard: Project Settings → API Keys.",
        )
    if claims.get("role") != "service_role":
        raise InvalidInput(
            "The database key is not the service role key: it is made for another role.",
            next_step="Give the service role key, or a secret key (sb_secret_…).",
        )
    if ref is not None and claims.get("ref") not in {None, ref}:
        raise InvalidInput("The database key belongs to another project than the database URL.")
    expires = claims.get("exp")
    if isinstance(expires, int | float) and expires < time.time():
        raise InvalidInput("The database key has expired.")
    return "service_role"


def _claims_of(key: str) -> dict[str, Any] | None:
    """What a JWT says; its signature is checked by whom it is shown to. None when it is none."""
    import base64  # noqa: PLC0415 - only a key needs it

    parts = key.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None


# --- both -----------------------------------------------------------------------------------------


def is_loopback(host: str) -> bool:
    """Whether what is sent there stays on this machine."""
    if host.startswith("/") or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _plain_text(value: str, longest: int, what: str) -> str:
    text = value.strip()
    if not text:
        raise InvalidInput(f"The {what} is empty.")
    if len(text) > longest:
        raise InvalidInput(
            f"The {what} has {len(text)} characters; at most {longest} are possible."
        )
    if any(ord(character) < 33 or ord(character) == 127 for character in text):
        raise InvalidInput(f"The {what} holds a space or a control character.")
    return text
