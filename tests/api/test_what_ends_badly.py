"""What ends badly says why, and what can be asked for next: a failure, a quarantine, a plan that is too small."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import httpx

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.documents.clients import Accepted, Client, Explanation
from ghostcrm_provisioning.api.documents.document import Listed
from ghostcrm_provisioning.api.documents.doing import PlanPreview, VerifiedClient
from ghostcrm_provisioning.api.documents.queue import Queue
from ghostcrm_provisioning.api.documents.runs import Run
from ghostcrm_provisioning.wiring import Installation
from tests.api.conftest import callers_of
from tests.api.documents import checked
from tests.conftest import OpenInstallation, Server
from tests.integration.counting_blueprint import write_counting_blueprint
from tests.integration.isolation import BREAKS, as_superuser
from tests.integration.small_blueprint import raising, write_small_blueprint

PATH = "/api/admin/provision-client"


@asynccontextmanager
async def admin_of(installation: Installation) -> AsyncIterator[httpx.AsyncClient]:
    async with callers_of(installation) as calling:
        yield await calling(Scope.ADMIN)


async def carry_out(installation: Installation, run_id: str) -> None:
    """Until the run has ended: where others work on the same server, an attempt may have to be repeated."""
    wait = await installation.provisioner.carry_out(UUID(run_id), uuid4())
    if wait is not None:
        await asyncio.sleep(wait)
        await carry_out(installation, run_id)


async def provisioned(
    caller: httpx.AsyncClient, installation: Installation, plan: str = "starter"
) -> str:
    """The path of a client whose run has been carried out once."""
    data = {"name": "ACME Corp", "adminEmail": "admin@acme.com", "plan": plan}
    accepted = (await caller.post(PATH, json={"clientData": data})).json()
    await carry_out(installation, accepted["runId"])
    return str(accepted["statusUrl"])


async def test_a_failed_client_is_explained_mended_and_retried(
    opened: OpenInstallation, tmp_path: Path
) -> None:
    blueprint = write_small_blueprint(tmp_path / "small", _002_broken=raising("23505"))
    installation = await opened(blueprint=blueprint)
    async with admin_of(installation) as caller:
        path = await provisioned(caller, installation)
        client = checked(await caller.get(path), Client)
        assert client["status"] == "failed"
        assert client["error"]["code"] == "migration_failed"
        explained = checked(await caller.get(f"{path}/explain"), Explanation)
        assert "as ordered" in explained["cause"]
        retry = explained["nextRequest"]
        assert retry == {"method": "POST", "path": f"{path}/retry"}
        queue = checked(await caller.get("/api/admin/queue"), Queue)
        assert queue["failedLastDay"] == 1
        (failure,) = queue["failures"]
        assert (failure["step"], failure["error"]["code"]) == (
            "acquire_database",
            "migration_failed",
        )
        assert queue["ratePerMinute"] == {"lastFiveMinutes": 0.2, "lastHour": 0.02}
        failed = await caller.get("/api/admin/runs", params={"status": "failed"})
        assert len(checked(failed, Listed[Run])["data"]) == 1
        password = await caller.post(f"{path}/reset-admin-password")
        assert (password.status_code, password.json()["code"]) == (409, "client_not_ready")

        (blueprint / "002_broken.sql").write_text("select 1;\n")
        answer = await caller.request(retry["method"], retry["path"])
        accepted = checked(answer, Accepted, status=202)
        assert accepted["runId"] == client["runId"], "it goes on where it stopped"
        await carry_out(installation, accepted["runId"])
        assert (await caller.get(path)).json()["status"] == "ready"


async def test_a_client_that_is_not_isolated_is_closed_and_released(
    opened: OpenInstallation, tmp_path: Path, server: Server
) -> None:
    installation = await opened(blueprint=write_small_blueprint(tmp_path / "small"))
    breaks, mends = BREAKS["a table is granted to anon"]
    async with admin_of(installation) as caller:
        path = await provisioned(caller, installation)
        database = (await caller.get(path)).json()["database"]["name"]
        worker = installation.make_worker(standing=True)
        task = asyncio.create_task(worker.run())
        await worker.is_working.wait()
        as_superuser(server, database, breaks)
        verdict = checked(await caller.post(f"{path}/verify", params={"wait": 60}), VerifiedClient)
        assert (verdict["holds"], verdict["clientStatus"]) == (False, "quarantined")
        explained = checked(await caller.get(f"{path}/explain"), Explanation)
        assert explained["findings"]
        assert explained["nextRequest"]["path"] == f"{path}/release"
        refused = await caller.post(f"{path}/connect")
        assert (refused.status_code, refused.json()["code"]) == (409, "client_quarantined")
        assert "ghostcrm clients" not in refused.json()["hint"]
        still = checked(await caller.post(f"{path}/release", params={"wait": 60}), VerifiedClient)
        assert (still["holds"], still["clientStatus"]) == (False, "quarantined")
        as_superuser(server, database, mends)
        released = checked(
            await caller.post(f"{path}/release", params={"wait": 60}), VerifiedClient
        )
        assert (released["holds"], released["clientStatus"]) == (True, "ready")
        assert (await caller.post(f"{path}/connect")).status_code == 200
        worker.stop()
        await task


async def test_a_plan_that_is_too_small_says_what_is_over_and_by_how_much(
    opened: OpenInstallation, tmp_path: Path, server: Server
) -> None:
    installation = await opened(blueprint=write_counting_blueprint(tmp_path / "counting"))
    async with admin_of(installation) as caller:
        path = await provisioned(caller, installation, plan="large")
        database = (await caller.get(path)).json()["database"]["name"]
        as_superuser(
            server,
            database,
            "insert into public.contacts (name) select n::text from generate_series(1, 5) n",
        )
        preview = checked(
            await caller.get(f"{path}/plan-preview", params={"plan": "small"}), PlanPreview
        )
        assert preview["fits"] is False
        contacts = next(each for each in preview["resources"] if each["resource"] == "contacts")
        assert (contacts["used"], contacts["allowedThen"], contacts["overBy"]) == (5, 3, 2)
        refused = await caller.post(f"{path}/change-plan", json={"plan": "small"})
        problem = refused.json()
        assert (refused.status_code, problem["code"]) == (409, "plan_does_not_fit")
        assert "contacts by 2 (5 of 3)" in problem["detail"]
        accepted = checked(
            await caller.post(
                f"{path}/change-plan", json={"plan": "small", "allowOverLimit": True}
            ),
            Accepted,
            status=202,
        )
        await carry_out(installation, accepted["runId"])
        assert (await caller.get(path)).json()["plan"] == "small"
