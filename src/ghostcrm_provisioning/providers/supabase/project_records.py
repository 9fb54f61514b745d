"""What the control database knows of the project of a client database: intended, asked for, seen.

Also how two workers are kept from asking for the same project at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from ghostcrm_provisioning.control_database.database import ControlDatabase
from ghostcrm_provisioning.errors import ToldToWait
from ghostcrm_provisioning.named_sql import NamedSql

SUPABASE_PROJECTS = NamedSql(__package__, "projects.sql")


@dataclass(frozen=True)
class ProjectRecord:
    """A row of ``supabase_projects``.

    Attributes:
        create_sent_seconds_ago: None when no request to create is unanswered.
        status_seconds: since when the status is what it is, as far as we have seen.
    """

    database_id: UUID
    stamp: str
    organization_slug: str
    ref: str | None
    status: str | None
    create_sent_seconds_ago: float | None
    status_seconds: float | None
    was_ready: bool
    removed: bool


class ProjectRecords:
    """The rows, one by one. Each write is a transaction of its own."""

    def __init__(self, control: ControlDatabase) -> None:
        self._control = control

    @asynccontextmanager
    async def alone(self, database_id: UUID, *, longest_seconds: float) -> AsyncIterator[None]:
        """Nobody else changes the project of this database meanwhile.

        A transaction holds the place, so that it is free at once when its holder dies, and after
        ``longest_seconds`` of silence when he is frozen.

        Raises:
            ToldToWait: somebody else does.
        """
        async with self._control.transaction() as connection:
            await connection.execute(
                SUPABASE_PROJECTS["allow_long_waits"],
                {"milliseconds": str(round(longest_seconds * 1000))},
            )
            cursor = await connection.execute(
                SUPABASE_PROJECTS["try_to_be_alone"], {"database_id": database_id}
            )
            row = await cursor.fetchone()
            if row is None or not row["alone"]:
                raise ToldToWait(
                    "Another worker sees to this database's project.", wait_seconds=1.0
                )
            yield

    async def intend(self, database_id: UUID, *, stamp: str, slug: str) -> ProjectRecord:
        """Record what is intended, unless it is recorded; what is recorded."""
        await self._control.execute(
            SUPABASE_PROJECTS["intend"],
            database_id=database_id,
            stamp=stamp,
            organization_slug=slug,
        )
        found = await self.find(database_id)
        assert found is not None
        return found

    async def find(self, database_id: UUID) -> ProjectRecord | None:
        row = await self._control.fetch_one(SUPABASE_PROJECTS["find"], database_id=database_id)
        if row is None:
            return None
        return ProjectRecord(
            database_id=row["database_id"],
            stamp=row["stamp"],
            organization_slug=row["organization_slug"],
            ref=row["ref"],
            status=row["status"],
            create_sent_seconds_ago=row["create_sent_seconds_ago"],
            status_seconds=row["status_seconds"],
            was_ready=row["ready_at"] is not None,
            removed=row["removed_at"] is not None,
        )

    async def creation_is_sent(self, database_id: UUID) -> None:
        await self._control.execute(SUPABASE_PROJECTS["creation_is_sent"], database_id=database_id)

    async def creation_is_answered(self, database_id: UUID) -> None:
        await self._control.execute(
            SUPABASE_PROJECTS["creation_is_answered"], database_id=database_id
        )

    async def use(self, database_id: UUID, ref: str) -> str:
        """Record which project it is; which one it is after that."""
        row = await self._control.fetch_one(
            SUPABASE_PROJECTS["use_project"], database_id=database_id, ref=ref
        )
        return ref if row is None else str(row["ref"])

    async def forget(self, database_id: UUID) -> None:
        await self._control.execute(SUPABASE_PROJECTS["forget_project"], database_id=database_id)

    async def see(self, database_id: UUID, status: str) -> float:
        """Record a status that was seen; for how many seconds it has been that."""
        row = await self._control.fetch_one(
            SUPABASE_PROJECTS["see_status"], database_id=database_id, status=status
        )
        return 0.0 if row is None else float(row["seconds"])

    async def is_ready(self, database_id: UUID) -> None:
        await self._control.execute(SUPABASE_PROJECTS["is_ready"], database_id=database_id)

    async def is_removed(self, database_id: UUID) -> None:
        await self._control.execute(SUPABASE_PROJECTS["is_removed"], database_id=database_id)

    async def keep_schemas(self, database_id: UUID, schemas: str) -> None:
        """Record what the REST API shows, before it is made to show nothing."""
        await self._control.execute(
            SUPABASE_PROJECTS["keep_schemas"], database_id=database_id, schemas=schemas
        )

    async def schemas_before_closing(self, database_id: UUID) -> str | None:
        """What it showed before it was closed; None while it is not closed."""
        row = await self._control.fetch_one(
            SUPABASE_PROJECTS["schemas_before_closing"], database_id=database_id
        )
        return None if row is None else row["schemas_before_closing"]

    async def pause_is_refused(self, database_id: UUID) -> None:
        """Record that Supabase does not pause it: it is closed instead."""
        await self._control.execute(SUPABASE_PROJECTS["pause_is_refused"], database_id=database_id)

    async def was_pause_refused(self, database_id: UUID) -> bool:
        row = await self._control.fetch_one(
            SUPABASE_PROJECTS["was_pause_refused"], database_id=database_id
        )
        return row is not None and bool(row["refused"])

    async def forget_refused_pause(self, database_id: UUID) -> None:
        """It is to run again; the next pause is asked for anew."""
        await self._control.execute(
            SUPABASE_PROJECTS["forget_refused_pause"], database_id=database_id
        )

    async def forget_schemas(self, database_id: UUID) -> None:
        await self._control.execute(SUPABASE_PROJECTS["forget_schemas"], database_id=database_id)

    async def keep_logins(self, database_id: UUID, logins: Collection[str]) -> None:
        """Record which logins of its owner's making might log in, before they are shut out."""
        await self._control.execute(
            SUPABASE_PROJECTS["keep_logins"], database_id=database_id, logins=sorted(logins)
        )

    async def logins_before_closing(self, database_id: UUID) -> frozenset[str]:
        row = await self._control.fetch_one(
            SUPABASE_PROJECTS["logins_before_closing"], database_id=database_id
        )
        return frozenset() if row is None else frozenset(row["logins_before_closing"])

    async def forget_logins(self, database_id: UUID) -> None:
        await self._control.execute(SUPABASE_PROJECTS["forget_logins"], database_id=database_id)
