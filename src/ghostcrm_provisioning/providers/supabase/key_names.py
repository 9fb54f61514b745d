"""How our keys of a project's API are called, and which of several is used.

A project comes with one key of each kind, called ``default``; one that we had to make is ``ghostcrm``. Those
of a rotation carry its number, which only grows: of two, it is plain which is the newer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from ghostcrm_provisioning.providers.supabase.documents import ApiKey

Kind = Literal["publishable", "secret"]
KINDS: tuple[Kind, ...] = ("publishable", "secret")
FIRST_NAME = "ghostcrm"
_FIRST_NAMES = ("default", FIRST_NAME)
_NUMBERED = re.compile(r"ghostcrm_(?:publishable|secret)_(?P<number>[1-9][0-9]{0,8})")


def name_of_rotation(kind: Kind, number: int) -> str:
    """Of the key that a rotation makes. It tells the kind: names may have to differ between kinds, too."""
    return f"ghostcrm_{kind}_{number}"


def rotation_of(key: ApiKey) -> int | None:
    """Of which rotation a key is; 0 for one from before the first. None: it is not ours."""
    if key.name in _FIRST_NAMES:
        return 0
    numbered = _NUMBERED.fullmatch(key.name)
    return None if numbered is None else int(numbered["number"])


def newest(known: Iterable[ApiKey], kind: str) -> ApiKey | None:
    """The key of that kind that is used: ours of the latest rotation, or whichever there is."""
    fitting = [key for key in known if key.kind == kind]
    return max(fitting, key=_rank, default=None)


def _rank(key: ApiKey) -> tuple[int, bool]:
    number = rotation_of(key)
    return (-1 if number is None else number, key.name == _FIRST_NAMES[0])
