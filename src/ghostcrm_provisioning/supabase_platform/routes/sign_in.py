"""A project's Auth API beside the admin's: health, settings, public keys, sign-in with a password."""

from __future__ import annotations

import secrets
import time
from typing import Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Request
from pydantic import BaseModel, SecretStr

from ghostcrm_provisioning.supabase_platform.auth_users import AuthRefusal, AuthUsers
from ghostcrm_provisioning.supabase_platform.entrance import ThePlatform
from ghostcrm_provisioning.supabase_platform.keys import key_set, user_token
from ghostcrm_provisioning.supabase_platform.project import Project
from ghostcrm_provisioning.supabase_platform.project_caller import ReachableProject, TheCaller
from ghostcrm_provisioning.supabase_platform.routes.auth_admin import refuse_in_words_of
from ghostcrm_provisioning.supabase_platform.routes.configuration import auth_settings_of

router = APIRouter(prefix="/project/{ref}/auth/v1")


class Credentials(BaseModel):
    email: str
    password: SecretStr


@router.get("/health")
async def health(project: ReachableProject) -> dict[str, str]:
    return {
        "version": "local platform",
        "name": "GoTrue",
        "description": "GoTrue is a user registration and authentication API",
    }


@router.get("/settings")
async def public_settings(project: ReachableProject, caller: TheCaller) -> dict[str, Any]:
    """Those of its settings that anybody with a key may know."""
    settings = auth_settings_of(project)
    return {
        "external": {
            name.removeprefix("external_").removesuffix("_enabled"): bool(value)
            for name, value in settings.items()
            if name.startswith("external_") and name.endswith("_enabled")
        },
        "disable_signup": bool(settings["disable_signup"]),
        "mailer_autoconfirm": bool(settings["mailer_autoconfirm"]),
        "phone_autoconfirm": bool(settings["sms_autoconfirm"]),
        "sms_provider": settings["sms_provider"] or "",
        "saml_enabled": bool(settings["saml_enabled"]),
    }


@router.get("/.well-known/jwks.json")
async def public_keys(project: ReachableProject) -> dict[str, Any]:
    return key_set(project)


@router.get("/user")
async def current_user(
    request: Request, platform: ThePlatform, project: ReachableProject, caller: TheCaller
) -> dict[str, Any]:
    try:
        user_id = UUID(str(caller.claims.get("sub")))
    except ValueError:
        raise refuse_in_words_of(
            request, AuthRefusal(403, "bad_jwt", "invalid claim: missing sub claim")
        ) from None
    try:
        async with platform.databases.as_auth(project) as connection:
            return await AuthUsers(connection).find(user_id)
    except AuthRefusal as refusal:
        raise refuse_in_words_of(request, refusal) from None


@router.post("/token")
async def sign_in(
    request: Request,
    platform: ThePlatform,
    project: ReachableProject,
    caller: TheCaller,
    credentials: Credentials,
    grant_type: str = "",
) -> dict[str, Any]:
    if grant_type != "password":
        raise refuse_in_words_of(
            request,
            AuthRefusal(
                400, "unsupported_grant_type", "The local platform knows grant_type=password"
            ),
        )
    try:
        async with platform.databases.as_auth(project) as connection:
            user = await AuthUsers(connection).sign_in(
                credentials.email, credentials.password.get_secret_value()
            )
    except AuthRefusal as refusal:
        raise refuse_in_words_of(request, refusal) from None
    return _session(project, user, issuer=str(request.url).split("/token")[0])


def _session(project: Project, user: dict[str, Any], *, issuer: str) -> dict[str, Any]:
    now = int(time.time())
    lifetime = int(auth_settings_of(project)["jwt_exp"] or 3600)
    claims = {
        "iss": issuer,
        "sub": user["id"],
        "aud": user["aud"],
        "exp": now + lifetime,
        "iat": now,
        "email": user["email"],
        "phone": user["phone"],
        "app_metadata": user["app_metadata"],
        "user_metadata": user["user_metadata"],
        "role": user["role"],
        "aal": "aal1",
        "amr": [{"method": "password", "timestamp": now}],
        "session_id": str(uuid4()),
        "is_anonymous": False,
    }
    return {
        "access_token": user_token(project, claims),
        "token_type": "bearer",
        "expires_in": lifetime,
        "expires_at": now + lifetime,
        # Nothing is kept that would renew it: sign in again.
        "refresh_token": secrets.token_urlsafe(9),
        "user": user,
    }
