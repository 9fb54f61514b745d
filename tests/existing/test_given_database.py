"""What a caller gives is understood by its form, or refused without a part of the secret."""

from __future__ import annotations

import base64
import json
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ghostcrm_provisioning.errors import (
    DatabaseUrlMissing,
    GhostcrmError,
    InvalidDatabaseUrl,
    InvalidInput,
)
from ghostcrm_provisioning.given_database import read_given_database

REF, OTHER_REF = "abcdefghijklmnopqrst", "zzzzzzzzzzzzzzzzzzzz"
SECRET = "s3cr3t-Pa55word"
DIRECT = f"postgresql://postgres:{SECRET}@db.{REF}.supabase.co:5432/postgres"
POOLER = f"postgresql://postgres.{REF}:{SECRET}@aws-0-eu-central-1.pooler.supabase.com"


def jwt(**claims: object) -> str:
    parts = ({"alg": "HS256", "typ": "JWT"}, claims)
    encoded = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts
    ]
    return ".".join([*encoded, "c2lnbmF0dXJl"])


SERVICE_KEY = jwt(
    role="service_role", iss="supabase", ref=REF, exp=int(time.time()) + 10 * 365 * 86400
)


def refused(error: type[GhostcrmError], *what: str) -> str:
    """What is said, of which nothing is the secret."""
    with pytest.raises(error) as caught:
        read_given_database(*what)
    said = (
        f"{caught.value.message} {caught.value.next_step} {caught.value.details} {caught.value!r}"
    )
    for chained in (caught.value.__cause__, caught.value.__context__):
        # What is chained would be in a traceback, and so in the log.
        assert chained is None or caught.value.__suppress_context__
    assert "s3cr3t" not in said
    assert "Pa55" not in said
    assert SERVICE_KEY[40:80] not in said
    return said


# --- PostgreSQL URLs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("postgres://u:p@localhost/db", "postgresql://u:p@localhost:5432/db"),
        ("postgresql://u:p@LOCALHOST.:5433/db", "postgresql://u:p@localhost:5433/db"),
        ("postgresql://u:p@[::1]:5433/db", "postgresql://u:p@[::1]:5433/db"),
        ("postgresql://u:p@[fe80::1%25eth0]/db?sslmode=disable", "postgresql://u:p@[fe80::1%25eth0]:5432/db?sslmode=disable"),
        ("postgresql://u:p@127.0.0.1/db?sslmode=disable", "postgresql://u:p@127.0.0.1:5432/db?sslmode=disable"),
        ("postgresql://u@/db?host=/run/pg&port=5433", "postgresql://u@/db?host=%2Frun%2Fpg&port=5433"),
        ("postgresql://u@%2Frun%2Fpg:5433/db", "postgresql://u@/db?host=%2Frun%2Fpg&port=5433"),
        ("postgresql://u:p%40%2F%3A%25@localhost/a%20b", "postgresql://u:p%40%2F%3A%25@localhost:5432/a%20b"),
        ("postgresql:///db?host=localhost&user=u&password=p", "postgresql://u:p@localhost:5432/db"),
        ("postgresql://u:p@localhost/db?options=-c%20jit%3Doff", "postgresql://u:p@localhost:5432/db?options=-c%20jit%3Doff"),
        ("postgresql://u:p@localhost/db?application_name=x&connect_timeout=3", "postgresql://u:p@localhost:5432/db"),
        ("  postgresql://u:p@localhost/db\n", "postgresql://u:p@localhost:5432/db"),
    ],
)  # fmt: skip
def test_a_postgresql_url_of_any_form_is_kept_in_one(url: str, kept: str) -> None:
    read = read_given_database(url)
    assert read.database_url == kept
    assert (read.project_url, read.key, read.ref) == (None, None, None)
    assert read_given_database(kept) == read


def test_over_a_network_it_is_encrypted_unless_it_is_said_otherwise() -> None:
    assert read_given_database("postgresql://u:p@db.example/x").parameters["sslmode"] == "require"
    for mode in ("disable", "prefer", "verify-full"):
        read = read_given_database(f"postgresql://u:p@db.example/x?sslmode={mode}")
        assert read.parameters["sslmode"] == mode
    assert "sslmode" not in read_given_database("postgresql://u:p@127.0.0.1/x").parameters
    assert read_given_database(f"{DIRECT}?sslmode=disable").parameters["sslmode"] == "require"
    assert (
        read_given_database(f"{DIRECT}?sslmode=verify-full").parameters["sslmode"] == "verify-full"
    )
    assert "sslmode" in refused(InvalidDatabaseUrl, "postgresql://u:p@h/x?sslmode=maybe")


def test_what_libpq_would_take_from_our_environment_is_said() -> None:
    parameters = read_given_database("postgresql://u@localhost/db").parameters
    assert parameters["password"] == ""
    assert parameters["passfile"] in {"/dev/null", "nul"}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "is empty"),
        (f"mysql://u:{SECRET}@h/db", "begins with neither"),
        (f"host=h dbname=d user=u password={SECRET}", "space"),
        (f"u:{SECRET}@h/db", "begins with neither"),
        (f"postgresql://u:{SECRET}@/db", "no host"),
        (f"postgresql://:{SECRET}@h/db", "no user"),
        (f"postgresql://u:{SECRET}@h", "no name of the database"),
        (f"postgresql://u:{SECRET}@h/", "no name of the database"),
        ("postgresql://u@db.example/db", "no password"),
        (f"postgresql://u:{SECRET}@h:0/db", "port"),
        (f"postgresql://u:{SECRET}@h:99999/db", "port"),
        (f"postgresql://u:{SECRET}@a:5432,b:5432/db", "several hosts"),
        (f"postgresql://u:{SECRET}@h%3Fsslmode=disable/db", "no host's name"),
        (f"postgresql://u:{SECRET}@h%2Fx.internal/db", "no host's name"),
        (f"postgresql://u:{SECRET}@h%25zz/db", "no host's name"),
        (f"postgresql://u:{SECRET}@h/db?sslkeylogfile=/tmp/x", "sslkeylogfile"),
        (f"postgresql://u:{SECRET}@h/db?passfile=/etc/passwd", "passfile"),
        (f"postgresql://u:{SECRET}@h/db?service=x", "service"),
        (f"postgresql://u:{SECRET}@h/db?hostaddr=10.0.0.1", "hostaddr"),
        (f"postgresql://u:{SECRET}@h/db?nonsense=1", "cannot be read"),
        (f"postgresql://u:{SECRET}%zz@h/db", "cannot be read"),
        (f"postgresql://u:{SECRET}%00@h/db", "cannot be read"),
        (f"postgresql://u:{SECRET}@[::1/db", "cannot be read"),
        (f"postgresql://u:{SECRET}%0a@h/db", "cannot be shown"),
        (f"postgresql://u:x@{SECRET}@h/db", "has a meaning there"),
        (f"postgresql://u:x/{SECRET}@h/db", "no number|has a meaning there"),
        (f"postgresql://postgres:[YOUR-PASSWORD]@db.{REF}.supabase.co:5432/postgres", "placeholder"),
        (f"postgresql://u:{SECRET}@h/{'x' * 3000}", "characters"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_and_the_secret_not_repeated(url: str, said: str) -> None:
    assert re.search(said, refused(InvalidInput, url))


@settings(max_examples=300, deadline=None)
@given(
    st.text(min_size=1, max_size=40), st.sampled_from(["@h/db", "@/db", "", "@h:1/d?x=y", "@[h"])
)
def test_whatever_is_given_is_understood_or_refused(password: str, rest: str) -> None:
    refusal = None
    try:
        read = read_given_database(f"postgresql://u:{SECRET}{password}{rest}")
    except InvalidInput as error:
        refusal = f"{error.message} {error.next_step} {error.details}"
    if refusal is None:
        refusal = f"{read!r} {read.where}"
        assert read_given_database(read.database_url) == read
    assert "s3cr3t" not in refusal


# --- Supabase -------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", [DIRECT, f"{POOLER}:5432/postgres", f"{POOLER}/postgres"])
def test_a_database_at_supabase_tells_its_project(url: str) -> None:
    read = read_given_database(url, SERVICE_KEY)
    assert (read.ref, read.project_url) == (REF, f"https://{REF}.supabase.co")
    assert read.key == SERVICE_KEY
    assert not read.notes
    assert read.parameters["sslmode"] == "require"


def test_the_poolers_project_may_stand_in_the_options() -> None:
    url = f"postgresql://postgres:{SECRET}@aws-0-eu-central-1.pooler.supabase.com/postgres"
    assert read_given_database(f"{url}?options=reference%3D{REF}").ref == REF
    assert "to which project" in refused(InvalidDatabaseUrl, url)


@pytest.mark.parametrize("url", [f"{POOLER}:6543/postgres", DIRECT.replace("5432", "6543")])
def test_the_port_of_transactions_becomes_that_of_sessions(url: str) -> None:
    read = read_given_database(url)
    assert ":5432/" in read.database_url
    assert "6543" in read.notes[0]


@pytest.mark.parametrize("key", [SERVICE_KEY, "sb_secret_0123456789"])
@pytest.mark.parametrize(
    "url", [f"https://{REF}.supabase.co", f"https://{REF}.supabase.co/rest/v1/"]
)
def test_tables_cannot_be_made_through_a_project_url(url: str, key: str) -> None:
    for keys in ((), (key,)):
        said = refused(DatabaseUrlMissing, url, *keys)
        assert "database URL" in said
        assert "Session pooler" in said
    said = refused(DatabaseUrlMissing, f"https://crm.example/project/{REF}", key)
    assert "config/database/pooler" in said
    refused(DatabaseUrlMissing, "https://crm.example", key)


def test_the_local_stack_has_its_database_one_port_above() -> None:
    for url in ("http://localhost:54321", "http://127.0.0.1:54321/"):
        read = read_given_database(url, SERVICE_KEY_OF_NO_PROJECT)
        host = read.host
        assert read.database_url == f"postgresql://postgres:postgres@{host}:54322/postgres"
        assert read.project_url == f"http://{host}:54321"
        assert "local stack" in read.notes[0]
    read = read_given_database("http://localhost:7000")
    assert read.database_url == "postgresql://postgres:postgres@localhost:7001/postgres"


SERVICE_KEY_OF_NO_PROJECT = jwt(role="service_role", iss="supabase-demo", exp=1983812996)


def test_the_local_stacks_database_tells_its_api() -> None:
    url = "postgresql://postgres:postgres@localhost:54322/postgres"
    assert (
        read_given_database(url, SERVICE_KEY_OF_NO_PROJECT).project_url == "http://localhost:54321"
    )
    elsewhere = url.replace("54322", "6001")
    assert "which project" in refused(InvalidInput, elsewhere, SERVICE_KEY_OF_NO_PROJECT)
    read = read_given_database(
        elsewhere, SERVICE_KEY_OF_NO_PROJECT, project_url="http://localhost:6000/"
    )
    assert read.project_url == "http://localhost:6000"


@pytest.mark.parametrize(
    "url",
    [
        "http://db.example", "https://u:p@x.example", "https://x.example?apikey=1", "https://[", "https://",
        "https://supabase.com/dashboard/project/abcdefghijklmnopqrst", "https://api.supabase.com",
        "http://localhost:65535",
    ],
)  # fmt: skip
def test_what_is_no_project_url_is_refused(url: str) -> None:
    refused(InvalidInput, url, SERVICE_KEY)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("sb_publishable_0123", "publishable"),
        ("sbp_" + "0" * 40, "access token"),
        (jwt(role="anon", ref=REF), "another role"),
        (jwt(ref=REF), "another role"),
        (jwt(role="service_role", ref=OTHER_REF), "another project"),
        (jwt(role="service_role", ref=REF, exp=1), "expired"),
        ("nonsense", "neither"),
        ("a.b.c", "neither"),
        ("a.W10.c", "neither"),
        ("a." + base64.urlsafe_b64encode(b"[" * 2900).decode() + ".c", "neither"),
        ("", "empty"),
        ("x" * 5000, "characters"),
        (f"{SERVICE_KEY}\nx", "control character"),
    ],
)
def test_a_key_that_cannot_do_it_is_refused(key: str, said: str) -> None:
    assert said in refused(InvalidInput, DIRECT, key)
    assert said in refused(InvalidInput, f"https://{REF}.supabase.co", key)


# --- kept -----------------------------------------------------------------------------------------


def test_it_is_sealed_as_a_document_and_read_again() -> None:
    read = read_given_database(DIRECT, SERVICE_KEY, allow_other_tables=True)
    assert read_given_database(**json.loads(json.dumps(read.as_document()))) == read
    assert SECRET not in repr(read) + str(read) + read.where
    assert SERVICE_KEY not in repr(read)


def test_its_identity_knows_nothing_of_secrets() -> None:
    read = read_given_database(DIRECT, SERVICE_KEY)
    other_secrets = read_given_database(DIRECT.replace(SECRET, "another"))
    assert read.identity == other_secrets.identity
    for url in (
        DIRECT.replace("/postgres", "/other"), DIRECT.replace("postgres:", "other:"),
        DIRECT.replace(REF, OTHER_REF),
    ):  # fmt: skip
        assert read_given_database(url).identity != read.identity
    assert read_given_database(DIRECT, allow_other_tables=True).identity != read.identity
