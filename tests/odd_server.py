"""A server that answers what it is told to: for answers that nobody gives on request."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any


class Odd:
    """A server that answers what it is told to, whatever it is asked."""

    def __init__(self) -> None:
        self.status = 200
        self.body: bytes = b"{}"
        self.headers: dict[str, str] = {}
        self.silent = False
        self.heard: list[bytes] = []
        self.url = ""
        self._at_work: set[asyncio.Task[Any]] = set()

    def says(self, status: int, body: Any, **headers: str) -> None:
        self.status = status
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._at_work.add(task)
        try:
            self.heard.append(await reader.readuntil(b"\r\n\r\n"))
            if self.silent:
                await reader.read()
                return
            lines = {**self.headers, "content-length": str(len(self.body)), "connection": "close"}
            head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            writer.write(f"HTTP/1.1 {self.status} X\r\n{head}\r\n".encode() + self.body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            self._at_work.discard(task)

    async def close(self) -> None:
        """Nobody is served any more."""
        for task in tuple(self._at_work):
            task.cancel()
        await asyncio.gather(*self._at_work, return_exceptions=True)
