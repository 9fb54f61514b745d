"""How a database is given: on the command line and over HTTP, and where its password does not go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.following import follow
from ghostcrm_provisioning.registrars.registration import Accepted
from ghostcrm_provisioning.registration_form import checked_form
from ghostcrm_provisioning.wiring import Installation
from tests.api.conftest import callers_of
from tests.command import Outcome, ghostcrm
from tests.conftest import ADMIN, ADMIN_PASSWORD, Server
from tests.existing.conftest import PASSWORD, SomebodysDatabase
from tests.existing.test_provisioning import work_in_it
from tests.prepared_control import PreparedControl
from tests.provisioned import new_installation

PATH = "/api/admin/provision-client"


@pytest.fixture
def command(
    server: Server, prepared_control: PreparedControl, tmp_path: Path
) -> Callable[..., Outcome]:
    """``ghostcrm`` in an installation of its own."""
    environment = new_installation(server, prepared_control, tmp_path / "installation")

    def run(*arguments: str, stdin: str | None = None, **variables: str) -> Outcome:
        return ghostcrm(*arguments, environment=environment | variables, stdin=stdin)

    return run


def provision(command: Callable[..., Outcome], *arguments: str, **how: Any) -> Outcome:
    return command(
        "provision", f"ACME {uuid4().hex[:6]}", "--admin-email", "admin@acme.com", "--json",
        *arguments, **how,
    )  # fmt: skip


def owned_by_us(theirs: SomebodysDatabase) -> str:
    theirs.do("alter database {} owner to {}", theirs.name, ADMIN)
    return theirs.url(ADMIN, ADMIN_PASSWORD)


# --- the command line -----------------------------------------------------------------------------


@pytest.mark.long
def test_the_url_comes_from_a_file(
    command: Callable[..., Outcome], theirs: SomebodysDatabase, tmp_path: Path
) -> None:
    (tmp_path / "url").write_text(owned_by_us(theirs) + "\n", encoding="utf-8")
    done = provision(command, "--database-url-file", str(tmp_path / "url"))
    assert done.code == 0, done.stderr
    assert done.document["status"] == "ready"
    assert done.document["database"]["provider"] == "existing"
    opened = command("clients", "connect", done.document["id"], "--json")
    assert f"/{theirs.name}" in opened.document["databaseUrl"]
    assert ADMIN_PASSWORD not in done.stdout + done.stderr


@pytest.mark.parametrize("way", ["stdin", "environment", "PGPASSWORD", "argument"])
def test_it_comes_in_other_ways_as_well(
    command: Callable[..., Outcome], theirs: SomebodysDatabase, way: str
) -> None:
    theirs.do("create table public.invoices (id integer)")  # enough to see that it was looked at
    url = theirs.url()
    without = url.replace(f":{url.split('@')[0].rsplit(':', 1)[1]}@", "@")
    done = {
        "stdin": lambda: provision(command, "--database-url-file", "-", stdin=url + "\n"),
        "environment": lambda: provision(command, GHOSTCRM_EXISTING_DATABASE_URL=url),
        "PGPASSWORD": lambda: provision(command, "--database-url", without, PGPASSWORD=PASSWORD),
        "argument": lambda: provision(command, "--database-url", url),
    }[way]()
    assert done.code == 1
    assert done.document["error"]["code"] == "other_tables_found"
    assert ("can be read in the list of processes" in done.stderr) == (way == "argument")
    assert PASSWORD not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--database-url", "https://abcdefghijklmnopqrst.supabase.co"), "database_url_missing"),
        (("--database-url", "nonsense"), "invalid_database_url"),
        (("--database-url", "x", "--database-url-file", "y"), "invalid_input"),
        (("--database-url-file", "/nowhere/at/all"), "invalid_input"),
        (("--database-url-file", "-", "--password-stdin"), "invalid_input"),
        (("--allow-other-tables",), "database_url_missing"),
    ],
)
def test_what_cannot_be_read_is_refused(
    command: Callable[..., Outcome], arguments: tuple[str, ...], code: str
) -> None:
    done = provision(command, *arguments)
    assert done.code == 2
    assert done.document["error"]["code"] == code


# --- secrets --------------------------------------------------------------------------------------


async def test_the_password_rests_sealed_and_is_written_nowhere_else(
    installation: Installation, server: Server, theirs: SomebodysDatabase
) -> None:
    url = theirs.url()
    accepted = await _registered(installation, url)
    run = await follow(installation, accepted.run_id, timeout_seconds=90)
    assert run.status == "failed", "this login makes no client database"
    tables = await installation.control.fetch_all(
        "select schemaname || '.' || tablename as name from pg_tables"
        " where schemaname in ('ghostcrm', 'ghostcrm_queue')"
    )
    for secret in (PASSWORD, url, url.split(":")[2].split("@")[0]):
        for table in tables:
            rows = await installation.control.fetch_all(
                f"select t::text as text from {table['name']} t"
            )
            assert secret not in "".join(row["text"] for row in rows), table["name"]
        for path in installation.settings.logs.rglob("*.log"):
            assert secret not in path.read_text(encoding="utf-8"), path


@pytest.mark.long
async def test_another_password_for_the_same_database_replaces_the_first(
    installation: Installation, theirs: SomebodysDatabase
) -> None:
    work_in_it(theirs, theirs.owner)
    client_id = uuid4()
    first = await _registered(installation, theirs.url(), client_id=client_id)
    theirs.do("alter role {} password 'changed meanwhile'", theirs.owner)
    run = await follow(installation, first.run_id, timeout_seconds=90)
    assert run.status == "failed"
    assert "password authentication failed" in str(run.error)
    changed = theirs.url(password="changed meanwhile")
    again = await _registered(installation, changed, client_id=client_id)
    assert (again.client_id, again.created) == (first.client_id, False)
    run = await installation.registrar.retry(first.client_id, requested_by="a test")
    run = await follow(installation, run.id, timeout_seconds=90)
    assert run.status == "succeeded", run.error


async def _registered(installation: Installation, url: str, **what: Any) -> Accepted:
    form = checked_form(
        company_name="ACME Corp",
        admin_email="admin@acme.com",
        plan="starter",
        blueprint="ghostcrm",
        database_url=url,
        **what,
    )
    return await installation.registrar.register(form, registered_by="a test")


# --- HTTP -----------------------------------------------------------------------------------------


def body(url: str, **more: object) -> dict[str, object]:
    data = {"name": "ACME Corp", "adminEmail": "admin@acme.com", "databaseUrl": url}
    return {"clientData": data | more}


async def test_over_http_only_for_hosts_that_are_named_and_whoever_may_everything(
    opened: Callable[..., Any], theirs: SomebodysDatabase
) -> None:
    theirs.do("create table public.invoices (id integer)")
    closed = await opened()
    async with callers_of(closed) as calling:
        admin = await calling(Scope.ADMIN)
        answer = await admin.post(PATH, json=body(theirs.url()))
        assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted")
        assert "GHOSTCRM_EXISTING_DATABASE_HOSTS" in answer.text
    open_ = await opened(existing_database_hosts="127.0.0.1 *.supabase.co")
    async with callers_of(open_) as calling:
        writer = await calling(Scope.CLIENTS_WRITE)
        answer = await writer.post(PATH, json=body(theirs.url()))
        assert answer.status_code == 403
        admin = await calling(Scope.ADMIN)
        for elsewhere in ("postgresql://u:p@10.0.0.1/db", "postgresql://u@/db?host=/tmp"):
            answer = await admin.post(PATH, json=body(elsewhere))
            assert answer.status_code == 403, answer.text
        answer = await admin.post(
            PATH,
            json=body(theirs.url(), projectUrl="https://inside.example", databaseKey="sb_secret_1"),
        )
        assert answer.status_code == 403, answer.text
        # A project's reference tells where its API is; another address is the caller's word.
        ref = "abcdefghijklmnopqrst"
        answer = await admin.post(
            PATH,
            json=body(
                f"postgresql://postgres:p@db.{ref}.supabase.co/postgres",
                projectUrl="http://127.0.0.2:9200",
                databaseKey="sb_secret_1",
            ),
        )
        assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted"), answer.text
        for file in ("/etc/hostname", "/nowhere"):
            answer = await admin.post(
                PATH, json=body(f"{theirs.url()}?sslmode=require&sslrootcert={file}")
            )
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_database_url")
            assert file not in answer.text
        answer = await admin.post(PATH, json=body(theirs.url()))
        assert (answer.status_code, answer.json()["code"]) == (422, "other_tables_found")
        answer = await admin.post(PATH, json=body("https://abcdefghijklmnopqrst.supabase.co"))
        assert (answer.status_code, answer.json()["code"]) == (422, "database_url_missing")
        assert PASSWORD not in answer.text
