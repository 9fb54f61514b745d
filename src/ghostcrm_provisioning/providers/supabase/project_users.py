"""The users of a project as steps need them: seen to be so, made so; whoever opened the project. And whether its
keys still open it."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from uuid import UUID

import httpx

from ghostcrm_provisioning.errors import NotFound
from ghostcrm_provisioning.observation import Observation
from ghostcrm_provisioning.providers.provider import ServiceKeys, WantedUser
from ghostcrm_provisioning.providers.supabase import auth_admin
from ghostcrm_provisioning.providers.supabase.auth_admin import AuthAdmin
from ghostcrm_provisioning.providers.supabase.project_api import ProjectApi
from ghostcrm_provisioning.providers.supabase.wire import Query, Request

# What each key must open, and nothing is changed by asking for: path and query.
_SETTINGS: tuple[str, Query] = ("/auth/v1/settings", ())
_ONE_USER: tuple[str, Query] = ("/auth/v1/admin/users", (("page", "1"), ("per_page", "1")))


class ProjectUsers(ABC):
    """That part of a project's services which is the same with every key that administers."""

    @abstractmethod
    def _users(self) -> AbstractAsyncContextManager[AuthAdmin]:
        """Auth's admin API."""

    @abstractmethod
    def _opened_by(self) -> tuple[ServiceKeys, float]:
        """What opens the project, as we know it, and how many seconds a request may take."""

    async def refused_keys(self) -> tuple[str, ...]:
        keys, seconds = self._opened_by()
        asked = [
            ("anon key", keys.publishable or keys.anon, _SETTINGS),
            ("service role key", keys.secret or keys.service_role, _ONE_USER),
        ]
        refused = await asyncio.gather(
            *(
                _is_refused(keys.url, key, path, seconds)
                for _, key, path in asked
                if key is not None
            )
        )
        names = [name for name, key, _ in asked if key is not None]
        return tuple(name for name, is_so in zip(names, refused, strict=True) if is_so)

    async def observe_user(self, user: WantedUser) -> Observation:
        async with self._users() as users:
            found = await users.find_user(user.user_id)
        if found is None:
            return Observation(False, "the admin is no user of the project")
        if found.email != user.email.lower():
            return Observation(False, "the admin's user has another email")
        if not found.email_confirmed:
            return Observation(False, "the admin's email is not confirmed")
        return Observation(True, f"{user.email} can sign in")

    async def ensure_user(self, user: WantedUser, password_hash: str) -> None:
        async with self._users() as users:
            await users.ensure_user(
                auth_admin.WantedUser(user.user_id, user.email, user.metadata), password_hash
            )

    async def set_password(self, user_id: UUID, password: str, password_hash: str) -> bool:
        async with self._users() as users:
            try:
                await users.set_password(user_id, password)
            except NotFound:
                return False
        return True


async def _is_refused(url: str, key: str, asked: tuple[str, Query], seconds: float) -> bool:
    """Whether the project says that it is no key of its own.

    Raises:
        SupabaseUnavailable: it does not answer.
    """
    path, query = asked
    async with ProjectApi(project_url=url, key=key, request_seconds=seconds) as project:
        answer = await project.send(Request("GET", path, path, query=query))
    return answer.status == httpx.codes.UNAUTHORIZED
