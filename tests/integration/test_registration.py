"""What becomes of registrations in the control database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ghostcrm_provisioning.errors import (
    ClientIdInUse,
    Conflict,
    GhostcrmError,
    IdempotencyKeyReused,
    InvalidBlueprint,
    InvalidInput,
    NoServerAvailable,
    UnknownPlan,
)
from ghostcrm_provisioning.registrars.registration import Accepted
from ghostcrm_provisioning.registration_form import check_company_name, check_email, checked_form
from ghostcrm_provisioning.settings import read_settings
from ghostcrm_provisioning.wiring import Installation, open_installation
from tests.conftest import OpenInstallation
from tests.integration.control import fetch, register, whole_contents
from tests.integration.processes import Processes

Environment = Callable[..., dict[str, str]]


async def _accept(installation: Installation, **values: Any) -> Accepted:
    form = checked_form(
        **{
            "company_name": "ACME Corp",
            "admin_email": "admin@acme.com",
            "plan": "starter",
            "blueprint": "ghostcrm",
            "admin_password": "secure-password",
        }
        | values
    )
    return await installation.registrar.register(form, registered_by="test")


async def _counts(installation: Installation) -> dict[str, int]:
    return dict(
        await fetch(
            installation,
            "select (select count(*) from clients) as clients,"
            " (select count(*) from client_admins) as admins,"
            " (select count(*) from client_databases) as databases,"
            " (select count(*) from runs) as runs, (select count(*) from steps) as steps,"
            " (select count(*) from audit_log) as audit,"
            " (select count(*) from ghostcrm_queue.jobs) as jobs",
        )
    )


def _whole(clients: int) -> dict[str, int]:
    return {
        "clients": clients, "admins": clients, "databases": clients, "runs": clients,
        "steps": 6 * clients, "audit": clients, "jobs": clients,
    }  # fmt: skip


# --- the same registration again ----------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("count", [2, 8])
async def test_the_same_registration_from_several_processes_at_once_is_one_client(
    opened: OpenInstallation, environment: Environment, processes: Processes, count: int
) -> None:
    installation = await opened()
    documents = await processes.at_once(
        count, environment(), "register", "ACME Corp", "admin@acme.com", "professional"
    )
    assert len({document["clientId"] for document in documents}) == 1
    assert [document["created"] for document in documents].count(True) == 1
    assert await _counts(installation) == _whole(1)


async def test_the_same_registration_twenty_times_at_once_is_one_client(
    installation: Installation,
) -> None:
    spellings = ["ACME Corp", "acme  corp", " ACME CORP ", "Acme Corp"]
    accepted = await asyncio.gather(
        *(_accept(installation, company_name=spellings[number % 4]) for number in range(20))
    )
    assert len({each.client_id for each in accepted}) == 1
    assert len({each.run_id for each in accepted}) == 1
    assert [each.created for each in accepted].count(True) == 1
    assert await _counts(installation) == _whole(1)


async def test_twenty_companies_at_once_are_twenty_clients(installation: Installation) -> None:
    accepted = await asyncio.gather(
        *(_accept(installation, company_name=f"Company {number}") for number in range(20))
    )
    assert len({each.client_id for each in accepted}) == 20
    assert await _counts(installation) == _whole(20)


async def test_the_same_admin_may_have_two_companies(installation: Installation) -> None:
    first = await _accept(installation)
    second = await _accept(installation, company_name="Another Corp")
    assert first.client_id != second.client_id
    assert await _counts(installation) == _whole(2)
    users = await installation.control.fetch_all("select user_id, email from client_admins")
    assert len({row["user_id"] for row in users}) == 2
    assert {row["email"] for row in users} == {"admin@acme.com"}


async def test_the_same_company_with_the_same_admin_on_another_plan_is_a_conflict(
    installation: Installation,
) -> None:
    first = await _accept(installation)
    before = await whole_contents(installation)
    with pytest.raises(Conflict) as refused:
        await _accept(installation, plan="enterprise")
    assert str(first.client_id) in refused.value.next_step
    assert await whole_contents(installation) == before


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"idempotency_key": "a key"}, IdempotencyKeyReused),
        ({"client_id": UUID(int=7)}, ClientIdInUse),
        ({"client_id": UUID(int=7), "idempotency_key": "a key"}, ClientIdInUse),
    ],
    ids=["key", "id", "both"],
)
async def test_the_same_key_or_id_gives_the_same_client_and_refuses_other_data(
    installation: Installation, values: dict[str, Any], error: type[GhostcrmError]
) -> None:
    first = await _accept(installation, **values)
    again = await asyncio.gather(*(_accept(installation, **values) for _ in range(5)))
    assert {each.client_id for each in again} == {first.client_id}
    assert {each.run_id for each in again} == {first.run_id}
    assert not any(each.created for each in again)
    before = await whole_contents(installation)
    for other in (
        {"company_name": "Another Corp"},
        {"admin_email": "somebody@acme.com"},
        {"plan": "enterprise"},
    ):
        with pytest.raises(error):
            await _accept(installation, **values | other)
    assert await whole_contents(installation) == before


async def test_a_key_makes_two_clients_of_one_company_possible(
    installation: Installation,
) -> None:
    accepted = [
        await _accept(installation, **values)
        for values in (
            {},
            {"idempotency_key": "a"},
            {"idempotency_key": "b"},
            {"client_id": uuid4()},
        )
    ]
    assert len({each.client_id for each in accepted}) == 4
    assert await _counts(installation) == _whole(4)


async def test_an_id_with_the_key_of_another_client_is_refused(
    installation: Installation,
) -> None:
    await _accept(installation, idempotency_key="a key")
    before = await whole_contents(installation)
    with pytest.raises(Conflict):
        await _accept(
            installation, company_name="Other", client_id=uuid4(), idempotency_key="a key"
        )
    assert await whole_contents(installation) == before


# --- refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"plan": "platinum"}, UnknownPlan),
        ({"plan": ""}, UnknownPlan),
        ({"plan": "'; drop table clients; --"}, UnknownPlan),
        ({"blueprint": "no such blueprint"}, InvalidBlueprint),
        ({"blueprint": "/no/such/folder"}, InvalidBlueprint),
        ({"company_name": ""}, InvalidInput),
        ({"company_name": "x" * 300}, InvalidInput),
        ({"company_name": "a\0b"}, InvalidInput),
        ({"company_name": "a\x1bb"}, InvalidInput),
        ({"admin_email": "nobody"}, InvalidInput),
        ({"admin_email": "a" * 310 + "@acme.com"}, InvalidInput),
        ({"admin_password": "short"}, InvalidInput),
        ({"admin_password": "x" * 100}, InvalidInput),
        ({"client_id": "not a uuid"}, InvalidInput),
        ({"idempotency_key": ""}, InvalidInput),
    ],
)
async def test_a_refused_registration_creates_nothing(
    installation: Installation, values: dict[str, Any], error: type[GhostcrmError]
) -> None:
    before = await whole_contents(installation)
    with pytest.raises(error) as refused:
        await _accept(installation, **values)
    assert refused.value.next_step
    assert await whole_contents(installation) == before
    assert await _counts(installation) == _whole(0)


async def test_no_server_takes_a_client_that_accepts_none(installation: Installation) -> None:
    await installation.control.execute("update servers set accepting = false")
    with pytest.raises(NoServerAvailable):
        await _accept(installation)
    assert await _counts(installation) == _whole(0)
    await installation.control.execute("update servers set accepting = true")
    assert (await _accept(installation)).created, "the refusal left no trace in the way"


async def test_a_full_server_takes_no_further_client(installation: Installation) -> None:
    await installation.control.execute("update servers set client_limit = 2")
    for number in range(2):
        await register(installation, f"Company {number}")
    with pytest.raises(NoServerAvailable):
        await register(installation, "One too many")
    again = await register(installation, "Company 0")
    assert again.client_id
    assert await _counts(installation) == _whole(2)


async def test_registrations_at_once_do_not_overfill_a_server(
    installation: Installation,
) -> None:
    await installation.control.execute("update servers set client_limit = 3")
    outcomes = await asyncio.gather(
        *(_accept(installation, company_name=f"Company {number}") for number in range(12)),
        return_exceptions=True,
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert {type(error) for error in refused} == {NoServerAvailable}
    assert await _counts(installation) == _whole(3)


# --- stored as normalised -----------------------------------------------------------------------

_NAMES = st.one_of(
    st.text(max_size=210),
    st.text(alphabet="aA 'é\u0301ß漢👩‍💻שּ\u200f;-\"\\%\u00a0İ", min_size=1, max_size=30),
    st.sampled_from(
        [
            "O'Brien & Sons",
            "'; drop table clients; --",
            "شركة",
            "👩‍👩‍👧‍👦",
            "%s %(name)s",
            "$$",
            "\\",
        ]
    ),
)
_EMAILS = st.one_of(
    st.emails(),
    st.text(max_size=20),
    st.builds(
        "{}@{}".format,
        st.from_regex(r"[A-Za-z0-9.+'_-]{1,20}", fullmatch=True),
        st.sampled_from(
            ["ACME.com", "bücher.example", "例え.jp", "a.b", "acme", "xn--bcher-kva.example"]
        ),
    ),
)


@pytest.mark.long
def test_names_and_emails_are_stored_exactly_as_normalised(environment: Environment) -> None:
    environment()
    with asyncio.Runner() as runner:
        resources = AsyncExitStack()

        async def open_() -> Installation:
            return await resources.enter_async_context(open_installation(read_settings()))

        async def register_and_read(name: str, email: str) -> None:
            before = await whole_contents(installation)
            try:
                wanted = (check_company_name(name), check_email(email))
            except InvalidInput:
                with pytest.raises(InvalidInput):
                    await _accept(installation, company_name=name, admin_email=email)
                assert await whole_contents(installation) == before
                return
            accepted = await _accept(
                installation, company_name=name, admin_email=email, client_id=uuid4()
            )
            row = await fetch(
                installation,
                "select c.name, a.email from clients c join client_admins a on a.client_id = c.id"
                " where c.id = %(id)s",
                id=accepted.client_id,
            )
            assert (row["name"], row["email"]) == wanted
            # Saying it again in its stored form is the same registration.
            again = await _accept(
                installation,
                company_name=row["name"],
                admin_email=row["email"],
                client_id=accepted.client_id,
            )
            assert not again.created

        installation = runner.run(open_())
        try:

            @given(name=_NAMES, email=_EMAILS)
            @hypothesis_settings(
                max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
            )
            def check(name: str, email: str) -> None:
                runner.run(register_and_read(name, email))

            check()
        finally:
            runner.run(resources.aclose())
