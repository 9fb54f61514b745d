"""Signing in and out, one's own password and sessions, and the choice of colours."""

from __future__ import annotations

import hmac
import secrets
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from ghostcrm_provisioning.dashboard.rendering import PREFIX, go_to, menu_of, render, set_theme
from ghostcrm_provisioning.dashboard.signing_in import (
    CHANGE_PASSWORD,
    CSRF_FIELD,
    MaybeVisit,
    Submission,
    Visit,
    address_of,
    cookie_name,
    forget_session_cookie,
    form_for,
    is_secure,
    page_for,
    refuse_other_origins,
    safe_return_path,
    set_session_cookie,
)
from ghostcrm_provisioning.errors import AccountLocked, ForgedForm, InvalidInput, NotAuthenticated
from ghostcrm_provisioning.web.site import TheSite

router = APIRouter()
# Before anybody is signed in, a form proves by this cookie that one of our pages was looked at.
_FORM_COOKIE = "ghostcrm_sign_in"


@router.get("/sign-in")
async def sign_in_page(request: Request, visit: MaybeVisit, return_to: str = "") -> Response:
    """The form; who is signed in already goes on to where he wanted to go."""
    if visit is not None:
        return RedirectResponse(safe_return_path(return_to), status_code=303)
    return _form(request, return_to=return_to)


@router.post("/sign-in")
async def sign_in(request: Request, site: TheSite) -> Response:
    """Compare the password, and begin a session with a new cookie."""
    refuse_other_origins(request)
    form = await request.form()
    email, password, return_to, sent = (
        value if isinstance(value := form.get(name), str) else ""
        for name in ("email", "password", "return_to", CSRF_FIELD)
    )
    known = request.cookies.get(_form_cookie_name(request), "")
    if not known or not hmac.compare_digest(known.encode(), sent.encode()):
        raise ForgedForm(
            "This browser has not kept the cookie of the sign-in page, so nobody was signed in.",
            next_step="Allow cookies for this address, reload the sign-in page, and try again.",
        )
    try:
        principal = await site.accounts.authenticate(email, password, address=address_of(request))
        new = await site.sessions.begin(
            principal,
            address=address_of(request),
            user_agent=request.headers.get("user-agent", ""),
        )
    except (NotAuthenticated, AccountLocked) as refused:
        return _form(request, return_to=return_to, email=email, refused=refused)
    request.state.principal = principal  # whose call this was, for the audit log
    # Whatever this browser had before is over.
    if (old := request.cookies.get(cookie_name(request))) and (
        session := await site.sessions.find(old)
    ):
        await site.sessions.end(session)
    where = safe_return_path(return_to)
    if where == f"{PREFIX}/" and (pages := menu_of(principal)):
        where = pages[0][0]
    response = RedirectResponse(where, status_code=303)
    set_session_cookie(request, response, new)
    response.delete_cookie(_form_cookie_name(request), path=PREFIX)
    return response


@router.post("/sign-out")
async def sign_out(
    request: Request, site: TheSite, submitted: Annotated[Submission, form_for(None)]
) -> Response:
    """End the session."""
    await site.sessions.end(submitted.visit.session)
    response = go_to(f"{PREFIX}/sign-in", notice="You are signed out.")
    forget_session_cookie(request, response)
    return response


@router.get("/change-password")
async def change_password_page(
    request: Request, visit: Annotated[Visit, page_for(None)]
) -> Response:
    """The form to choose another password; the only page for those who have a temporary one."""
    return _password_form(request, visit)


@router.post("/change-password")
async def change_password(
    request: Request, site: TheSite, submitted: Annotated[Submission, form_for(None)]
) -> Response:
    """Change one's own password. All one's sessions end, and a new one begins."""
    current, new, again = (
        submitted.untouched(name) for name in ("current_password", "new_password", "new_again")
    )
    if new != again:
        return _password_form(
            request, submitted.visit, ("new_again", "This is not the new password from above.")
        )
    address = address_of(request)
    try:
        principal = await site.accounts.change_own_password(
            submitted.principal, current=current, new=new, address=address
        )
    except InvalidInput as unfit:
        return _password_form(request, submitted.visit, ("new_password", unfit.message))
    except AccountLocked as locked:
        return _password_form(request, submitted.visit, (None, locked.message), status_code=429)
    except NotAuthenticated:
        return _password_form(
            request, submitted.visit, ("current_password", "This is not your present password.")
        )
    session = await site.sessions.begin(
        principal, address=address, user_agent=request.headers.get("user-agent", "")
    )
    pages = menu_of(principal)
    response = go_to(
        pages[0][0] if pages else f"{PREFIX}/sessions",
        notice="Your password is changed. Your other sessions have ended.",
    )
    set_session_cookie(request, response, session)
    return response


@router.get("/sessions")
async def sessions_page(
    request: Request, site: TheSite, visit: Annotated[Visit, page_for(None)]
) -> Response:
    """Where one is signed in."""
    sessions = await site.sessions.list_of(visit.principal.id)
    return render(request, "sessions.html", sessions=sessions, own=visit.session.id)


@router.post("/sessions/end-others")
async def end_other_sessions(
    site: TheSite, submitted: Annotated[Submission, form_for(None)]
) -> Response:
    """Sign out everywhere else."""
    ended = await site.sessions.end_all_of(submitted.principal.id, but=submitted.visit.session.id)
    notice = f"{ended} other session{' has' if ended == 1 else 's have'} ended."
    return go_to(f"{PREFIX}/sessions", notice=notice)


@router.post("/sessions/{session_id}/end")
async def end_session(
    session_id: UUID, site: TheSite, submitted: Annotated[Submission, form_for(None)]
) -> Response:
    """Sign out in one other place."""
    await site.sessions.end_one_of(submitted.principal.id, session_id)
    return go_to(f"{PREFIX}/sessions", notice="The session has ended.")


@router.post("/theme")
async def choose_theme(request: Request) -> Response:
    """Light, dark, or as the system says: for browsers without a script. Changes nothing of ours."""
    refuse_other_origins(request)
    form = await request.form()
    theme, return_to = form.get("theme"), form.get("return_to")
    where = return_to if isinstance(return_to, str) else ""
    # The sign-in page has the switch too.
    response = RedirectResponse(
        where if where == f"{PREFIX}/sign-in" else safe_return_path(where), status_code=303
    )
    set_theme(response, theme if isinstance(theme, str) else "system")
    return response


def _form_cookie_name(request: Request) -> str:
    return f"__Secure-{_FORM_COOKIE}" if is_secure(request) else _FORM_COOKIE


def _form(
    request: Request,
    *,
    return_to: str,
    email: str = "",
    refused: NotAuthenticated | None = None,
) -> Response:
    known = request.cookies.get(_form_cookie_name(request)) or secrets.token_urlsafe(32)
    response = render(
        request,
        "sign_in.html",
        status_code=200 if refused is None else refused.http_status,
        csrf_token=known,
        return_to=return_to if safe_return_path(return_to) == return_to else "",
        email=email[:254],
        refused=refused,
    )
    response.set_cookie(
        _form_cookie_name(request),
        known,
        path=PREFIX,
        secure=is_secure(request),
        httponly=True,
        samesite="strict",
    )
    if isinstance(refused, AccountLocked):
        response.headers["Retry-After"] = str(refused.wait_seconds)
    return response


def _password_form(
    request: Request,
    visit: Visit,
    problem: tuple[str | None, str] | None = None,
    *,
    status_code: int = 422,
) -> Response:
    return render(
        request,
        "change_password.html",
        status_code=200 if problem is None else status_code,
        action=CHANGE_PASSWORD,
        is_temporary=visit.session.must_change_password,
        problem=problem,
    )
