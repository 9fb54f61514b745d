"""A mail server as a setting names it: one URL, with a password in it.

``smtp://user:password@smtp.example.com:587?from=crm@example.com&name=GhostCRM``
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

_PORTS = {"smtp": 587, "smtps": 465}
_TLS_FROM_THE_START = 465  # the only port at which Supabase Auth speaks TLS at once; else STARTTLS
_ADDRESS = re.compile(r"[^@\s<>\",]+@[^@\s<>\",]+\.[^@\s<>\",]+")


@dataclass(frozen=True)
class MailServer:
    """Through which mail is sent, and as whom."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    sender: str
    sender_name: str | None = None


def read_mail_server(url: str) -> MailServer:
    """Raises ValueError, saying what is wrong with it and never what is in it."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(
            "is not a URL; what is special in its password must be percent-encoded"
        ) from None
    if parts.scheme not in _PORTS:
        raise ValueError("must start with smtp:// or smtps://")
    if not host or re.search(r"[^\w.:-]", host) or parts.path.strip("/") or parts.fragment:
        raise ValueError(
            "must be smtp://user:password@host:port?from=address; what is special in the password must be "
            "percent-encoded"
        )
    if not parts.username or not parts.password:
        raise ValueError("must have a user and a password")
    port = port or _PORTS[parts.scheme]
    if (parts.scheme == "smtps") != (port == _TLS_FROM_THE_START):
        raise ValueError(
            f"must be smtps:// with port {_TLS_FROM_THE_START}, or smtp:// with another one: that is how "
            "Supabase Auth decides between TLS and STARTTLS"
        )
    more = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := more.keys() - {"from", "name"}:
        # Its name may be a part of a password that was not encoded.
        raise ValueError(
            f"knows from and name after the question mark, and nothing else ({len(unknown)} more)"
        )
    sender = more.get("from", "")
    if not _ADDRESS.fullmatch(sender):
        raise ValueError("must name the sender: ?from=crm@example.com")
    user, password = unquote(parts.username), unquote(parts.password)
    name = more.get("name") or None
    if any(not each.isprintable() for each in (user, password, name or "")):
        raise ValueError("has control characters in it")
    return MailServer(host, port, user, password, sender, name)
