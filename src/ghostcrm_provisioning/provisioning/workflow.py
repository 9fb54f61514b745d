"""What a workflow is: named steps, each of which looks, makes, and looks again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ghostcrm_provisioning.observation import Observation
from ghostcrm_provisioning.provisioning.work import Work


@dataclass(frozen=True)
class Step:
    """A convergent part of a workflow.

    ``observe`` looks whether what the step is for is already so, and changes nothing. ``make`` makes
    it so; it may run twice, after a crash at any instant, or beside a zombie of itself. A step is
    done when ``observe`` says so, never because ``make`` returned.
    """

    name: str
    title: str
    observe: Callable[[Work], Awaitable[Observation]]
    make: Callable[[Work], Awaitable[None]]


@dataclass(frozen=True)
class Workflow:
    """Steps in their order; ``kind`` is what a run of it is called, and ``failure`` what the audit
    log says when one has failed."""

    kind: str
    title: str
    failure: str
    steps: tuple[Step, ...]

    @property
    def step_names(self) -> tuple[str, ...]:
        return tuple(step.name for step in self.steps)

    def title_of(self, step_name: str) -> str:
        return next((step.title for step in self.steps if step.name == step_name), step_name)
