"""Turns facts into pages: the templates, what every page knows, and how moments and numbers are written.

Everything that is put into a template is escaped; nothing here marks foreign text as safe.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.resources import files
from typing import Any, Literal

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.dashboard import words

PREFIX = "/admin"
_NOTICE = "ghostcrm_notice"
_THEME = "ghostcrm_theme"
_CODE = re.compile(r"`([^`]+)`")
NoticeTone = Literal["ok", "warn", "bad"]

# The pages of the menu: where, what they are called, and the scope without which they are not shown.
MENU: tuple[tuple[str, str, Scope], ...] = (
    (f"{PREFIX}/", "Overview", Scope.CLIENTS_READ),
    (f"{PREFIX}/clients", "Clients", Scope.CLIENTS_READ),
    (f"{PREFIX}/queue", "Queue", Scope.QUEUE_READ),
    (f"{PREFIX}/servers", "Servers", Scope.SERVERS_READ),
    (f"{PREFIX}/audit", "Audit", Scope.AUDIT_READ),
    (f"{PREFIX}/notifications", "Notifications", Scope.NOTIFICATIONS_READ),
    (f"{PREFIX}/access", "Access", Scope.ACCESS_MANAGE),
)


def static_digest() -> str:
    """Changes when a static file does, so that browsers may keep them for as long as they like."""
    digest = hashlib.sha256()
    folder = files(__package__).joinpath("static")
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def _moment(moment: datetime | str | None) -> datetime | None:
    if isinstance(moment, str):  # from a document
        moment = datetime.fromisoformat(moment)
    return moment


def _time_element(moment: datetime, shown: str, kind: str) -> Markup:
    return Markup('<time datetime="{}" data-time="{}" title="{}">{}</time>').format(
        moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        kind,
        words.absolute(moment),
        shown,
    )


def ago(moment: datetime | str | None) -> Markup:
    """A moment as the time since (or until) it; the absolute one shows on hovering."""
    moment = _moment(moment)
    if moment is None:
        return Markup("–")
    return _time_element(moment, words.relative(moment, datetime.now(UTC)), "relative")


def due(moment: datetime | str | None) -> Markup:
    """When something is to happen: as the time until it, and after that as ``any moment``."""
    moment = _moment(moment)
    if moment is None:
        return Markup("–")
    return _time_element(moment, words.due(moment, datetime.now(UTC)), "due")


def at(moment: datetime | str | None) -> Markup:
    """A moment in full, in UTC (or, if the visitor wishes, in the browser's zone)."""
    moment = _moment(moment)
    return Markup("–") if moment is None else _time_element(moment, words.absolute(moment), "full")


def clock(moment: datetime | str | None) -> Markup:
    """The time of the day of a moment: ``10:41:07 UTC``."""
    moment = _moment(moment)
    if moment is None:
        return Markup("–")
    return _time_element(moment, moment.astimezone(UTC).strftime("%H:%M:%S UTC"), "clock")


def since(moment: datetime | str | None) -> Markup:
    """How long ago a moment was, as a duration that ticks: for what is going on."""
    moment = _moment(moment)
    if moment is None:
        return Markup("–")
    elapsed = (datetime.now(UTC) - moment).total_seconds() * 1000
    return _time_element(moment, words.duration(max(0, elapsed)), "elapsed")


def prose(text: str | None) -> Markup:
    """A sentence with `code` in it."""
    parts = _CODE.split(text or "")
    code = Markup("<code>{}</code>")
    return Markup("").join(
        code.format(part) if index % 2 else escape(part) for index, part in enumerate(parts)
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        ago=ago,
        due=due,
        at=at,
        clock=clock,
        since=since,
        prose=prose,
        duration=words.duration,
        count=words.count,
        bytes=words.size,
        look=words.look_of,
        kind=words.kind_of,
    )
    environment.globals.update(
        prefix=PREFIX,
        version=version("ghostcrm-provisioning"),
        static_digest=static_digest(),
        Scope=Scope,
    )
    return environment


ENVIRONMENT = _environment()


def render(
    request: Request, template: str, *, status_code: int = 200, **facts: Any
) -> HTMLResponse:
    """The page of ``template`` with ``facts``, and what every page knows.

    Every page knows ``visit`` (None before the sign-in), ``principal``, ``csrf_token``, ``menu``,
    ``here``, ``theme``, ``notice``, ``request_id`` and ``now``.
    """
    visit = getattr(request.state, "visit", None)
    principal: Principal | None = None if visit is None else visit.principal
    notice = _read_notice(request)
    page = ENVIRONMENT.get_template(template).render(
        {
            "visit": visit,
            "principal": principal,
            "csrf_token": "" if visit is None else visit.csrf_token,
            "menu": menu_of(principal),
            "path": request.url.path,
            "here": path_with_query(request),
            "theme": theme_of(request),
            "notice": notice,
            "request_id": request_id_of(request),
            "now": datetime.now(UTC),
            "attention": False,
        }
        | facts
    )
    response = HTMLResponse(page, status_code=status_code)
    if notice is not None:
        response.delete_cookie(_NOTICE, path=PREFIX, httponly=True, samesite="lax")
    return response


def menu_of(principal: Principal | None) -> list[tuple[str, str]]:
    """The pages that ``principal`` may see."""
    if principal is None:
        return []
    return [(href, name) for href, name, scope in MENU if principal.may(scope)]


def path_with_query(request: Request) -> str:
    """The page that was asked for, to come back to."""
    query = request.url.query
    return request.url.path + (f"?{query}" if query else "")


def theme_of(request: Request) -> str:
    """What the visitor has chosen: ``light``, ``dark``, or whatever the system says."""
    chosen = request.cookies.get(_THEME, "")
    return chosen if chosen in {"light", "dark"} else "system"


def set_theme(response: RedirectResponse, theme: str) -> None:
    """Remember the choice of the visitor. It is no secret, and the page's script sets it too."""
    if theme in {"light", "dark"}:
        response.set_cookie(_THEME, theme, path=PREFIX, max_age=31_536_000, samesite="lax")
    else:
        response.delete_cookie(_THEME, path=PREFIX, samesite="lax")


def request_id_of(request: Request) -> str | None:
    """By what the log knows this request."""
    found = getattr(request.state, "request_id", None)
    return None if found is None else str(found)


def go_to(path: str, *, notice: str | None = None, tone: NoticeTone = "ok") -> RedirectResponse:
    """See another page next, with a sentence about what was done. The sentence must hold no secret."""
    response = RedirectResponse(path, status_code=303)
    if notice is not None:
        sentence = json.dumps({"tone": tone, "text": notice}).encode()
        response.set_cookie(
            _NOTICE,
            base64.urlsafe_b64encode(sentence).decode(),
            path=PREFIX,
            max_age=60,
            httponly=True,
            samesite="lax",
        )
    return response


def _read_notice(request: Request) -> Mapping[str, str] | None:
    try:
        notice = json.loads(base64.urlsafe_b64decode(request.cookies[_NOTICE].encode()))
        tone, text = str(notice["tone"]), str(notice["text"])
    except (KeyError, ValueError, TypeError):
        return None
    return {"tone": tone if tone in {"ok", "warn", "bad"} else "ok", "text": text[:500]}
