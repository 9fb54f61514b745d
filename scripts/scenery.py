"""Fills the control database of a scratch installation with a day of work, for looking at its pages."""

from __future__ import annotations

from pathlib import Path
from typing import LiteralString

from ghostcrm_provisioning.control_database.database import ControlDatabase

_SQL = Path(__file__).with_suffix(".sql")
_NAME = "-- name: "


async def paint(control: ControlDatabase) -> None:
    """All of ``scenery.sql``, in one transaction."""
    async with control.transaction() as connection:
        for part in _SQL.read_text(encoding="utf-8").split(_NAME)[1:]:
            statement: LiteralString = part.partition("\n")[2]
            await connection.execute(statement)
