"""The reference says what the code says, and the schema's page what a client's database says."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sql_layout import WIDTH, lay_out, simplified

from ghostcrm_provisioning.registration import on_client_registration
from ghostcrm_provisioning.wiring import Installation
from tests.conftest import Server
from tests.docs.pages import GENERATED, ROOT

SCHEMA_PAGE = GENERATED / "schema.md"


async def test_the_reference_is_what_the_code_and_a_new_database_say(
    installation: Installation, server: Server
) -> None:
    if not server.running.version.startswith("18"):
        pytest.skip("the page is written from PostgreSQL 18, as it comes with us")
    client = await on_client_registration(
        company_name="ACME", admin_email="a@acme.com", wait_seconds=600, installation=installation
    )
    row = await installation.control.fetch_one(
        "select name from client_databases where client_id = %(id)s", id=client.client_id
    )
    assert row is not None
    finished = subprocess.run(
        [
            sys.executable,
            str(ROOT / "scripts" / "write-reference"),
            "--check",
            "--database",
            server.running.url(row["name"]),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr


# --- the page of the schema can be read -----------------------------------------------------------


def test_no_line_of_the_schemas_page_is_too_long_to_be_read() -> None:
    for line in SCHEMA_PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith(
            "| `"
        ):  # a column: its last cell is a comment, which wraps where it is shown
            assert all(len(cell) <= 72 for cell in line.split(" | ")[:-1]), line
        elif not line.startswith(("|", "<!--")):
            assert len(line) <= 120, line


def test_every_table_of_the_schema_has_an_area() -> None:
    assert "Further tables" not in SCHEMA_PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("printed", "wanted"),
    [
        ("status = ANY (ARRAY['a'::text, 'b OR c'::text])", "status in ('a', 'b OR c')"),
        ("kind <> ALL (ARRAY['x'::text])", "kind not in ('x')"),
        ("owner_id = ( SELECT private.my_id() AS my_id)", "owner_id = private.my_id()"),
        (
            "team_id = ANY (ARRAY( SELECT private.my_team_ids() AS my_team_ids))",
            "team_id = any (private.my_team_ids())",
        ),
        ("email ~~ '%_@_%'::text", "email like '%_@_%'"),
        ("'it''s ANY (ARRAY[1])::text'::text", "'it''s ANY (ARRAY[1])::text'"),
        ("NULL::uuid", "null"),
        ("x::timestamp without time zone", "x::timestamp"),
    ],
)
def test_what_postgresql_adds_to_an_expression_is_left_out(printed: str, wanted: str) -> None:
    assert simplified(printed) == wanted


_ATOMS = st.sampled_from(["first_condition", "second_condition", "third_condition", "fourth_one"])
_EXPRESSIONS = st.recursive(
    _ATOMS,
    lambda inner: st.builds(
        lambda terms, word: f"({f' {word} '.join(terms)})",
        st.lists(inner, min_size=1, max_size=4),
        st.sampled_from(["and", "or"]),
    ),
    max_leaves=25,
)


@given(st.lists(_EXPRESSIONS, min_size=1, max_size=4), st.data())
def test_an_expression_means_the_same_in_lines(terms: list[str], data: st.DataObject) -> None:
    words = [data.draw(st.sampled_from([" and ", " or "])) for _ in terms[1:]]
    text = terms[0] + "".join(word + term for word, term in zip(words, terms[1:], strict=True))
    lines = lay_out(text)
    assert all(len(line) <= WIDTH for line in lines), lines
    names = ("first_condition", "second_condition", "third_condition", "fourth_one")
    for number in range(16):
        values = {name: bool(number >> place & 1) for place, name in enumerate(names)}
        # Python's own `and` and `or` bind as those of SQL do.
        assert eval(text, values.copy()) == eval(f"({' '.join(lines)})", values.copy())
