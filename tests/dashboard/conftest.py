"""The application over the test's own installation, and people who visit its pages."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.serving import make_application
from ghostcrm_provisioning.web.site import Site
from ghostcrm_provisioning.wiring import Installation

HOST = "http://ghostcrm.test"
PASSWORD = "correct horse battery"
_TOKEN = re.compile(r'name="csrf_token" value="([^"]*)"')


@dataclass
class Visitor:
    """Somebody with a browser that has no script."""

    browser: httpx.AsyncClient
    email: str

    async def see(self, path: str, **headers: str) -> httpx.Response:
        return await self.browser.get(path, headers=headers)

    async def csrf_token(self, path: str = "/admin/sessions") -> str:
        """The token in the forms of a page."""
        found = _TOKEN.search((await self.browser.get(path)).text)
        assert found is not None
        return found[1]

    async def send(
        self, path: str, fields: Mapping[str, object] | None = None, **headers: str
    ) -> httpx.Response:
        """Send a form as the browser does from one of our pages."""
        token = await self.csrf_token()
        return await self.browser.post(
            path,
            data={"csrf_token": token, **(fields or {})},
            headers={"Sec-Fetch-Site": "same-origin", "Origin": HOST} | headers,
        )

    async def sign_in(self, password: str = PASSWORD, return_to: str = "") -> httpx.Response:
        """Through the form."""
        page = await self.browser.get("/admin/sign-in")
        found = _TOKEN.search(page.text)
        assert found is not None
        return await self.browser.post(
            "/admin/sign-in",
            data={
                "csrf_token": found[1],
                "email": self.email,
                "password": password,
                "return_to": return_to,
            },
            headers={"Sec-Fetch-Site": "same-origin", "Origin": HOST},
        )


Visiting = Callable[..., Awaitable[Visitor]]


@pytest.fixture
def application(installation: Installation) -> FastAPI:
    return make_application(installation)


@pytest.fixture
def site(application: FastAPI) -> Site:
    site: Site = application.state.site
    # Passwords are hashed cheaply: somebody signs in in nearly every one of these tests.
    site.accounts._bcrypt_cost = 4
    return site


@pytest.fixture
async def stranger(application: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A browser in which nobody is signed in."""
    transport = httpx.ASGITransport(app=application, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=HOST) as browser:
        yield browser


@pytest.fixture
async def visiting(application: FastAPI, site: Site) -> AsyncIterator[Visiting]:
    """Makes visitors: ``await visiting(Scope.CLIENTS_READ)`` is signed in with that right."""
    transport = httpx.ASGITransport(app=application, raise_app_exceptions=False)
    browsers: list[httpx.AsyncClient] = []

    async def visit(*scopes: Scope, is_signed_in: bool = True) -> Visitor:
        email = f"visitor-{uuid4().hex[:8]}@ghostcrm.example"
        await site.accounts.create(
            email=email, password=PASSWORD, scopes=frozenset(scopes), by="a test"
        )
        browser = httpx.AsyncClient(transport=transport, base_url=HOST)
        browsers.append(browser)
        visitor = Visitor(browser, email)
        if is_signed_in:
            assert (await visitor.sign_in()).status_code == 303
        return visitor

    yield visit
    for browser in browsers:
        await browser.aclose()
