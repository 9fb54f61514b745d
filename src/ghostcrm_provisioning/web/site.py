"""What every request finds: the open installation, and those who know who is asking."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Depends, Request

from ghostcrm_provisioning.access.accounts import Accounts
from ghostcrm_provisioning.access.main_project import MainProject
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
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    leaving: asyncio.Event = field(default_factory=asyncio.Event)
    announcements: Announcements = field(init=False)
    streams: Streams = field(init=False)
    queue_status: Snapshot[QueueStatus] = field(init=False)
    auditor: Auditor = field(init=False)
    rate_limits: RateLimits = field(init=False)
    metrics: Metrics = field(init=False)
    statistics: Statistics = field(init=False)

    def __post_init__(self) -> None:
        announcements = Announcements(self.installation.control.url, leaving=self.leaving)
        object.__setattr__(self, "announcements", announcements)
        object.__setattr__(self, "streams", Streams(announcements))
        object.__setattr__(self, "queue_status", Snapshot(self.installation.queue.status))
        object.__setattr__(self, "auditor", Auditor(self.installation.control))
        object.__setattr__(self, "metrics", Metrics())
        settings = self.installation.settings
        limits = RateLimits(
            per_principal=settings.requests_per_minute,
            per_address=settings.requests_per_minute_and_address,
            refusals_per_address=settings.refusals_per_minute_and_address,
        )
        object.__setattr__(self, "rate_limits", limits)
        statistics = Statistics(
            self.installation.control,
            lease_seconds=settings.lease_seconds,
            concurrency_per_server=settings.concurrency_per_server,
        )
        object.__setattr__(self, "statistics", statistics)


def open_site(installation: Installation) -> Site:
    """Put together what requests need of an open installation."""
    settings, control = installation.settings, installation.control
    accounts = Accounts(control)
    return Site(
        installation=installation,
        tokens=Tokens(control),
        accounts=accounts,
        sessions=Sessions(
            control,
            accounts,
            idle=timedelta(minutes=settings.session_idle_minutes),
            longest=timedelta(hours=settings.session_longest_hours),
        ),
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
    )


def site_of(request: Request) -> Site:
    """The site that this request came to."""
    site = request.app.state.site
    assert isinstance(site, Site)
    return site


TheSite = Annotated[Site, Depends(site_of)]
