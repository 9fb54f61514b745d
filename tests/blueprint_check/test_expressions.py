"""Expressions of policies as PostgreSQL writes them back, and what is read out of them."""

from __future__ import annotations

import pytest

from ghostcrm_provisioning.blueprint_check.policy_expressions import Call, calls, compared_columns

_ONCE = "( SELECT auth.uid() AS uid)"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("(author_id = auth.uid())", [Call("auth.uid", False, False)]),
        (f"(author_id = {_ONCE})", [Call("auth.uid", True, False)]),
        (
            "(team_id = ANY (ARRAY( SELECT private.my_team_ids() AS my_team_ids)))",
            [Call("private.my_team_ids", True, False)],
        ),
        (
            "(EXISTS ( SELECT 1\n   FROM public.members m\n  WHERE (m.user_id = auth.uid())))",
            [Call("auth.uid", False, False)],
        ),
        (
            "( SELECT (private.my_role() = ANY (ARRAY['a'::text])) AS bool)",
            [Call("private.my_role", True, False)],
        ),
        (
            "( SELECT ( SELECT 1 WHERE (auth.uid() IS NULL)) AS a)",
            [Call("auth.uid", False, False)],
        ),
        ("private.may_see(owner_id, 'read'::text)", [Call("private.may_see", False, True)]),
        ("private.has('read'::text, 1, true)", [Call("private.has", False, False)]),
        ("private.has('a (b) c'::character varying)", [Call("private.has", False, False)]),
        ("private.is_one(ARRAY['a'::text, NULL::text])", [Call("private.is_one", False, False)]),
        ("(lower(email) = 'x'::text)", []),
        ("current_setting('a.b'::text, true) = 'x'::text", [Call("current_setting", False, False)]),
        (
            "(( SELECT private.my_role() AS my_role) = 'it''s auth.uid()'::text)",
            [Call("private.my_role", True, False)],
        ),
    ],
)
def test_calls(expression: str, expected: list[Call]) -> None:
    assert list(calls(expression)) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (f"(author_id = {_ONCE})", {(True, "author_id")}),
        (f"({_ONCE} = author_id)", {(True, "author_id")}),
        ("(author_id = auth.uid())", {(True, "author_id")}),
        (f"((author_id)::text = ({_ONCE})::text)", set()),
        ("(team_id = ANY (ARRAY( SELECT private.mine() AS mine)))", {(True, "team_id")}),
        ("(team_id IN ( SELECT m.team_id\n   FROM private.members m))", {(True, "team_id")}),
        ("(status = 'draft'::text)", set()),
        ("(deleted_at IS NULL)", set()),
        ("(team_id = ANY ((( SELECT private.mine() AS mine))::uuid[]))", {(True, "team_id")}),
        ("(COALESCE(owner_id, NULL::uuid) = ANY (( SELECT private.mine() AS mine)))", set()),
        ("(( SELECT private.my_role() AS r) = ANY (ARRAY['a'::text, 'b'::text]))", set()),
        ("(( SELECT private.my_role() AS r) = 'a'::text) AND (status = 'b'::text)", set()),
        ("(lower(email) = ( SELECT auth.email() AS email))", set()),
        (
            f"(EXISTS ( SELECT 1\n FROM public.members m\n WHERE ((m.user_id = {_ONCE})"
            " AND (m.team_id = notes.team_id))))",
            {(False, "user_id")},
        ),
        (
            f"(EXISTS ( SELECT 1 FROM public.x WHERE (notes.author_id = {_ONCE})))",
            {(True, "author_id")},
        ),
        (f'("Author" = {_ONCE})', {(True, "Author")}),
        (
            f"((author_id = {_ONCE}) OR (reviewer_id = {_ONCE}))",
            {(True, "author_id"), (True, "reviewer_id")},
        ),
        # Beside what holds for all rows or none, no index is of use …
        (f"((( SELECT private.my_role() AS r) = 'a'::text) OR (author_id = {_ONCE}))", set()),
        (f"((NOT is_private) OR (author_id = {_ONCE}))", set()),
        # … but where that is not an alternative, it is.
        (
            f"((author_id = {_ONCE}) AND (is_public OR (status = 'b'::text)))",
            {(True, "author_id")},
        ),
    ],
)
def test_compared_columns(expression: str, expected: set[tuple[bool, str]]) -> None:
    assert compared_columns(expression, "notes") == expected
