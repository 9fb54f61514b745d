"""The users of a project, through the admin API of Supabase Auth (GoTrue ~2.196): made with ids and
password hashes of ours, found, given another password, removed.

Asked with a key that administers: a secret key, or the older ``service_role``. Whose user it is decides the
id, which was chosen before anything was asked for: a reply that is lost, and a refusal that says that
somebody is there already, are answered by looking. A user of another id, or of another email, is never taken
for ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx

from ghostcrm_provisioning.errors import (
    AdminEmailTaken,
    GhostcrmError,
    NotFound,
    PostconditionNotMet,
    SupabaseRejected,
    SupabaseUnavailable,
)
from ghostcrm_provisioning.providers.supabase.project_api import ProjectApi, code_of
from ghostcrm_provisioning.providers.supabase.wire import Answer, Request

_USERS = "/auth/v1/admin/users"
_ONE_USER = f"{_USERS}/{{}}"
_EMAIL_EXISTS = "email_exists"
_UNIQUE_VIOLATION = "23505"
_NO_USER = "user_not_found"


@dataclass(frozen=True)
class WantedUser:
    """A user as it is to be. ``user_metadata`` is the user's to change, ``app_metadata`` is not."""

    id: UUID
    email: str
    user_metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    app_metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class AuthUser:
    """A user as Auth answers it."""

    id: UUID
    email: str
    email_confirmed: bool
    user_metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    app_metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)


class AuthAdmin:
    """The calls, with one key. Use it as a context manager.

    Args:
        project_url: as :func:`.project_api.project_url` makes it; ``http://localhost:54321`` of a local stack.
        service_key: ``sb_secret_…``, or the JWT of ``service_role``.
        request_seconds: how long one request may take.
    """

    def __init__(
        self,
        project_url: str,
        service_key: str,
        *,
        request_seconds: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._api = ProjectApi(
            project_url=project_url,
            key=service_key,
            request_seconds=request_seconds,
            transport=transport,
        )

    def __repr__(self) -> str:
        return f"AuthAdmin(host={self._api.host!r})"

    async def __aenter__(self) -> AuthAdmin:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._api.__aexit__()

    async def find_user(self, user_id: UUID) -> AuthUser | None:
        """None: there is none of that id.

        Raises:
            as :meth:`ensure_user`, without AdminEmailTaken.
        """
        request = Request("GET", _ONE_USER, f"{_USERS}/{user_id}")
        answer = await self._api.send(request)
        if answer.status == httpx.codes.NOT_FOUND and code_of(answer) == _NO_USER:
            return None
        return _user_of(self._document(request, answer), request)

    async def ensure_user(self, user: WantedUser, password_hash: str) -> AuthUser:
        """The user, who can sign in with their email; made, if it is not there. What is there stays as it
        is: a password that was changed since, and metadata.

        Args:
            password_hash: bcrypt. No password is sent.

        Raises:
            AdminEmailTaken: the email is another user's, or our user has another one.
            ToldToWait: it takes no more requests now; nothing was done.
            SupabaseAccessDenied: the key is not taken.
            SupabaseUnavailable: no answer, or a failure of theirs; called again, it looks first.
            SupabaseRejected: it was refused; nothing was done.
        """
        found = await self.find_user(user.id)
        if found is None:
            found = await self._create(user, password_hash)
        if found.email != user.email.lower():
            raise AdminEmailTaken(
                f"The user {user.id} is there with another email than {user.email}.",
                next_step="Look at the project's users at Supabase: somebody has changed the email. Set it "
                "back, or remove the user.",
            )
        if not found.email_confirmed:
            found = await self._change(user.id, {"email_confirm": True})
        return found

    async def set_password(self, user_id: UUID, temporary: str) -> None:
        """Give the user another password.

        This sends it in the clear, over TLS: of an existing user the admin API takes a new password, while a
        ``password_hash`` is read only when one is created, and passed over in silence otherwise
        (``adminUserUpdate`` in supabase/auth). So it must be one that its owner has to change.

        Raises:
            NotFound: there is no such user.
            others as :meth:`ensure_user`.
        """
        await self._change(user_id, {"password": temporary}, secrets=(temporary,))

    async def delete_user(self, user_id: UUID) -> None:
        """Done when there is none, too."""
        request = Request("DELETE", _ONE_USER, f"{_USERS}/{user_id}")
        answer = await self._api.send(request)
        if answer.status == httpx.codes.NOT_FOUND and code_of(answer) == _NO_USER:
            return
        self._document(request, answer)

    async def _create(self, user: WantedUser, password_hash: str) -> AuthUser:
        """Ask for it; when the reply is lost, or says that it is there, what is seen counts."""
        request = Request(
            "POST",
            _USERS,
            _USERS,
            body={
                "id": str(user.id),
                "email": user.email,
                "password_hash": password_hash,
                "email_confirm": True,
                "user_metadata": dict(user.user_metadata),
                "app_metadata": dict(user.app_metadata),
            },
            secrets=(password_hash,),
        )
        try:
            answer = await self._api.send(request)
        except SupabaseUnavailable as lost:
            if lost.may_be_done and (found := await self._look(user)) is not None:
                return found
            raise
        if answer.is_success:
            made = _user_of(self._document(request, answer), request)
            if made.id != user.id:
                await self.delete_user(made.id)
                raise SupabaseRejected(
                    "This project's Auth gives its users ids of its own.",
                    next_step="Update it: ids are taken from version 2.156 of Supabase Auth on.",
                )
            return made
        if code_of(answer) == _EMAIL_EXISTS:
            if (there := await self.find_user(user.id)) is not None:
                return there
            raise AdminEmailTaken(
                f"The email {user.email} belongs to another user of this project.",
                next_step="Look at the project's users at Supabase; remove the other one, or its email.",
            )
        if answer.status >= 500 and (found := await self._look(user)) is not None:
            return found
        if code_of(answer) == _UNIQUE_VIOLATION:
            # One that cannot be found is there all the same: it was removed, and its row kept.
            raise PostconditionNotMet(
                f"Auth says that the user {user.id} is there, and does not find it."
            )
        raise self._error(request, answer)

    async def _look(self, user: WantedUser) -> AuthUser | None:
        """None when it cannot be seen, for whatever reason: the error that made us look is told instead."""
        try:
            return await self.find_user(user.id)
        except GhostcrmError:
            return None

    async def _change(
        self, user_id: UUID, changes: Mapping[str, Any], *, secrets: tuple[str, ...] = ()
    ) -> AuthUser:
        """May be repeated: it ends the same."""
        request = Request("PUT", _ONE_USER, f"{_USERS}/{user_id}", body=changes, secrets=secrets)
        answer = await self._api.send(request)
        if answer.status == httpx.codes.NOT_FOUND and code_of(answer) == _NO_USER:
            raise NotFound(
                f"The project has no user {user_id}.",
                next_step="Look at the project's users at Supabase: somebody has removed the user.",
            )
        return _user_of(self._document(request, answer), request)

    def _document(self, request: Request, answer: Answer) -> Any:
        if not answer.is_success:
            raise self._error(request, answer)
        return self._api.document(request, answer)

    def _error(self, request: Request, answer: Answer) -> GhostcrmError:
        error = self._api.error(request, answer)
        if isinstance(error, GhostcrmError):
            return error
        return SupabaseRejected(
            f"There is no Auth admin API at {self._api.host} ({error}).",
            next_step="Check the address of the project, and that the project is still there.",
        )


def _user_of(document: Any, request: Request) -> AuthUser:
    """Read with tolerance: only what we cannot do without must be there."""
    found = document if isinstance(document, dict) else {}
    try:
        user_id = UUID(str(found.get("id")))
    except ValueError:
        # What was answered is not quoted: it may hold a secret.
        raise SupabaseUnavailable(
            f"Auth's answer has no user in it ({request.endpoint}).",
            may_be_done=not request.changes_nothing,
        ) from None
    email = found.get("email")
    return AuthUser(
        id=user_id,
        email=email.lower() if isinstance(email, str) else "",
        email_confirmed=bool(found.get("email_confirmed_at")),
        user_metadata=_mapping(found.get("user_metadata")),
        app_metadata=_mapping(found.get("app_metadata")),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
