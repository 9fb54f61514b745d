"""What can be done for a client from its page, as data: the page shows what stands here, in this order.

Whether it may be done is decided where it is done; here it is only said beforehand, so that nobody has to
try. What does not exist in this version is not offered: a new action is one more entry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.clients.client import Client
from ghostcrm_provisioning.clients.run import Run

Place = Literal["run", "client", "isolation", "connection"]


@dataclass(frozen=True)
class Situation:
    """What decides which actions are possible."""

    client: Client
    run: Run
    is_being_verified: bool = False

    @property
    def is_quarantined(self) -> bool:
        return "quarantined" in self._stands and "deleted" not in self._stands

    @property
    def is_suspended(self) -> bool:
        """Or on its way to that, or back."""
        return "suspended" in self._stands and "deleted" not in self._stands

    @property
    def why_closed(self) -> str | None:
        """Why nobody is let in, or is to be: in a sentence; None when that is not so."""
        if "deleted" in self._stands:
            return "It is deleted." if self.client.status == "deleted" else "It is being deleted."
        if "quarantined" in self._stands:
            return "It is in quarantine."
        if "suspended" in self._stands:
            return {
                ("suspended", "suspended"): "It is suspended.",
                ("suspended", "ready"): "It is being resumed.",
            }.get((self.client.status, self.client.wanted_status), "It is being suspended.")
        return None

    @property
    def _stands(self) -> set[str]:
        return {self.client.status, self.client.wanted_status}


@dataclass(frozen=True)
class Action:
    """One thing that can be done for a client.

    Attributes:
        path: after the client's own; a page with a form when ``opens_page``, else where the form is sent.
        place: the part of the page in which it stands.
        consequence: what becomes of the client and its data, in one sentence.
        why_not: why it cannot be done now; None when it can.
        is_shown: whether it is of any meaning for a client in that situation.
    """

    key: str
    label: str
    path: str
    scope: Scope
    place: Place
    consequence: str
    why_not: Callable[[Situation], str | None]
    is_shown: Callable[[Situation], bool] = lambda _: True
    opens_page: bool = False


@dataclass(frozen=True)
class Offer:
    """An action as it is offered to somebody now."""

    action: Action
    why_not: str | None

    @property
    def is_possible(self) -> bool:
        return self.why_not is None


def _is_there(situation: Situation) -> bool:
    """Of a client that is deleted, only the history is left."""
    return situation.client.status != "deleted"


def _why_no_retry(situation: Situation) -> str | None:
    run = situation.run
    if run.status == "failed":
        return None
    if run.status == "waiting":
        return "It is tried again by itself."
    return f"Its latest run is {run.status}."


def _why_no_change_of_plan(situation: Situation) -> str | None:
    if situation.why_closed:
        return situation.why_closed
    if situation.client.status != "ready":
        return f"It is not ready ({situation.client.status}): there is nothing to count yet."
    return None


def _why_no_verification(situation: Situation) -> str | None:
    if situation.is_being_verified:
        return "An attack is asked for, or under way."
    if situation.why_closed and not situation.is_quarantined:
        return situation.why_closed
    if situation.client.status not in {"ready", "quarantined"}:
        return f"It is not ready ({situation.client.status}): there is nothing to attack yet."
    return None


def _why_no_release(situation: Situation) -> str | None:
    if situation.is_being_verified:
        return "An attack is asked for, or under way."
    if situation.client.status != "quarantined":
        return "Its database is being closed; that comes first."
    return None


def _why_not_let_in(situation: Situation) -> str | None:
    if situation.why_closed:
        return f"{situation.why_closed.removesuffix('.')}: nobody is let in."
    if situation.client.status != "ready":
        return f"It is not ready ({situation.client.status}): nobody is let in yet."
    return None


def _why_nothing_else(situation: Situation) -> str | None:
    """One thing after the other."""
    if not situation.run.is_finished:
        return f"Something is being done for it: its latest run is {situation.run.status}."
    return None


def _why_no_rotation(situation: Situation) -> str | None:
    return _why_not_let_in(situation) or _why_nothing_else(situation)


def _why_no_suspension(situation: Situation) -> str | None:
    if situation.why_closed:
        return situation.why_closed
    if situation.client.status != "ready":
        return f"It is not ready ({situation.client.status}): there is nothing to close."
    return _why_nothing_else(situation)


ACTIONS: tuple[Action, ...] = (
    Action(
        "retry",
        "Retry run",
        "/retry",
        Scope.CLIENTS_WRITE,
        "run",
        "The run goes on at the step that failed, with all its attempts anew. What is done stays done.",
        _why_no_retry,
        is_shown=lambda situation: situation.run.status != "succeeded",
    ),
    Action(
        "release",
        "Release from quarantine",
        "/release",
        Scope.CLIENTS_WRITE,
        "isolation",
        "Its database is attacked once more, and opened if, and only if, everything is refused.",
        _why_no_release,
        is_shown=lambda situation: situation.is_quarantined,
        opens_page=True,
    ),
    Action(
        "change_plan",
        "Change plan",
        "/plan",
        Scope.CLIENTS_WRITE,
        "client",
        "You see what would be gained, lost and over a limit before anything is changed. No data is deleted.",
        _why_no_change_of_plan,
        is_shown=_is_there,
        opens_page=True,
    ),
    Action(
        "suspend",
        "Suspend",
        "/suspend",
        Scope.CLIENTS_WRITE,
        "client",
        "Nobody gets in until it is resumed. All of its data stays; it is exported first.",
        _why_no_suspension,
        is_shown=lambda situation: situation.why_closed is None,
        opens_page=True,
    ),
    Action(
        "resume",
        "Resume",
        "/resume",
        Scope.CLIENTS_WRITE,
        "client",
        "Its database is attacked, and opened if, and only if, everything is refused.",
        _why_nothing_else,
        is_shown=lambda situation: situation.is_suspended,
    ),
    Action(
        "delete",
        "Delete",
        "/delete",
        Scope.CLIENTS_DELETE,
        "client",
        "Its database is removed, for ever. You are asked for its name and your password first.",
        _why_nothing_else,
        is_shown=_is_there,
        opens_page=True,
    ),
    Action(
        "verify",
        "Verify isolation",
        "/verify",
        Scope.CLIENTS_WRITE,
        "isolation",
        "Its database is attacked as everybody who must not get in; each attack is taken back. A proof "
        "that fails puts the client into quarantine.",
        _why_no_verification,
        is_shown=_is_there,
    ),
    Action(
        "connect",
        "Reveal connection",
        "/connection",
        Scope.CLIENTS_CONNECT,
        "connection",
        "You are asked for your password and a reason; the audit log keeps the reason.",
        _why_not_let_in,
        is_shown=_is_there,
        opens_page=True,
    ),
    Action(
        "rotate",
        "Exchange credentials",
        "/rotate",
        Scope.CLIENTS_CONNECT,
        "connection",
        "Its passwords and keys are replaced by new ones; the old ones open nothing any more. No data is changed.",
        _why_no_rotation,
        is_shown=_is_there,
        opens_page=True,
    ),
    Action(
        "reset_admin_password",
        "Reset admin password",
        "/admin-password",
        Scope.CLIENTS_CONNECT,
        "connection",
        "Its admin gets a new temporary password, shown to you once; the old one stops working.",
        _why_not_let_in,
        is_shown=_is_there,
        opens_page=True,
    ),
)


def offers_for(principal: Principal, situation: Situation) -> list[Offer]:
    """What is offered to ``principal``: nothing that he may not do at all."""
    return [
        Offer(action, action.why_not(situation))
        for action in ACTIONS
        if principal.may(action.scope) and action.is_shown(situation)
    ]
