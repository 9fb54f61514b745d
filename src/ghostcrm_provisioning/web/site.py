"""What every request finds: the open installation, and those who know who is asking."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Depends, Request

from ghostcrm_provisioning.access.accounts import Accounts
from ghostcrm_provisioning.access.main_project import MainProject
from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.sessions import Sessions
from ghostcrm_provisioning.access.tokens import Tokens
from ghostcrm_provisioning.queue.provisioning_queue import QueueStatus
from ghostcrm_provisioning.statistics.reading import Statistics
from ghostcrm_provisioning.web.announcements import Announcements
from ghostcrm_provisioning.web.auditing import Auditor
from ghostcrm_provisioning.web.metrics import Metrics
from ghostcrm_provisioning.web.rate_limits import RateLimits
from ghostcrm_provisioning.web.snapshot import Snapshot
from ghostcrm_provisioning.web.streams import Streams
from ghostcrm_provisioning.wiring import Installation


@dataclass(frozen=True)
class Site:
    """Everything that the API and the dashboard work with.

    ``leaving`` is set when the process is about to end: whatever streams, or waits for long, ends then.
    """

    installation: Installation
    tokens: Tokens
    accounts: Accounts
    sessions: Sessions
    statistics: Statistics
    main_project: MainProject | None  # None: SUPABASE_URL is not set
    announcements: Announcements
    streams: Streams
    queue_status: Snapshot[QueueStatus]
    auditor: Auditor
    rate_limits: RateLimits
    metrics: Metrics
    leaving: asyncio.Event
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))


def open_site(installation: Installation) -> Site:
    """Put together what requests need of an open installation."""
    settings, control = installation.settings, installation.control
    tokens, accounts = Tokens(control), Accounts(control)
    sessions = Sessions(
        control,
        accounts,
        idle=timedelta(minutes=settings.session_idle_minutes),
        longest=timedelta(hours=settings.session_longest_hours),
    )

    async def may_go_on(principal: Principal) -> bool:
        if principal.session_id is not None:
            return await sessions.goes_on(principal.session_id)
        known = tokens.is_valid if principal.kind == "token" else accounts.is_current
        return await known(principal)

    leaving = asyncio.Event()
    announcements = Announcements(control.url, leaving=leaving)
    return Site(
        installation=installation,
        tokens=tokens,
        accounts=accounts,
        sessions=sessions,
        statistics=Statistics(
            control,
            lease_seconds=settings.lease_seconds,
            concurrency_per_server=settings.concurrency_per_server,
        ),
        main_project=None
        if settings.supabase_url is None
        else MainProject(
            accounts, url=settings.supabase_url, legacy_secret=settings.supabase_jwt_secret
        ),
        announcements=announcements,
        streams=Streams(announcements, may_go_on=may_go_on),
        queue_status=Snapshot(installation.queue.status),
        auditor=Auditor(control),
        rate_limits=RateLimits(
            per_principal=settings.requests_per_minute,
            per_address=settings.requests_per_minute_and_address,
            refusals_per_address=settings.refusals_per_minute_and_address,
            registrations=settings.registrations_per_minute,
        ),
        metrics=Metrics(),
        leaving=leaving,
    )


def site_of(request: Request) -> Site:
    """The site that this request came to."""
    site = request.app.state.site
    assert isinstance(site, Site)
    return site


TheSite = Annotated[Site, Depends(site_of)]
