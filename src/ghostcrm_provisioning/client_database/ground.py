"""What a client database stands on: plain PostgreSQL, where the whole platform is ours, or Supabase,
where it is there already and is left alone.

On plain PostgreSQL we work as an administrator who can become whoever works in the database. At
Supabase there is one login, the project's owner; it may ``set role`` to itself, to ``anon`` and to
``authenticated``, so both are worked in alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ghostcrm_provisioning.client_database.roles import AUTH_ROLE, OWNER_ROLE
from ghostcrm_provisioning.supabase_roles import PLATFORM_ROLES

# Supabase makes these schemas, or an extension that it offers does, and it changes what is in them as it
# likes. Source: the migrations of Supabase's own PostgreSQL image (github.com/supabase/postgres,
# migrations/db) for all but `supabase_migrations`, which its CLI makes, `_analytics`, `_supavisor` and
# `_realtime`, which its services do, and those of extensions, which their control files name.
PLATFORM_SCHEMAS = (
    "_analytics",
    "_realtime",
    "_supavisor",
    "auth",
    "cron",
    "dbdev",
    "etl",
    "extensions",
    "graphql",
    "graphql_public",
    "net",
    "pgbouncer",
    "pgmq",
    "pgmq_public",
    "pgsodium",
    "pgsodium_masks",
    "pgtle",
    "realtime",
    "repack",
    "storage",
    "supabase_functions",
    "supabase_migrations",
    "tiger",
    "tiger_data",
    "topology",
    "vault",
)


@dataclass(frozen=True)
class Ground:
    """What a client database stands on.

    Attributes:
        owner: the role that owns the client's schema.
        is_supabase: the platform is Supabase's, and its owner is the one login that there is.
        ours: in a database that somebody else uses as well, the tables, views and functions that we have
            installed, as "schema.name"; None where nothing else is. What others show of theirs is
            their affair; it counts where it could show what is ours.
    """

    owner: str = OWNER_ROLE
    is_supabase: bool = False
    ours: frozenset[str] | None = None

    def is_ours(self, name: str) -> bool:
        """Of a table or function of public."""
        return self.ours is None or f"public.{name.partition('(')[0]}" in self.ours

    @property
    def rules(self) -> Mapping[str, Any]:
        """What the rules and the catalog's facts ask for, as parameters of their SQL.

        ``platform_schemas``: of what is in them, only the owner's own things are looked at.
        ``platform_roles``: what is granted to them is no fact of the client's.
        ``owners``: to whom a function or relation may belong.
        ``roles``: whose attributes are facts.
        ``ours``: null, or what of all that is there we have installed.
        """
        ours = None if self.ours is None else sorted(self.ours)
        if self.is_supabase:
            platform = [role for role in PLATFORM_ROLES if role != self.owner]
            return {
                "owner": self.owner,
                "is_supabase": True,
                "platform_schemas": list(PLATFORM_SCHEMAS),
                "platform_roles": platform,
                "owners": [self.owner, *platform],
                "roles": ["anon", "authenticated"],
                "ours": ours,
            }
        return {
            "owner": self.owner,
            "is_supabase": False,
            "platform_schemas": [],
            "platform_roles": [],
            "owners": [self.owner, "supabase_admin", AUTH_ROLE],
            "roles": ["anon", "authenticated", "service_role", self.owner],
            "ours": ours,
        }


PLAIN = Ground()
