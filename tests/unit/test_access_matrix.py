"""Reading an access matrix: what is in it, and every mistake that is told with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from ghostcrm_provisioning.client_database.access_matrix import (
    person_id,
    read_access_matrix,
    row_id,
)
from ghostcrm_provisioning.client_database.blueprint import find_blueprint, read_blueprint
from ghostcrm_provisioning.errors import InvalidBlueprint

_MATRIX = """
roles = ["admin", "reader"]
people = ["me", "left"]
me = "me"
deactivated = "left"
[tables.notes]
about = "Notes."
cells = '''
         mine  others
admin    siud  s.u-
reader   s---  ----
'''
[calls.hide_note]
table = "notes"
function = "hide_note(uuid)"
cells = '''
         mine
admin    x
reader   -
'''
"""
_STATEMENTS = """
-- name: become_role
update public.people set role = %(role)s
-- name: hide_note
select public.hide_note(%(id)s)
"""


def write(folder: Path, matrix: str = _MATRIX, statements: str = _STATEMENTS) -> Path:
    access = folder / "access"
    access.mkdir(exist_ok=True)
    (access / "matrix.toml").write_text(matrix, encoding="utf-8")
    (access / "rows.sql").write_text("select 1;\n", encoding="utf-8")
    (access / "statements.sql").write_text(statements, encoding="utf-8")
    return access


def test_grids_are_read_cell_by_cell(tmp_path: Path) -> None:
    access = read_access_matrix(write(tmp_path))
    assert access is not None
    grid = access.tables["notes"]
    assert grid.kinds == ("mine", "others")
    assert grid.cells["admin"]["mine"] == {
        "select": True, "insert": True, "update": True, "delete": True
    }  # fmt: skip
    assert grid.cells["admin"]["others"] == {
        "select": True, "insert": None, "update": True, "delete": False
    }  # fmt: skip
    call = access.calls["hide_note"]
    assert call.cells == {"admin": {"mine": True}, "reader": {"mine": False}}
    assert call.statement == "select public.hide_note(%(id)s)"
    assert access.count_cells() == 2 * 2 * 4 - 1 + 2


def test_a_blueprint_without_the_folder_has_none(tmp_path: Path) -> None:
    assert read_access_matrix(tmp_path / "access") is None


def test_the_shipped_blueprint_has_one_for_every_role() -> None:
    access = read_blueprint("ghostcrm").access
    assert access is not None
    assert access.roles == ("owner", "admin", "manager", "sales", "viewer")
    assert find_blueprint("ghostcrm").joinpath("access", "matrix.toml").is_file()


def test_ids_are_those_that_sql_makes_of_the_same_words() -> None:
    # select md5('person me')::uuid, md5('notes mine')::uuid
    assert str(person_id("me")) == "276876d4-7f8d-963c-44e1-3b58b9328e5c"
    assert row_id("notes", "mine") != row_id("notes", "others")


def test_a_change_of_any_of_its_files_changes_its_fingerprint(tmp_path: Path) -> None:
    folder = write(tmp_path)
    before = read_access_matrix(folder)
    (folder / "rows.sql").write_text("select 2;\n", encoding="utf-8")
    after = read_access_matrix(folder)
    assert before is not None
    assert after is not None
    assert before.fingerprint != after.fingerprint


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("siud  s.u-", "siud", "admin has 1 cells for 2 kinds"),
        ("siud  s.u-", "siud  suid", "tables.notes: admin, others: 'suid' is no cell"),
        ("reader   s---  ----\n", "", "one line for each role, in their order: admin, reader"),
        ("mine  others\n", "mine  Others\n", "its first line names the kinds"),
        ('table = "notes"', 'table = "nots"', "there is no grid of the table nots"),
        ("         mine\n", "         his\n", "notes has no rows 'his'"),
        ("admin    x", "admin    y", "calls.hide_note: admin: 'y' is no cell"),
        ("[calls.hide_note]", "[calls.show_note]", "statements.sql has no statement show_note"),
        ('me = "me"', 'me = "you"', "'you' is not one of the people"),
        ('people = ["me", "left"]', "people = []", "people"),
        ("[calls.hide_note]", "[tables.empty]\ncells = ''\n[calls.hide_note]", "names the kinds"),
        ("[tables.notes]", "[tables.notes", "cannot be read"),
        ('about = "Notes."', 'abut = "Notes."', "tables.notes.abut"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in _MATRIX
    folder = write(tmp_path, matrix=_MATRIX.replace(old, new))
    with pytest.raises(InvalidBlueprint) as refused:
        read_access_matrix(folder)
    assert said in refused.value.message
    assert "matrix.toml" in refused.value.message


def test_statements_must_say_how_the_caller_gets_a_role(tmp_path: Path) -> None:
    folder = write(tmp_path, statements=_STATEMENTS.replace("become_role", "become_rule"))
    with pytest.raises(InvalidBlueprint, match="become_role"):
        read_access_matrix(folder)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (folder / "rows.sql").unlink()
    with pytest.raises(InvalidBlueprint, match=r"rows\.sql cannot be read"):
        read_access_matrix(folder)
