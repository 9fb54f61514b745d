"""A refusal as Supabase says it: an HTTP status and ``{"message": …}``.

It is not one of this product's errors: whoever reads it talks to Supabase, and its words are theirs.
What goes wrong on our side (a server that does not answer) is one of ours, and becomes a refusal at
the edge, in :mod:`ghostcrm_provisioning.supabase_platform.application`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Refusal(Exception):
    """The request is answered with this status and body."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})
        self.body: Mapping[str, Any] = {"message": message} if body is None else body


def removed() -> Refusal:
    """Of a project that was deleted."""
    return Refusal(400, "Resource has been removed")
