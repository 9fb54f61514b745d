"""``ghostcrm check`` as it is called: lines as a compiler writes them, JSON, exit codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ghostcrm_provisioning.blueprint_check.rules import RULES
from tests.blueprint_check.conftest import BLUEPRINTS
from tests.command import ghostcrm

Environment = Callable[..., dict[str, str]]


def test_what_is_wrong_is_listed_by_file_and_line(
    environment: Environment, write: Callable[..., Path]
) -> None:
    folder = write(
        _002_index="create index things_name_idx on public.things (name);\n",
        _003_column="alter table public.things\n  add column colour text not null;\n",
    )
    outcome = ghostcrm("check", str(folder), environment=environment())
    assert outcome.code == 1
    lines = [line for line in outcome.stdout.splitlines() if "blueprint/0" in line]
    assert [line.partition("blueprint/")[2].split(" ")[:2] for line in lines] == [
        ["001_things.sql:1:", "note:"],
        ["002_index.sql:1:", "warning:"],
        ["003_column.sql:2:", "error:"],
    ]
    assert "SHARE on table public.things while index" in outcome.stdout
    assert outcome.stdout.splitlines()[-1] == "small is not clean: 1 error, 1 warning, 1 note."


def test_warnings_count_when_strict(environment: Environment, write: Callable[..., Path]) -> None:
    folder = write(_002_index="create index things_name_idx on public.things (name);\n")
    variables = environment()
    assert ghostcrm("check", str(folder), environment=variables).code == 0
    outcome = ghostcrm("check", str(folder), "--strict", "--json", environment=variables)
    assert outcome.code == 1
    warning = next(each for each in outcome.document["findings"] if each["severity"] == "warning")
    assert warning == {
        "code": "index_blocks_writes",
        "severity": "warning",
        "file": "002_index.sql",
        "line": 1,
        "object": "public.things_name_idx",
        "sentence": "SHARE on table public.things while index public.things_name_idx is built: "
        "nobody writes",
        "fix": RULES["index_blocks_writes"].fix,
        "sqlstate": None,
        "excerpt": None,
    }


def test_a_clean_one_passes_strictly(environment: Environment) -> None:
    folder = BLUEPRINTS / "mended"
    outcome = ghostcrm("check", str(folder), "--strict", "--json", environment=environment())
    assert outcome.code == 0, outcome.stdout
    document = outcome.document
    assert (document["blueprint"], document["folder"]) == ("mended", str(folder))
    assert (document["clean"], document["built"]) == (True, True)
    assert document["counts"] == {"error": 0, "warning": 0, "note": 2}


def test_a_folder_that_is_no_blueprint(environment: Environment, tmp_path: Path) -> None:
    variables = environment()
    outcome = ghostcrm("check", str(tmp_path / "nowhere"), "--json", environment=variables)
    assert (outcome.code, outcome.document["error"]["code"]) == (1, "invalid_blueprint")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "blueprint.toml").write_text("name = \n")
    outcome = ghostcrm("check", str(broken), environment=variables)
    assert outcome.code == 1
    assert "blueprint.toml:1: error:" in outcome.stdout
    assert "(invalid_blueprint)" in outcome.stdout
