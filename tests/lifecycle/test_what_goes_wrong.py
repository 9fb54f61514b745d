"""What stands in the way of a suspension, a resumption, an export or a deletion is explained, and overcome."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ghostcrm_provisioning.errors import (
    ClientDeleted,
    ClientNotReady,
    ClientQuarantined,
    IsolationNotProven,
)
from ghostcrm_provisioning.fleet.changing_plan import change_plan
from tests.conftest import OpenInstallation, Server
from tests.integration.control import register
from tests.integration.isolation import BREAKS
from tests.integration.small_blueprint import raising, write_small_blueprint
from tests.lifecycle.lives import Life, begin_life, carry_out, is_let_in

_OF_THE_DISTRIBUTION = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_dump"))
_BREAK, _MEND = BREAKS["a table is granted to anon"]


async def test_what_is_not_proven_any_more_is_not_opened(life: Life) -> None:
    life.inside(
        _BREAK
        if not life.is_supabase
        else f"{_BREAK}; alter table public.things disable row level security"
    )
    await life.suspend(with_export=False)
    run = await life.resume()
    assert run["status"] == "failed"
    assert run["error"]["code"] == IsolationNotProven.code
    assert await life.stands() == ("quarantined", "quarantined")
    assert not await is_let_in(life.url), "not even for a moment"
    with pytest.raises(ClientQuarantined):
        await life.ask_resume()
    found = await life.explanation()
    assert found.findings
    assert found.remedy == "release"
    life.inside(
        _MEND
        if not life.is_supabase
        else f"{_MEND}; alter table public.things enable row level security"
    )
    verdict = await life.installation.verifier.release(life.id, requested_by="test")
    assert verdict.holds, verdict.findings
    assert await life.stands() == ("ready", "ready")
    assert await is_let_in(life.url)
    assert (await life.explanation()).sentence == "ACME Corp is ready."


async def test_a_client_in_quarantine_is_not_suspended_and_can_be_deleted(
    on_postgres: Life,
) -> None:
    life = on_postgres
    life.inside(_BREAK)
    assert not (await life.installation.verifier.verify(life.id, requested_by="test")).holds
    with pytest.raises(ClientQuarantined):
        await life.ask_suspend()
    run = await life.delete()
    assert run["status"] == "succeeded", run["error"]
    assert await life.stands() == ("deleted", "deleted")
    assert len(await life.exports()) == 1, "of a closed database, too"
    assert await life.installation.verifier.longest_unverified(10) == []


async def test_a_registration_that_failed_can_be_deleted(
    opened: OpenInstallation, tmp_path: Path, server: Server
) -> None:
    blueprint = write_small_blueprint(tmp_path / "failing", _002_fails=raising("22000"))
    installation = await opened(blueprint=blueprint)
    registered = await register(installation)
    assert (await carry_out(installation, registered.run_id))["status"] == "failed"
    life = Life(installation, server, registered.client_id, f"postgresql://x/{registered.database}")
    with pytest.raises(ClientNotReady, match="cannot be suspended") as refused:
        await life.ask_suspend()
    assert "clients delete" in refused.value.next_step
    shutil.rmtree(blueprint)
    run = await life.delete()
    assert run["status"] == "succeeded", "nothing of its blueprint need be at hand"
    assert life.remains() == []


async def test_an_export_that_vanished_is_written_again(on_postgres: Life) -> None:
    life = on_postgres
    await life.suspend()
    (first,) = await life.exports()
    path = Path(first["manifest_path"])
    (dump,) = [each for each in path.parent.glob("*.dump") if "users" not in each.name]
    dump.write_bytes(dump.read_bytes()[:-1] + b"?")
    await life.resume()
    accepted = await life.ask_suspend()
    await life.carry_out(accepted)
    assert len(await life.exports()) == 2


async def test_a_pg_dump_that_is_too_old_is_named(
    opened: OpenInstallation, small_blueprint: Path, server: Server, tmp_path: Path
) -> None:
    with server.superuser() as connection:
        major = connection.info.server_version // 10000
    old = _OF_THE_DISTRIBUTION
    if not old or int(old[0].parts[-3]) >= major:
        pytest.skip("there is no pg_dump here that is older than the server")
    installation = await opened(blueprint=small_blueprint, postgres_binaries=old[0].parent)
    life = await begin_life(installation, server)
    run = await life.delete()
    assert run["status"] == "failed"
    assert run["error"]["code"] == "export_not_possible"
    assert f"PostgreSQL {major}" in run["error"]["message"]
    assert await life.stands() == ("deleting", "deleted")
    assert life.remains(), "without its export, nothing is removed"
    found = await life.explanation()
    assert found.then is not None
    assert "--no-export" in found.then
    run = await life.delete(with_export=False)
    assert run["status"] == "succeeded", run["error"]
    assert life.remains() == []


async def test_rows_that_policies_would_hide_are_not_left_out_in_silence(on_postgres: Life) -> None:
    life = on_postgres
    life.inside("alter table public.things force row level security")
    run = await life.suspend()
    assert run["status"] == "failed"
    assert "public.things" in run["error"]["message"]
    assert await life.stands() == ("ready", "suspended")
    found = await life.explanation()
    assert found.remedy == "retry"
    assert "clients resume" in (found.then or "")
    life.inside("alter table public.things no force row level security")
    run = await life.resume()
    assert run["status"] == "succeeded", run["error"]
    assert await life.stands() == ("ready", "ready")
    assert await is_let_in(life.url)


async def test_a_failed_suspension_goes_on_when_it_is_retried(on_postgres: Life) -> None:
    life = on_postgres
    life.inside("alter table public.things force row level security")
    accepted = await life.ask_suspend()
    await life.carry_out(accepted)
    life.inside("alter table public.things no force row level security")
    run = await life.installation.registrar.retry(life.id, requested_by="test")
    assert run.id == accepted.run_id
    assert (await carry_out(life.installation, run.id))["status"] == "succeeded"
    assert await life.stands() == ("suspended", "suspended")


async def test_a_plan_is_not_changed_while_a_client_is_being_deleted(on_postgres: Life) -> None:
    accepted = await on_postgres.ask_delete()
    with pytest.raises(ClientDeleted, match="is being deleted"):
        await change_plan(
            on_postgres.installation, on_postgres.id, "enterprise", requested_by="test"
        )
    await on_postgres.carry_out(accepted)
