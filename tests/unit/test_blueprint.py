"""Reading a blueprint: what the shipped one says, and every mistake a folder can hold."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ghostcrm_provisioning
from ghostcrm_provisioning.client_database.blueprint import (
    Blueprint,
    _files_of,
    find_blueprint,
    read_blueprint,
)
from ghostcrm_provisioning.errors import InvalidBlueprint, UnknownPlan

SHIPPED = Path(ghostcrm_provisioning.__file__).parent / "blueprints" / "ghostcrm"
GB = 2**30
DECLARATION = """\
name = "small"
title = "Small"
[features]
one = "One"
two = "Two"
[plans.starter]
title = "Starter"
max_users = 3
features = ["one"]
[plans.unlimited]
title = "Unlimited"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small blueprint with everything a blueprint may have."""
    folder = tmp_path / "small"
    (folder / "001_schema").mkdir(parents=True)
    (folder / "seeds").mkdir()
    write(folder / "blueprint.toml", DECLARATION)
    write(folder / "001_schema" / "20_b.sql", "create table b ();")
    write(folder / "001_schema" / "10_a.sql", "create table a ();")
    write(folder / "002_more.pgsql", "create table c ();")
    write(folder / "seeds" / "10_rows.sql", "insert into a default values;")
    write(folder / "README.md", "not a migration")
    return folder


def write(path: Path, text: str) -> None:
    path.write_bytes(text.encode())


def refusal(folder: Path | str) -> InvalidBlueprint:
    with pytest.raises(InvalidBlueprint) as refused:
        read_blueprint(str(folder))
    assert refused.value.next_step
    refused.value.message.encode()
    return refused.value


# --- the shipped one ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "users", "contacts", "gigabytes", "features"),
    [
        ("starter", 5, 1_000, 1, ["Basic CRM", "Email Templates", "Basic Reports"]),
        (
            "professional",
            25,
            10_000,
            10,
            ["Full CRM", "Automation", "Integrations", "Advanced Reports"],
        ),
        (
            "enterprise",
            None,
            None,
            100,
            ["Full CRM", "Advanced Automation", "API Access", "White Label"],
        ),
    ],
)
def test_the_plans_are_exactly_those_of_the_specification(
    name: str, users: int | None, contacts: int | None, gigabytes: int, features: list[str]
) -> None:
    blueprint = read_blueprint("ghostcrm")
    plan = blueprint.plan(name)
    assert plan.max_users == users
    assert plan.max_contacts == contacts
    assert plan.max_storage_bytes == gigabytes * GB
    assert [blueprint.features[key] for key in plan.features] == features
    assert list(blueprint.plans) == ["starter", "professional", "enterprise"]


def test_who_pays_more_is_served_first() -> None:
    priorities = [plan.priority for plan in read_blueprint("ghostcrm").plans.values()]
    assert priorities == sorted(set(priorities))


def test_the_shipped_blueprint_has_migrations_and_seeds_in_name_order() -> None:
    blueprint = read_blueprint("ghostcrm")
    assert blueprint.reference == blueprint.name == "ghostcrm"
    first = blueprint.migrations[0]
    assert (first.version, first.name) == ("001", "client_schema_template")
    for scripts in (*(m.scripts for m in blueprint.migrations), blueprint.seeds):
        paths = [script.path for script in scripts]
        assert paths == sorted(paths)
        assert all((SHIPPED / path).is_file() for path in paths)
    assert len(blueprint.seeds) >= 5
    assert blueprint.minimum_postgres == 15


def test_an_unknown_plan_is_refused_with_the_names_of_those_there_are() -> None:
    with pytest.raises(UnknownPlan, match="starter, professional, enterprise") as refused:
        read_blueprint("ghostcrm").plan("gold\0\ud800")
    refused.value.message.encode()
    assert "\0" not in refused.value.message


# --- any other ------------------------------------------------------------------------------------


def test_a_blueprint_of_the_users_own_is_read_from_its_folder(folder: Path) -> None:
    blueprint = read_blueprint(str(folder))
    assert blueprint.reference == str(folder)
    assert [(m.version, m.name) for m in blueprint.migrations] == [
        ("001", "schema"),
        ("002", "more"),
    ]
    first, second = blueprint.migrations
    assert [script.path for script in first.scripts] == [
        "001_schema/10_a.sql",
        "001_schema/20_b.sql",
    ]
    assert second.scripts[0].text == "create table c ();"
    assert [script.path for script in blueprint.seeds] == ["seeds/10_rows.sql"]
    assert blueprint.plan("unlimited").max_users is None
    assert blueprint.plan("starter").features == ("one",)


def test_a_relative_folder_is_remembered_by_its_full_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    assert read_blueprint("./small").reference == str(folder)


def test_versions_are_numbers_whatever_their_width(folder: Path) -> None:
    write(folder / "0003_wide.sql", "select 1;")
    write(folder / "20240101120000_dated.sql", "select 1;")
    write(folder / "010_ten.sql", "select 1;")
    versions = [migration.version for migration in read_blueprint(str(folder)).migrations]
    assert versions == ["001", "002", "0003", "010", "20240101120000"]


def test_the_fingerprint_does_not_depend_on_where_the_folder_lies(
    folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "elsewhere" / "copy"
    shutil.copytree(folder, copy)
    assert read_blueprint(str(copy)).fingerprint == read_blueprint(str(folder)).fingerprint


def test_the_fingerprint_does_not_depend_on_the_order_in_which_files_were_made(
    folder: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    files = [path for path in sorted(folder.rglob("*"), reverse=True) if path.is_file()]
    for path in files:
        target = again / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    assert read_blueprint(str(again)).fingerprint == read_blueprint(str(folder)).fingerprint


SCRIPTS = ["001_schema/10_a.sql", "001_schema/20_b.sql", "002_more.pgsql", "seeds/10_rows.sql"]


@given(script=st.sampled_from(SCRIPTS), data=st.data())
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=60,
)
def test_any_other_byte_in_a_script_is_another_fingerprint(
    folder: Path, script: str, data: st.DataObject
) -> None:
    original = (folder / script).read_bytes()
    at = data.draw(st.integers(0, len(original) - 1))
    other = data.draw(st.sampled_from([b"x", b"\n", b" ", b";", b""]))
    changed = original[:at] + other + original[at + 1 :]
    with tempfile.TemporaryDirectory() as elsewhere:
        copy = Path(elsewhere) / "copy"
        shutil.copytree(folder, copy)
        (copy / script).write_bytes(changed)
        after = read_blueprint(str(copy)).fingerprint
    assert (after == read_blueprint(str(folder)).fingerprint) is (changed == original)


def test_text_that_moves_to_another_file_is_another_fingerprint(folder: Path) -> None:
    before = read_blueprint(str(folder)).fingerprint
    (folder / "001_schema" / "20_b.sql").rename(folder / "001_schema" / "30_b.sql")
    moved = read_blueprint(str(folder)).fingerprint
    (folder / "002_more.pgsql").rename(folder / "003_more.pgsql")
    renumbered = read_blueprint(str(folder)).fingerprint
    assert len({before, moved, renumbered}) == 3


def test_line_ends_of_another_system_are_the_same_text(folder: Path) -> None:
    write(folder / "002_more.pgsql", "create\n table c ();\n")
    before = read_blueprint(str(folder))
    write(folder / "002_more.pgsql", "create\r\n table c ();\r\n")
    assert read_blueprint(str(folder)).fingerprint == before.fingerprint


def test_plans_are_no_part_of_the_fingerprint(folder: Path) -> None:
    before = read_blueprint(str(folder)).fingerprint
    write(folder / "blueprint.toml", DECLARATION.replace("max_users = 3", "max_users = 4"))
    after = read_blueprint(str(folder))
    assert after.plan("starter").max_users == 4
    assert after.fingerprint == before


# --- the cache ------------------------------------------------------------------------------------


def test_an_unchanged_folder_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_a_second = time.time_ns() + 10**9
    monkeypatch.setattr(f"{Blueprint.__module__}.time_ns", lambda: in_a_second)
    first: Blueprint = read_blueprint(str(folder))
    assert read_blueprint(str(folder)) is first


def test_a_changed_file_is_seen_at_the_next_reading(folder: Path) -> None:
    before = read_blueprint(str(folder))
    path = folder / "001_schema" / "10_a.sql"
    path.write_text("create table changed ();")
    after = read_blueprint(str(folder))
    assert after.fingerprint != before.fingerprint
    assert after.migrations[0].scripts[0].text == "create table changed ();"


def test_a_change_that_keeps_size_and_date_is_seen_as_well(folder: Path) -> None:
    path = folder / "001_schema" / "10_a.sql"
    date = path.stat()
    before = read_blueprint(str(folder)).fingerprint
    other = folder.parent / "other.sql"
    write(other, "create table z ();")
    os.utime(other, ns=(date.st_atime_ns, date.st_mtime_ns))
    other.replace(path)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (date.st_size, date.st_mtime_ns)
    assert read_blueprint(str(folder)).fingerprint != before


def test_a_change_within_one_tick_of_the_systems_clock_is_seen_as_well(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = _files_of(folder)
    now = max(changed_at for _, _, changed_at, _ in seen)
    monkeypatch.setattr(f"{Blueprint.__module__}.time_ns", lambda: now)
    # The system dates the second change as it has dated the first one.
    monkeypatch.setattr(f"{Blueprint.__module__}._files_of", lambda _: seen)
    before = read_blueprint(str(folder)).fingerprint
    write(folder / "001_schema" / "10_a.sql", "create table z ();")
    assert read_blueprint(str(folder)).fingerprint != before


def test_a_new_and_a_removed_file_are_seen_at_the_next_reading(folder: Path) -> None:
    write(folder / "003_new.sql", "select 3;")
    assert len(read_blueprint(str(folder)).migrations) == 3
    (folder / "003_new.sql").unlink()
    assert len(read_blueprint(str(folder)).migrations) == 2


def test_a_mended_folder_is_read_after_a_refusal(folder: Path) -> None:
    write(folder / "blueprint.toml", "name = ")
    refusal(folder)
    write(folder / "blueprint.toml", DECLARATION)
    assert read_blueprint(str(folder)).name == "small"


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "nowhere",
        "ghostcrm ",
        "GHOSTCRM\0",
        "./nowhere",
        "/nowhere/at/all",
        "..",
        "../..",
        "x" * 300,
        "/" + "x" * 300,
        "/" + "x/" * 3000,
        "~nobody-of-that-name/blueprint",
        "/nul\0byte",
        "/half\ud800pair",
        "🙂",
        "'; drop table clients; --",
    ],
)
def test_a_blueprint_that_is_not_there_is_refused_with_the_names_of_those_that_are(
    reference: str,
) -> None:
    refused = refusal(reference)
    assert "ghostcrm" in refused.next_step
    assert "\0" not in refused.message


def test_a_shipped_name_cannot_lead_out_of_the_package() -> None:
    assert find_blueprint("ghostcrm") == SHIPPED
    refusal("../blueprints/ghostcrm")  # a path, so it starts at the working directory


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (("name =", "name = = "), "blueprint.toml"),
        (('name = "small"', ""), "name"),
        (('title = "Small"', ""), "title"),
        (('name = "small"', "name = 4"), "name"),
        (('name = "small"', 'name = "Small Folder"'), "name"),
        (('name = "small"', 'name = "' + "x" * 60 + '"'), "name"),
        (('name = "small"', 'name = "small"\nunheard_of = 1'), "unheard_of"),
        (("max_users = 3", "max_users = 0"), "plans.starter.max_users"),
        (("max_users = 3", "max_users = -1"), "plans.starter.max_users"),
        (("max_users = 3", 'max_users = "many"'), "plans.starter.max_users"),
        (("max_users = 3", "max_user = 3"), "plans.starter.max_user"),
        (("max_users = 3", "connection_limit = 0"), "plans.starter.connection_limit"),
        (('features = ["one"]', 'features = ["three"]'), "'three'"),
        (('title = "Unlimited"', ""), "plans.unlimited.title"),
        (('one = "One"', 'one = "One"\none = "Twice"'), "blueprint.toml"),
    ],
)
def test_a_declaration_with_a_mistake_is_refused_with_its_place(
    folder: Path, change: tuple[str, str], names: str
) -> None:
    assert change[0] in DECLARATION
    write(folder / "blueprint.toml", DECLARATION.replace(*change))
    refused = refusal(folder)
    assert str(folder / "blueprint.toml") in refused.message
    assert names in refused.message


def test_a_declaration_without_plans_is_refused(folder: Path) -> None:
    write(folder / "blueprint.toml", 'name = "small"\ntitle = "Small"\n')
    assert "plans" in refusal(folder).message
    write(folder / "blueprint.toml", 'name = "small"\ntitle = "Small"\n[plans]\n')
    assert "plans" in refusal(folder).message


@pytest.mark.parametrize(
    "name",
    [
        "schema.sql",
        "1_short.sql",
        "01_short.sql",
        "003.sql",
        "003_.sql",
        "003-dashed.sql",
        "003_Upper.sql",
        "003 blank.sql",
        "003_ümlaut.sql",
        "٠٠٣_digits.sql",
        "123456789012345_long.sql",
        "003_two.dots.sql",
    ],
)
def test_a_migration_whose_name_is_not_one_is_refused(folder: Path, name: str) -> None:
    write(folder / name, "select 1;")
    refused = refusal(folder)
    assert name in refused.message
    assert "NNN" in refused.next_step


def test_a_folder_that_is_not_named_like_a_migration_is_refused(folder: Path) -> None:
    (folder / "drafts").mkdir()
    assert "drafts" in refusal(folder).message


@pytest.mark.parametrize(
    "twin", ["001_twin.sql", "002_twin.sql", "0002_twin.sql", "002_more.sql", "000002_twin.pgsql"]
)
def test_two_migrations_of_one_number_are_refused(folder: Path, twin: str) -> None:
    write(folder / twin, "select 1;")
    refused = refusal(folder)
    assert "same number" in refused.message


def test_a_blueprint_without_a_migration_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "blueprint.toml", DECLARATION)
    assert str(tmp_path) in refusal(tmp_path).message


def test_a_migration_folder_without_a_script_is_refused(folder: Path) -> None:
    (folder / "003_empty").mkdir()
    write(folder / "003_empty" / "notes.txt", "create table forgotten ();")
    assert "003_empty" in refusal(folder).message


@pytest.mark.parametrize("script", [*SCRIPTS, "blueprint.toml"])
def test_a_file_that_is_not_utf8_is_refused_by_name(folder: Path, script: str) -> None:
    path = folder / script
    path.write_bytes(path.read_bytes() + b"-- caf\xe9\n")
    assert str(path) in refusal(folder).message


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_nul_in_a_script_is_refused_as_libpq_would_send_half_of_it(
    folder: Path, script: str
) -> None:
    write(folder / script, "select 1;\nselect 2; \0 select 3;")
    refused = refusal(folder)
    assert f"{folder / script}, line 2" in refused.message
    assert "\0" not in refused.message


def test_a_link_that_leads_nowhere_disturbs_only_where_it_is_needed(folder: Path) -> None:
    (folder / ".#README.md").symlink_to("somebody@host.1234")  # as an editor leaves them
    assert read_blueprint(str(folder)).name == "small"
    (folder / "blueprint.toml").unlink()
    (folder / "blueprint.toml").symlink_to("nowhere")
    refusal(folder)


def test_a_declaration_that_is_a_folder_is_refused(folder: Path) -> None:
    (folder / "blueprint.toml").unlink()
    (folder / "blueprint.toml").mkdir()
    refusal(folder)
