"""Passwords as bcrypt hashes, and temporary ones. Who may use which password is not decided here."""

from __future__ import annotations

import secrets
import string
from functools import cache

import bcrypt

# What Supabase Auth itself uses.
BCRYPT_COST = 10
# Without characters that are mistaken for one another; 20 of these are 114 bits.
_READABLE = "".join(sorted(set(string.ascii_letters + string.digits) - set("0O1lI")))
_TEMPORARY_PASSWORD_LENGTH = 20
_LONGEST = 72  # bytes; what bcrypt looks at


def hash_password(password: str, *, cost: int = BCRYPT_COST) -> str:
    """bcrypt, as Supabase Auth accepts it. Takes some tens of milliseconds by design."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


def is_password(password: str, known_hash: str) -> bool:
    """Whether ``known_hash`` is that of ``password``.

    One that no account can have (too long, not to be encoded) takes as long as any other.
    """
    try:
        text = password.encode()
    except UnicodeEncodeError:
        text = b""
    is_right = bcrypt.checkpw(text[:_LONGEST], known_hash.encode())
    return is_right and 0 < len(text) <= _LONGEST


@cache
def hash_of_nobody(cost: int) -> str:
    """What a password is compared with where there is no account, so that this takes as long."""
    return hash_password(make_temporary_password(), cost=cost)


def make_temporary_password() -> str:
    """A strong password that can be read aloud; its owner must change it."""
    return "".join(secrets.choice(_READABLE) for _ in range(_TEMPORARY_PASSWORD_LENGTH))
