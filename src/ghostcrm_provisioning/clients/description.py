"""A client, or a run, as one document with everything that belongs to it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from ghostcrm_provisioning.clients.client import Client, find_client
from ghostcrm_provisioning.clients.documents import client_document, run_timeline_document
from ghostcrm_provisioning.clients.run import Run, find_latest_run, list_steps
from ghostcrm_provisioning.clients.run_listing import read_run_timeline
from ghostcrm_provisioning.control_database.database import Connection


async def describe_client(
    connection: Connection, client_id: UUID
) -> tuple[Client, Run, dict[str, Any]]:
    """A client, its latest run, and the document of both.

    Raises:
        NotFound: there is no such client.
    """
    client = await find_client(connection, client_id)
    run = await find_latest_run(connection, client_id)
    steps = await list_steps(connection, run.id)
    return client, run, client_document(client, run, steps)


async def describe_run(connection: Connection, run_id: UUID) -> tuple[Run, dict[str, Any]]:
    """A run, and its document with its steps and every attempt at them.

    Raises:
        NotFound: there is no such run.
    """
    timeline = await read_run_timeline(connection, run_id)
    return timeline.run, run_timeline_document(timeline)
