"""Every call that provisioning a client as a project makes, by step: each is tried with each fault.

One that is not listed here fails the tests, so that none is made that was not tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from tests.supabase_runs.door import KILLED, KILLED_LATE, LATE, TOO_MANY, Call, Fault

_NONE: Mapping[Call, int] = MappingProxyType({})

_PROJECT = "/v1/projects/*"
_USERS = "/project/*/auth/v1/admin/users"

CALLS = tuple(
    Call(step, *call.split(" "))
    for step, calls in {
        "acquire_database": (
            "GET /v1/projects/available-regions",
            "GET /v1/organizations/*/projects",
            "POST /v1/projects",
            f"GET {_PROJECT}",
            f"GET {_PROJECT}/health",
            f"GET {_PROJECT}/config/database/pooler",
            f"GET {_PROJECT}/api-keys",
            f"POST {_PROJECT}/api-keys",
        ),
        "create_admin": (f"GET {_USERS}/*", f"POST {_USERS}"),
        "apply_plan_settings": (
            f"GET {_PROJECT}",
            f"GET {_PROJECT}/config/auth",
            f"GET {_PROJECT}/postgrest",
            f"GET {_PROJECT}/network-restrictions",
            "GET /project/*/storage/v1/bucket/*",
            f"GET {_PROJECT}/config/storage",
            f"PATCH {_PROJECT}/config/storage",
            "POST /project/*/storage/v1/bucket",
            f"PATCH {_PROJECT}/config/auth",
            f"POST {_PROJECT}/network-restrictions/apply",
        ),
        "prove_isolation": (
            "GET /project/*/rest/v1/",
            "GET /project/*/rest/v1/*",
            "GET /project/*/storage/v1/bucket",
            "POST /project/*/storage/v1/object/list/*",
            "GET /project/*/auth/v1/settings",
            f"GET {_USERS}",
            f"GET {_USERS}/*",
            f"POST {_USERS}",
            "POST /project/*/auth/v1/token",
            f"DELETE {_USERS}/*",
        ),
    }.items()
    for call in calls
)
_POOLER = f"{_PROJECT}/config/database/pooler"
# Made only by whoever goes on where a worker was killed, and where that is.
AFTER_A_DEATH = {
    # Where the database is: every process asks once for each project.
    Call("create_admin", "GET", _POOLER): Call("create_admin", "GET", f"{_USERS}/*"),
    Call("apply_plan_settings", "GET", _POOLER): Call("apply_plan_settings", "GET", _PROJECT),
    Call("prove_isolation", "GET", _POOLER): Call("prove_isolation", "GET", "/project/*/rest/v1/"),
    # The stranger who was left gets another password.
    Call("prove_isolation", "PUT", f"{_USERS}/*"): Call(
        "prove_isolation", "POST", "/project/*/auth/v1/token"
    ),
}
# None of these counts as an attempt of the step.
_FREE = frozenset({TOO_MANY, KILLED, KILLED_LATE})


def runs_with(
    kinds: Sequence[str], later: Mapping[Call, int] = _NONE, *, most: int = 4
) -> list[list[Fault]]:
    """The faults of every run that is needed to meet faults of those kinds at every call, as few as there may
    be: in one step, one at a call. What comes later in a step is met by whoever tries again.

    Args:
        later: so often these calls are made in a step; the last of these times, too, meets a fault.
        most: so many in one step of one run; of deaths, a run survives four in a step.
    """
    runs: list[list[Fault]] = []
    for kind in kinds:
        for call in CALLS:
            if kind in LATE and not call.changes_something:
                continue
            # A project is looked at until it runs: how often, differs.
            last = min(later.get(call, 1), 2 if call.step == "acquire_database" else 100)
            for occasion in sorted({1, last}):
                _place(runs, Fault(kind, call, occasion), most)
    return runs


def _place(runs: list[list[Fault]], fault: Fault, most: int) -> None:
    for run in runs:
        others = [each.call for each in run if each.call.step == fault.call.step]
        if len(others) < most and fault.call not in others:
            run.append(fault)
            return
    runs.append([fault])


def run_after_deaths(kinds: Sequence[str]) -> list[Fault]:
    """Where workers were killed, those who go on meet one fault after the other, each time they try again."""
    return [
        *(Fault(KILLED, call) for call in AFTER_A_DEATH.values()),
        *(
            Fault(kind, call, occasion)
            for call in AFTER_A_DEATH
            for occasion, kind in enumerate(kinds, start=1)
        ),
    ]


def attempts_of(faults: Iterable[Fault]) -> int:
    """How many attempts a step has at most that meets those: one more for each. What is done late may come
    between what the next attempt sees and what it does, so that it, too, has to be made once more."""
    met = list(faults)
    return 1 + sum(each.kind not in _FREE for each in met) + sum(each.kind in LATE for each in met)
