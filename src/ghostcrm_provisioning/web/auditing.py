"""Which requests the audit log hears of: every one that was refused, and every one that may change
something, whatever became of it.

What nobody answers for (a request without a valid token) could be sent by anybody, as often as they
like. Beyond a number a minute such requests are counted, and written as one line a minute for each
address, so that a flood of them does not fill the disk.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from uuid import UUID

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.audit.record import ORIGIN, Result, record
from ghostcrm_provisioning.control_database.database import ControlDatabase
from ghostcrm_provisioning.errors import GhostcrmError
from ghostcrm_provisioning.provisioning_log import get_logger

CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_TOO_MANY = 429
REFUSED = frozenset({401, 403, _TOO_MANY})
NOBODY = "nobody"

_LINES_A_MINUTE_AND_ADDRESS = 30
_LINES_A_MINUTE = 300
_MINUTE_SECONDS = 60.0
_LONGEST_WRITE_SECONDS = 5.0
_MOST_ADDRESSES = 1000
_OTHERS = "others"


@dataclass(frozen=True)
class Call:
    """One request with what became of it."""

    method: str
    template: str
    path_parameters: dict[str, str]
    status: int
    principal: Principal | None

    @property
    def is_audited(self) -> bool:
        return self.method in CHANGING or self.status in REFUSED

    @property
    def can_be_a_flood(self) -> bool:
        """What nobody answers for, and what was not even looked at because it came too often."""
        return self.principal is None or self.status == _TOO_MANY

    @property
    def result(self) -> Result:
        if self.status < 400:
            return "done"
        return "refused" if self.status < 500 else "failed"

    @property
    def client_id(self) -> UUID | None:
        with suppress(ValueError):
            return UUID(self.path_parameters.get("client_id", ""))
        return None

    @property
    def details(self) -> dict[str, Any]:
        # Not what was in the path of an address that there is not: it can hold anything.
        return {"status": self.status} | {
            name: value[:100] for name, value in self.path_parameters.items() if name != "path"
        }


@dataclass
class _Minute:
    """What was written and what was only counted in one minute."""

    begun: float = field(default_factory=monotonic)
    written: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)

    @property
    def is_over(self) -> bool:
        return monotonic() - self.begun >= _MINUTE_SECONDS

    def takes_a_line(self, address: str) -> bool:
        if (
            self.written[address] >= _LINES_A_MINUTE_AND_ADDRESS
            or self.written.total() >= _LINES_A_MINUTE
        ):
            known = address in self.counted or len(self.counted) < _MOST_ADDRESSES
            self.counted[address if known else _OTHERS] += 1
            return False
        self.written[address] += 1
        return True


class Auditor:
    """Writes the lines of requests into the audit log."""

    def __init__(self, control: ControlDatabase) -> None:
        self._control = control
        self._minute = _Minute()
        self._summary: asyncio.Task[None] | None = None
        self._log = get_logger("web")

    async def hear_of(self, call: Call, address: str) -> None:
        """Record a call, unless it is one of a flood. Never in the way of the answer: a line that
        cannot be written is in the log."""
        if call.can_be_a_flood and not self._takes_a_line(address):
            return
        kind = "refused" if call.status in REFUSED else "called"
        await self._write(
            actor=call.principal.actor if call.principal else NOBODY,
            action=f"request.{kind}",
            client_id=call.client_id,
            target=f"{call.method} {call.template}",
            result=call.result,
            details=call.details,
        )

    async def close(self) -> None:
        """Write what was only counted until now."""
        if self._summary is not None:
            self._summary.cancel()
            with suppress(asyncio.CancelledError):
                await self._summary
        await self._write_summary()

    def _takes_a_line(self, address: str) -> bool:
        if self._minute.is_over and not self._minute.counted:
            self._minute = _Minute()
        takes = self._minute.takes_a_line(address)
        if not takes and (self._summary is None or self._summary.done()):
            self._summary = asyncio.create_task(self._summarise())
        return takes

    async def _summarise(self) -> None:
        ORIGIN.set(None)  # a task of its own, and no request's
        await asyncio.sleep(max(0.0, self._minute.begun + _MINUTE_SECONDS - monotonic()))
        await self._write_summary()

    async def _write_summary(self) -> None:
        counted, self._minute = self._minute.counted, _Minute()
        for address, count in counted.items():
            await self._write(
                actor=NOBODY,
                action="request.flood",
                target=f"{count} more requests in a minute from {address}",
                result="refused",
                details={"address": address, "count": count},
            )

    async def _write(self, **line: Any) -> None:
        try:
            async with (
                asyncio.timeout(_LONGEST_WRITE_SECONDS),
                self._control.connection() as connection,
            ):
                await record(connection, **line)
        except (GhostcrmError, TimeoutError) as problem:
            self._log.error("audit_line_lost", error=str(problem), **line)
