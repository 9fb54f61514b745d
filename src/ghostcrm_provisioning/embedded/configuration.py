"""What the server is told: its settings, and who may log in how."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from ghostcrm_provisioning.errors import InvalidSetting

FILE_NAME = "ghostcrm.conf"
INCLUDE_LINE = f"\ninclude = '{FILE_NAME}'  # written anew at every start by GhostCRM\n"

# Nobody logs in without SCRAM, from nowhere but this machine; not for replication at all.
HOST_BASED_AUTHENTICATION = """\
# Written by GhostCRM.
# TYPE  DATABASE  USER  ADDRESS       METHOD
host    all       all   127.0.0.1/32  scram-sha-256
"""

_DEFAULTS: Mapping[str, str] = {
    "cluster_name": "ghostcrm",
    # One laptop, many small databases.
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # The log: a file for each day of the week, so that it never holds more than seven days.
    "logging_collector": "on",
    "log_filename": "postgresql-%a.log",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
    "log_line_prefix": "%m [%p] ",
    "log_min_messages": "warning",
    "log_connections": "off",
    "log_disconnections": "off",
    "log_checkpoints": "off",
    # A statement can hold a password or a client's data: no statement is logged, not when it fails
    # (log_min_error_statement), not as the context or detail of an error (terse), not as parameter.
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}

# These are what this package promises, or has an argument of its own.
_FIXED_NAMES = frozenset(
    {
        "config_file",
        "data_directory",
        "hba_file",
        "ident_file",
        "listen_addresses",
        "log_destination",
        "log_directory",
        "password_encryption",
        "port",
        "unix_socket_directories",
    }
)
_NAME = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?")


def check_settings(settings: Mapping[str, str]) -> None:
    """Raise InvalidSetting unless every one (names in small letters) may be given to the server."""
    for name, value in settings.items():
        if not _NAME.fullmatch(name):
            raise InvalidSetting(f"{name!r} is not the name of a PostgreSQL setting.")
        if name in _FIXED_NAMES:
            raise InvalidSetting(f"The embedded PostgreSQL decides {name} itself.", setting=name)
        if any(character in value for character in "\n\r\0"):
            raise InvalidSetting(
                f"The PostgreSQL setting {name} spans several lines.", setting=name
            )


def configuration_text(*, port: int, log_folder: Path, settings: Mapping[str, str]) -> str:
    """The contents of the configuration file; ``settings`` win over our own choices."""
    own = {
        **_DEFAULTS,
        **settings,
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "password_encryption": "scram-sha-256",
        "log_destination": "stderr",
        "log_directory": os.fspath(log_folder),
    }
    lines = ["# Written by GhostCRM at every start; use ALTER SYSTEM for settings of your own."]
    lines += [f"{name} = {_quoted(value)}" for name, value in own.items()]
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    # A configuration file reads '' and backslashes as in C strings (guc-file.l).
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
