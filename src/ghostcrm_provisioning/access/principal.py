"""Who is asking, as far as we have made sure of it ourselves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from ghostcrm_provisioning.access.scope import SUFFICIENT, Scope
from ghostcrm_provisioning.errors import NotPermitted


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
    # Of an account, as it was when the password was compared: a session of another version is over.
    account_version: int | None = None
    # The session that it was found by, in the dashboard.
    session_id: UUID | None = field(default=None, compare=False)

    def may(self, scope: Scope) -> bool:
        return not self.scopes.isdisjoint(SUFFICIENT[scope])

    @property
    def actor(self) -> str:
        """How the audit log names it."""
        return f"{'token' if self.kind == 'token' else 'admin'}:{self.name}"


def actor_of(by: Principal | str) -> str:
    """How the audit log names whoever acts; the command line, which is nobody's account, is a text."""
    return by if isinstance(by, str) else by.actor


def must_have(by: Principal | str, scopes: Iterable[Scope]) -> None:
    """Nobody gives away rights that he does not have, nor changes an account that has more.

    The command line may: who runs it has the control database.

    Raises:
        NotPermitted: naming the scopes that are missing.
    """
    if isinstance(by, str):
        return
    missing = sorted(scope.value for scope in scopes if not by.may(scope))
    if missing:
        raise NotPermitted(
            f"This needs rights that you do not have yourself: {', '.join(missing)}.",
            next_step="Ask somebody who has them.",
        )
