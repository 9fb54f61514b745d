"""The tree of errors is complete, is drawn as it is, and every error helps the one who reads it."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator

import pytest

import ghostcrm_provisioning
from ghostcrm_provisioning import errors
from ghostcrm_provisioning.errors import GhostcrmError, StillRunning, ToldToWait

EXIT_CODES = {1, 2, 3, 4, 5, 7}
HTTP_STATUSES = {202, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 500, 503, 504}
_LEAF = re.compile(r"^(?P<lead>[│├└─ ]*)(?P<name>[A-Z][A-Za-z]+)(?P<note>.*)$")
_NUMBERS = re.compile(r"exit (?P<exit>\d+), HTTP (?P<http>\d+)")


def everyone(error: type[GhostcrmError] = GhostcrmError) -> Iterator[type[GhostcrmError]]:
    yield error
    for child in error.__subclasses__():
        yield from everyone(child)


def import_everything() -> None:
    """An error may be declared anywhere."""
    for module in pkgutil.walk_packages(
        ghostcrm_provisioning.__path__, f"{ghostcrm_provisioning.__name__}."
    ):
        importlib.import_module(module.name)


import_everything()
ALL = list(everyone())


def drawn() -> Iterator[tuple[str, str | None, str]]:
    """Name, parent and note of each error in the picture."""
    assert errors.__doc__ is not None
    picture = errors.__doc__.split("```")[1]
    path: list[str] = []
    for line in picture.strip().splitlines():
        leaf = _LEAF.match(line)
        assert leaf is not None, line
        depth = len(leaf["lead"]) // 4
        del path[depth:]
        yield leaf["name"], path[-1] if path else None, leaf["note"]
        path.append(leaf["name"])


def test_the_picture_is_the_tree() -> None:
    assert {name: parent for name, parent, _ in drawn()} == {
        error.__name__: None if error is GhostcrmError else error.__mro__[1].__name__
        for error in ALL
    }


def test_the_numbers_in_the_picture_are_those_of_the_classes() -> None:
    noted = 0
    for name, _, note in drawn():
        if numbers := _NUMBERS.search(note):
            error = getattr(errors, name)
            assert error.exit_code == int(numbers["exit"]), name
            assert error.http_status == int(numbers["http"]), name
            noted += 1
    assert noted >= 5


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [error.code for error in ALL]
    assert len(set(codes)) == len(codes)
    assert all("code" in vars(error) for error in ALL)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_every_error_says_what_happened_and_what_to_do_next(error: type[GhostcrmError]) -> None:
    assert error.__doc__ is not None
    assert error.__doc__.splitlines()[0].endswith(".")
    assert error.default_next_step.endswith(".")
    assert error.exit_code in EXIT_CODES
    assert error.http_status in HTTP_STATUSES


@pytest.mark.parametrize(
    "error", [error for error in ALL if error is not ToldToWait], ids=lambda error: error.__name__
)
def test_the_docstring_is_the_message_when_none_is_given(error: type[GhostcrmError]) -> None:
    assert error.__doc__ is not None
    raised = error()
    assert str(raised) == raised.message == error.__doc__.splitlines()[0]
    assert raised.next_step == error.default_next_step


def test_an_error_is_recorded_with_all_its_facts() -> None:
    raised = StillRunning("not yet", next_step="Wait.", seconds=3.5, name=None)
    record = raised.as_record()
    assert json.loads(json.dumps(record)) == {
        "code": "still_running",
        "message": "not yet",
        "nextStep": "Wait.",
        "retryable": False,
        "details": {"seconds": 3.5, "name": None},
    }


def test_one_who_is_told_to_wait_knows_how_long() -> None:
    raised = ToldToWait("busy", wait_seconds=2.5)
    assert raised.wait_seconds == 2.5
    assert raised.details == {"waitSeconds": 2.5}
    assert raised.retryable


def test_only_what_may_pass_by_itself_is_retryable() -> None:
    retryable = {error.__name__ for error in ALL if error.retryable}
    transient = {error.__name__ for error in everyone(errors.TransientFailure)}
    of_requests = {
        "RequestStillRunning",
        "SentTooSlowly",
        "TookTooLong",
        "TooManyRequests",
        "TooManyStreams",
    }
    assert retryable == transient | of_requests | {"ToldToWait"}
