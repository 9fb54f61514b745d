"""What a whole server keeps of a client database's logins, and what of it would undo what was proven inside.

A database's policies say what ``authenticated`` may. Who that is, a server decides: with memberships of
roles, with what a login's sessions begin with (``ALTER ROLE … SET``), and with privileges on the
database. None of it is copied with a template, so it is compared with what we made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ghostcrm_provisioning.client_database.roles import SHARED_ROLES
from ghostcrm_provisioning.named_sql import NamedSql

SERVER = NamedSql(__package__, "server.sql")

# What these two are members of is a fact of the catalog that is compared.
_COMPARED = frozenset({"anon", "authenticated"})


@dataclass(frozen=True)
class MadeLogin:
    """A login of this database as we have made it; see a provider's Login."""

    name: str
    member_of: tuple[str, ...]
    acts_as: str | None = None
    inherits: bool = True
    creates: bool = False
    temporary: bool = False


def expected(logins: Sequence[MadeLogin]) -> dict[str, list[Any]]:
    """The parameters of ``server_exposures``."""
    shared = [
        role for role in SHARED_ROLES if role.name not in _COMPARED and role.name != "postgres"
    ]
    return {
        "logins": [login.name for login in logins],
        "groups": [",".join(login.member_of) for login in logins],
        "acting": [login.acts_as for login in logins],
        "inherits": [login.inherits for login in logins],
        "temporary": [login.temporary for login in logins],
        "creates": [login.creates for login in logins],
        "shared": [role.name for role in shared],
        "shared_groups": [",".join(role.member_of) for role in shared],
    }
