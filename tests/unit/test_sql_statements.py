"""Scripts fall into statements exactly where PostgreSQL would end them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ghostcrm_provisioning
from ghostcrm_provisioning.client_database.sql_statements import Statement, split_statements

PACKAGE = Path(ghostcrm_provisioning.__file__).parent
SHIPPED = sorted((PACKAGE / "blueprints").rglob("*.sql")) + sorted(
    (PACKAGE / "client_database" / "platform_baseline").glob("*.sql")
)
VERBS = {"alter", "comment", "create", "do", "drop", "grant", "insert", "reset", "revoke", "select"}
VERBS |= {"set", "update", "with"}


def texts(script: str) -> list[str]:
    return [statement.text for statement in split_statements(script)]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("", []),
        (" \n\t ", []),
        (";;;", []),
        ("-- nothing", []),
        ("/* nothing; */ -- at all;", []),
        ("select 1", ["select 1"]),
        ("select 1;", ["select 1"]),
        ("select 1;;select 2", ["select 1", "select 2"]),
        ("select ';'; select 2", ["select ';'", "select 2"]),
        ("select 'it''s;'; select 2", ["select 'it''s;'", "select 2"]),
        (r"select '\'; select 2", [r"select '\'", "select 2"]),
        (r"select E'\';'; select 2", [r"select E'\';'", "select 2"]),
        (r"select e'\\'; select 2", [r"select e'\\'", "select 2"]),
        (r"select name'\'; select 2", [r"select name'\'", "select 2"]),
        ("select U&'\\0041;'; select 2", ["select U&'\\0041;'", "select 2"]),
        ('select ";"";"; select 2', ['select ";"";"', "select 2"]),
        ("select $$;$$; select 2", ["select $$;$$", "select 2"]),
        ("select $a$;$$;$a$; select 2", ["select $a$;$$;$a$", "select 2"]),
        ("select $ä_1$;$ä_1$; select 2", ["select $ä_1$;$ä_1$", "select 2"]),
        ("select a$b$c; select d$b$e", ["select a$b$c", "select d$b$e"]),
        ("select $1; select $2", ["select $1", "select $2"]),
        ("select /* ; /* ; */ ; */ 1; select 2", ["select /* ; /* ; */ ; */ 1", "select 2"]),
        ("select 1 -- ; '\n; select 2", ["select 1 -- ; '", "select 2"]),
        (
            "create rule r as on insert to t do (select 1; select 2); select 3",
            ["create rule r as on insert to t do (select 1; select 2)", "select 3"],
        ),
        ("select a[1]; select 2", ["select a[1]", "select 2"]),
        ("select 'never closed; select 2", ["select 'never closed; select 2"]),
        ("select $$never closed; select 2", ["select $$never closed; select 2"]),
        ("select /* never closed; select 2", ["select /* never closed; select 2"]),
    ],
)
def test_a_semicolon_ends_a_statement_only_where_it_stands_free(
    script: str, expected: list[str]
) -> None:
    assert texts(script) == expected


def test_an_atomic_body_is_one_statement_with_its_cases() -> None:
    function = (
        "create function f(a int) returns int begin atomic\n"
        "  select case when a > 0 then case a when 1 then 'end;' else 'x' end end;\n"
        "  select 2; -- end;\n"
        "END"
    )
    assert texts(f"{function};\nselect 3;") == [function, "select 3"]


def test_a_begin_that_is_not_atomic_is_no_body() -> None:
    assert texts("begin; select 1; end;") == ["begin", "select 1", "end"]


def test_each_statement_knows_its_first_line() -> None:
    script = "\n-- one\nselect 1;\n\n/* two\n */ select\n  2;select 3;\n\n\nselect 4"
    assert [(s.text, s.line) for s in split_statements(script)] == [
        ("select 1", 3),
        ("select\n  2", 6),
        ("select 3", 7),
        ("select 4", 10),
    ]


def test_an_error_position_leads_to_its_line() -> None:
    (statement,) = split_statements("\n\nselect\n  'ä',\n  nowhere")
    position = statement.text.index("nowhere") + 1  # PostgreSQL counts characters from 1
    assert statement.line_at(position) == 5
    assert statement.line_at(1) == 3
    assert statement.line_at(0) == 3


@pytest.mark.parametrize(
    "control",
    [
        "begin",
        "BEGIN ISOLATION LEVEL SERIALIZABLE",
        "start transaction",
        "START\n  TRANSACTION",
        "commit",
        "Commit and chain",
        "end",
        "END TRANSACTION",
        "rollback",
        "rollback to savepoint a",
        "abort",
        "savepoint a",
        "prepare transaction 'x'",
        "commit prepared 'x'",
    ],
)
@pytest.mark.parametrize(
    "before", ["", "\n", "-- harmless\n", "/* /* nested; */ */ ", "--a\n/**/\n"]
)
def test_transaction_control_is_seen_behind_any_comment(control: str, before: str) -> None:
    first, *_ = split_statements(f"{before}{control};")
    assert first.controls_transaction


@pytest.mark.parametrize(
    "statement",
    [
        "select 'begin'",
        "create function begin_something() returns int language sql return 1",
        "do $$ begin null; end $$",
        "create function f() returns int begin atomic select 1; end",
        "prepare q as select 1",
        "comment on table t is 'commit'",
        "-- commit\nselect 1",
        "ending",
    ],
)
def test_what_only_mentions_a_transaction_does_not_control_one(statement: str) -> None:
    (only,) = split_statements(statement)
    assert not only.controls_transaction


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_script_falls_into_statements(path: Path) -> None:
    script = path.read_text(encoding="utf-8")
    statements = split_statements(script)
    assert statements
    lines = script.splitlines()
    for statement in statements:
        assert statement.text.split()[0].lower() in VERBS, f"{path}:{statement.line}"
        assert not statement.controls_transaction
        assert lines[statement.line - 1].strip().startswith(statement.text.splitlines()[0][:20])
        # A statement is one statement.
        assert split_statements(statement.text) == [Statement(statement.text, 1)]


def test_there_are_shipped_scripts() -> None:
    assert len(SHIPPED) > 40


# --- scripts made of known statements -------------------------------------------------------------

WORDS = st.sampled_from(
    ["select", "insert", "e", "E", "x", "a1", "_b", "tbl$x", "naïve", "ending", "beginner"]
)
HIDDEN = st.text("ab;'\"()[]*-\\\n $é/", max_size=12)
TAGS = st.sampled_from(["", "a", "_tag1", "body", "ü"])
SIGNS = st.sampled_from(["1", "23.5", ",", "=", "<>", "+", "-", "::", ".", "$1", "$"])
BLANKS = st.text(" \t\n", min_size=1, max_size=3)


@st.composite
def dollar_quotes(draw: st.DrawFn) -> str:
    quote = f"${draw(TAGS)}$"
    body = draw(HIDDEN)
    # The first that looks like the closing quote is the closing quote.
    while (body + quote).index(quote) != len(body):
        body = body.replace("$", "")
    return f"{quote}{body}{quote}"


SAFE = st.text("ab;'\"() $-\n", max_size=10)
COMMENTS = st.recursive(
    SAFE.map(lambda text: f"/*{text}*/"),
    lambda inner: st.tuples(SAFE, inner, SAFE).map(lambda parts: f"/*{''.join(parts)}*/"),
    max_leaves=3,
)
LINE_COMMENTS = st.text("ab;'\"($*/ ", max_size=8).map(lambda text: f"--{text}\n")
STRINGS = HIDDEN.map(lambda text: "'" + text.replace("'", "''") + "'")
ESCAPE_STRINGS = HIDDEN.map(
    lambda text: "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
)
IDENTIFIERS = HIDDEN.map(lambda text: '"' + text.replace('"', '""') + '"')
ATOMS = st.one_of(
    WORDS, SIGNS, STRINGS, ESCAPE_STRINGS, IDENTIFIERS, dollar_quotes(), COMMENTS, LINE_COMMENTS
)


def spaced(parts: st.SearchStrategy[str], *, most: int) -> st.SearchStrategy[str]:
    pairs = st.lists(st.tuples(parts, BLANKS), max_size=most)
    return pairs.map(lambda found: "".join(part + blank for part, blank in found))


GROUPS = st.recursive(
    spaced(ATOMS | st.just(";"), most=4).map(lambda inside: f"( {inside} )"),
    lambda inner: st.tuples(inner, inner).map(lambda two: f"[ {two[0]} ; {two[1]} ]"),
    max_leaves=3,
)
CASES = st.recursive(
    st.just("case when x then ';' end"),
    lambda inner: inner.map(lambda text: f"CASE when {text} = 1 then 2 else {text} END"),
    max_leaves=2,
)
BODIES = spaced(ATOMS | CASES | st.just(";"), most=6).map(
    lambda inside: f"create function f ( ) begin atomic {inside} ; end"
)


@st.composite
def statements(draw: st.DrawFn) -> str:
    """Begins and ends with a word, so that it stands for itself whatever comes around it."""
    middle = draw(spaced(ATOMS | GROUPS | BODIES, most=5))
    return f"select {middle}done"


@st.composite
def scripts(draw: st.DrawFn) -> tuple[str, list[tuple[str, int]]]:
    fillers = spaced(COMMENTS | LINE_COMMENTS | st.just(";"), most=2)
    script, expected = draw(fillers), []
    for statement in draw(st.lists(statements(), max_size=5)):
        expected.append((statement, script.count("\n") + 1))
        script += f"{statement};{draw(fillers)}"
    return script, expected


@given(scripts())
def test_a_script_falls_into_exactly_the_statements_that_it_was_made_of(
    made: tuple[str, list[tuple[str, int]]],
) -> None:
    script, expected = made
    assert [(found.text, found.line) for found in split_statements(script)] == expected


@given(st.text("se '\"$a;-/*()\\\n[]Eé", max_size=40) | st.text(max_size=30))
def test_whatever_the_script_nothing_but_blanks_comments_and_semicolons_is_lost(
    script: str,
) -> None:
    at = 0
    for statement in split_statements(script):
        start = script.index(statement.text, at)
        # Text may repeat: the statement is the one at the line that it names.
        while script.count("\n", 0, start) + 1 != statement.line:
            start = script.index(statement.text, start + 1)
        assert not split_statements(script[at:start])
        at = start + len(statement.text)
    assert not split_statements(script[at:])


# --- whose rights ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "set role none",
        "SET LOCAL ROLE postgres",
        "reset role",
        "set session authorization default",
        "discard all",
        "set/**/role none",
        "set -- to\nrole none",
        'set "role" = none',
        "set role = postgres",
        "do $$ begin reset role; end $$",
        "do $$ begin execute 'set role none'; end $$",
        "do $x$ begin set /* */ local role none; end $x$",
        "select set_config('role', 'postgres', false)",
        "select set_config ( 'session_authorization', 'postgres', false)",
        "create function f() returns void language plpgsql as $$ begin reset role; end $$",
        "create or replace function f() returns void language plpgsql as $f$"
        " begin perform set_config('role', 'none', true); end $f$",
    ],
)
def test_becoming_somebody_else_is_noticed(text: str) -> None:
    (statement,) = split_statements(text)
    assert statement.changes_identity


@pytest.mark.parametrize(
    "text",
    [
        "update public.profiles set role_key = 'owner'",
        "comment on column public.profiles.role_key is 'set role with set_profile_role()'",
        "create function public.set_profile_role() returns void language sql as $$ select 1 $$",
        "select current_setting('role')",
        "alter table public.contacts reset (fillfactor)",
        "insert into public.notes values ('reset role')",
        "create table public.reset (role text)",
        "create function f() returns void language plpgsql as"
        " $$ begin update public.deal_contacts d set role = 'other'; end $$",
    ],
)
def test_other_words_are_not_mistaken_for_it(text: str) -> None:
    (statement,) = split_statements(text)
    assert not statement.changes_identity
