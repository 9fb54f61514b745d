"""A real browser before a real server: `ghostcrm up`, as an operator starts it, and Debian's Chromium.

Both are started once for all of these tests, and an admin is signed in once; every test has a fresh page.
Without Chromium (apt-get install chromium) the tests are skipped; `.ci/run` installs it.
"""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.command import ghostcrm, start
from tests.conftest import Server
from tests.integration.small_blueprint import write_small_blueprint
from tests.prepared_control import PreparedControl
from tests.provisioned import new_installation

EMAIL = "olga@ghostcrm.example"
PASSWORD = "correct horse battery"
PATIENCE_MS = 60_000

# What is waited for is there long before; a busy machine takes its time.
expect.set_options(timeout=PATIENCE_MS)


@dataclass(frozen=True)
class Served:
    """The server, the environment in which the command knows it, and the blueprint of its clients."""

    url: str
    environment: dict[str, str]
    blueprint: Path


@pytest.fixture(scope="session")
def served(
    server: Server, prepared_control: PreparedControl, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """`ghostcrm up` with an admin account; its clients have next to nothing in them."""
    folder = tmp_path_factory.mktemp("browser")
    blueprint = write_small_blueprint(folder / "small")
    environment = new_installation(server, prepared_control, folder) | {
        "GHOSTCRM_BLUEPRINT": str(blueprint),
        "GHOSTCRM_RETRY_FIRST_WAIT_SECONDS": "0.05",
        "GHOSTCRM_VERIFY_SAMPLE": "0",
        "GHOSTCRM_LEASE_SECONDS": "60",  # a busy machine makes no worker dead
    }
    made = ghostcrm(
        "admin", "create", EMAIL, "--scope", "admin", "--password-stdin", "--json",
        environment=environment, stdin=f"{PASSWORD}\n",
    )  # fmt: skip
    assert made.code == 0, made.stderr
    process = start("up", "--port", "0", "--json", environment=environment)
    try:
        assert process.stdout is not None
        text = ""
        for line in process.stdout:
            text += line
            if line.startswith("}"):
                break
        else:
            raise AssertionError(process.stderr.read() if process.stderr else "it said nothing")
        yield Served(json.loads(text)["url"], environment, blueprint)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)


# Not for the whole session: Playwright's loop runs in this thread, and other tests want to run their own.
@pytest.fixture(scope="package")
def browser(served: Served) -> Iterator[Browser]:
    """Debian's Chromium. Comes after the server, which needs the thread's loop for a moment."""
    assert served.url
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium is not there (apt-get install chromium)")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox"], timeout=2 * PATIENCE_MS
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def signed_in(browser: Browser, served: Served) -> Iterator[BrowserContext]:
    """A browser in which an admin has signed in, through the form."""
    context = browser.new_context(base_url=served.url, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto("/admin/sign-in")
    page.get_by_label("Email").fill(EMAIL)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/admin/")
    page.close()
    yield context
    context.close()


@pytest.fixture
def page(signed_in: BrowserContext) -> Iterator[Page]:
    """A page of its own, on which the browser has nothing to complain of: no error of a script, nothing
    that the policy forbids."""
    page = signed_in.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda said: (
            complaints.append(said.text)
            if said.type == "error" and "Failed to load resource" not in said.text
            else None
        ),
    )
    yield page
    page.close()
    assert complaints == []
