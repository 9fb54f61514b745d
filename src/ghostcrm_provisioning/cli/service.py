"""How a service runs: until Ctrl-C or SIGTERM, in good order; a second signal ends it at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from ghostcrm_provisioning.cli.output import say


class Service(Protocol):
    """What runs until it is told to stop, and then finishes what it has in hand."""

    async def run(self) -> None: ...

    def stop(self) -> None: ...


async def run_until_told_to_stop(
    services: Sequence[Service], *, when_running: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Run all of them together; when one ends, the others are stopped as well.

    A second signal leaves at once: whatever was in hand is taken up by another worker, as after a
    crash.
    """
    loop = asyncio.get_running_loop()
    told: list[int] = []

    def on_signal(number: int) -> None:
        told.append(number)
        if len(told) > 1:
            sys.stdout.flush()
            os._exit(128 + number)
        say("Finishing what is in hand … (once more to leave at once)")
        for service in services:
            service.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number)
    tasks = [asyncio.create_task(service.run()) for service in services]
    try:
        if when_running is not None:
            await when_running()
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for service in services:
            service.stop()
        # All of them are awaited before the first one's error is told.
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    for outcome in ended:
        if isinstance(outcome, BaseException):
            raise outcome
