"""SQL lives in ``.sql`` files next to its noun; this reads such a file into its named statements.

A statement starts with ``-- name: find_client``; the comment below it says what it is for.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import LiteralString, cast

_NAME = re.compile(r"^-- name: ([a-z][a-z0-9_]*)$", re.MULTILINE)


class NamedSql:
    """The statements of one file; ``sql["find_client"]`` is the text of one.

    The text is trusted: it is part of the package, never built from input. Values are passed as
    parameters (``%(name)s``), identifiers through :mod:`psycopg.sql`.
    """

    def __init__(self, package: str, file_name: str) -> None:
        text = files(package).joinpath(file_name).read_text(encoding="utf-8")
        parts = _NAME.split(text)[1:]
        self._statements = dict(zip(parts[::2], parts[1::2], strict=True))
        if len(self._statements) * 2 != len(parts):
            raise ValueError(f"{package}/{file_name} names a statement twice")

    def __getitem__(self, name: str) -> LiteralString:
        return cast("LiteralString", self._statements[name].strip())

    def names(self) -> list[str]:
        """The names, in the order of the file."""
        return list(self._statements)
