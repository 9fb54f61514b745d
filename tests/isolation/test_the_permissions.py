"""What ``role_permissions`` tells an application is what the access matrix promises, and the policies keep.

An application shows its buttons by that table; nothing else keeps it from saying something that is not so.
"""

from __future__ import annotations

from collections.abc import Mapping

from ghostcrm_provisioning.client_database.blueprint import Blueprint
from tests.isolation.conftest import Connection

# Permission: a table and an operation of the matrix, or one of its calls.
_PROMISED: Mapping[str, tuple[str, str] | str] = {
    "profiles.read": ("profiles", "select"),
    "profiles.update": ("profiles", "update"),
    "profiles.manage": "deactivate_profile",
    "teams.manage": ("teams", "insert"),
    "companies.read": ("companies", "select"),
    "companies.create": ("companies", "insert"),
    "companies.update": ("companies", "update"),
    "companies.delete": "delete_company",
    "contacts.read": ("contacts", "select"),
    "contacts.create": ("contacts", "insert"),
    "contacts.update": ("contacts", "update"),
    "contacts.delete": "delete_contact",
    "contacts.assign": "claim_contact",
    "deals.read": ("deals", "select"),
    "deals.create": ("deals", "insert"),
    "deals.update": ("deals", "update"),
    "deals.delete": "delete_deal",
    "deals.assign": "hand_over_deal",
    "activities.read": ("activities", "select"),
    "activities.update": ("activities", "update"),
    "appointments.read": ("appointments", "select"),
    "appointments.update": ("appointments", "update"),
    "email_templates.update": ("email_templates", "update"),
    "email_campaigns.read": ("email_campaigns", "select"),
    "email_campaigns.manage": ("email_campaigns", "insert"),
    "products.update": ("products", "update"),
    "pipelines.update": ("pipelines", "update"),
    "invoices.read": ("invoices", "select"),
    "invoices.draft": ("invoices", "update"),
    "invoices.issue": "issue_invoice",
    "payments.read": ("payments", "select"),
    "payments.manage": ("payments", "insert"),
    "files.read": ("files", "select"),
    "files.update": ("files", "update"),
    "custom_fields.manage": ("custom_field_definitions", "update"),
    "workflows.read": ("workflows", "select"),
    "workflows.manage": ("workflows", "insert"),
    "settings.read": ("client_settings", "select"),
    "settings.manage": ("client_settings", "update"),
    "audit_logs.read": ("audit_logs", "select"),
}
# No row of the matrix is about them: what a program is asked for, or what a company is like a contact in.
_NOT_IN_THE_MATRIX = {"contacts.export", "companies.assign"}
# The widest kind of row decides: what others have, what is a team's, what is one's own.
_KINDS = {
    "all": ("any", "others", "draft_others", "of_others", "owner", "colleague", "draft", "plain"),
    # A payment is read by whoever sees its company.
    "team": ("my_team", "draft_my_team", "of_mine"),
    "own": ("mine", "draft_mine", "me"),
}


def _scope(allowed: Mapping[str, bool | None]) -> str | None:
    return next(
        (scope for scope, kinds in _KINDS.items() if any(allowed.get(kind) for kind in kinds)),
        None,
    )


async def test_what_an_application_reads_is_what_the_matrix_promises(
    database: Connection, blueprint: Blueprint
) -> None:
    access = blueprint.access
    assert access is not None
    async with database.transaction(force_rollback=True):
        await database.execute("set local role ghostcrm_client_owner")
        rows = await (
            await database.execute(
                "select p.key, r.key as role, g.scope from public.permissions p"
                " cross join public.roles r left join public.role_permissions g"
                " on (g.permission_key, g.role_key) = (p.key, r.key)"
            )
        ).fetchall()
    said = {(row["key"], row["role"]): row["scope"] for row in rows}
    assert {key for key, _ in said} == _PROMISED.keys() | _NOT_IN_THE_MATRIX
    promised = {}
    for key, promise in _PROMISED.items():
        for role in access.roles:
            if isinstance(promise, str):
                allowed = access.calls[promise].cells[role]
            else:
                table, operation = promise
                cells = access.tables[table].cells[role]
                allowed = {kind: may[operation] for kind, may in cells.items()}
            promised[key, role] = _scope(allowed)
    assert {case: scope for case, scope in said.items() if case in promised} == promised
