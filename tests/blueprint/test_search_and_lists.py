"""Search shows what the policies show, and every list is served by its index, whoever asks.

The lists are asked on 100,000 contacts and what belongs to them, as people of several roles; the plan
is PostgreSQL's own answer. What search finds is compared with the policies over random CRMs.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.rows import dict_row

from ghostcrm_provisioning import __file__ as package_file
from ghostcrm_provisioning.benchmarks import page_queries
from ghostcrm_provisioning.benchmarks.sample_crm import fill_client_database

TypeOfServer = Any  # the fixture's Server: conftest modules are not importable by name
Connection = psycopg.Connection[dict[str, Any]]

SCHEMA = Path(package_file).parent / "blueprints" / "ghostcrm" / "001_client_schema_template"
INDEXES = Path(__file__).parents[2] / "docs" / "reference" / "indexes.md"
ROLES = ("owner", "manager", "sales", "viewer")
BIG = ("contacts", "companies", "deals", "activities", "appointments", "invoices")
CONTACTS = 100_000


@pytest.fixture
def filled(server: TypeOfServer, own_database: str) -> Iterator[Connection]:
    """A client database with 100,000 contacts, through a superuser who becomes whom the tests need."""
    with server.connect(own_database, "blueprint_admin") as connection:
        fill_client_database(connection, CONTACTS)
    with server.connect(own_database) as connection:
        connection.row_factory = dict_row
        connection.execute("set search_path = ''")
        yield connection


# One test, so that the database is filled once for each server, however many processes test.
@pytest.mark.long
def test_on_100_000_contacts_lists_and_search_are_served_by_their_indexes(
    filled: Connection,
) -> None:
    people = [page_queries.find_person(filled, role) for role in ROLES]
    for person in people:
        for name in LISTS:
            check_list(filled, person, name)
        for search in SEARCHES:
            check_search(filled, person, *search)
        check_pages(filled, person)
    check_page_of_indexes(filled, people)


# Plans --------------------------------------------------------------------------------------------

# A list as an application asks for it, and the index that serves it.
LISTS = {
    "newest contacts": (
        "select id from public.contacts order by created_at desc, id desc limit 50",
        {"contacts_list_idx"},
    ),
    "the next page of contacts": (
        """select id from public.contacts
           where created_at <= %(created_at)s
             and (created_at < %(created_at)s or id < %(contact_id)s)
           order by created_at desc, id desc limit 50""",
        {"contacts_list_idx"},
    ),
    "the next page of contacts by a row": (
        """select id from public.contacts where (created_at, id) < (%(created_at)s, %(contact_id)s)
           order by created_at desc, id desc limit 50""",
        {"contacts_list_idx"},
    ),
    "my contacts": (
        """select id from public.contacts where owner_id = %(person_id)s
           order by created_at desc limit 50""",
        {"contacts_owner_id_idx"},
    ),
    "a team's contacts": (
        """select id from public.contacts where team_id = %(team_id)s
           order by created_at desc limit 50""",
        {"contacts_team_id_idx", "contacts_list_idx"},
    ),
    "contacts by the beginning of a name": (
        """select id from public.contacts
           where name_normalized >= 'falkenq' and name_normalized < 'falkenr'
           order by name_normalized limit 50""",
        {"contacts_name_idx"},
    ),
    "is this address known already?": (
        "select id from public.contacts where email_normalized = 'anna.bergmann1@www1.example'",
        {"contacts_email_idx"},
    ),
    "is this number known already?": (
        "select id from public.contacts where phone_normalized = '+4310000001'",
        {"contacts_phone_idx"},
    ),
    "a company's contacts": (
        "select id from public.contacts where company_id = %(company_id)s",
        {"contacts_company_id_idx"},
    ),
    "newest companies": (
        "select id from public.companies order by created_at desc, id desc limit 50",
        {"companies_list_idx"},
    ),
    "companies by the beginning of a name": (
        """select id from public.companies
           where name_normalized >= 'falconst' and name_normalized < 'falconsu'
           order by name_normalized limit 50""",
        {"companies_name_idx"},
    ),
    "a stage of the board": (
        """select id from public.deals
           where status = 'open' and pipeline_id = %(pipeline_id)s and stage_id = %(stage_id)s
           order by position, id limit 50""",
        {"deals_board_idx"},
    ),
    "newest deals": (
        "select id from public.deals order by created_at desc, id desc limit 50",
        {"deals_list_idx"},
    ),
    "the timeline of a contact": (
        """select id from public.activities where contact_id = %(busy_id)s
           order by occurred_at desc, id desc limit 50""",
        {"activities_contact_id_idx"},
    ),
    "the timeline of a company": (
        """select id from public.activities where company_id = %(company_id)s
           order by occurred_at desc, id desc limit 50""",
        {"activities_company_id_idx"},
    ),
    "the timeline of a deal": (
        """select id from public.activities where deal_id = %(deal_id)s
           order by occurred_at desc, id desc limit 50""",
        {"activities_deal_id_idx"},
    ),
    "what happened last": (
        "select id from public.activities order by occurred_at desc, id desc limit 50",
        {"activities_list_idx"},
    ),
    "a week of the calendar": (
        """select id from public.appointments
           where owner_id = %(colleague_id)s
             and starts_at < date_trunc('week', now()) + interval '7 days'
             and starts_at >= date_trunc('week', now()) - interval '31 days'
             and ends_at > date_trunc('week', now())
           order by starts_at""",
        {"appointments_agenda_idx"},
    ),
    "overdue invoices": (
        """select id from public.invoices
           where status in ('sent', 'partial') and due_on < current_date
           order by due_on limit 50""",
        {"invoices_open_idx"},
    ),
}


def check_list(filled: Connection, person: page_queries.Person, name: str) -> None:
    """The list is served by its index, and no big table is read whole."""
    query, wanted = LISTS[name]
    plan = plan_of(filled, person, query, looked_at(filled, person))
    used = {node["Index Name"] for node in plan if "Index Name" in node}
    assert used & wanted, (name, person.role, used)
    read_whole = {node.get("Relation Name") for node in plan if node["Node Type"] == "Seq Scan"}
    assert not read_whole & set(BIG), (name, person.role)


def looked_at(connection: Connection, person: page_queries.Person) -> dict[str, Any]:
    """What the lists are asked about."""

    def one(query: str) -> Any:
        row = connection.execute(query).fetchone()
        assert row is not None
        return row["id"]

    teams = person.parameters["team_ids"]
    return person.parameters | {
        "team_id": teams[0] if teams else one("select id from public.teams limit 1"),
        "busy_id": person.busy_contact_id,
        "company_id": one("select id from public.companies where deleted_at is null limit 1"),
        "deal_id": one("select id from public.deals limit 1"),
        "stage_id": one("select id from public.pipeline_stages where position = 2"),
        "colleague_id": one(
            "select id from public.profiles where email = 'person20@bench.example'"
        ),
    }


def plan_of(
    connection: Connection, person: page_queries.Person, query: str, parameters: dict[str, Any]
) -> list[dict[str, Any]]:
    """The nodes of the plan that the person's query has."""
    with page_queries.acting(connection, "authenticated", person):
        row = connection.execute(f"explain (format json) {query}", parameters).fetchone()
    assert row is not None
    return list(nodes_of(row["QUERY PLAN"][0]["Plan"]))


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes_of(child)


# A search, the table that it may not read whole, the index that serves it, and a term.
SEARCHES = (
    ("search_contacts", "contacts", "contacts_search_idx", "kenqvist"),
    ("search_contacts", "contacts", "companies_search_idx", "falconport"),
    ("search_contacts", "contacts", "contacts_name_idx", "fa"),
    ("search_companies", "companies", "companies_search_idx", "conport"),
    ("search_companies", "companies", "companies_name_idx", "fa"),
    ("search_deals", "deals", "deals_search_idx", "offer 1234"),
    ("search_deals", "deals", "deals_name_idx", "of"),
)


def check_search(
    filled: Connection, person: page_queries.Person, search: str, table: str, index: str, term: str
) -> None:
    """The search uses its index and reads no table whole."""

    # A plan inside a function is nobody's to explain; what it has read is counted.
    def counted() -> tuple[int, int]:
        row = filled.execute(
            """select (select idx_scan from pg_stat_user_indexes where indexrelname = %s) as index,
                      (select seq_scan from pg_stat_user_tables
                       where relid = ('public.' || %s)::regclass) as whole
               from pg_stat_force_next_flush(), pg_stat_clear_snapshot()""",
            [index, table],
        ).fetchone()
        assert row is not None
        return row["index"], row["whole"]

    filled.execute("select pg_stat_force_next_flush()")
    before = counted()
    with page_queries.acting(filled, "authenticated", person):
        found = filled.execute(
            sql.SQL("select id from public.{}(%s)").format(sql.Identifier(search)), [term]
        ).fetchall()
    assert found or person.role == "sales", (search, term)
    filled.execute("select pg_stat_force_next_flush()")
    after = counted()
    assert after[0] > before[0], (search, term, index)
    assert after[1] == before[1], (search, term)


def check_pages(filled: Connection, person: page_queries.Person) -> None:
    """The pages of the benchmark show the same with and without row level security."""
    filled.execute("set plan_cache_mode = force_generic_plan")
    for page in page_queries.PAGES:
        assert page_queries.measure_page(filled, person, page, pairs=2).rows > 0
    filled.execute("reset plan_cache_mode")


def check_page_of_indexes(filled: Connection, people: list[page_queries.Person]) -> None:
    """It names every index, and those that the pages of the benchmark use."""
    page = INDEXES.read_text(encoding="utf-8")
    used_part, unused_part = page.split("## The others")
    used, unused = (
        set(re.findall(r"^\| `(\w+)` \|", part, re.M)) for part in (used_part, unused_part)
    )
    rows = filled.execute(
        """select c.relname from pg_index i join pg_class c on c.oid = i.indexrelid
           where c.relnamespace = 'public'::regnamespace and not i.indisunique"""
    ).fetchall()
    assert used | unused == {row["relname"] for row in rows}
    assert not used & unused
    # Now as the lint unused_index sees it.
    filled.execute("select pg_stat_reset()")
    for someone in people:
        for page_name in page_queries.PAGES:
            query = page_queries.page_query(page_name, someone.role, bound=True)
            with page_queries.acting(filled, "authenticated", someone):
                filled.execute(query, page_queries.page_parameters(someone, page_name))
    filled.execute("select pg_stat_force_next_flush()")
    rows = filled.execute(
        """select indexrelname from pg_stat_user_indexes s join pg_index i using (indexrelid)
           where s.schemaname = 'public' and s.idx_scan > 0 and not i.indisunique"""
    ).fetchall()
    assert used - {row["indexrelname"] for row in rows} == set()


# Policies and search ------------------------------------------------------------------------------


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize(
    ("table", "file"),
    [
        ("contacts", "031_contacts.sql"),
        ("companies", "030_companies.sql"),
        ("deals", "052_deals.sql"),
    ],
)
def test_search_asks_the_question_of_the_policy_word_for_word(table: str, file: str) -> None:
    policy = re.search(
        rf"create policy {table}_select on public\.{table}\s+for select to authenticated\s+using (\(.*?\));\n",
        (SCHEMA / file).read_text(encoding="utf-8"),
        re.DOTALL,
    )
    assert policy is not None
    functions = (SCHEMA / "203_search_functions.sql").read_text(encoding="utf-8")
    function = re.search(
        rf"function private\.search_{table}\(.*?as \$\$(.*?)\$\$;", functions, re.DOTALL
    )
    assert function is not None
    question = squeezed(policy[1])
    # For the short term and the long one; contacts and deals ask it of their companies, too, whose
    # policy reads the same.
    expected = 2 if table == "companies" else 3
    assert squeezed(function[1]).count("and" + question) == expected


NAMES = ("Anna", "Berg", "Bergmann", "annA", "Ö%_", "x\\y", "")
TERMS = st.sampled_from(
    ["anna", "berg", "bergmann", "rg", "b", "ann", "anna berg", "berg anna", "%", "%_", "ö%_", "x\\y",
     "acme", "@acme", "nobody", " ANNA ", "more@", "", "a"]
)  # fmt: skip
PEOPLE = st.sampled_from(["owner", "admin", "manager", "sales", "viewer", "left", "stranger"])
RECORDS = st.fixed_dictionaries(
    {
        "owner": st.sampled_from(["me", "other", None]),
        "team": st.sampled_from(["mine", "theirs", None]),
        "deleted": st.booleans(),
    }
)
COMPANIES = st.lists(
    st.tuples(RECORDS, st.sampled_from(["ACME", "Berg & Co", "Other"])), min_size=1, max_size=4
)
CONTACT_ROWS = st.lists(
    st.tuples(
        RECORDS,
        st.sampled_from(NAMES),
        st.sampled_from([*NAMES[:5], "Zimmer"]),
        st.sampled_from([None, "anna@acme.example", "Info@Berg.example"]),
        st.integers(0, 3),
        st.booleans(),
    ),
    max_size=12,
)


class Sample:
    """A small CRM of random records, in a transaction that is rolled back."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.me, self.other, self.mine, self.theirs = (uuid.uuid4() for _ in range(4))

    def make(self, role: str, is_member: bool, companies: Any, contacts: Any) -> None:
        execute = self.connection.execute
        execute("set local role supabase_auth_admin")
        for person in (self.me, self.other):
            execute("insert into auth.users (id, email) values (%s, %s)", [person, f"{person}@a.b"])
        execute("set local role ghostcrm_client_owner")
        execute("insert into public.profiles (id, email) values (%s, 'other@a.b')", [self.other])
        if role != "stranger":
            execute(
                "insert into public.profiles (id, role_key, is_active, email) values (%s, %s, %s, 'me@a.b')",
                [self.me, "sales" if role == "left" else role, role != "left"],
            )
        for team in (self.mine, self.theirs):
            execute("insert into public.teams (id, name) values (%s, %s)", [team, str(team)])
        if is_member and role != "stranger":
            execute(
                "insert into public.team_memberships (team_id, profile_id) values (%s, %s)",
                [self.mine, self.me],
            )
        company_ids = []
        for record, name in companies:
            company_ids.append(
                self.insert("companies", record, name=name, domain=f"{name[:2]}.example")
            )
            self.insert(
                "deals", record, name=f"Deal {name}", company_id=company_ids[0], **self.stage()
            )
        for record, first, last, email, company, more in contacts:
            if not (first.strip() or last.strip() or email):
                continue
            contact = self.insert(
                "contacts",
                record,
                first_name=first,
                last_name=last,
                email=email,
                company_id=company_ids[company] if company < len(company_ids) else None,
            )
            if more:
                execute(
                    "insert into public.contact_emails (contact_id, email) values (%s, 'More@acme.example')",
                    [contact],
                )

    def stage(self) -> dict[str, Any]:
        row = self.connection.execute(
            "select pipeline_id, id as stage_id from public.pipeline_stages order by position limit 1"
        ).fetchone()
        assert row is not None
        return row

    def insert(self, table: str, record: dict[str, Any], **values: Any) -> Any:
        values |= {
            "owner_id": {"me": self.me, "other": self.other, None: None}[record["owner"]],
            "team_id": {"mine": self.mine, "theirs": self.theirs, None: None}[record["team"]],
        }
        if values["owner_id"] == self.me and not self.exists:
            values["owner_id"] = None
        row = self.connection.execute(
            sql.SQL("insert into public.{} ({}, deleted_at) values ({}, {}) returning id").format(
                sql.Identifier(table),
                sql.SQL(", ").join(map(sql.Identifier, values)),
                sql.SQL(", ").join(sql.Placeholder() * len(values)),
                sql.SQL("now()" if record["deleted"] else "null"),
            ),
            list(values.values()),
        ).fetchone()
        assert row is not None
        return row["id"]

    @property
    def exists(self) -> bool:
        row = self.connection.execute(
            "select 1 from public.profiles where id = %s", [self.me]
        ).fetchone()
        return row is not None

    def ask(self, query: str, parameters: dict[str, Any]) -> list[Any]:
        """The ids that a query shows me, in order."""
        with self.connection.transaction():
            self.connection.execute("set local role authenticated")
            self.connection.execute(
                "select set_config('request.jwt.claims', %s, true)",
                [json.dumps({"sub": str(self.me), "role": "authenticated"})],
            )
            rows = self.connection.execute(query, parameters).fetchall()
            self.connection.execute("set local role ghostcrm_client_owner")
        return [row["id"] for row in rows]


# What search must find, asked of the policies: without an index, but without anybody's word for it.
UNDER_POLICIES = {
    "search_contacts": """
        select c.id from public.contacts c
        where case when char_length(%(term)s) < 3 then starts_with(c.name_normalized, %(term)s)
              else strpos(c.search_text, %(term)s) > 0
                or exists (select from public.companies o
                           where o.id = c.company_id and strpos(o.search_text, %(term)s) > 0)
                or exists (select from public.contact_emails e
                           where e.contact_id = c.id and strpos(e.email_normalized, %(term)s) > 0)
              end
        order by c.name_normalized, c.id limit %(page_size)s""",
    "search_companies": """
        select o.id from public.companies o
        where case when char_length(%(term)s) < 3 then starts_with(o.name_normalized, %(term)s)
              else strpos(o.search_text, %(term)s) > 0 end
        order by o.name_normalized, o.id limit %(page_size)s""",
    "search_deals": """
        select d.id from public.deals d
        where case when char_length(%(term)s) < 3 then starts_with(d.name_normalized, %(term)s)
              else strpos(d.name_normalized, %(term)s) > 0
                or exists (select from public.companies o
                           where o.id = d.company_id and strpos(o.search_text, %(term)s) > 0)
              end
        order by d.name_normalized, d.id limit %(page_size)s""",
}


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    role=PEOPLE,
    is_member=st.booleans(),
    companies=COMPANIES,
    contacts=CONTACT_ROWS,
    terms=st.lists(TERMS, min_size=1, max_size=4),
    page_size=st.sampled_from([1, 2, 50]),
)
def test_search_finds_exactly_what_the_policies_show(
    server: TypeOfServer,
    database: str,
    role: str,
    is_member: bool,
    companies: Any,
    contacts: Any,
    terms: list[str],
    page_size: int,
) -> None:
    connection = connection_to(server, database)
    with connection.transaction(force_rollback=True):
        sample = Sample(connection)
        sample.make(role, is_member, companies, contacts)
        for term in terms:
            normalized = term.strip().lower()
            for function, query in UNDER_POLICIES.items():
                found = sample.ask(
                    f"select id from public.{function}(%(term)s, %(page_size)s)",
                    {"term": term, "page_size": page_size},
                )
                shown = (
                    sample.ask(query, {"term": normalized, "page_size": page_size})
                    if normalized
                    else []
                )
                assert found == shown, (function, term)


_CONNECTIONS: dict[tuple[str, str], Connection] = {}


@pytest.fixture(scope="module", autouse=True)
def _close_connections() -> Iterator[None]:
    yield
    for connection in _CONNECTIONS.values():
        connection.close()
    _CONNECTIONS.clear()


def connection_to(server: TypeOfServer, database: str) -> Connection:
    """One connection for all examples: connecting takes longer than an example."""
    key = (server.superuser, database)
    if key not in _CONNECTIONS:
        connection = server.connect(database, "blueprint_admin")
        connection.row_factory = dict_row
        connection.execute("set role ghostcrm_client_owner")
        _CONNECTIONS[key] = connection
    return _CONNECTIONS[key]


def test_search_is_nobody_s_without_a_profile(server: TypeOfServer, database: str) -> None:
    connection = connection_to(server, database)
    with connection.transaction(force_rollback=True):
        connection.execute("set local role anon")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select public.search_contacts('anna')")


# Activities follow their record -------------------------------------------------------------------


def test_an_activity_is_seen_by_those_who_see_its_record_also_after_a_hand_over(
    server: TypeOfServer, database: str
) -> None:
    connection = connection_to(server, database)
    mine = {"owner": "me", "team": None, "deleted": False}
    theirs = {"owner": "other", "team": "theirs", "deleted": False}
    with connection.transaction(force_rollback=True):
        sample = Sample(connection)
        sample.make("sales", is_member=True, companies=[(mine, "ACME")], contacts=[])
        records = {
            "contacts": sample.insert("contacts", mine, last_name="Mine"),
            "companies": sample.insert("companies", mine, name="Mine"),
            "deals": sample.insert("deals", mine, name="Mine", **sample.stage()),
        }
        hidden = sample.insert("contacts", theirs, last_name="Theirs")
        entries = {}
        for table, record in records.items():
            column = {"contacts": "contact_id", "companies": "company_id", "deals": "deal_id"}[
                table
            ]
            row = connection.execute(
                sql.SQL(
                    "insert into public.activities (type, subject, owner_id, {}) "
                    "values ('note', 'x', %s, %s) returning id"
                ).format(sql.Identifier(column)),
                [sample.other, record],
            ).fetchone()
            assert row is not None
            entries[table] = row["id"]

        def seen() -> set[Any]:
            return set(sample.ask("select id from public.activities", {}))

        def change(table: str, assignment: str, value: object) -> None:
            connection.execute(
                f"update public.{table} set {assignment} where id = %s", [value, records[table]]
            )

        assert seen() == set(entries.values())
        for table, entry in entries.items():
            change(table, "owner_id = %s", sample.other)
            assert entry not in seen()
            change(table, "team_id = %s", sample.mine)
            assert entry in seen()
            connection.execute(
                f"update public.{table} set deleted_at = now() where id = %s", [records[table]]
            )
            assert entry not in seen()
            change(table, "deleted_at = %s", None)
            assert entry in seen()
            change(table, "team_id = %s", None)
            assert entry not in seen()
            change(table, "owner_id = %s", None)  # nobody's: any salesperson may take it
            assert entry in seen()
        # Moved to another record, it is that one's.
        connection.execute(
            "update public.activities set contact_id = %s where id = %s",
            [hidden, entries["contacts"]],
        )
        assert entries["contacts"] not in seen()
        # And a hand-over of the record is no change of the entry.
        row = connection.execute(
            "select count(*) as changes from public.audit_logs where operation = 'update'"
            " and table_name = 'activities' and record_id = %s",
            [str(entries["deals"])],
        ).fetchone()
        assert row is not None
        assert row["changes"] == 0


def test_an_entry_written_during_a_hand_over_belongs_to_the_new_owner(
    server: TypeOfServer, own_database: str
) -> None:
    with (
        server.connect(own_database, "blueprint_admin") as first,
        server.connect(own_database, "blueprint_admin") as second,
    ):
        for connection in (first, second):
            connection.row_factory = dict_row
            connection.execute("set role ghostcrm_client_owner")
        with first.transaction():
            sample = Sample(first)
            sample.make("sales", is_member=False, companies=[], contacts=[])
            contact = sample.insert(
                "contacts", {"owner": "me", "team": None, "deleted": False}, last_name="Mine"
            )
            first.execute("set local role ghostcrm_client_owner")
        with first.transaction():
            first.execute(
                "insert into public.activities (type, subject, contact_id) values ('note', 'x', %s)",
                [contact],
            )
            # The hand-over may not pass the entry: it waits for it.
            second.execute("set lock_timeout = '100ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                second.execute(
                    "update public.contacts set owner_id = %s where id = %s",
                    [sample.other, contact],
                )
        second.execute(
            "update public.contacts set owner_id = %s where id = %s", [sample.other, contact]
        )
        row = second.execute("select record_owner_key from public.activities").fetchone()
        assert row is not None
        assert row["record_owner_key"] == sample.other


# Leakproofness ------------------------------------------------------------------------------------


def test_what_the_lists_compare_by_is_leakproof_and_what_search_needs_is_not(
    server: TypeOfServer, database: str
) -> None:
    connection = connection_to(server, database)
    rows = connection.execute(
        """select o.oid::regoperator::text as operator, p.proleakproof as is_leakproof
           from pg_operator o join pg_proc p on p.oid = o.oprcode
           where o.oid::regoperator::text = any (%s)""",
        [
            [
                "=(text,text)", ">=(text,text)", "<(text,text)", "=(uuid,uuid)", "<(uuid,uuid)",
                "<(timestamp with time zone,timestamp with time zone)", "<(date,date)",
                "~~(text,text)", "~~*(text,text)", "=(numeric,numeric)", "@>(jsonb,jsonb)",
                "&&(anyarray,anyarray)", "<(date,timestamp with time zone)",
            ]
        ],
    ).fetchall()  # fmt: skip
    assert {row["operator"] for row in rows if row["is_leakproof"]} == {
        "=(text,text)", ">=(text,text)", "<(text,text)", "=(uuid,uuid)", "<(uuid,uuid)",
        "<(timestamp with time zone,timestamp with time zone)", "<(date,date)",
    }  # fmt: skip
    assert len(rows) == 13
