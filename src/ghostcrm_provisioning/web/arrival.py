"""How a request is met, and how it leaves: the outermost layer around API and dashboard.

It gives the request an id, tells where it comes from, finds its route, and sees to it that whatever
happens inside becomes an answer, in the time that a request may take. When the answer begins, it gets
the headers that all have, and the audit log hears of it; afterwards there is a line in the log, and a
number in the metrics. What may be asked, and by whom, is not decided here.
"""

from __future__ import annotations

import asyncio
import re
from time import perf_counter
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ghostcrm_provisioning.audit.record import ORIGIN, Origin
from ghostcrm_provisioning.control_database.database import PATIENCE_SECONDS
from ghostcrm_provisioning.errors import GhostcrmError, MalformedRequest, TookTooLong
from ghostcrm_provisioning.postgres_errors import translated
from ghostcrm_provisioning.provisioning_log import get_logger
from ghostcrm_provisioning.settings import Settings
from ghostcrm_provisioning.web.addresses import Addresses, Client
from ghostcrm_provisioning.web.auditing import CHANGING, Call
from ghostcrm_provisioning.web.headers import harden
from ghostcrm_provisioning.web.problems import answer_with
from ghostcrm_provisioning.web.rate_limits import Standing
from ghostcrm_provisioning.web.route_table import UNKNOWN, Found, RouteTable
from ghostcrm_provisioning.web.site import Site

_SANE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{7,99}")
_PROBES = frozenset({"/healthz", "/readyz"})
_LONGEST_WAIT_SECONDS = 600.0
# Whoever asks is told soon that the control database is gone, and requests do not pile up meanwhile.
_PATIENCE_SECONDS = 1.0


class Arrival:
    """The outermost layer."""

    def __init__(self, app: ASGIApp, *, site: Site) -> None:
        self._app = app
        self._site = site
        settings: Settings = site.installation.settings
        self._addresses = Addresses(settings.trusted_proxies)
        self._hosts = frozenset((settings.allowed_hosts or "").lower().split())
        self._seconds = settings.request_seconds
        self._table: RouteTable | None = None
        self._log = get_logger("web")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        if scope["method"] == "HEAD" and self._is_looked_at(scope):
            # Whatever can be read answers to HEAD as to GET; the server leaves the body out.
            scope = {**scope, "method": "GET"}
        headers = _first_of_each(scope)
        peer = scope["client"][0] if scope.get("client") else None
        client = self._addresses.client(
            peer, scope["scheme"], headers.get("x-forwarded-for"), headers.get("x-forwarded-proto")
        )
        scope["scheme"] = client.scheme
        scope["client"] = (client.address, 0)
        state: dict[str, Any] = scope.setdefault("state", {})
        state["request_id"] = _request_id(headers.get("x-request-id"))
        state["address_group"] = client.group
        state["peer"] = peer
        state["seconds"] = self._time_for(scope)
        state["found"] = found = self._find(scope)
        answer = _Answer(self._site, scope, client, send, found)
        told = ORIGIN.set(Origin(client.address, state["request_id"]))
        patience = PATIENCE_SECONDS.set(_PATIENCE_SECONDS)
        try:
            await self._answer(scope, receive, answer, headers)
        finally:
            ORIGIN.reset(told)
            PATIENCE_SECONDS.reset(patience)
            self._report(scope, answer, perf_counter() - began)

    def _is_looked_at(self, scope: Scope) -> bool:
        """Whether HEAD is answered there: not by a stream, which would be begun for nobody."""
        found = self._routes(scope).find("HEAD", scope["path"])
        return found is not None and "HEAD" in found.allowed

    def _find(self, scope: Scope) -> Found | None:
        return self._routes(scope).find(scope["method"], scope["path"])

    def _routes(self, scope: Scope) -> RouteTable:
        if self._table is None:
            self._table = RouteTable(scope["app"])
        return self._table

    async def _answer(
        self, scope: Scope, receive: Receive, answer: _Answer, headers: dict[str, str]
    ) -> None:
        try:
            async with asyncio.timeout(scope["state"]["seconds"]) as answer.time:
                if scope["path"] not in _PROBES:
                    self._check_host(headers.get("host", ""))
                    answer.standing = await self._site.rate_limits.addresses.count(
                        scope["state"]["address_group"]
                    )
                await self._app(scope, receive, answer)
        except Exception as error:
            timed_out = answer.time is not None and answer.time.expired()
            problem = TookTooLong() if timed_out else translated(error, where="this request")
            if not isinstance(error, GhostcrmError):
                self._log.error(
                    "request_failed",
                    error=type(error).__name__,
                    requestId=scope["state"]["request_id"],
                    target=f"{scope['method']} {answer.template}",
                    exc_info=None if timed_out else error,
                )
            if answer.status:
                raise  # half an answer is out: the connection must be cut, or it would look whole
            await answer_with(problem, scope)(scope, receive, answer)

    def _time_for(self, scope: Scope) -> float:
        query = scope["query_string"]
        if b"wait=" not in query:
            return self._seconds
        try:
            wait = float(parse_qs(query.decode("latin-1")).get("wait", ["0"])[-1])
        except ValueError:
            return self._seconds
        return self._seconds + (wait if 0 < wait <= _LONGEST_WAIT_SECONDS else 0.0)

    def _check_host(self, host: str) -> None:
        name = host.lower().rpartition("]")[0].lstrip("[") if host.startswith("[") else None
        name = host.lower().partition(":")[0] if name is None else name
        if self._hosts and name not in self._hosts:
            raise MalformedRequest(
                "This host name is not served here.",
                next_step="Call it by a name that GHOSTCRM_ALLOWED_HOSTS has.",
            )

    def _report(self, scope: Scope, answer: _Answer, seconds: float) -> None:
        if not answer.status:
            return  # the caller has gone
        method = scope["method"] if answer.found else "ANY"
        self._site.metrics.observe(
            method, answer.template, answer.status, seconds, is_stream=answer.is_stream
        )
        principal = scope["state"].get("principal")
        # What anybody can provoke as often as he likes must not fill the disk.
        is_news = answer.status in {500, 504} or (
            principal is not None and (answer.status >= 400 or scope["method"] in CHANGING)
        )
        (self._log.info if is_news else self._log.debug)(
            "request",
            method=scope["method"],
            route=answer.template,
            httpStatus=answer.status,
            durationMs=round(seconds * 1000, 1),
            requestId=scope["state"]["request_id"],
            actor=principal.actor if principal else None,
            address=scope["client"][0],
        )


class _Answer:
    """The answer on its way out; called as ``send``."""

    def __init__(
        self, site: Site, scope: Scope, client: Client, send: Send, found: Found | None
    ) -> None:
        self._site = site
        self._scope = scope
        self._client = client
        self._send = send
        self.found = found
        self.status = 0
        self.is_stream = False
        self.standing: Standing | None = None
        self.time: asyncio.Timeout | None = None

    @property
    def template(self) -> str:
        return self.found.template if self.found else UNKNOWN

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._begin(message)
            self.status = message["status"]
        await self._send(message)

    async def _begin(self, message: Message) -> None:
        state = self._scope["state"]
        if not any(name.lower() == b"content-length" for name, _ in message["headers"]):
            self.is_stream = True
            if self.time is not None and not self.time.expired():
                self.time.reschedule(None)  # it takes as long as there is something to tell
        harden(
            message,
            path=self._scope["path"],
            scheme=self._client.scheme,
            request_id=state["request_id"],
        )
        standing: Standing | None = state.get("standing") or self.standing
        if standing is not None:
            message["headers"] = [*message["headers"], *standing.headers]
        call = Call(
            self._scope["method"],
            self.template,
            self.found.path_parameters if self.found else {},
            message["status"],
            state.get("principal"),
        )
        if call.is_audited:
            await self._site.auditor.hear_of(call, state["address_group"])


def _first_of_each(scope: Scope) -> dict[str, str]:
    wanted = (b"x-request-id", b"x-forwarded-for", b"x-forwarded-proto", b"host")
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        if name in wanted:
            text = value.decode("latin-1")
            known = found.get(name.decode())
            # A list may come in several lines; the proxy nearest to us wrote the last one.
            found[name.decode()] = text if known is None else f"{known},{text}"
    return found


def _request_id(sent: str | None) -> str:
    return sent if sent is not None and _SANE_ID.fullmatch(sent) else uuid4().hex


def request_id_of(request: Request) -> str:
    """The id of this request, as its answer has it."""
    return str(request.scope.get("state", {}).get("request_id", ""))
