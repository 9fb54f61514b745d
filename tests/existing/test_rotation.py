"""Of a database that was given, what is ours is exchanged, and nothing else."""

from __future__ import annotations

import pytest

from ghostcrm_provisioning.connecting import connect_to, reset_admin_password
from ghostcrm_provisioning.errors import (
    DatabaseRejected,
    GhostcrmError,
    InvalidInput,
    NotOffered,
    StampMismatch,
)
from ghostcrm_provisioning.fleet.given_again import give_again
from ghostcrm_provisioning.fleet.rotating import rotate_credentials
from ghostcrm_provisioning.following import follow
from ghostcrm_provisioning.registration import Registration
from ghostcrm_provisioning.wiring import Installation
from tests.conftest import ADMIN
from tests.existing.conftest import SomebodysDatabase, SomebodysProject
from tests.existing.test_provisioning import ours, register, work_in_it
from tests.existing.test_supabase import given
from tests.lifecycle.lives import is_let_in
from tests.running_platform import RunningPlatform

pytestmark = pytest.mark.long


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
    # Another password of the given login would be: its URL is given again, for this database alone.
    for wrong, said in (
        (theirs.url(ADMIN, "not the one"), "password"),
        (theirs.url(), "names the login"),
        (url.replace(f"/{theirs.name}", "/postgres"), "names the login"),
    ):
        with pytest.raises(GhostcrmError, match=said) as refused:
            await again(installation, done, database_url=wrong)
        assert "not the one" not in f"{refused.value} {refused.value.as_record()}"
    theirs.do("comment on schema ghostcrm_claim is 'somebody else''s'")
    with pytest.raises(StampMismatch):
        await again(installation, done, database_url=url)


async def again(installation: Installation, done: Registration, **given: str) -> str:
    return await give_again(installation, done.client_id, requested_by="a test", **given)


async def test_the_one_login_that_was_given_is_not_ours(
    installation: Installation, theirs: SomebodysDatabase
) -> None:
    work_in_it(theirs, theirs.owner)
    done = await register(installation, theirs.url())
    with pytest.raises(NotOffered, match="not ours to change") as refused:
        await rotate_credentials(
            installation, done.client_id, requested_by="a test", passwords=True
        )
    assert "Have whoever gave the database change it" in refused.value.next_step
    # The tokens of Auth and PostgREST are ours.
    accepted = await rotate_credentials(installation, done.client_id, requested_by="a test")
    run = await follow(installation, accepted.run_id)
    assert run.status == "succeeded", run.error
    assert await is_let_in(theirs.url())
    # Its giver changes it, and tells us.
    theirs.do("alter role {} password 'another one'", theirs.owner)
    with pytest.raises(DatabaseRejected) as rejected:
        await reset_admin_password(installation, done.client_id, requested_by="a test")
    assert "clients rotate ID --database-url-file" in rejected.value.next_step
    where = await again(installation, done, database_url=theirs.url(password="another one"))
    assert theirs.name in where
    await reset_admin_password(installation, done.client_id, requested_by="a test")
    opened = await connect_to(installation, done.client_id, role="owner", requested_by="a test")
    assert await is_let_in(opened.database_url)
    assert opened.warning is None


async def test_a_project_that_was_given_keeps_its_keys(
    installation: Installation, project: SomebodysProject, platform: RunningPlatform
) -> None:
    done = await register(installation, project.database_url, **given(project))
    assert done.status == "ready", done.error
    with pytest.raises(NotOffered, match="not ours to exchange"):
        await rotate_credentials(installation, done.client_id, requested_by="a test", keys=True)
    with pytest.raises(NotOffered) as refused:
        await rotate_credentials(installation, done.client_id, requested_by="a test")
    assert "not ours to change" in refused.value.message
    assert project.key not in f"{refused.value} {refused.value.as_record()}"
    # Its giver switches it off, and gives another one.
    keys = f"/v1/projects/{project.ref}/api-keys"
    with platform.caller() as caller:
        new = caller.post(
            keys, params={"reveal": "true"}, json={"type": "secret", "name": "another"}
        ).json()["api_key"]
        caller.put(f"{keys}/legacy", params={"enabled": "false"}).raise_for_status()
    opened = await connect_to(installation, done.client_id, role="owner", requested_by="a test")
    assert "does not take the service role key any more" in (opened.warning or "")
    with pytest.raises(InvalidInput, match="does not take the key"):
        await again(installation, done, database_key=f"{new}x")
    await again(installation, done, database_key=new)
    opened = await connect_to(installation, done.client_id, role="owner", requested_by="a test")
    assert (opened.service_role_key, opened.warning) == (new, None)
