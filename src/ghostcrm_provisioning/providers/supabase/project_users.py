"""The users of a project as steps need them: seen to be so, made so; whoever opened the project."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from uuid import UUID

from ghostcrm_provisioning.errors import NotFound
from ghostcrm_provisioning.observation import Observation
from ghostcrm_provisioning.providers.provider import WantedUser
from ghostcrm_provisioning.providers.supabase import auth_admin
from ghostcrm_provisioning.providers.supabase.auth_admin import AuthAdmin


class ProjectUsers(ABC):
    """That part of a project's services which is the same with every key that administers."""

    @abstractmethod
    def _users(self) -> AbstractAsyncContextManager[AuthAdmin]:
        """Auth's admin API."""

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
