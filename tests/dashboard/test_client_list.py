"""The list of clients: searched, filtered and gone through, without a script."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.clients.listing import Place
from ghostcrm_provisioning.dashboard.client_list import (
    PAGE_SIZES,
    ClientListAddress,
    read_address,
)
from ghostcrm_provisioning.wiring import Installation
from tests.dashboard.conftest import Visiting
from tests.dashboard.registered import register
from tests.integration.small_blueprint import raising, write_small_blueprint

HOSTILE = "<script>alert(1)</script> & \"quotes\" 'n' {{ 7*7 }}"


def _names(page: str) -> list[str]:
    return re.findall(r'class="client-name"[^>]*>([^<]*)</a>', page)


async def test_an_empty_list_teaches_and_an_empty_search_leads_back(visiting: Visiting) -> None:
    visitor = await visiting(Scope.CLIENTS_READ)
    page = (await visitor.see("/admin/clients")).text
    assert "No clients yet" in page
    assert "ghostcrm provision" in page
    assert "/admin/clients/new" not in page, "he may not provision"
    page = (await visitor.see("/admin/clients?search=nobody")).text
    assert "No clients match these filters" in page
    assert 'href="/admin/clients"' in page


async def test_search_filters_and_counts_agree(
    installation: Installation, visiting: Visiting, tmp_path: Path
) -> None:
    broken = write_small_blueprint(tmp_path / "broken", _002_more=raising("22023"))
    await register(installation, "Broken Ltd", blueprint=broken, is_finished=True)
    await register(installation, "ACME Corp", plan="professional")
    await register(installation, HOSTILE, email="hostile@example.com")
    visitor = await visiting(Scope.CLIENTS_READ, Scope.CLIENTS_WRITE)

    page = (await visitor.see("/admin/clients")).text
    assert len(_names(page)) == 3
    assert "<script>alert" not in page
    assert "49" not in "".join(_names(page)), "a name is no template"
    assert "Acquire database: " in page, "the reason of the one that failed"
    assert "Waiting for a worker" in page

    page = (await visitor.see("/admin/clients?search=acme&plan=professional")).text
    assert _names(page) == ["ACME Corp"]
    assert re.search(r'Registered <span class="number">1</span>', page)
    assert re.search(r'Failed <span class="number">0</span>', page)
    assert re.search(
        r'href="/admin/clients\?search=acme&amp;status=failed&amp;plan=professional"', page
    )

    page = (await visitor.see("/admin/clients?status=failed")).text
    assert _names(page) == ["Broken Ltd"]
    assert re.search(r'All <span class="number">3</span>', page)
    assert (
        await visitor.see("/admin/clients?status=nonsense&size=7&at=rubbish")
    ).status_code == 200


async def test_deleted_clients_are_shown_to_who_asks_for_them(
    installation: Installation, visiting: Visiting
) -> None:
    gone = await register(installation, "Gone Ltd", email="gone@example.com")
    await installation.control.execute(
        "update clients set status = 'deleted', wanted_status = 'deleted', deleted_at = now()"
        " where id = %(id)s",
        id=gone,
    )
    await installation.control.execute(
        "update runs set status = 'succeeded', finished_at = now() where client_id = %(id)s",
        id=gone,
    )
    visitor = await visiting(Scope.ADMIN)
    page = (await visitor.see("/admin/clients")).text
    assert "No clients any more" in page
    assert 'href="/admin/clients?status=deleted">1 deleted client</a>' in page
    page = (await visitor.see("/admin/clients?search=gone")).text
    assert "1 deleted client</a> does." in page
    assert _names((await visitor.see("/admin/clients?search=gone&status=deleted")).text) == [
        "Gone Ltd"
    ]

    await register(installation, "Here Ltd")
    page = (await visitor.see("/admin/clients")).text
    assert _names(page) == ["Here Ltd"]
    assert re.search(r'All <span class="number">1</span>', page)
    assert "Suspended" not in page, "there is none, and it is a rare state"
    page = (await visitor.see("/admin/")).text
    assert re.search(r"All clients</span><strong>1</strong>", page)

    page = (await visitor.see(f"/admin/clients/{gone}")).text
    assert "Nothing any more. Its history stays here." in page
    assert "What opened its database is erased." in page
    for label in ("Retry run", "Change plan", "Verify isolation", "Reveal connection", "••••"):
        assert label not in page


async def test_the_list_alone_is_sent_to_the_script(
    installation: Installation, visiting: Visiting
) -> None:
    await register(installation, "ACME Corp")
    visitor = await visiting(Scope.CLIENTS_READ)
    part = await visitor.see("/admin/clients?search=acm", **{"X-Fragment": "1"})
    assert _names(part.text) == ["ACME Corp"]
    assert "<html" not in part.text
    assert part.headers["vary"] == "X-Fragment"
    assert 'data-says="1 client found"' in part.text


@pytest.mark.long
async def test_one_goes_through_the_pages_and_back(
    installation: Installation, visiting: Visiting
) -> None:
    for number in range(PAGE_SIZES[0] + 2):
        await register(installation, f"Company {number:02}", email=f"c{number}@example.com")
    visitor = await visiting(Scope.CLIENTS_READ)
    first = (await visitor.see("/admin/clients?plan=starter")).text
    assert len(_names(first)) == PAGE_SIZES[0]
    assert "Newer" not in first
    older = re.search(r'href="([^"]*)" rel="next"', first)
    assert older is not None
    second = (await visitor.see(older[1].replace("&amp;", "&"))).text
    assert _names(second) == ["Company 01", "Company 00"]
    assert 'rel="next"' not in second
    newer = re.search(r'href="([^"]*)" rel="prev"', second)
    assert newer is not None
    assert newer[1] == "/admin/clients?plan=starter"


def test_an_address_is_read_as_it_was_written() -> None:
    place = Place(datetime(2026, 11, 29, 10, 41, 7, 123456, tzinfo=UTC), uuid4())
    address = ClientListAddress(
        "äöü & co", ("failed", "ready"), ("starter",), ("eu",), ("pg-01",), 50, (place, place)
    )

    assert read_address(parse_qs(urlsplit(address.path).query)) == address
    older = address.older(Place(place.created_at - timedelta(days=1), uuid4()))
    assert older is not None
    again = read_address(parse_qs(urlsplit(older).query))
    assert again.newer == address.path
    assert read_address({"at": ["rubbish"]}).trail == ()
