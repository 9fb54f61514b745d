"""A dashboard full of clients, in this process, for all tests of the pages; and axe-core from npm, in the
version that is pinned here, kept in the cache of pytest.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from scenery import paint

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.serving import Serving
from ghostcrm_provisioning.settings import Settings
from ghostcrm_provisioning.web.site import Site
from ghostcrm_provisioning.wiring import open_installation
from tests.browser.conftest import EMAIL, PASSWORD, PATIENCE_MS
from tests.conftest import ADMIN, Server
from tests.prepared_control import PreparedControl, create_database

AXE = "axe-core@4.14.1"
Made = TypeVar("Made")


@dataclass
class Dashboard:
    """The running server, in a thread of its own with its own event loop."""

    url: str
    site: Site
    loop: asyncio.AbstractEventLoop

    def do(self, work: Any) -> Any:
        """Have the server's loop do something, and wait for it."""
        future: Future[Any] = asyncio.run_coroutine_threadsafe(work, self.loop)
        return future.result(120)

    def execute(self, statement: Any, **parameters: Any) -> int:
        """Change something in the control database."""
        return int(self.do(self.site.installation.control.execute(statement, **parameters)))


@pytest.fixture(scope="session")
def dashboard(
    server: Server, prepared_control: PreparedControl, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dashboard]:
    """A dashboard full of clients, and an admin who may do everything."""
    home = tmp_path_factory.mktemp("dashboard")
    shutil.copytree(prepared_control.keys, home / "keys")
    name = f"control_{uuid4().hex[:12]}"
    with server.superuser() as connection:
        create_database(connection, name, owner=ADMIN, template=prepared_control.database)
    settings = Settings.model_validate(
        {"home": home, "database_url": server.admin_url(name), "refusals_per_minute_and_address": 0}
    )
    ready: Future[Dashboard] = Future()
    leave = threading.Event()
    thread = threading.Thread(
        target=lambda: asyncio.run(_serve(settings, ready, leave)), daemon=True
    )
    thread.start()
    yield ready.result(120)
    leave.set()
    thread.join(120)


async def _serve(settings: Settings, ready: Future[Dashboard], leave: threading.Event) -> None:
    try:
        async with open_installation(settings) as installation:
            await paint(installation.control)
            serving = Serving(installation, host="127.0.0.1", port=0)
            site = serving.application.state.site
            await site.accounts.create(
                email=EMAIL, password=PASSWORD, scopes=frozenset({Scope.ADMIN}), by="a test"
            )
            running = asyncio.create_task(serving.run())
            await serving.started()
            ready.set_result(Dashboard(serving.url, site, asyncio.get_running_loop()))
            await asyncio.to_thread(leave.wait)
            serving.stop()
            await running
    except BaseException as problem:
        if not ready.done():
            ready.set_exception(problem)
        raise


NewPage = Callable[..., Page]


@pytest.fixture
def new_page(browser: Browser, dashboard: Dashboard) -> Iterator[NewPage]:
    """Makes pages, each in a context of its own; nothing may be said in the console."""
    contexts: list[BrowserContext] = []
    said: list[str] = []

    def make(*, width: int = 1280, scheme: str = "light", script: bool = True) -> Page:
        context = browser.new_context(
            base_url=dashboard.url,
            viewport={"width": width, "height": 800},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
            java_script_enabled=script,
        )
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on(
            "console",
            lambda message: said.append(message.text) if message.type == "error" else None,
        )
        return page

    yield make
    for context in contexts:
        context.close()
    # An answer that refuses something is told in the console too; that is no error of ours.
    assert [text for text in said if "Failed to load resource" not in text] == []


@pytest.fixture(scope="package")
def cookie(browser: Browser, dashboard: Dashboard) -> dict[str, str]:
    """The session of somebody who has signed in once, for tests that are about something else."""
    context = browser.new_context(base_url=dashboard.url)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    sign_in(page)
    page.wait_for_url("**/admin/")
    found = next(
        cookie for cookie in context.cookies() if cookie["name"].endswith("ghostcrm_session")
    )
    context.close()
    return {"name": found["name"], "value": found["value"], "url": dashboard.url}


@pytest.fixture
def signed_in(new_page: NewPage, cookie: dict[str, str], dashboard: Dashboard) -> NewPage:
    """Makes pages of somebody who is signed in, and has given the password just now."""

    def make(**options: Any) -> Page:
        dashboard.execute("update admin_sessions set confirmed_at = clock_timestamp()")
        page = new_page(**options)
        page.context.add_cookies([cast(Any, cookie)])
        return page

    return make


def sign_in(page: Page, password: str = PASSWORD, *, path: str = "/admin/sign-in") -> None:
    """Fill the form and send it."""
    page.goto(path)
    page.get_by_label("Email address").fill(EMAIL)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()


@pytest.fixture(scope="session")
def axe(request: pytest.FixtureRequest) -> str:
    """The text of axe-core; fetched once, and kept in the cache of pytest."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    folder = request.config.cache.mkdir("axe-core")
    place: Path = folder / AXE.rpartition("@")[2]
    script = place / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        # Beside its place: another process of this test run may be about the same.
        with tempfile.TemporaryDirectory(dir=folder) as to:
            subprocess.run(
                [npm, "install", "--silent", "--no-save", "--ignore-scripts", "--prefix", to, AXE],
                check=True,
                timeout=170,
            )
            with suppress(OSError):  # it was quicker
                (Path(to) / "node_modules").rename(_made(place) / "node_modules")
    return script.read_text()


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder
