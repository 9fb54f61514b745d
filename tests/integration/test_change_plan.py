"""A client that is in use gets another plan: at once, once, or not at all."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from ghostcrm_provisioning.client_database.blueprint import read_blueprint
from ghostcrm_provisioning.clients.client import Client, find_client
from ghostcrm_provisioning.clients.run import HeldRun
from ghostcrm_provisioning.connecting import connect_to
from ghostcrm_provisioning.errors import (
    ClientNotReady,
    Conflict,
    PlanDoesNotFit,
    Superseded,
    UnknownPlan,
)
from ghostcrm_provisioning.explanation import Explanation, explain
from ghostcrm_provisioning.fleet.changing_plan import change_plan, preview_plan_change
from ghostcrm_provisioning.provisioning.change_plan import CHANGE_PLAN
from ghostcrm_provisioning.provisioning.work import Work, find_request, gather_work
from ghostcrm_provisioning.registrars.registration import AcceptedPlanChange
from ghostcrm_provisioning.wiring import Installation
from tests.conftest import OpenInstallation, Server
from tests.integration.control import (
    Registered,
    fetch,
    find_run,
    list_attempts,
    register,
    whole_contents,
)
from tests.integration.counting_blueprint import write_counting_blueprint
from tests.integration.processes import Processes
from tests.integration.small_blueprint import write_small_blueprint
from tests.integration.test_provisioning_log import read_log
from tests.integration.waiting import enter, eventually


@dataclass(frozen=True)
class InUse:
    """A client that is ready, on the plan ``medium``: 5 contacts, 13 connections, machines."""

    installation: Installation
    server: Server
    registered: Registered

    @property
    def id(self) -> UUID:
        return self.registered.client_id

    async def ask(self, plan: str, *, allow_over_limit: bool = False) -> AcceptedPlanChange:
        return await change_plan(
            self.installation,
            self.id,
            plan,
            requested_by="test",
            allow_over_limit=allow_over_limit,
        )

    async def begin(self, plan: str, *, allow_over_limit: bool = False) -> UUID:
        """Ask for a plan; returns the run that is to bring it about."""
        accepted = await self.ask(plan, allow_over_limit=allow_over_limit)
        assert accepted.created
        assert accepted.run_id is not None
        return accepted.run_id

    async def carry_out(self, run_id: UUID) -> dict[str, Any]:
        """Work on a run until it ends, as a worker does."""
        wait: float | None = 0
        while wait is not None:
            await asyncio.sleep(wait)
            wait = await self.installation.provisioner.carry_out(run_id, uuid4())
        return await find_run(self.installation, run_id)

    async def change(self, plan: str, *, allow_over_limit: bool = False) -> dict[str, Any]:
        return await self.carry_out(await self.begin(plan, allow_over_limit=allow_over_limit))

    async def client(self) -> Client:
        async with self.installation.control.connection() as connection:
            return await find_client(connection, self.id)

    async def explanation(self) -> Explanation:
        return await explain(self.installation.control, self.id, lease_seconds=6, max_attempts=3)

    def inside(self) -> psycopg.Connection[dict[str, Any]]:
        return self.server.superuser(self.registered.database)

    def add_contacts(self, count: int) -> None:
        with self.inside() as connection:
            for number in range(count):
                connection.execute("insert into public.contacts (name) values (%s)", (str(number),))

    def remove_contacts(self, count: int) -> None:
        with self.inside() as connection:
            connection.execute(
                "delete from public.contacts where id in (select id from public.contacts limit %s)",
                (count,),
            )

    def reality(self) -> tuple[str, int, int]:
        """The plan in the client's database, its connections, and how many contacts there are."""
        with self.inside() as connection:
            row = connection.execute(
                "select plan, (select rolconnlimit from pg_roles where rolname = %s) as connections,"
                " (select count(*) from public.contacts) as contacts from public.client_plan",
                (f"{self.registered.database}_app",),
            ).fetchone()
        assert row is not None
        return row["plan"], row["connections"], row["contacts"]

    async def says(self) -> tuple[str, str, str]:
        """What the control database says: status, plan, wished plan."""
        client = await self.client()
        return client.status, client.plan, client.wanted_plan


@pytest.fixture
async def in_use(opened: OpenInstallation, tmp_path: Path, server: Server) -> InUse:
    blueprint = write_counting_blueprint(tmp_path / "counting")
    installation = await opened(blueprint=blueprint)
    registered = await register(installation, plan="medium")
    assert await installation.provisioner.carry_out(registered.run_id, uuid4()) is None
    client = InUse(installation, server, registered)
    assert await client.says() == ("ready", "medium", "medium")
    return client


# --- it takes effect at once ------------------------------------------------------------------------


async def test_a_raised_limit_lets_the_next_contact_in_and_more_connections(
    in_use: InUse,
) -> None:
    in_use.add_contacts(5)
    with pytest.raises(psycopg.DatabaseError, match="no more contacts"):
        in_use.add_contacts(1)
    connection = await connect_to(in_use.installation, in_use.id, role="app", requested_by="test")
    with ExitStack() as entered:
        for _ in range(13):
            entered.enter_context(enter(connection.database_url))
        with pytest.raises(psycopg.OperationalError, match="too many connections"):
            psycopg.connect(connection.database_url)
        run = await in_use.change("large")
        assert run["status"] == "succeeded"
        enter(connection.database_url).close()
    in_use.add_contacts(1)
    assert in_use.reality() == ("large", 14, 6)
    assert await in_use.says() == ("ready", "large", "large")


async def test_a_plan_that_somebody_has_raised_in_the_database_is_applied_anew(
    in_use: InUse,
) -> None:
    """Whoever owns the schema can write there; so "has the plan already" is looked at, not believed."""
    assert (await in_use.ask("medium")).run_id is None
    for raised in (
        "update public.client_plan set max_contacts = null",
        f'alter role "{in_use.registered.database}_app" connection limit 1000',
    ):
        with in_use.inside() as connection:
            connection.execute(raised.encode())
        assert (await in_use.change("medium"))["status"] == "succeeded"
        assert in_use.reality() == ("medium", 13, 0)
        assert (await in_use.ask("medium")).run_id is None
    with in_use.inside() as connection:
        connection.execute("update public.client_plan set max_contacts = null")
    in_use.add_contacts(7)
    with pytest.raises(PlanDoesNotFit):
        await in_use.ask("medium")
    assert (await in_use.change("medium", allow_over_limit=True))["status"] == "succeeded"
    with pytest.raises(psycopg.DatabaseError, match="no more contacts"):
        in_use.add_contacts(1)


async def test_verify_tells_of_limits_that_are_not_the_plan_s_and_closes_nobody(
    in_use: InUse,
) -> None:
    async def told() -> list[str]:
        rows = await in_use.installation.control.fetch_all("select subject from notifications")
        return [row["subject"] for row in rows]

    verifier = in_use.installation.verifier
    assert (await verifier.verify(in_use.id, requested_by="test")).holds
    assert await told() == []
    with in_use.inside() as connection:
        connection.execute("update public.client_plan set features = '{things,machines,reports}'")
    for _ in range(2):
        assert (await verifier.verify(in_use.id, requested_by="test")).holds
    assert await told() == ["The database of ACME Corp allows something else than its plan"]
    assert await in_use.says() == ("ready", "medium", "medium")


async def test_what_was_changed_is_in_the_audit_and_in_the_log(in_use: InUse) -> None:
    run = await in_use.change("large")
    rows = await in_use.installation.control.fetch_all(
        "select actor, action, details from audit_log where action like 'client.plan%%' order by id"
    )
    assert [(row["actor"], row["action"]) for row in rows] == [
        ("test", "client.plan_change_requested"),
        ("worker", "client.plan_changed"),
    ]
    assert rows[0]["details"] == {
        "from": "medium", "to": "large", "allowOverLimit": False, "run": str(run["id"]),
    }  # fmt: skip
    change = await fetch(in_use.installation, "select * from plan_changes")
    assert (change["from_plan"], change["to_plan"]) == ("medium", "large")
    assert change["applied_at"] is not None
    log = read_log(in_use.installation)
    (changed,) = [event for event in log if event["event"] == "client_plan_changed"]
    assert (changed["fromPlan"], changed["toPlan"]) == ("medium", "large")
    assert changed["clientId"] == str(in_use.id)


async def test_a_client_stays_ready_and_can_be_connected_to_while_its_plan_changes(
    in_use: InUse,
) -> None:
    run_id = await in_use.begin("large")
    async with taken_up(in_use, run_id) as (held, _):
        await held.start_step(1)
        assert await in_use.says() == ("ready", "medium", "large")
        connected = await connect_to(
            in_use.installation, in_use.id, role="app", requested_by="test"
        )
        psycopg.connect(connected.database_url).close()
        assert (await in_use.explanation()).sentence == (
            "ACME Corp is ready on the plan medium; no worker is running to change it to large."
        )


async def test_a_registration_that_is_repeated_finds_the_client_on_its_new_plan(
    in_use: InUse,
) -> None:
    await in_use.change("large")
    again = await register(in_use.installation, plan="medium")
    assert (again.client_id, again.run_id) == (in_use.id, in_use.registered.run_id)
    assert await in_use.says() == ("ready", "large", "large")


async def test_a_blueprint_that_keeps_no_plan_has_its_connections_limited(
    opened: OpenInstallation, tmp_path: Path, server: Server
) -> None:
    blueprint = write_small_blueprint(tmp_path / "small")
    declaration = blueprint / "blueprint.toml"
    declaration.write_text(
        declaration.read_text().replace('"Enterprise"\n', '"Enterprise"\nconnection_limit = 7\n')
    )
    installation = await opened(blueprint=blueprint)
    registered = await register(installation)
    await installation.provisioner.carry_out(registered.run_id, uuid4())
    client = InUse(installation, server, registered)
    preview = await preview_plan_change(installation, client.id, "enterprise")
    assert (preview.usages, preview.fits) == (None, True)
    assert (preview.connections_now, preview.connections_then) == (20, 7)
    assert preview.as_document()["counted"] is False
    assert (await client.change("enterprise"))["status"] == "succeeded"
    async with installation.control.connection() as control:
        found = await find_client(control, client.id)
        request, _ = await find_request(
            control, installation.sealer, found, installation_id=installation.id
        )
    provider = await installation.providers.home()
    assert await provider.connection_limit(request, "app") == 7


# --- the preview, and what does not fit ---------------------------------------------------------------


async def test_the_preview_says_what_is_over_by_how_much_and_what_uses_what_is_lost(
    in_use: InUse,
) -> None:
    in_use.add_contacts(5)
    with in_use.inside() as connection:
        connection.execute("insert into public.machines (name) values ('a'), ('b')")
    before = await whole_contents(in_use.installation)
    document = (await preview_plan_change(in_use.installation, in_use.id, "small")).as_document()
    assert await whole_contents(in_use.installation) == before
    assert in_use.reality() == ("medium", 13, 5)
    assert document == {
        "clientId": str(in_use.id),
        "clientName": "ACME Corp",
        "plan": "medium",
        "newPlan": "small",
        "fits": False,
        "counted": True,
        "resources": [
            {"resource": "contacts", "used": 5, "allowedNow": 5, "allowedThen": 3, "overBy": 2},
            {"resource": "machines", "used": 2, "allowedNow": None, "allowedThen": 0, "overBy": 2},
        ],
        "connections": {"allowedNow": 13, "allowedThen": 12},
        "featuresGained": [{"key": "reports", "title": "Reports"}],
        "featuresLost": [
            {
                "key": "machines",
                "title": "Machines",
                "usedBy": [{"resource": "machines", "used": 2}],
            }
        ],
    }


async def test_what_does_not_fit_is_refused_unless_that_is_allowed(in_use: InUse) -> None:
    in_use.add_contacts(5)
    before = await whole_contents(in_use.installation)
    with pytest.raises(PlanDoesNotFit) as refused:
        await in_use.ask("small")
    assert refused.value.details == {"contacts": 2}
    assert await whole_contents(in_use.installation) == before, "there is no run"

    assert (await in_use.change("small", allow_over_limit=True))["status"] == "succeeded"
    assert in_use.reality() == ("small", 12, 5), "nothing was deleted"
    with pytest.raises(psycopg.DatabaseError, match="no more contacts"):
        in_use.add_contacts(1)
    in_use.remove_contacts(3)
    in_use.add_contacts(1)
    # What is over already is no reason to refuse a plan that allows as much or more.
    in_use.remove_contacts(3)
    assert (await in_use.change("medium"))["status"] == "succeeded"


async def test_a_plan_that_allows_more_is_accepted_from_one_who_is_over_it(in_use: InUse) -> None:
    assert (await in_use.change("large"))["status"] == "succeeded"
    in_use.add_contacts(9)
    assert (await in_use.change("small", allow_over_limit=True))["status"] == "succeeded"
    assert (await in_use.change("medium"))["status"] == "succeeded"
    assert in_use.reality() == ("medium", 13, 9)


async def test_what_grew_between_the_request_and_its_application_fails_the_change_not_the_client(
    in_use: InUse,
) -> None:
    run_id = await in_use.begin("small")
    in_use.add_contacts(5)
    run = await in_use.carry_out(run_id)
    assert (run["status"], run["client_status"]) == ("failed", "ready")
    assert run["error"]["code"] == "plan_does_not_fit"
    assert run["error"]["details"] == {"contacts": 2}
    assert await list_attempts(in_use.installation, run_id) == [
        ("apply_plan_settings", 1, "failed")
    ]
    assert in_use.reality() == ("medium", 13, 5), "all of the old plan is still there"
    assert await in_use.says() == ("ready", "medium", "small")
    explanation = await in_use.explanation()
    assert explanation.sentence.startswith("ACME Corp is ready on the plan medium; its change to")
    assert "contacts by 2" in explanation.sentence
    notification = await fetch(in_use.installation, "select * from notifications")
    assert notification["severity"] == "warning"
    assert notification["subject"] == "The plan of ACME Corp could not be changed to small"
    audited = await fetch(in_use.installation, "select * from audit_log order by id desc limit 1")
    assert audited["action"] == "client.plan_change_failed"
    connected = await connect_to(in_use.installation, in_use.id, role="app", requested_by="test")
    psycopg.connect(connected.database_url).close()

    in_use.remove_contacts(2)
    retried = await in_use.installation.registrar.retry(in_use.id, requested_by="test")
    assert retried.id == run_id
    assert (await in_use.carry_out(run_id))["status"] == "succeeded"
    assert await in_use.says() == ("ready", "small", "small")
    assert in_use.reality() == ("small", 12, 3)


# --- one wish at a time -------------------------------------------------------------------------------


async def test_the_plan_that_a_client_has_already_is_nothing_to_do(in_use: InUse) -> None:
    before = await whole_contents(in_use.installation)
    accepted = await in_use.ask("medium")
    assert (accepted.run_id, accepted.created) == (None, False)
    assert await whole_contents(in_use.installation) == before


async def test_the_same_wish_is_the_same_run_and_another_one_is_in_conflict(
    in_use: InUse,
) -> None:
    run_id = await in_use.begin("large")
    before = await whole_contents(in_use.installation)
    again = await in_use.ask("large")
    assert (again.run_id, again.created) == (run_id, False)
    for plan in ("small", "medium"):
        with pytest.raises(Conflict) as conflict:
            await in_use.ask(plan)
        assert "large" in conflict.value.message
        assert str(run_id) in conflict.value.message
    assert await whole_contents(in_use.installation) == before
    assert (await in_use.carry_out(run_id))["status"] == "succeeded"
    assert await in_use.says() == ("ready", "large", "large")


async def test_that_it_may_be_over_the_limit_can_be_said_while_it_is_under_way(
    in_use: InUse,
) -> None:
    run_id = await in_use.begin("small")
    in_use.add_contacts(5)
    again = await in_use.ask("small", allow_over_limit=True)
    assert (again.run_id, again.created) == (run_id, False)
    assert (await in_use.carry_out(run_id))["status"] == "succeeded"
    assert in_use.reality() == ("small", 12, 5)


async def test_of_eight_who_wish_at_once_one_is_first(in_use: InUse) -> None:
    outcomes = await asyncio.gather(
        *(in_use.ask(plan) for plan in ("large", "small") * 4), return_exceptions=True
    )
    accepted = [each for each in outcomes if isinstance(each, AcceptedPlanChange)]
    refused = [each for each in outcomes if isinstance(each, BaseException)]
    assert len({each.run_id for each in accepted}) == 1
    assert [each.created for each in accepted].count(True) == 1
    assert len(refused) == 4
    assert all(isinstance(each, Conflict) for each in refused), refused
    rows = await in_use.installation.control.fetch_all("select * from plan_changes")
    assert len(rows) == 1


async def test_a_client_that_is_not_in_use_yet_and_a_plan_that_is_not_there_are_refused(
    in_use: InUse,
) -> None:
    with pytest.raises(UnknownPlan, match="small, medium, large"):
        await in_use.ask("gigantic")
    waiting = await register(in_use.installation, "Beta Ltd", plan="medium")
    with pytest.raises(ClientNotReady):
        await change_plan(in_use.installation, waiting.client_id, "large", requested_by="test")
    with pytest.raises(ClientNotReady):
        await preview_plan_change(in_use.installation, waiting.client_id, "large")


# --- whatever dies, it goes on ------------------------------------------------------------------------


@asynccontextmanager
async def taken_up(in_use: InUse, run_id: UUID) -> AsyncIterator[tuple[HeldRun, Work]]:
    """A run in the hands of a worker of its own."""
    async with in_use.installation.control.connection() as own:
        held = await HeldRun.take_up(in_use.installation.control, own, run_id, uuid4())
        assert held is not None
        client = await in_use.client()
        work = await gather_work(
            held,
            client,
            sealer=in_use.installation.sealer,
            blueprint=read_blueprint(client.blueprint),
            provider=await in_use.installation.providers.home(),
            installation_id=in_use.installation.id,
            around=in_use.installation.provisioner.around,
        )
        try:
            yield held, work
        finally:
            await work.close()


Dies = Callable[[HeldRun, Work], Awaitable[None]]


async def at_once(_: HeldRun, __: Work) -> None:
    """Right after it took the run up."""


async def after_the_plan_was_written(held: HeldRun, work: Work) -> None:
    await held.start_step(1)
    await CHANGE_PLAN.steps[0].make(work)


async def before_the_connections(held: HeldRun, work: Work) -> None:
    await after_the_plan_was_written(held, work)
    await held.start_step(2, finished=(1, "seen"))


async def after_the_connections_were_limited(held: HeldRun, work: Work) -> None:
    await before_the_connections(held, work)
    await CHANGE_PLAN.steps[1].make(work)


async def before_the_record(held: HeldRun, work: Work) -> None:
    await after_the_connections_were_limited(held, work)
    await held.start_step(3, finished=(2, "seen"))


async def after_the_record(held: HeldRun, work: Work) -> None:
    await before_the_record(held, work)
    await CHANGE_PLAN.steps[2].make(work)


INSTANTS: tuple[Dies, ...] = (
    at_once,
    after_the_plan_was_written,
    before_the_connections,
    after_the_connections_were_limited,
    before_the_record,
    after_the_record,
)


async def test_wherever_a_worker_dies_another_one_goes_on(in_use: InUse) -> None:
    in_use.add_contacts(3)
    for number, dies in enumerate(INSTANTS):
        plan, connections = (("small", 12), ("large", 14))[number % 2]
        run_id = await in_use.begin(plan)
        async with taken_up(in_use, run_id) as (held, work):
            await dies(held, work)
        assert (await in_use.client()).status == "ready", dies.__name__
        assert (await in_use.carry_out(run_id))["status"] == "succeeded", dies.__name__
        assert in_use.reality() == (plan, connections, 3), dies.__name__
        assert await in_use.says() == ("ready", plan, plan), dies.__name__
    changed = await in_use.installation.control.fetch_all(
        "select from audit_log where action = 'client.plan_changed'"
    )
    assert len(changed) == len(INSTANTS), "each was recorded once"


@pytest.mark.long
async def test_a_worker_that_is_killed_in_the_middle_is_replaced(
    opened: OpenInstallation,
    environment: Callable[..., dict[str, str]],
    in_use: InUse,
    processes: Processes,
) -> None:
    variables = environment(blueprint=in_use.installation.settings.blueprint, lease_seconds=1)
    run_id = await in_use.begin("large")
    with in_use.inside() as holding, holding.transaction():
        holding.execute("select from public.client_plan for update")
        holding.execute("lock table public.client_plan in share row exclusive mode")
        worker = processes.start_worker(variables)

        async def is_in_the_middle() -> bool:
            with in_use.server.superuser() as connection:
                return bool(
                    connection.execute(
                        "select from pg_stat_activity where datname = %s"
                        " and wait_event_type = 'Lock' and query like '%%client_plan%%'",
                        (in_use.registered.database,),
                    ).fetchall()
                )

        await eventually(is_in_the_middle, what="the worker waits for the plan's table")
        worker.kill()
        await asyncio.to_thread(worker.wait)
    processes.start_worker(variables)

    async def is_done() -> bool:
        return bool((await find_run(in_use.installation, run_id))["status"] == "succeeded")

    await eventually(is_done, what="another worker has changed the plan")
    assert in_use.reality()[:2] == ("large", 14)
    assert await in_use.says() == ("ready", "large", "large")


async def test_a_worker_that_was_overtaken_does_not_bring_the_old_wish_back(
    in_use: InUse,
) -> None:
    """It wakes up when its run is over and the client has got yet another plan."""
    run_id = await in_use.begin("large")
    async with taken_up(in_use, run_id) as (_, zombie):
        assert (await CHANGE_PLAN.steps[0].observe(zombie)).holds is False
        assert (await in_use.carry_out(run_id))["status"] == "succeeded"
        assert (await in_use.change("small"))["status"] == "succeeded"
        before = await whole_contents(in_use.installation)
        for step in CHANGE_PLAN.steps:
            with pytest.raises(Superseded):
                await step.make(zombie)
        assert await whole_contents(in_use.installation) == before
    assert in_use.reality()[:2] == ("small", 12)


async def test_a_worker_is_asked_whether_it_was_overtaken_while_nobody_else_can_write(
    in_use: InUse,
) -> None:
    """It got as far as waiting for the plan's table; when it is let in, its wish is an old one."""
    run_id = await in_use.begin("large")
    async with taken_up(in_use, run_id) as (_, zombie):
        with in_use.inside() as holding, holding.transaction():
            holding.execute("lock table public.client_plan in share row exclusive mode")
            writing = asyncio.ensure_future(CHANGE_PLAN.steps[0].make(zombie))

            async def waits() -> bool:
                with in_use.server.superuser() as connection:
                    return bool(
                        connection.execute(
                            "select from pg_locks where not granted and relation is not null"
                            " and database = (select oid from pg_database where datname = %s)",
                            (in_use.registered.database,),
                        ).fetchall()
                    )

            await eventually(waits, what="it waits for the table")
            async with taken_up(in_use, run_id):
                pass
        with pytest.raises(Superseded):
            await writing
    assert in_use.reality()[0] == "medium"
    assert (await in_use.carry_out(run_id))["status"] == "succeeded"
    assert in_use.reality()[:2] == ("large", 14)


async def test_a_change_that_failed_half_way_is_explained_retried_or_taken_back(
    in_use: InUse,
) -> None:
    app, elsewhere = (f"{in_use.registered.database}_{name}" for name in ("app", "away"))

    def rename(old: str, new: str) -> None:
        with in_use.server.superuser() as connection:
            connection.execute(
                sql.SQL("alter role {} rename to {}").format(
                    sql.Identifier(old), sql.Identifier(new)
                )
            )

    rename(app, elsewhere)
    run = await in_use.change("large")
    assert (run["status"], run["client_status"]) == ("failed", "ready")
    assert await in_use.says() == ("ready", "medium", "large")
    explanation = await in_use.explanation()
    assert "failed at “limit connections”" in explanation.sentence
    assert "The limits in its database are those of large already." in explanation.sentence
    rename(elsewhere, app)
    assert in_use.reality()[:2] == ("large", 13)

    # The old plan is a wish now, not something that is so.
    assert (await in_use.change("medium"))["status"] == "succeeded"
    assert in_use.reality()[:2] == ("medium", 13)
    assert await in_use.says() == ("ready", "medium", "medium")
    assert (await in_use.explanation()).sentence == "ACME Corp is ready."

    rename(app, elsewhere)
    run = await in_use.change("large")
    rename(elsewhere, app)
    await in_use.installation.registrar.retry(in_use.id, requested_by="test")
    assert (await in_use.carry_out(run["id"]))["status"] == "succeeded"
    assert in_use.reality()[:2] == ("large", 14)
    assert await in_use.says() == ("ready", "large", "large")


# --- what a client has put into its own schema --------------------------------------------------------

_TRAP = """
create table public.trap (who text, as_whom text, error text);
create or replace function public.spring() returns trigger language plpgsql as $$
begin
    begin
        execute 'reset role';
        insert into public.trap (who, as_whom) values (session_user, current_user);
        execute 'create role of_the_trap login';
    exception when others then
        insert into public.trap (who, as_whom, error) values (session_user, current_user, sqlerrm);
    end;
    return new;
end $$;
create trigger trap before insert or update on public.client_plan
    for each row execute function public.spring();
create constraint trigger trap_at_the_end after insert or update on public.client_plan
    deferrable initially deferred for each row execute function public.spring();
create or replace function private.plan_usage()
returns table (resource text, used bigint, allowed bigint) language plpgsql as $$
begin
    execute 'reset role';
    begin
        insert into public.trap (who, as_whom) values (session_user, current_user);
    exception when read_only_sql_transaction then
        null;  -- a preview
    end;
    return query select 'contacts'::text, null::bigint, null::bigint;
end $$;
"""


async def test_what_the_owner_has_put_into_the_schema_gets_no_more_rights_than_the_owner(
    in_use: InUse,
) -> None:
    owner = await connect_to(in_use.installation, in_use.id, role="owner", requested_by="test")
    with psycopg.connect(owner.database_url, autocommit=True) as connection:
        connection.execute(_TRAP)
    await preview_plan_change(in_use.installation, in_use.id, "small")
    with in_use.inside() as inside:
        assert inside.execute("select from public.trap").fetchall() == [], "it only looks"
    assert (await in_use.change("small"))["status"] == "succeeded"
    with in_use.inside() as inside:
        rows = inside.execute("select who, as_whom from public.trap").fetchall()
        made = inside.execute("select from pg_roles where rolname = 'of_the_trap'").fetchall()
    assert len(rows) >= 4
    assert {row["who"] for row in rows} == {f"{in_use.registered.database}_owner"}
    assert made == []


# --- clients from before there were changes of plan ---------------------------------------------------


@pytest.mark.new_installation
async def test_an_older_control_database_is_upgraded_with_the_plans_that_clients_have(
    control_url: str, opened: OpenInstallation
) -> None:
    first = "001_initial.sql"
    text = files("ghostcrm_provisioning.control_database").joinpath("sql", first).read_text()
    with psycopg.connect(control_url, autocommit=True) as connection:
        connection.execute("create schema ghostcrm")
        connection.execute("set search_path = ghostcrm")
        connection.execute(text.encode())
        connection.execute(
            "create table schema_migrations (name text primary key, checksum text not null,"
            " applied_at timestamptz not null default now())"
        )
        connection.execute(
            "insert into schema_migrations values (%s, %s)",
            (first, hashlib.sha256(text.encode()).hexdigest()),
        )
        connection.execute(
            "insert into clients (id, name, plan, blueprint, registration_digest, registered_by)"
            " values (gen_random_uuid(), 'ACME', 'professional', 'ghostcrm', '', 'test')"
        )
    installation = await opened()
    row = await fetch(installation, "select plan, wanted_plan from clients")
    assert row == {"plan": "professional", "wanted_plan": "professional"}
