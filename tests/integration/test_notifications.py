"""A final failure reaches the admins: the control database always, mail and webhooks where set."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiosmtpd.controller import Controller

from ghostcrm_provisioning.errors import InvalidSetting
from ghostcrm_provisioning.wiring import Installation
from tests.conftest import OpenInstallation
from tests.integration.control import (
    Registered,
    are_ready,
    at_work,
    fetch,
    find_run,
    register,
    whole_contents,
)
from tests.integration.small_blueprint import write_small_blueprint
from tests.integration.waiting import eventually

# Apprise imports it where Python still has it.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

# For a server that has much else to do: seconds to connect, and to answer.
PATIENCE = "cto=60&rto=60"
COMPANY = 'O\'Brien & "Söhne" <b>GmbH</b>'


@pytest.fixture
def broken_blueprint(tmp_path: Path) -> Path:
    return write_small_blueprint(tmp_path / "broken", _002_broken="select\n  1/0;\n")


class Mailbox:
    """Receives mail by SMTP."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.messages.append(message_from_bytes(envelope.original_content))
        return "250 OK"


class Webhook:
    """A web server that keeps what it is sent, except while it ``refuses``."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.refuses = False
        self.refused = 0
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if hook.refuses:
                    hook.refused += 1
                    self.send_response(500)
                else:
                    hook.received.append(json.loads(body))
                    self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    hook = Webhook()
    yield hook
    hook.stop()


@pytest.fixture
def port_of_nobody() -> Iterator[int]:
    """Nobody answers there, and nobody else can take it meanwhile."""
    with socket.socket() as keeper:
        keeper.bind(("127.0.0.1", 0))
        yield keeper.getsockname()[1]


class Mailserver(Controller):
    """On a port that it has from the start."""

    def __init__(self, handler: Mailbox) -> None:
        self._door = socket.create_server(("127.0.0.1", 0))
        super().__init__(
            handler, hostname="127.0.0.1", port=self._door.getsockname()[1], ready_timeout=60
        )

    def _create_server(self) -> Any:
        return self.loop.create_server(self._factory_invoker, sock=self._door)


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    box = Mailbox()
    controller = Mailserver(box)
    controller.start()
    yield box, controller.port
    controller.stop()


async def fail(installation: Installation, name: str = COMPANY) -> Registered:
    """A registration whose provisioning fails for good."""
    registered = await register(installation, name)

    async def has_failed() -> bool:
        return bool((await find_run(installation, registered.run_id))["status"] == "failed")

    await eventually(has_failed, what="it has failed")
    return registered


async def _delivered(installation: Installation) -> bool:
    row = await fetch(installation, "select delivery from notifications")
    return bool(row["delivery"] == "delivered")


def _log(installation: Installation) -> str:
    return "".join(path.read_text() for path in installation.settings.logs.iterdir())


async def test_a_final_failure_is_always_recorded(
    opened: OpenInstallation, broken_blueprint: Path
) -> None:
    installation = await opened(blueprint=broken_blueprint)
    registered = await register(installation, COMPANY)
    await installation.provisioner.carry_out(registered.run_id, uuid4())
    row = await fetch(installation, "select * from notifications")
    assert (row["client_id"], row["run_id"]) == (registered.client_id, registered.run_id)
    assert (row["severity"], row["delivery"]) == ("critical", "unwanted")
    assert COMPANY in row["subject"]
    assert "002_broken.sql, line 2" in row["body"] or "002_broken.sql, line 1" in row["body"]
    assert "division by zero" in row["body"]
    assert "What to do: Mend the file" in row["body"]
    assert str(registered.client_id) in row["body"]


async def test_no_notification_without_the_failure_it_tells_of(
    opened: OpenInstallation, broken_blueprint: Path
) -> None:
    """Both are one transaction: where the notification cannot be recorded, neither is the end."""
    installation = await opened(blueprint=broken_blueprint)
    registered = await register(installation)
    await installation.control.execute("alter table notifications rename to not_there")
    with pytest.raises(Exception, match="notifications"):
        await installation.provisioner.carry_out(registered.run_id, uuid4())
    assert (await find_run(installation, registered.run_id))["status"] == "running"
    await installation.control.execute("alter table not_there rename to notifications")
    await installation.provisioner.carry_out(registered.run_id, uuid4())
    assert (await find_run(installation, registered.run_id))["status"] == "failed"
    assert len(await installation.control.fetch_all("select from notifications")) == 1


async def test_a_mail_arrives_with_what_happened_and_what_to_do(
    opened: OpenInstallation, broken_blueprint: Path, mailbox: tuple[Mailbox, int]
) -> None:
    box, port = mailbox
    url = f"mailto://127.0.0.1:{port}?from=ghostcrm@example.com&to=admin@example.com"
    url += f"&mode=insecure&{PATIENCE}"
    installation = await opened(blueprint=broken_blueprint, notify_urls=url)
    async with at_work(installation):
        registered = await fail(installation)
        await eventually(lambda: _delivered(installation), what="the mail is delivered")
    assert len(box.messages) == 1
    message = box.messages[0]
    subject = str(message["Subject"])
    assert str(make_header(decode_header(subject))) == f"{COMPANY} could not be provisioned"
    assert "admin@example.com" in message["To"]
    text = "\n".join(
        part.get_payload(decode=True).decode()  # type: ignore[union-attr]
        for part in message.walk()
        if part.get_content_type() == "text/plain"
    ) or str(message.get_payload(decode=True))
    assert "002_broken.sql" in text
    assert "division by zero" in text
    assert "Mend the file and line that are named" in text
    assert f"ghostcrm clients explain {registered.client_id}" in text
    whole = message.as_string() + text
    for secret in ("secure-password", "$2b$", installation.control.url, "SCRAM-SHA-256"):
        assert secret not in whole
    row = await fetch(installation, "select * from notifications")
    assert (row["delivery_attempts"], row["delivery_error"]) == (1, None)
    assert row["delivered_at"] is not None


async def test_a_webhook_is_called(
    opened: OpenInstallation, broken_blueprint: Path, webhook: Webhook
) -> None:
    installation = await opened(
        blueprint=broken_blueprint, notify_urls=f"json://127.0.0.1:{webhook.port}/hook?{PATIENCE}"
    )
    async with at_work(installation):
        registered = await fail(installation)
        await eventually(lambda: _delivered(installation), what="the webhook has it")
    (document,) = webhook.received
    assert document["title"] == f"{COMPANY} could not be provisioned"
    assert document["type"] == "failure"
    assert "division by zero" in document["message"]
    assert str(registered.client_id) in document["message"]


@pytest.mark.long
async def test_what_is_not_taken_is_sent_again_and_provisioning_goes_on_meanwhile(
    opened: OpenInstallation, broken_blueprint: Path, small_blueprint: Path, webhook: Webhook
) -> None:
    webhook.refuses = True
    address = f"127.0.0.1:{webhook.port}/hook-with-secret-token?{PATIENCE}"
    installation = await opened(
        blueprint=broken_blueprint, notify_urls=f"json://user:url-password@{address}"
    )
    async with at_work(installation):
        await fail(installation)

        async def was_refused() -> bool:
            row = await fetch(installation, "select * from notifications")
            return bool(row["delivery_attempts"] >= 1)

        await eventually(was_refused, what="the first attempt is recorded")
        row = await fetch(installation, "select * from notifications")
        assert row["delivery"] == "pending"
        assert "GHOSTCRM_NOTIFY_URLS" in row["delivery_error"]
        await register(installation, "Another", blueprint=small_blueprint)
        await eventually(lambda: are_ready(installation, 1), what="others are provisioned")
        webhook.refuses = False
        await eventually(lambda: _delivered(installation), what="the webhook has it")
    assert len(webhook.received) == 1
    row = await fetch(installation, "select * from notifications")
    assert (row["delivery_attempts"], row["delivery_error"]) == (webhook.refused + 1, None)
    everything = _log(installation) + str(await whole_contents(installation, housekeeping=True))
    for secret in ("url-password", "secret-token", "user:"):
        assert secret not in everything


async def test_an_address_that_nobody_answers_does_not_disturb_provisioning(
    opened: OpenInstallation, broken_blueprint: Path, small_blueprint: Path, port_of_nobody: int
) -> None:
    url = f"json://user:url-password@127.0.0.1:{port_of_nobody}/secret-token"
    installation = await opened(blueprint=broken_blueprint, notify_urls=url)
    async with at_work(installation):
        await fail(installation)
        await register(installation, "Another", blueprint=small_blueprint)
        await eventually(lambda: are_ready(installation, 1), what="others are provisioned")

        async def was_tried() -> bool:
            row = await fetch(installation, "select * from notifications")
            return bool(row["delivery_attempts"] >= 1 and row["delivery"] == "pending")

        await eventually(was_tried, what="the attempt is recorded")
    jobs = await installation.control.fetch_all(
        "select execute_after > clock_timestamp() as later from ghostcrm_queue.jobs"
    )
    assert len(jobs) == 1, "it is tried again later"
    everything = _log(installation) + str(await whole_contents(installation, housekeeping=True))
    for secret in ("url-password", "secret-token"):
        assert secret not in everything


async def test_a_notification_whose_job_was_lost_is_delivered_all_the_same(
    opened: OpenInstallation, broken_blueprint: Path, webhook: Webhook
) -> None:
    installation = await opened(
        blueprint=broken_blueprint,
        notify_urls=f"json://127.0.0.1:{webhook.port}/hook?{PATIENCE}",
        lease_seconds=1,
    )
    registered = await register(installation)
    await installation.provisioner.carry_out(registered.run_id, uuid4())
    await installation.control.execute("delete from ghostcrm_queue.jobs")
    async with at_work(installation):
        await eventually(lambda: _delivered(installation), what="the webhook has it")
    assert len(webhook.received) == 1


@pytest.mark.parametrize(
    "url",
    [
        "nonsense-with-secret-token",
        "nosuchservice://user:secret-token@example.com",
        "json://",
        "json://127.0.0.1/fine mailto://secret-token",
    ],
)
async def test_a_url_that_cannot_be_used_is_refused_without_being_shown(
    opened: OpenInstallation, url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InvalidSetting) as refused:
        await opened(notify_urls=url)
    assert "GHOSTCRM_NOTIFY_URLS" in refused.value.message
    output = capfd.readouterr()
    logs = "".join(path.read_text() for path in (tmp_path / "home" / "logs").rglob("*.log"))
    shown = f"{refused.value.as_record()} {output.out} {output.err} {logs}"
    assert "secret-token" not in shown
