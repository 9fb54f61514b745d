"""Supabase's Management API: the calls that the provider makes, with types.

Each method is one call, made once: what is repeated, and when, is decided by who calls. Every call is
checked against the official description by a test, which fails for one that it has not seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ghostcrm_provisioning.errors import ProjectGone, SupabaseRejected
from ghostcrm_provisioning.providers.supabase.documents import (
    ApiKey,
    NetworkRestrictions,
    Organization,
    Pooler,
    PostgrestSettings,
    Project,
    ServiceHealth,
    api_key_of,
    health_of,
    largest_file_of,
    list_of,
    organization_of,
    pooler_of,
    postgrest_of,
    project_of,
    restrictions_of,
    rows_of,
)
from ghostcrm_provisioning.providers.supabase.exchange import Exchange
from ghostcrm_provisioning.providers.supabase.wire import Query, Request, ResourceMissing

_PAGE = 100
_MOST_PAGES = 100
REGION_GROUPS = frozenset({"americas", "emea", "apac"})


class ManagementApi:
    """The calls, over one exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    # --- organizations ----------------------------------------------------------------------------

    async def organizations(self) -> list[Organization]:
        """Those that the token's owner belongs to."""
        try:
            answer = await self._exchange.ask(
                Request("GET", "/v1/organizations", "/v1/organizations")
            )
        except ResourceMissing as missing:
            raise SupabaseRejected(
                "There is no Management API at that address.",
                next_step="Correct SUPABASE_API_URL, or leave it out: Supabase's own is the default.",
            ) from missing
        return [organization_of(each) for each in list_of(answer)]

    async def organization(self, slug: str) -> Organization:
        """Raises SupabaseRejected: there is none of that slug."""
        return organization_of(await self._of_organization("GET", slug))

    async def regions(self, slug: str) -> frozenset[str]:
        """The codes of the regions, and groups of them, in which the organization may have projects."""
        every = (await self._regions(slug)).get("all")
        return frozenset(
            str(region["code"])
            for name in ("smartGroup", "specific")
            for region in list_of(every, name)
            if isinstance(region, dict) and region.get("code")
        )

    async def recommended_region(self, slug: str) -> str | None:
        """The group of regions that Supabase recommends to whoever asks from where we are."""
        recommended = (await self._regions(slug)).get("recommendations")
        group = recommended.get("smartGroup") if isinstance(recommended, dict) else None
        code = group.get("code") if isinstance(group, dict) else None
        return code if isinstance(code, str) and code else None

    async def _regions(self, slug: str) -> dict[str, Any]:
        template = "/v1/projects/available-regions"
        request = Request("GET", template, template, query=[("organization_slug", slug)])
        try:
            answer = await self._exchange.ask(request)
        except ResourceMissing as missing:
            raise _no_organization(slug) from missing
        return answer if isinstance(answer, dict) else {}

    # --- projects ---------------------------------------------------------------------------------

    async def projects(self, slug: str, *, search: str | None = None) -> list[Project]:
        """The organization's projects whose name contains ``search``; all pages."""
        found: list[Project] = []
        for _ in range(_MOST_PAGES):
            query = [("limit", str(_PAGE)), ("offset", str(len(found))), ("sort", "created_asc")]
            if search is not None:
                query.append(("search", search))
            answer = await self._of_organization("GET", slug, "/projects", query=query)
            page = [project_of(each) for each in list_of(answer, "projects")]
            found += page
            if len(page) < _PAGE:
                break
        return found

    async def count_projects(self, slug: str) -> int | None:
        """How many the organization has, where that is said."""
        answer = await self._of_organization("GET", slug, "/projects", query=[("limit", "1")])
        pagination = answer.get("pagination") if isinstance(answer, dict) else None
        count = pagination.get("count") if isinstance(pagination, dict) else None
        return int(count) if isinstance(count, int | float) else None

    async def create_project(
        self,
        *,
        name: str,
        slug: str,
        database_password: str,
        region: str | None,
        instance_size: str | None = None,
    ) -> Project:
        """Ask for a project. NOT idempotent: asked twice, there may be two."""
        body: dict[str, Any] = {
            "name": name,
            "organization_slug": slug,
            "db_pass": database_password,
        }
        if region is not None:
            kind = "smartGroup" if region in REGION_GROUPS else "specific"
            body["region_selection"] = {"type": kind, "code": region}
        if instance_size is not None:
            body["desired_instance_size"] = instance_size
        request = Request(
            "POST", "/v1/projects", "/v1/projects", counted_for=slug, body=body,
            secrets=(database_password,),
        )  # fmt: skip
        try:
            return project_of(await self._exchange.ask(request))
        except ResourceMissing as missing:
            raise _no_organization(slug) from missing

    async def project(self, ref: str) -> Project | None:
        """None when it was deleted, or never was."""
        try:
            return project_of(await self._exchange.ask(_request("GET", ref, "")))
        except ResourceMissing:
            return None

    async def delete_project(self, ref: str) -> None:
        """Done when there is nothing to delete, too."""
        try:
            await self._exchange.ask(_request("DELETE", ref, ""))
        except ResourceMissing:
            return

    async def pause_project(self, ref: str) -> None:
        await self._of_project("POST", ref, "/pause")

    async def restore_project(self, ref: str) -> None:
        await self._of_project("POST", ref, "/restore")

    async def health(self, ref: str, services: Sequence[str]) -> list[ServiceHealth]:
        query = [("services", ",".join(services))]
        answer = await self._of_project("GET", ref, "/health", query=query)
        return [health_of(each) for each in list_of(answer)]

    # --- what is in a project ---------------------------------------------------------------------

    async def api_keys(self, ref: str, *, reveal: bool = False) -> list[ApiKey]:
        query = [("reveal", "true")] if reveal else []
        answer = await self._of_project("GET", ref, "/api-keys", query=query)
        return [api_key_of(each) for each in list_of(answer)]

    async def create_api_key(
        self, ref: str, *, kind: Literal["publishable", "secret"], name: str
    ) -> ApiKey:
        body = {"type": kind, "name": name}
        query = [("reveal", "true")]
        return api_key_of(await self._of_project("POST", ref, "/api-keys", query=query, body=body))

    async def delete_api_key(self, ref: str, key_id: str) -> None:
        """Nobody gets in with it any more. Done when there is no such key, too."""
        rest = "/api-keys"
        request = Request(
            "DELETE", f"/v1/projects/{{}}{rest}/{{}}", f"/v1/projects/{ref}{rest}/{key_id}",
            counted_for=ref,
        )  # fmt: skip
        try:
            await self._exchange.ask(request)
        except ResourceMissing:
            return

    async def legacy_keys_enabled(self, ref: str) -> bool:
        """Whether the older keys open the project. Supabase will take this question away together with
        them: what is not known there any more is not enabled."""
        try:
            answer = await self._exchange.ask(_request("GET", ref, "/api-keys/legacy"))
        except ResourceMissing:
            return False
        return isinstance(answer, dict) and answer.get("enabled") is True

    async def enable_legacy_keys(self, ref: str, *, enabled: bool) -> None:
        query = [("enabled", "true" if enabled else "false")]
        await self._of_project("PUT", ref, "/api-keys/legacy", query=query)

    async def set_database_password(self, ref: str, password: str) -> None:
        """From now on this one opens the database as the project's owner, and the one before does not."""
        await self._of_project(
            "PATCH", ref, "/database/password", body={"password": password}, secrets=(password,)
        )

    async def run_sql(
        self,
        ref: str,
        query: str,
        *,
        parameters: Sequence[Any] = (),
        read_only: bool = False,
        secrets: tuple[str, ...] = (),
        seconds: float | None = None,
    ) -> list[dict[str, Any]]:
        """Run statements as the project's ``postgres``; several are one transaction.

        Args:
            secrets: what must not be seen in an error, though it is in the statement.
            seconds: how long it may take, when that is not what other requests may.
        """
        body: dict[str, Any] = {"query": query, "read_only": read_only}
        if parameters:
            body["parameters"] = list(parameters)
        return rows_of(
            await self._of_project(
                "POST", ref, "/database/query", body=body, secrets=secrets, seconds=seconds
            )
        )

    async def poolers(self, ref: str) -> list[Pooler]:
        answer = await self._of_project("GET", ref, "/config/database/pooler")
        return [pooler_of(each) for each in list_of(answer)]

    async def postgrest(self, ref: str) -> PostgrestSettings:
        return postgrest_of(await self._of_project("GET", ref, "/postgrest"))

    async def set_postgrest(self, ref: str, **settings: str | int) -> None:
        await self._of_project("PATCH", ref, "/postgrest", body=settings)

    async def auth_settings(self, ref: str) -> dict[str, Any]:
        """All of them, by Supabase's names; secrets are masked there."""
        answer = await self._of_project("GET", ref, "/config/auth")
        return dict(answer) if isinstance(answer, dict) else {}

    async def set_auth_settings(
        self, ref: str, settings: Mapping[str, Any], *, secrets: tuple[str, ...] = ()
    ) -> None:
        await self._of_project("PATCH", ref, "/config/auth", body=settings, secrets=secrets)

    async def largest_file(self, ref: str) -> int:
        """How many bytes a file may have in the project, whatever a bucket says."""
        return largest_file_of(await self._of_project("GET", ref, "/config/storage"))

    async def set_largest_file(self, ref: str, size: int) -> None:
        await self._of_project("PATCH", ref, "/config/storage", body={"fileSizeLimit": size})

    async def network_restrictions(self, ref: str) -> NetworkRestrictions:
        return restrictions_of(await self._of_project("GET", ref, "/network-restrictions"))

    async def restrict_networks(
        self, ref: str, *, ipv4: Sequence[str], ipv6: Sequence[str]
    ) -> NetworkRestrictions:
        """Let these networks reach the database, and no others."""
        body = {"dbAllowedCidrs": list(ipv4), "dbAllowedCidrsV6": list(ipv6)}
        return restrictions_of(
            await self._of_project("POST", ref, "/network-restrictions/apply", body=body)
        )

    # --- asking -----------------------------------------------------------------------------------

    async def _of_organization(
        self, method: str, slug: str, rest: str = "", *, query: Query = ()
    ) -> Any:
        request = Request(
            method, f"/v1/organizations/{{}}{rest}", f"/v1/organizations/{slug}{rest}",
            counted_for=slug, query=query,
        )  # fmt: skip
        try:
            return await self._exchange.ask(request)
        except ResourceMissing as missing:
            raise _no_organization(slug) from missing

    async def _of_project(
        self,
        method: str,
        ref: str,
        rest: str,
        *,
        query: Query = (),
        body: Mapping[str, Any] | None = None,
        secrets: tuple[str, ...] = (),
        seconds: float | None = None,
    ) -> Any:
        request = _request(
            method, ref, rest, query=query, body=body, secrets=secrets, seconds=seconds
        )
        try:
            return await self._exchange.ask(request)
        except ResourceMissing as missing:
            raise ProjectGone(f"There is no project {ref} at Supabase (any more).") from missing


def _request(method: str, ref: str, rest: str, **more: Any) -> Request:
    return Request(
        method, f"/v1/projects/{{}}{rest}", f"/v1/projects/{ref}{rest}", counted_for=ref, **more
    )


def _no_organization(slug: str) -> SupabaseRejected:
    return SupabaseRejected(
        f"There is no organization {slug} at Supabase, for this access token.",
        next_step="Set SUPABASE_ORGANIZATION_SLUG to the last part of the organization's address in "
        "Supabase's dashboard, and see that the token's owner belongs to it. A client that was registered "
        "with another one stays with that: delete it (`ghostcrm clients delete`), and register it again.",
    )
