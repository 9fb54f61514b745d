"""What a statement of a later migration means for clients that have data.

Tables are looked at before and after each statement: locks that it took, files that were written
anew, indexes, constraints and columns that came, went or changed. The tables are empty here, so this
takes no time; that it happens at all is what counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ghostcrm_provisioning.client_database.install import Connection
from ghostcrm_provisioning.named_sql import NamedSql

_TABLES = NamedSql(__package__, "tables.sql")

# What a rule found: its code, the sentence, what it is about, and a word to find the line by.
Said = tuple[str, str, str, str | None]

_LOCK_NAMES = {
    "AccessExclusiveLock": "ACCESS EXCLUSIVE",
    "ExclusiveLock": "EXCLUSIVE",
    "ShareRowExclusiveLock": "SHARE ROW EXCLUSIVE",
    "ShareLock": "SHARE",
    "ShareUpdateExclusiveLock": "SHARE UPDATE EXCLUSIVE",
    "RowExclusiveLock": "ROW EXCLUSIVE",
    "RowShareLock": "ROW SHARE",
    "AccessShareLock": "ACCESS SHARE",
}
_CONSTRAINT_KINDS = {"p": "primary key", "u": "unique constraint", "x": "exclusion constraint"}

Table = dict[str, Any]


async def look_at_tables(connection: Connection) -> TablesBefore:
    """The tables as they are now, before a migration."""
    seen = await _look(connection, None)
    return TablesBefore(seen, frozenset(k for table in seen.values() for k in table["constraints"]))


async def _look(connection: Connection, only: list[int] | None) -> dict[int, Table]:
    rows = await (await connection.execute(_TABLES["tables"], {"only": only})).fetchall()
    return {row["id"]: row for row in rows}


class TablesBefore:
    """The tables that clients have when a migration begins, as they were last seen."""

    def __init__(self, seen: dict[int, Table], constraints: frozenset[str]) -> None:
        self._seen = seen
        self._constraints_of_clients = constraints

    async def look_again(self, connection: Connection) -> Done:
        """What has changed since the last look."""
        if not self._seen:
            return Done({}, {}, self._constraints_of_clients)
        before, after = self._seen, await _look(connection, list(self._seen))
        self._seen = after
        return Done(before, after, self._constraints_of_clients)


@dataclass(frozen=True)
class Done:
    """What one statement did to the tables that clients have."""

    before: dict[int, Table]
    after: dict[int, Table]
    constraints_of_clients: frozenset[str]

    def findings(self, words: list[str]) -> Iterator[Said]:
        """``words`` are the first ones of the statement, in small letters."""
        for table_id, before in self.before.items():
            name = before["name"]
            after = self.after.get(table_id)
            if after is None:
                yield "table_dropped", f"table {name} is dropped", name, None
            elif before != after:
                yield from _Change(before, after, words, self.constraints_of_clients).findings()


@dataclass(frozen=True)
class _Change:
    before: Table
    after: Table
    words: list[str]
    constraints_of_clients: frozenset[str]

    @property
    def name(self) -> str:
        return str(self.before["name"])

    @property
    def locks(self) -> str:
        """The strongest lock that the table is under now."""
        return next(
            (said for mode, said in _LOCK_NAMES.items() if mode in self.after["locks"]), "no"
        )

    def _is_newly(self, mode: str) -> bool:
        return mode in self.after["locks"] and mode not in self.before["locks"]

    def findings(self) -> Iterator[Said]:
        if self.before["name"] != self.after["name"]:
            sentence = f"table {self.name} becomes {self.after['name']}"
            yield "table_renamed", sentence, self.name, None
        yield from self._columns()
        rewritten = self.before["file"] != self.after["file"]
        if rewritten:
            yield self._rewritten()
        yield from self._constraints()
        yield from self._indexes(rewritten=rewritten)
        if self.words[0] in {"update", "delete", "merge"} and self._is_newly("RowExclusiveLock"):
            sentence = (
                f"{self.words[0].upper()} changes rows of table {self.name} in one transaction"
            )
            yield "rows_changed", sentence, self.name, None
        if self.words[:1] == ["lock"]:
            sentence = (
                f"LOCK TABLE keeps table {self.name} under {self.locks} until the migration ends"
            )
            yield "table_locked", sentence, self.name, None

    # --- columns ----------------------------------------------------------------------------------

    def _columns(self) -> Iterator[Said]:
        before, after = self.before["columns"], self.after["columns"]
        for number, column in before.items():
            name = column["name"]
            if number not in after:
                sentence = f"column {name} of table {self.name} is dropped"
                yield "column_dropped", sentence, f"{self.name}.{name}", name
                continue
            if after[number]["name"] != name:
                sentence = f"column {name} of table {self.name} becomes {after[number]['name']}"
                yield "column_renamed", sentence, f"{self.name}.{name}", name
            if (
                after[number]["not_null"]
                and not column["not_null"]
                and self._must_scan(number, name)
            ):
                sentence = (
                    f"{self.locks} on table {self.name} while SET NOT NULL looks at column {name} of "
                    "every row: nobody reads or writes"
                )
                yield "not_null_scans", sentence, f"{self.name}.{name}", name
        for number in self._new_columns:
            column = after[number]
            if column["not_null"] and not column["has_value"] and not column["generated"]:
                sentence = (
                    f"the new column {column['name']} is NOT NULL without a default: it fails on every "
                    f"client that has a row in table {self.name}"
                )
                yield (
                    "column_without_value",
                    sentence,
                    f"{self.name}.{column['name']}",
                    column["name"],
                )

    @property
    def _new_columns(self) -> list[str]:
        return [number for number in self.after["columns"] if number not in self.before["columns"]]

    def _must_scan(self, number: str, name: str) -> bool:
        """PostgreSQL believes a valid CHECK that says the same, and does not look where it is told
        that the constraint is NOT VALID. A new primary key is told of as such."""
        quoted = (f"CHECK (({name} IS NOT NULL))", f'CHECK (("{name}" IS NOT NULL))')
        if any(
            k["type"] == "c" and k["valid"] and k["says"] in quoted
            for k in self.before["constraints"].values()
        ):
            return False
        return not any(
            int(number) in (k["columns"] or ())
            and (
                (k["type"] == "p" and str(k["index"]) not in self.before["indexes"])
                or (k["type"] == "n" and not k["valid"])
            )
            for k in self._new_constraints.values()
        )

    # --- files ------------------------------------------------------------------------------------

    def _rewritten(self) -> Said:
        if self.words[:1] == ["truncate"]:
            return "table_emptied", f"TRUNCATE empties table {self.name}", self.name, None
        if self.before["kind"] == "m":
            sentence = f"ACCESS EXCLUSIVE on {self.name} while it is computed anew: nobody reads it"
            return "view_refreshed", sentence, self.name, None
        cost = (
            f"ACCESS EXCLUSIVE on table {self.name} while every row is written anew for {{}}: nobody reads "
            "or writes"
        )
        before, after = self.before["columns"], self.after["columns"]
        for number, column in before.items():
            if number in after and after[number]["type"] != column["type"]:
                sentence = cost.format(f"the new type of column {column['name']}")
                return (
                    "type_change_rewrites",
                    sentence,
                    f"{self.name}.{column['name']}",
                    column["name"],
                )
        for number in self._new_columns:
            column = after[number]
            generated = column["generated"] or not column["has_value"]
            code = "generated_column_rewrites" if generated else "volatile_default_rewrites"
            what = f"the new column {column['name']}"
            if not generated:
                what += ", whose default differs from row to row"
            return code, cost.format(what), f"{self.name}.{column['name']}", column["name"]
        return "table_rewritten", cost.format(" ".join(self.words[:2]).upper()), self.name, None

    # --- constraints and indexes ------------------------------------------------------------------

    @property
    def _new_constraints(self) -> dict[str, dict[str, Any]]:
        return {
            key: constraint
            for key, constraint in self.after["constraints"].items()
            if key not in self.before["constraints"]
        }

    def _constraints(self) -> Iterator[Said]:
        for constraint in self._new_constraints.values():
            name, kind = constraint["name"], constraint["type"]
            if kind == "f" and constraint["valid"]:
                sentence = (
                    f"SHARE ROW EXCLUSIVE on tables {self.name} and {constraint['other']} while every row "
                    f"is looked up for foreign key {name}: nobody writes"
                )
                yield "foreign_key_scans", sentence, self.name, name
            elif kind == "c" and constraint["valid"]:
                sentence = (
                    f"{self.locks} on table {self.name} while check {name} looks at every row: nobody "
                    "reads or writes"
                )
                yield "check_scans", sentence, self.name, name
            elif (
                kind in _CONSTRAINT_KINDS and str(constraint["index"]) not in self.before["indexes"]
            ):
                sentence = (
                    f"{self.locks} on table {self.name} while the index of {_CONSTRAINT_KINDS[kind]} {name} "
                    "is built: nobody reads or writes"
                )
                yield "unique_blocks_everything", sentence, self.name, name
        for key, constraint in self.after["constraints"].items():
            known = self.before["constraints"].get(key)
            if (
                known
                and constraint["valid"]
                and not known["valid"]
                and key not in self.constraints_of_clients
            ):
                sentence = (
                    f"{self.locks} on table {self.name} while constraint {constraint['name']} looks at "
                    "every row: it is validated in the migration that added it"
                )
                yield "validated_at_once", sentence, self.name, constraint["name"]

    def _indexes(self, *, rewritten: bool) -> Iterator[Said]:
        of_constraints = {str(k["index"]) for k in self.after["constraints"].values()}
        rebuilt = []
        for key, index in self.after["indexes"].items():
            known = self.before["indexes"].get(key)
            if known is None and key not in of_constraints and not rewritten:
                beforehand = "if not exists" in " ".join(self.words)
                unless = ", unless it is there already" if beforehand else ""
                code = "index_built_beforehand" if beforehand else "index_blocks_writes"
                sentence = (
                    f"SHARE on table {self.name} while index {index['name']} is built: nobody writes"
                    f"{unless}"
                )
                yield code, sentence, str(index["name"]), None
            elif known is not None and known["file"] != index["file"]:
                rebuilt.append(str(index["name"]))
        if rebuilt and not rewritten:
            sentence = (
                f"SHARE on table {self.name} while its indexes are built anew: nobody writes, and nobody "
                "reads by them"
            )
            yield "index_rebuilt", sentence, ", ".join(sorted(rebuilt)), None
