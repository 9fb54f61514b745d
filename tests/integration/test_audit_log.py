"""The audit log is found by what one looks for, page by page, and says where a request came from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from ghostcrm_provisioning.audit.listing import (
    COLUMNS,
    AuditFilter,
    all_entries,
    csv_row,
    list_actions,
    list_actors,
    list_entries,
)
from ghostcrm_provisioning.audit.record import ORIGIN, Origin, record
from ghostcrm_provisioning.wiring import Installation


async def test_entries_are_found_by_each_filter_and_paged_without_gaps(
    installation: Installation,
) -> None:
    client_id = uuid4()
    begun = datetime.now(UTC)
    async with installation.control.connection() as connection:
        for number in range(12):
            await record(
                connection,
                actor=f"token:{number % 2}",
                action="thing.done" if number % 3 else "thing.undone",
                client_id=client_id if number < 4 else None,
                result="refused" if number == 7 else "done",
                details={"number": number},
            )
    control = installation.control
    since = AuditFilter(since=begun)
    everything = [entry.details["number"] async for entry in all_entries(control, since)]
    assert everything == list(reversed(range(12)))
    paged: list[int] = []
    after = None
    while page := await list_entries(control, since, limit=5, after=after):
        paged += [entry.details["number"] for entry in page]
        after = page[-1].position
    assert paged == everything
    for chosen, count in [
        (AuditFilter(since=begun, actor="token:1"), 6),
        (AuditFilter(since=begun, action="thing.undone"), 4),
        (AuditFilter(client_id=client_id), 4),
        (AuditFilter(since=begun, result="refused"), 1),
        (AuditFilter(until=begun - timedelta(days=1), actor="token:1"), 0),
    ]:
        assert len(await list_entries(control, chosen, limit=50)) == count, chosen
    assert {"thing.done", "thing.undone"} <= set(await list_actions(control))
    assert {"token:0", "token:1"} <= set(await list_actors(control))


async def test_a_line_knows_its_request_and_a_spreadsheet_runs_none_of_it(
    installation: Installation,
) -> None:
    told = ORIGIN.set(Origin("192.0.2.7", "request-1"))
    try:
        async with installation.control.connection() as connection:
            await record(connection, actor="=cmd()", action="thing.done", target="@x")
    finally:
        ORIGIN.reset(told)
    (entry,) = await list_entries(
        installation.control, AuditFilter(request_id="request-1"), limit=10
    )
    assert (entry.address, entry.result) == ("192.0.2.7", None)
    cells = dict(zip(COLUMNS, csv_row(entry), strict=True))
    assert (cells["actor"], cells["target"], cells["details"]) == ("'=cmd()", "'@x", "{}")
