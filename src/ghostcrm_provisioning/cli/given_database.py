"""How a command is told of a database that is there already, without its secrets being seen by others.

What stands on a command line is in the list of processes and in the shell's history. So the URL may come from
a file or a pipe, or from the environment; on the command line it may stand without its password, which is then
taken from PGPASSWORD or asked for.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer
from pydantic import SecretStr

from ghostcrm_provisioning.cli.output import say
from ghostcrm_provisioning.errors import InvalidInput
from ghostcrm_provisioning.settings import Settings

_STDIN = "-"
# The part of a URL that says who, up to where: a user, and nothing behind it.
_USER_ALONE = re.compile(r"(?P<scheme>postgres(?:ql)?://)(?P<user>[^:@/?#]+)@(?P<rest>[^@]*)")
_WITH_PASSWORD = re.compile(r"postgres(?:ql)?://[^/?#]*:[^/?#]*@|[?&]password=")

DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="A PostgreSQL database that is there already and is to be the client's; or the URL of Supabase's "
        "local stack. Without a password in it, PGPASSWORD is taken, or it is asked for: what stands on a "
        "command line, others on this machine can read.",
    ),
]
DatabaseUrlFile = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="The same from the first line of a file, `-` for stdin. Or set GHOSTCRM_EXISTING_DATABASE_URL.",
    ),
]
DatabaseKeyFile = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="The service role key or a secret key of the Supabase project, from the first line of a file, "
        "`-` for stdin. Or set GHOSTCRM_EXISTING_DATABASE_KEY.",
    ),
]
ProjectUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Where the Supabase project's API is, when the database URL does not tell.",
    ),
]
AllowOtherTables = Annotated[
    bool,
    typer.Option(
        "--allow-other-tables",
        help="The database may hold what is not ours. None of it is touched.",
    ),
]


def read_database_url(url: str | None, file: str | None, settings: Settings) -> str | None:
    """The URL, from wherever it was given; None when none was.

    Raises:
        InvalidInput: it was given twice, or the file cannot be read.
    """
    if url is not None and file is not None:
        raise InvalidInput("Give --database-url or --database-url-file, not both.")
    if file is not None:
        return _first_line(file, "--database-url-file")
    if url is None:
        return _opened(settings.existing_database_url)
    if _WITH_PASSWORD.search(url):
        say(
            "[yellow]The password in --database-url can be read in the list of processes and in the shell's "
            "history.[/] Use --database-url-file, or leave it out to be asked for it."
        )
        return url
    return _with_password(url)


def read_database_key(file: str | None, settings: Settings) -> str | None:
    """The key, from a file or the environment; None when none was given."""
    if file is not None:
        return _first_line(file, "--database-key-file")
    return _opened(settings.existing_database_key)


def read_first_line(file: str | None, option: str) -> str | None:
    """What is in the file that the option names, ``-`` for stdin; None without one.

    Raises:
        InvalidInput: it cannot be read.
    """
    return None if file is None else _first_line(file, option)


def refuse_two_from_stdin(*, password_stdin: bool, files: tuple[str | None, ...]) -> None:
    """Raises InvalidInput when more than one thing is to be read from there."""
    if [*files, _STDIN if password_stdin else None].count(_STDIN) > 1:
        raise InvalidInput("Only one of password, database URL and key can be read from stdin.")


def _opened(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _with_password(url: str) -> str:
    user = _USER_ALONE.fullmatch(url)
    if user is None:
        return url
    password = os.environ.get("PGPASSWORD")
    if password is None and sys.stdin.isatty():
        password = typer.prompt("Password of the database", hide_input=True, err=True)
    if not password:
        return url
    return f"{user['scheme']}{user['user']}:{quote(password, safe='')}@{user['rest']}"


def _first_line(file: str, option: str) -> str:
    try:
        if file == _STDIN:
            line = sys.stdin.buffer.readline()
        else:
            with Path(file).open("rb") as opened:
                line = opened.readline()
        return line.decode().strip()
    except OSError as problem:
        raise InvalidInput(f"The file of {option} cannot be read: {problem.strerror}.") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"What {option} names is not in UTF-8.") from None
