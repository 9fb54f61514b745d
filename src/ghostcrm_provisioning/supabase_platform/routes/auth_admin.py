"""A project's Auth admin API: users, for whoever has a key of ``service_role``."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, SecretStr

from ghostcrm_provisioning.supabase_platform.auth_users import AuthRefusal, AuthUsers, WantedUser
from ghostcrm_provisioning.supabase_platform.entrance import ThePlatform
from ghostcrm_provisioning.supabase_platform.keys import Caller
from ghostcrm_provisioning.supabase_platform.project_caller import ReachableProject, TheCaller
from ghostcrm_provisioning.supabase_platform.refusal import Refusal

VERSION_HEADER = "x-supabase-api-version"
NEWER_VERSION = "2024-01-01"


def refuse_in_words_of(request: Request, refusal: AuthRefusal) -> Refusal:
    """Auth's error for the version of its API that the request asks for."""
    if request.headers.get(VERSION_HEADER, "") < NEWER_VERSION:
        body = {"code": refusal.status, "error_code": refusal.code, "msg": refusal.message}
        return Refusal(refusal.status, refusal.message, body=body)
    return Refusal(
        refusal.status,
        refusal.message,
        body={"code": refusal.code, "message": refusal.message},
        headers={VERSION_HEADER: NEWER_VERSION},
    )


async def _admins_only(request: Request, caller: TheCaller) -> Caller:
    if caller.role != "service_role":
        raise refuse_in_words_of(request, AuthRefusal(403, "not_admin", "User not allowed"))
    return caller


router = APIRouter(
    prefix="/project/{ref}/auth/v1/admin/users", dependencies=[Depends(_admins_only)]
)


class UserFields(BaseModel):
    """As Auth reads it: what it does not know, it ignores."""

    id: UUID | None = None
    aud: str | None = None
    role: str | None = None
    email: str | None = None
    phone: str | None = None
    password: SecretStr | None = None
    password_hash: SecretStr | None = None
    email_confirm: bool = False
    phone_confirm: bool = False
    user_metadata: dict[str, Any] | None = None
    app_metadata: dict[str, Any] | None = None
    ban_duration: str | None = None

    def wanted(self) -> WantedUser:
        return WantedUser(
            **self.model_dump(
                exclude={"password", "password_hash", "user_metadata", "app_metadata"}
            ),
            password=self.password.get_secret_value() if self.password else None,
            password_hash=self.password_hash.get_secret_value() if self.password_hash else None,
            user_metadata=self.user_metadata or {},
            app_metadata=self.app_metadata or {},
        )


def _user_id(request: Request, user_id: Annotated[str, Path()]) -> UUID:
    try:
        return UUID(user_id)
    except ValueError:
        raise refuse_in_words_of(
            request, AuthRefusal(404, "validation_failed", "user_id must be an UUID")
        ) from None


TheUserId = Annotated[UUID, Depends(_user_id)]


@router.post("")
async def create_user(
    request: Request, platform: ThePlatform, project: ReachableProject, new: UserFields
) -> dict[str, Any]:
    try:
        async with platform.databases.as_auth(project) as connection:
            return await AuthUsers(connection).create(new.wanted())
    except AuthRefusal as refusal:
        raise refuse_in_words_of(request, refusal) from None


@router.get("")
async def list_users(
    request: Request,
    response: Response,
    platform: ThePlatform,
    project: ReachableProject,
    page: Annotated[int, Query(ge=1)] = 1,
    per_page: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> dict[str, Any]:
    async with platform.databases.as_auth(project) as connection:
        users, total = await AuthUsers(connection).page(page=page, per_page=per_page)
    last = max(1, -(-total // per_page))
    links = [f'<{request.url.path}?page={last}&per_page={per_page}>; rel="last"']
    if page < last:
        links.insert(0, f'<{request.url.path}?page={page + 1}&per_page={per_page}>; rel="next"')
    response.headers["x-total-count"] = str(total)
    response.headers["link"] = ", ".join(links)
    return {"users": users, "aud": "authenticated"}


@router.get("/{user_id}")
async def get_user(
    request: Request, platform: ThePlatform, project: ReachableProject, user_id: TheUserId
) -> dict[str, Any]:
    try:
        async with platform.databases.as_auth(project) as connection:
            return await AuthUsers(connection).find(user_id)
    except AuthRefusal as refusal:
        raise refuse_in_words_of(request, refusal) from None


@router.put("/{user_id}")
async def change_user(
    request: Request,
    platform: ThePlatform,
    project: ReachableProject,
    user_id: TheUserId,
    wanted: UserFields,
) -> dict[str, Any]:
    try:
        async with platform.databases.as_auth(project) as connection:
            return await AuthUsers(connection).change(user_id, wanted.wanted())
    except AuthRefusal as refusal:
        raise refuse_in_words_of(request, refusal) from None


@router.delete("/{user_id}")
async def delete_user(
    request: Request, platform: ThePlatform, project: ReachableProject, user_id: TheUserId
) -> JSONResponse:
    try:
        async with platform.databases.as_auth(project) as connection:
            await AuthUsers(connection).delete(user_id)
    except AuthRefusal as refusal:
        raise refuse_in_words_of(request, refusal) from None
    return JSONResponse({})
