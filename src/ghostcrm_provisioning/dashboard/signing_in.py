"""Who is looking: the session's cookie, the guard of every page, and the check of every form.

Sessions and accounts themselves are in ``access``. A page without :func:`page_for`, or a form without
:func:`form_for`, is refused by a test unless it is one of the few that are for everybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import SplitResult, urlencode, urlsplit

from fastapi import Depends, Request
from starlette.datastructures import FormData
from starlette.responses import Response

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.access.sessions import NewSession, Session, is_csrf_token
from ghostcrm_provisioning.dashboard.rendering import PREFIX, path_with_query
from ghostcrm_provisioning.errors import (
    AccountLocked,
    ForgedForm,
    InvalidInput,
    NotAuthenticated,
    NotPermitted,
)
from ghostcrm_provisioning.web.site import Site, TheSite

SIGN_IN = f"{PREFIX}/sign-in"
CHANGE_PASSWORD = f"{PREFIX}/change-password"
CSRF_FIELD = "csrf_token"
LIVE_HEADER = "x-live"
_LONGEST_RETURN_PATH = 2000


@dataclass(frozen=True)
class Visit:
    """Somebody who is signed in, looking at a page."""

    session: Session

    @property
    def principal(self) -> Principal:
        return self.session.principal

    @property
    def csrf_token(self) -> str:
        return self.session.csrf_token


@dataclass(frozen=True)
class Submission:
    """A form that really comes from one of our pages, sent by somebody who is signed in."""

    visit: Visit
    form: FormData

    @property
    def principal(self) -> Principal:
        return self.visit.principal

    def text(self, name: str) -> str:
        """The text of a field, without blanks around it; empty when it was not sent."""
        return self.untouched(name).strip()

    def untouched(self, name: str) -> str:
        """The text of a field exactly as it was typed: for passwords."""
        value = self.form.get(name)
        return value if isinstance(value, str) else ""

    def texts(self, name: str) -> list[str]:
        """All values of a field that may be sent several times."""
        return [value for value in self.form.getlist(name) if isinstance(value, str)]


class SignInNeeded(Exception):
    """Nobody is signed in (any more); afterwards the visitor comes back to ``return_to``."""

    def __init__(self, return_to: str) -> None:
        super().__init__()
        self.return_to = return_to


class PasswordChangeNeeded(Exception):
    """The account has a temporary password, and must choose its own before anything else."""


# --- the cookie -----------------------------------------------------------------------------------


def is_secure(request: Request) -> bool:
    """Whether the visitor's browser speaks TLS (with us, or with a proxy that is trusted)."""
    return request.url.scheme == "https"


def cookie_name(request: Request) -> str:
    """``__Host-`` keeps other hosts and plain HTTP from setting it; browsers take it with TLS only."""
    return "__Host-ghostcrm_session" if is_secure(request) else "ghostcrm_session"


def set_session_cookie(request: Request, response: Response, new: NewSession) -> None:
    """Give the browser its session. It ends with the browser, and on our side by its time-outs."""
    response.set_cookie(
        cookie_name(request),
        new.cookie.get_secret_value(),
        path="/",
        secure=is_secure(request),
        httponly=True,
        samesite="lax",
    )


def forget_session_cookie(request: Request, response: Response) -> None:
    response.delete_cookie(
        cookie_name(request), path="/", secure=is_secure(request), httponly=True, samesite="lax"
    )


# --- the guard ------------------------------------------------------------------------------------


async def find_visit(request: Request, site: TheSite) -> Visit | None:
    """Whoever is signed in, if anybody is."""
    cookie = request.cookies.get(cookie_name(request))
    # What the page's script asks by itself keeps no session from running out.
    is_use = LIVE_HEADER not in request.headers and "text/event-stream" not in request.headers.get(
        "accept", ""
    )
    session = None if not cookie else await site.sessions.find(cookie, is_use=is_use)
    visit = None if session is None else Visit(session)
    request.state.visit = visit
    if visit is not None:
        request.state.principal = visit.principal
    return visit


MaybeVisit = Annotated[Visit | None, Depends(find_visit)]


def page_for(scope: Scope | None) -> Any:
    """The dependency that lets in who is signed in and has ``scope`` (None: whoever is signed in)."""

    async def check(request: Request, visit: MaybeVisit) -> Visit:
        if visit is None:
            raise SignInNeeded(_where_to_return(request))
        if visit.session.must_change_password and request.url.path != CHANGE_PASSWORD:
            raise PasswordChangeNeeded
        if scope is not None and not visit.principal.may(scope):
            raise NotPermitted(
                f"This page needs the right {scope.value}, which your account does not have.",
                next_step="Ask an admin who may manage access to give it to you.",
                scope=scope.value,
            )
        return visit

    check.scope = scope  # type: ignore[attr-defined]  # read from the route table by a test
    return Depends(check)


def form_for(scope: Scope | None) -> Any:
    """The dependency of every form: :func:`page_for`, and that one of our pages has sent it."""

    guard = page_for(scope)

    # A default, because an annotation would be read where there is no such guard.
    async def check(request: Request, visit: Visit = guard) -> Submission:
        refuse_other_origins(request)
        form = await request.form()
        sent = form.get(CSRF_FIELD)
        if not isinstance(sent, str) or not is_csrf_token(sent, visit.session):
            raise ForgedForm
        if any("\0" in value for value in form.values() if isinstance(value, str)):
            raise InvalidInput("A field holds a NUL character, which nothing can keep.")
        return Submission(visit, form)

    check.scope = scope  # type: ignore[attr-defined]
    check.is_form = True  # type: ignore[attr-defined]
    return Depends(check)


async def why_not_confirmed(
    request: Request, site: Site, submitted: Submission, field: str = "password"
) -> str | None:
    """For something sensitive: why it is not sure that the owner of the session is there; None when it is.

    The password was given within the last minutes, or stands in this form.
    """
    session = submitted.visit.session
    password = submitted.untouched(field)
    if not password:
        return None if session.is_confirmed else "Give your password once more."
    try:
        await site.sessions.confirm(session, password, address=address_of(request))
    except NotAuthenticated as refused:
        return (
            refused.message if isinstance(refused, AccountLocked) else "This is not your password."
        )
    return None


def refuse_other_origins(request: Request) -> None:
    """Raises ForgedForm when the browser says that another site has sent this."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        raise ForgedForm
    origin = request.headers.get("origin")
    # The scheme is left out: a proxy that ends TLS need not be trusted with it for this.
    if origin is not None and _split(origin).netloc != request.headers.get("host"):
        raise ForgedForm


def _split(url: str) -> SplitResult:
    """The parts of a URL; of what is none, none."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


# --- coming back ----------------------------------------------------------------------------------


def address_of(request: Request) -> str:
    """Where the visitor is, as far as that can be known."""
    return "unknown" if request.client is None else request.client.host


def _where_to_return(request: Request) -> str:
    """The page itself; for a form, the page that it stands on."""
    if request.method == "GET":
        return path_with_query(request)
    referring = _split(request.headers.get("referer", ""))
    if referring.netloc != request.headers.get("host"):
        return f"{PREFIX}/"
    return referring.path + (f"?{referring.query}" if referring.query else "")


def sign_in_path(return_to: str) -> str:
    """The sign-in page that leads back to ``return_to``."""
    where = safe_return_path(return_to)
    return SIGN_IN if where == f"{PREFIX}/" else f"{SIGN_IN}?{urlencode({'return_to': where})}"


def safe_return_path(path: str) -> str:
    """``path`` when it is a page of ours, else the overview: nobody is led to another site."""
    home = f"{PREFIX}/"
    if (
        len(path) > _LONGEST_RETURN_PATH
        or not path.isascii()
        or not path.isprintable()
        or "\\" in path
        or not path.startswith(home)
        or "//" in path.split("?", maxsplit=1)[0]
        or "/." in path.split("?", maxsplit=1)[0]
        or path.startswith((SIGN_IN, f"{PREFIX}/sign-out", f"{PREFIX}/static"))
        or path.partition("?")[0].endswith("/events")
    ):
        return home
    return path
