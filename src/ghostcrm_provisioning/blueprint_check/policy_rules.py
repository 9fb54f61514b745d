"""What the expressions of policies cost: calls for each row, and columns that no index begins with."""

from __future__ import annotations

from ghostcrm_provisioning.blueprint_check.catalog_rules import FOREIGN_SCHEMAS
from ghostcrm_provisioning.blueprint_check.finding import Finding
from ghostcrm_provisioning.blueprint_check.policy_expressions import calls, compared_columns
from ghostcrm_provisioning.blueprint_check.rules import RULES
from ghostcrm_provisioning.blueprint_check.watching import StatementWatcher
from ghostcrm_provisioning.client_database.install import Connection
from ghostcrm_provisioning.named_sql import NamedSql

_POLICIES = NamedSql(__package__, "policies.sql")


async def look_at_policies(connection: Connection, watcher: StatementWatcher) -> list[Finding]:
    """Calls that are made for each row, and columns that no index begins with."""
    parameters = {"foreign_schemas": list(FOREIGN_SCHEMAS)}
    rows = await (await connection.execute(_POLICIES["expressions"], parameters)).fetchall()
    leading = {
        (row["table_id"], row["number"])
        for row in await (await connection.execute(_POLICIES["leading_columns"])).fetchall()
    }
    findings: list[Finding] = []
    not_indexed: set[str] = set()
    for row in rows:
        texts = [text for text in (row["condition"], row["check_says"]) if text]
        made = {call for text in texts for call in calls(text)}
        per_row = sorted(
            {call.name for call in made if not call.once_per_query and not call.takes_columns}
        )
        with_columns = sorted({call.name for call in made if call.takes_columns})
        for code, names, what in (
            ("policy_calls_function_per_row", per_row, "for each row"),
            (
                "policy_function_takes_columns",
                with_columns,
                "with the row's columns, so for each row",
            ),
        ):
            if names:
                rule = RULES[code]
                place = watcher.place_of("pg_policy", row["id"], word=names[0].rpartition(".")[2])
                listed = ", ".join(f"{name}()" for name in names)
                sentence = f"policy {row['name']} calls {listed} {what}"
                findings.append(
                    Finding(code, rule.severity, sentence, rule.fix, place, row["name"])
                )
        # A WITH CHECK looks at one row that is there already; other tables are searched by both.
        compared = compared_columns(row["condition"] or "", row["bare_table"]) | {
            (is_own, column)
            for is_own, column in compared_columns(row["check_says"] or "", row["bare_table"])
            if not is_own
        }
        for column in row["columns"]:
            label = f"{column['table']}.{column['name']}"
            if (
                (column["is_own"], column["name"]) in compared
                and (column["table_id"], column["number"]) not in leading
                and label not in not_indexed
            ):
                not_indexed.add(label)
                rule = RULES["policy_column_not_indexed"]
                sentence = (
                    f"policy {row['name']} compares column {column['name']} of table {column['table']}, "
                    "with which no index begins"
                )
                fix = f"create index on {column['table']} ({column['name']});"
                place = watcher.place_of("pg_policy", row["id"], word=column["name"])
                findings.append(Finding(rule.code, rule.severity, sentence, fix, place, label))
    return findings
