"""Who is asking, as far as we have made sure of it ourselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from ghostcrm_provisioning.access.scope import Scope


@dataclass(frozen=True)
class Principal:
    """A token, or a person with an admin account (signed in here, or by the main project's JWT).

    ``scopes`` were read from the control database for this very request; nothing that the caller
    sent says what he may do.
    """

    kind: Literal["token", "account"]
    id: UUID
    name: str
    scopes: frozenset[Scope]

    def may(self, scope: Scope) -> bool:
        return Scope.ADMIN in self.scopes or scope in self.scopes

    @property
    def actor(self) -> str:
        """How the audit log names it."""
        return f"{'token' if self.kind == 'token' else 'admin'}:{self.name}"
