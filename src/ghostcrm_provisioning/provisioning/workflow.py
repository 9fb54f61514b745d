"""What a workflow is: named steps, each of which looks, makes, and looks again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ghostcrm_provisioning.clients.client import Client
from ghostcrm_provisioning.control_database.database import Connection
from ghostcrm_provisioning.observation import Observation
from ghostcrm_provisioning.provisioning.work import Work


@dataclass(frozen=True)
class Step:
    """A convergent part of a workflow.

    ``observe`` looks whether what the step is for is already so, and changes nothing. ``make`` makes
    it so; it may run twice, after a crash at any instant, or beside a zombie of itself. A step is
    done when ``observe`` says so, never because ``make`` returned.

    ``is_long``: it takes as long as there is data, and has a deadline of its own; ``is_long_afresh`` says
    that of it where a new database is no copy of a template.
    """

    name: str
    title: str
    observe: Callable[[Work], Awaitable[Observation]]
    make: Callable[[Work], Awaitable[None]]
    is_long: bool = False
    is_long_afresh: bool = False


async def nothing_more(_connection: Connection, _client: Client) -> None:
    """The conclusion of a workflow that has none of its own."""


@dataclass(frozen=True)
class Workflow:
    """Steps in their order; ``kind`` is what a run of it is called, and ``failure`` what the audit
    log says when one has failed.

    ``conclude`` writes what becomes true of the client when all steps were observed to be done. It is
    one transaction with the run's own success, so that nobody ever sees one without the other.

    ``reads_blueprint``: its steps need what the client's blueprint says; without it, a client whose
    blueprint is gone can be worked on as well. ``ends_as`` is the client's status when it has succeeded.
    """

    kind: str
    title: str
    failure: str
    steps: tuple[Step, ...]
    conclude: Callable[[Connection, Client], Awaitable[None]] = nothing_more
    reads_blueprint: bool = True
    ends_as: str = "ready"

    @property
    def step_names(self) -> tuple[str, ...]:
        return tuple(step.name for step in self.steps)

    def title_of(self, step_name: str) -> str:
        return next((step.title for step in self.steps if step.name == step_name), step_name)
