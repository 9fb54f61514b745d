"""Of a database that was given, what is ours is exchanged, and nothing else."""

from __future__ import annotations

from contextlib import suppress

import psycopg
import pytest

from ghostcrm_provisioning.connecting import connect_to
from ghostcrm_provisioning.errors import NotOffered
from ghostcrm_provisioning.following import follow
from ghostcrm_provisioning.rotating import rotate_credentials
from ghostcrm_provisioning.wiring import Installation
from tests.existing.conftest import SomebodysDatabase, SomebodysProject
from tests.existing.test_provisioning import ours, register, work_in_it
from tests.existing.test_supabase import given


async def is_let_in(url: str) -> bool:
    with suppress(psycopg.OperationalError):
        await (await psycopg.AsyncConnection.connect(url, connect_timeout=5)).close()
        return True
    return False


async def test_the_logins_that_we_made_get_new_passwords(
    installation: Installation, theirs: SomebodysDatabase
) -> None:
    url = ours(theirs)
    done = await register(installation, url)
    roles = ("app", "owner", "api")
    before = {
        role: await connect_to(installation, done.client_id, role=role, requested_by="a test")
        for role in roles
    }
    accepted = await rotate_credentials(installation, done.client_id, requested_by="a test")
    run = await follow(installation, accepted.run_id)
    assert run.status == "succeeded", run.error
    for role in roles:
        after = await connect_to(installation, done.client_id, role=role, requested_by="a test")
        assert await is_let_in(after.database_url)
        assert not await is_let_in(before[role].database_url)
        assert after.anon_key != before[role].anon_key
    assert await is_let_in(url), "what was given is not ours to change"


async def test_the_one_login_that_was_given_is_not_ours(
    installation: Installation, theirs: SomebodysDatabase
) -> None:
    work_in_it(theirs, theirs.owner)
    done = await register(installation, theirs.url())
    with pytest.raises(NotOffered, match="not ours to change") as refused:
        await rotate_credentials(
            installation, done.client_id, requested_by="a test", passwords=True
        )
    assert "Have whoever gave the database change it" in (refused.value.next_step or "")
    # The tokens of Auth and PostgREST are ours.
    accepted = await rotate_credentials(installation, done.client_id, requested_by="a test")
    run = await follow(installation, accepted.run_id)
    assert run.status == "succeeded", run.error
    assert await is_let_in(theirs.url())


async def test_a_project_that_was_given_keeps_its_keys(
    installation: Installation, project: SomebodysProject
) -> None:
    done = await register(installation, project.database_url, **given(project))
    assert done.status == "ready", done.error
    with pytest.raises(NotOffered, match="not ours to exchange"):
        await rotate_credentials(installation, done.client_id, requested_by="a test", keys=True)
    with pytest.raises(NotOffered) as refused:
        await rotate_credentials(installation, done.client_id, requested_by="a test")
    assert "not ours to change" in refused.value.message
    assert project.key not in f"{refused.value} {refused.value.as_record()}"
