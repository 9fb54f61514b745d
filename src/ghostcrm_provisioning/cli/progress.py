"""Shows a run's steps as they happen: a live list on a terminal, one line per step elsewhere."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from types import TracebackType

from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from ghostcrm_provisioning.cli.output import duration, err
from ghostcrm_provisioning.clients.run import Run, RunStep, milliseconds_between
from ghostcrm_provisioning.errors import ToldToWait
from ghostcrm_provisioning.provisioning.client_database_provisioner import WORKFLOWS

_MARKS = {
    "done": "[green]✓[/]",
    "failed": "[red]✕[/]",
    "waiting": "[yellow]…[/]",
    "pending": "[dim]·[/]",
}
_NUMBER = re.compile(r"[0-9]+")


class RunProgress:
    """Use as a context manager; call it with each new state of the run. Writes to stderr only."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._is_quiet = quiet
        self._live = (
            Live(console=err, refresh_per_second=12, transient=True)
            if err.is_terminal and not quiet
            else None
        )
        self._printed: dict[str, str] = {}
        self._shown: tuple[Run, list[RunStep]] | None = None

    def __enter__(self) -> RunProgress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
            if self._shown is not None:
                err.print(steps_table(*self._shown))

    def __call__(self, run: Run, steps: list[RunStep]) -> None:
        self._shown = (run, steps)
        if self._live is not None:
            self._live.update(steps_table(run, steps))
        elif not self._is_quiet:
            self._print_changes(run, steps)

    def _print_changes(self, run: Run, steps: list[RunStep]) -> None:
        for step in steps:
            # Told to wait, it is no other attempt: what is waited for may change, and the time that it takes does.
            cause = _NUMBER.sub("", _cause(step)) if step.status == "waiting" else ""
            state = f"{step.status} {step.attempt} {cause}"
            if (
                step.status in {"done", "failed", "waiting"}
                and self._printed.get(step.name) != state
            ):
                self._printed[step.name] = state
                err.print(_line(run, step))


def steps_table(run: Run, steps: list[RunStep]) -> RenderableType:
    """A run's steps with mark, time and what was seen."""
    table = Table.grid(padding=(0, 1))
    table.add_column(width=1)
    table.add_column(min_width=22)
    table.add_column(justify="right", min_width=8)
    table.add_column(style="dim", overflow="fold")
    for step in steps:
        table.add_row(
            _mark(step), _title(run, step), _time(step), Text.from_markup(_note(run, step))
        )
    if run.status == "queued":
        return Group(table, Text("Waiting for a worker …", style="dim"))
    return table


def _mark(step: RunStep) -> RenderableType:
    if step.status == "running":
        return Spinner("dots", style="cyan")
    return Text.from_markup(_MARKS[step.status])


def _line(run: Run, step: RunStep) -> str:
    note = _note(run, step)
    return f"{_MARKS[step.status]} {_title(run, step):<22} {_time(step):>8}  [dim]{note}[/]"


def _title(run: Run, step: RunStep) -> str:
    return WORKFLOWS[run.kind].title_of(step.name)


def _time(step: RunStep) -> str:
    if step.status == "running":
        return duration(milliseconds_between(step.started_at, datetime.now(UTC)))
    return duration(step.duration_ms)


def _note(run: Run, step: RunStep) -> str:
    if step.status == "waiting" and run.next_attempt_at is not None:
        seconds = max(0, round((run.next_attempt_at - datetime.now(UTC)).total_seconds()))
        if (step.error or {}).get("code") == ToldToWait.code:
            return f"{_cause(step)} Looks again in {seconds} s."
        return f"attempt {step.attempt} in {seconds} s: {_cause(step)}"
    if step.status == "failed":
        return _cause(step)
    return escape(step.observation or "")


def _cause(step: RunStep) -> str:
    return escape(str((step.error or {}).get("message", "")))
