"""What is wrong with a project's database, in the form of Supabase's advisors.

The questions are in ``advisors.sql`` and are asked of the catalog now; here is what each one means.
Rules of theirs that are not about the database itself (backups, multi-factor sign-in) have no match here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from psycopg import AsyncRawCursor
from psycopg.rows import DictRow, dict_row

from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.providers.provider import Connection

ADVISORS = NamedSql(__package__, "advisors.sql")

Category = Literal["SECURITY", "PERFORMANCE"]
_REMEDIES = "https://supabase.com/docs/guides/database/database-linter?lint="


@dataclass(frozen=True)
class Lint:
    """A rule. ``number`` is Supabase's own, by which its documentation names it."""

    name: str
    number: str
    title: str
    level: Literal["ERROR", "WARN", "INFO"]
    category: Category
    description: str


LINTS = (
    Lint("unindexed_foreign_keys", "0001", "Unindexed foreign keys", "INFO", "PERFORMANCE",
         "A foreign key without a covering index makes deletes, updates and joins slow."),
    Lint("auth_users_exposed", "0002", "Exposed Auth Users", "ERROR", "SECURITY",
         "A view that the API exposes shows what is in auth.users."),
    Lint("auth_rls_initplan", "0003", "Auth RLS Initialization Plan", "WARN", "PERFORMANCE",
         "A policy calls a function of auth or current_setting() again for every row."),
    Lint("no_primary_key", "0004", "No Primary Key", "INFO", "PERFORMANCE",
         "A table without a primary key cannot be worked with efficiently at scale."),
    Lint("unused_index", "0005", "Unused Index", "INFO", "PERFORMANCE",
         "An index that was never used costs every write."),
    Lint("multiple_permissive_policies", "0006", "Multiple Permissive Policies", "WARN",
         "PERFORMANCE", "Each permissive policy for the same role and action is evaluated."),
    Lint("policy_exists_rls_disabled", "0007", "Policy Exists RLS Disabled", "ERROR", "SECURITY",
         "Policies were made, but row level security is not enabled, so they do nothing."),
    Lint("rls_enabled_no_policy", "0008", "RLS Enabled No Policy", "INFO", "SECURITY",
         "Row level security is enabled and there is no policy: nobody sees anything."),
    Lint("duplicate_index", "0009", "Duplicate Index", "WARN", "PERFORMANCE",
         "Two indexes are the same."),
    Lint("security_definer_view", "0010", "Security Definer View", "ERROR", "SECURITY",
         "A view runs with the rights of who made it, past the policies of who asks."),
    Lint("function_search_path_mutable", "0011", "Function Search Path Mutable", "WARN",
         "SECURITY", "Who calls the function decides where it looks for names."),
    Lint("rls_disabled_in_public", "0013", "RLS Disabled in Public", "ERROR", "SECURITY",
         "A table in a schema that the API exposes has no row level security."),
    Lint("extension_in_public", "0014", "Extension in Public", "WARN", "SECURITY",
         "An extension is installed in the schema that the API exposes."),
    Lint("rls_references_user_metadata", "0015", "RLS references user metadata", "ERROR",
         "SECURITY", "A policy trusts user_metadata, which users may change themselves."),
    Lint("materialized_view_in_api", "0016", "Materialized View in API", "WARN", "SECURITY",
         "A materialized view, which has no policies, can be read over the API."),
)  # fmt: skip


async def findings(connection: Connection, category: Category) -> list[dict[str, Any]]:
    """What the rules of a category find, asked now."""
    schemas = [row["name"] for row in await _rows(connection, "schemas_of_the_project", None)]
    found: list[dict[str, Any]] = []
    for lint in LINTS:
        if lint.category == category:
            rows = await _rows(connection, lint.name, schemas)
            found += [_document(lint, row) for row in rows]
    return found


async def _rows(connection: Connection, name: str, schemas: list[str] | None) -> list[DictRow]:
    cursor: AsyncRawCursor[DictRow] = AsyncRawCursor(connection, row_factory=dict_row)
    async with cursor:
        await cursor.execute(ADVISORS[name], None if schemas is None else [schemas])
        return await cursor.fetchall()


def _document(lint: Lint, row: DictRow) -> dict[str, Any]:
    metadata = {
        name: row[name] for name in ("schema", "name", "type", "fkey_name", "fkey_columns")
        if name in row
    }  # fmt: skip
    key = "_".join(
        str(part) for part in (lint.name, row["schema"], row["name"], row.get("fkey_name")) if part
    )
    if "fkey_name" not in row and lint.name not in {"no_primary_key", "rls_disabled_in_public"}:
        key = f"{key}_{row['detail']}"
    return {
        "name": lint.name,
        "title": lint.title,
        "level": lint.level,
        "facing": "EXTERNAL",
        "categories": [lint.category],
        "description": lint.description,
        "detail": row["detail"],
        "remediation": f"{_REMEDIES}{lint.number}_{lint.name}",
        "metadata": metadata,
        "cache_key": key,
    }
