"""The SQL that goes into a client database: what must be true of every table, and of the people.

Structure is asked of the catalog; behaviour is shown by people (an owner, a salesperson, a
stranger) who act under row level security with the claims of a token, as through PostgREST.
"""

from __future__ import annotations

import json
import threading
import tomllib
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import (
    CheckViolation,
    ForeignKeyViolation,
    InsufficientPrivilege,
    RestrictViolation,
)

from tests.blueprint.conftest import BLUEPRINT, Server
from tests.blueprint.people import ROLES, Crm, apply_plan, create_profile, create_user


@pytest.fixture
def catalog(server: Server, database: str) -> Iterator[Callable[[str], list[Any]]]:
    """Ask the catalog; rows of one column come as plain values."""
    with server.connect(database) as connection:

        def ask(query: str) -> list[Any]:
            rows = connection.execute(query).fetchall()
            return [row[0] if len(row) == 1 else row for row in rows]

        yield ask


Catalog = Callable[[str], list[Any]]
IN_PUBLIC = "relnamespace = 'public'::regnamespace and relkind in ('r', 'p')"


# The schema ---------------------------------------------------------------------------------------


def test_the_schema_has_every_entity_of_the_specification(catalog: Catalog) -> None:
    tables = set(catalog(f"select relname from pg_class where {IN_PUBLIC}"))
    assert tables >= {
        "profiles", "roles", "permissions", "teams", "companies", "contacts", "tags",
        "custom_field_definitions", "pipelines", "pipeline_stages", "deals", "deal_stage_history",
        "activities", "appointments", "appointment_attendees", "email_templates",
        "email_template_variables", "email_campaigns", "email_campaign_recipients", "products",
        "invoices", "invoice_items", "payments", "payment_allocations", "files", "workflows",
        "workflow_steps", "workflow_runs", "client_settings", "client_plan", "audit_logs",
    }  # fmt: skip


def test_every_table_has_row_level_security_and_a_primary_key_and_a_comment(
    catalog: Catalog,
) -> None:
    bare = catalog(f"""
        select relname from pg_class c where {IN_PUBLIC} and (
            not relrowsecurity
            or obj_description(c.oid) is null
            or not exists (select from pg_constraint p where p.conrelid = c.oid and contype = 'p')
            or not exists (select from pg_policy p where p.polrelid = c.oid)
        )""")
    assert bare == []


def test_every_object_in_public_and_every_private_function_belongs_to_the_owner_role(
    catalog: Catalog,
) -> None:
    assert (
        catalog("""
        select relname from pg_class
        where relnamespace = 'public'::regnamespace
          and relowner <> 'ghostcrm_client_owner'::regrole
        union all
        select proname from pg_proc
        where pronamespace in ('public'::regnamespace, 'private'::regnamespace)
          and proowner <> 'ghostcrm_client_owner'::regrole""")
        == []
    )


def test_every_foreign_key_is_indexed(catalog: Catalog) -> None:
    unindexed = catalog("""
        select conrelid::regclass::text, conname from pg_constraint k
        where contype = 'f' and connamespace = 'public'::regnamespace and not exists (
            select from pg_index i
            where i.indrelid = k.conrelid and i.indisvalid and i.indpred is null
              and (i.indkey::smallint[])[0:cardinality(k.conkey) - 1] = k.conkey
        )""")
    assert unindexed == []


def test_no_index_repeats_another(catalog: Catalog) -> None:
    assert (
        catalog("""
        select indrelid::regclass::text, array_agg(indexrelid::regclass::text) from pg_index
        where indrelid in (select oid from pg_class where relnamespace = 'public'::regnamespace)
        group by indrelid, indkey::text, indclass::text, indoption::text,
                 pg_get_expr(indpred, indrelid), pg_get_expr(indexprs, indrelid)
        having count(*) > 1""")
        == []
    )


def test_constraints_have_names_that_say_their_table(catalog: Catalog) -> None:
    assert (
        catalog("""
        select conname from pg_constraint
        where connamespace = 'public'::regnamespace and conrelid <> 0 and contype <> 'n'
          and conname not like (select relname from pg_class where oid = conrelid) || '\\_%'""")
        == []
    )


def test_every_policy_is_for_signed_in_users_and_alone_for_its_operation(catalog: Catalog) -> None:
    assert (
        catalog("""
        select tablename, policyname from pg_policies
        where schemaname = 'public'
          and (roles <> '{authenticated}' or permissive <> 'PERMISSIVE' or cmd = 'ALL'
               or qual = 'true' or with_check = 'true')""")
        == []
    )
    assert (
        catalog("""
        select tablename, cmd from pg_policies where schemaname = 'public'
        group by 1, 2 having count(*) > 1""")
        == []
    )


def test_every_granted_operation_has_a_policy_and_the_other_way_round(catalog: Catalog) -> None:
    differing = catalog(f"""
        select c.relname, o.operation from pg_class c
        cross join unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) as o (operation)
        where {IN_PUBLIC} and (
            case o.operation
                when 'DELETE' then has_table_privilege('authenticated', c.oid, 'DELETE')
                else has_any_column_privilege('authenticated', c.oid, o.operation)
            end
        ) is distinct from exists (
            select from pg_policies p
            where p.schemaname = 'public' and p.tablename = c.relname and p.cmd = o.operation
        )""")
    assert differing == []


def test_every_function_looks_into_the_callers_temporary_schema_last(catalog: Catalog) -> None:
    """Unless it is named, that schema comes first, for types and tables, whatever the path: a caller
    who makes a domain called text there would be asked by every function that runs as the owner."""
    assert (
        catalog("""
        select proname from pg_proc
        where pronamespace in ('public'::regnamespace, 'private'::regnamespace)
          and not coalesce('search_path=pg_catalog, pg_temp' = any (proconfig), false)""")
        == []
    )


def test_no_function_takes_its_types_from_the_callers_temporary_schema(
    server: Server, own_database: str
) -> None:
    """A check of a domain is run by whoever converts to it: here it would be the schema's owner."""
    with server.connect(own_database) as connection, connection.transaction():
        for name in ("text", "uuid", "jsonb", "timestamptz"):
            connection.execute(
                sql.SQL("create domain pg_temp.{0} as pg_catalog.{0} check (false)").format(
                    sql.Identifier(name)
                )
            )
        people = Crm(connection)
        with people.acting_as("sales"):
            connection.execute(
                "insert into public.contacts (owner_id, last_name) values (auth.uid(), 'Berg')"
            )
            found = connection.execute("select last_name from public.search_contacts('berg')")
            assert found.fetchall() == [("Berg",)]
        raise psycopg.Rollback


def test_no_function_in_the_exposed_schema_has_the_rights_of_its_owner(catalog: Catalog) -> None:
    assert (
        catalog("""
        select proname from pg_proc
        where pronamespace = 'public'::regnamespace and prosecdef""")
        == []
    )


def test_public_and_anon_have_no_privilege_on_anything(catalog: Catalog) -> None:
    # A privilege of PUBLIC is one of anon's too.
    assert (
        catalog(f"""
        select relname, privilege from pg_class c
        cross join unnest(array['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) privilege
        where {IN_PUBLIC} and has_any_column_privilege('anon', c.oid, privilege)
        union all
        select relname, privilege from pg_class c
        cross join unnest(array['DELETE', 'TRUNCATE', 'TRIGGER']) privilege
        where {IN_PUBLIC} and has_table_privilege('anon', c.oid, privilege)
        union all
        select relname, 'USAGE' from pg_class c
        where relnamespace = 'public'::regnamespace
          and case relkind
              when 'S' then has_sequence_privilege('anon', c.oid, 'USAGE, SELECT, UPDATE')
          end
        union all
        select proname, 'EXECUTE' from pg_proc p
        where pronamespace in ('public'::regnamespace, 'private'::regnamespace)
          and has_function_privilege('anon', p.oid, 'EXECUTE')""")
        == []
    )
    assert catalog("select has_schema_privilege('anon', 'private', 'USAGE')") == [False]
    assert catalog("select has_schema_privilege('authenticated', 'public', 'CREATE')") == [False]


def test_what_decides_about_access_is_in_no_column_grant(catalog: Catalog) -> None:
    for table, column in [
        ("profiles", "role_key"), ("profiles", "is_active"), ("profiles", "id"),
        ("contacts", "deleted_at"), ("companies", "deleted_at"), ("deals", "deleted_at"),
        ("files", "deleted_at"), ("deals", "status"), ("invoices", "status"),
        ("invoices", "number"), ("invoices", "paid_minor"), ("payments", "amount_minor"),
        ("client_plan", "max_users"),
    ]:  # fmt: skip
        assert catalog(
            f"select has_column_privilege('authenticated', 'public.{table}', '{column}', 'UPDATE')"
        ) == [False], (table, column)


def test_the_service_role_reads_but_never_writes_the_plan_the_history_and_the_log(
    catalog: Catalog,
) -> None:
    protected = [
        "audit_logs", "client_plan", "company_field_values", "contact_field_values",
        "deal_field_values", "deal_stage_history", "invoice_number_series",
    ]  # fmt: skip
    assert (
        catalog(f"""
        select relname from pg_class c
        where {IN_PUBLIC} and not has_table_privilege('service_role', c.oid, 'INSERT')
        order by 1""")
        == protected
    )
    assert (
        catalog(f"""
        select relname from pg_class c
        where {IN_PUBLIC} and not has_table_privilege('service_role', c.oid, 'SELECT')""")
        == []
    )


# The platform baseline ----------------------------------------------------------------------------


def test_the_auth_schema_is_as_gotrue_and_the_supabase_cli_want_it(catalog: Catalog) -> None:
    assert catalog("""
        select nspname::text, nspowner::regrole::text from pg_namespace
        where nspname in ('auth', 'extensions', 'private', 'supabase_migrations')
        order by 1""") == [
        ("auth", "supabase_admin"),
        ("extensions", "supabase_admin"),
        ("private", "supabase_admin"),
        ("supabase_migrations", "supabase_admin"),
    ]
    assert (
        catalog("""
        select relname from pg_class
        where relnamespace = 'auth'::regnamespace and relowner <> 'supabase_auth_admin'::regrole
        union all
        select proname from pg_proc
        where pronamespace = 'auth'::regnamespace and proowner <> 'supabase_auth_admin'::regrole
        """)
        == []
    )
    assert catalog("select has_schema_privilege('supabase_auth_admin', 'auth', 'CREATE')") == [True]
    assert catalog("select version from auth.schema_migrations order by 1") == [
        "20221125140132",
        "20221208132122",
        "20230131181311",
        "20231117164230",
    ]


@pytest.mark.parametrize("style", ["one setting for each claim", "one document of claims"])
def test_claims_are_read_in_both_styles(crm: Crm, style: str) -> None:
    person = crm.ids["owner"]
    if style == "one setting for each claim":
        for claim, value in {"sub": str(person), "role": "authenticated", "email": "a@b.c"}.items():
            crm.one("select set_config('request.jwt.claim.' || %s, %s, true)", claim, value)
    else:
        claims = {"sub": str(person), "role": "authenticated", "email": "a@b.c"}
        crm.one("select set_config('request.jwt.claims', %s, true)", json.dumps(claims))
        assert crm.one("select auth.jwt() ->> 'email'") == "a@b.c"
    assert crm.one("select auth.uid()") == person
    assert crm.one("select auth.role()") == "authenticated"
    assert crm.one("select auth.email()") == "a@b.c"


def test_without_a_token_there_is_no_user(crm: Crm) -> None:
    assert crm.one("select num_nonnulls(auth.uid(), auth.role(), auth.email(), auth.jwt())") == 0


# Seeds and plans ----------------------------------------------------------------------------------


def test_seeds_applied_again_change_nothing_and_keep_what_the_client_changed(
    server: Server, own_database: str
) -> None:
    tables = (
        "roles", "permissions", "role_permissions", "client_settings", "pipelines",
        "pipeline_stages", "email_templates", "email_template_variables",
    )  # fmt: skip
    with server.connect(own_database, "blueprint_admin") as connection:
        connection.execute("set role ghostcrm_client_owner")
        connection.execute("""
            update public.client_settings set value = '"EUR"' where key = 'localization.currency';
            update public.email_templates set subject = 'Servus' where key = 'welcome';
            update public.roles set title = 'Boss' where key = 'owner'""")

        def contents() -> list[object]:
            return [
                connection.execute(
                    sql.SQL("select t::text from public.{} t order by 1").format(
                        sql.Identifier(table)
                    )
                ).fetchall()
                for table in tables
            ]

        before = contents()
        assert all(before)
        for seed in sorted((BLUEPRINT / "seeds").glob("*.sql")):
            connection.execute(seed.read_bytes())
        assert contents() == before


def test_every_variable_of_a_seeded_template_is_declared_and_every_declared_one_is_used(
    catalog: Catalog,
) -> None:
    assert (
        catalog("""
        with used as (
            select distinct t.id, m[1] as name from public.email_templates t
            cross join regexp_matches(t.subject || t.body_text || t.body_html, '{{([^}]*)}}', 'g') m
        )
        select u.name, v.name from used u
        full join public.email_template_variables v
            on v.email_template_id = u.id and v.name = u.name
        where u.name is null or v.name is null""")
        == []
    )


def test_plans_are_those_of_the_specification_and_fit_the_plan_table(crm: Crm) -> None:
    blueprint = tomllib.loads((BLUEPRINT / "blueprint.toml").read_text())
    giga = 1024**3
    plans = blueprint["plans"]
    assert {
        name: (plan.get("max_users"), plan.get("max_contacts"), plan["max_storage_bytes"])
        for name, plan in plans.items()
    } == {
        "starter": (5, 1_000, giga),
        "professional": (25, 10_000, 10 * giga),
        "enterprise": (None, None, 100 * giga),
    }
    titles = blueprint["features"]
    assert [titles[key] for key in plans["starter"]["features"]] == [
        "Basic CRM", "Email Templates", "Basic Reports",
    ]  # fmt: skip
    assert [titles[key] for key in plans["professional"]["features"]] == [
        "Full CRM", "Automation", "Integrations", "Advanced Reports",
    ]  # fmt: skip
    assert [titles[key] for key in plans["enterprise"]["features"]] == [
        "Full CRM", "Advanced Automation", "API Access", "White Label",
    ]  # fmt: skip
    for name in ("starter", "enterprise", "enterprise"):
        apply_plan(crm.connection, name, plans[name])
    assert crm.one("select array_agg(plan) from public.client_plan") == ["enterprise"]
    assert crm.one("select max_users from public.client_plan") is None
    assert crm.one("select count(*) from public.audit_logs where table_name = 'client_plan'") == 2
    with pytest.raises(InsufficientPrivilege), crm.acting_as("owner"):
        crm.connection.execute("update public.client_plan set max_users = 1000")


# People -------------------------------------------------------------------------------------------


def sell_something(crm: Crm) -> dict[str, Any]:
    """An owner's first day: a contact, a deal that is won, an invoice, half of it paid."""
    with crm.acting_as("owner"):
        me = crm.ids["owner"]
        company = crm.insert("companies", owner_id=me, name="ACME Corp")
        contact = crm.insert(
            "contacts",
            owner_id=me,
            company_id=company,
            last_name="Lovelace",
            email=" Ada@Acme.COM ",
        )
        deal = crm.insert(
            "deals", owner_id=me, contact_id=contact, name="Engine", amount_minor=120_000,
            currency="EUR", **crm.first_stage,
        )  # fmt: skip
        crm.connection.execute(
            "update public.deals set stage_id = %s where id = %s", [crm.stage("won"), deal]
        )
        crm.insert("activities", owner_id=me, contact_id=contact, type="call", subject="Thanks")
        invoice = crm.insert(
            "invoices", owner_id=me, contact_id=contact, deal_id=deal, currency="EUR"
        )
        for price, tax in ((100_000, 20), (333, 10)):
            crm.insert(
                "invoice_items", invoice_id=invoice, description="Work", quantity=1,
                unit_price_minor=price, tax_rate=tax,
            )  # fmt: skip
        number = crm.one("select public.issue_invoice(%s)", invoice)
        payment = crm.insert("payments", contact_id=contact, amount_minor=60_000, currency="EUR")
        allocate(crm, payment, invoice, 60_000)
        file = crm.insert("files", owner_id=me, path="a/b.pdf", name="b.pdf", size_bytes=1)
        crm.insert("workflows", name="Greet", trigger_type="manual")
        appointment = crm.insert(
            "appointments", owner_id=me, title="Demo", contact_id=contact,
            local_start="2026-03-29 09:00", local_end="2026-03-29 10:00", time_zone="Europe/Vienna",
        )  # fmt: skip
    return {
        "company": company,
        "contact": contact,
        "deal": deal,
        "invoice": invoice,
        "number": number,
        "payment": payment,
        "file": file,
        "appointment": appointment,
    }


def allocate(
    crm: Crm, payment: object, invoice: object, amount_minor: int, currency: str = "EUR"
) -> None:
    crm.insert(
        "payment_allocations",
        payment_id=payment,
        invoice_id=invoice,
        currency=currency,
        amount_minor=amount_minor,
    )


def test_an_owner_sells_something_under_row_level_security(crm: Crm) -> None:
    sold = sell_something(crm)
    with crm.acting_as("owner") as connection:
        assert crm.one("select email_normalized from public.contacts") == "ada@acme.com"
        assert crm.one("select last_activity_at is not null from public.contacts") is True
        assert connection.execute(
            "select status, closed_at is not null, probability from public.deals"
        ).fetchall() == [("won", True, 100)]
        assert connection.execute(
            "select from_type, to_type, changed_by from public.deal_stage_history order by id"
        ).fetchall() == [(None, "open", crm.ids["owner"]), ("open", "won", crm.ids["owner"])]
        year = crm.one("select extract(year from now() at time zone 'UTC')::text")
        assert sold["number"] == f"INV-{year}-00001"
        # 1000.00 + 20 % and 3.33 + 10 % (0.333, rounded to 0.33)
        assert connection.execute(
            "select status, subtotal_minor, tax_minor, total_minor, paid_minor, balance_minor"
            " from public.invoices"
        ).fetchall() == [("partial", 100_333, 20_033, 120_366, 60_000, 60_366)]
        assert crm.one("select allocated_minor from public.payments") == 60_000
        assert (
            crm.one("select starts_at from public.appointments")
            .isoformat()
            .startswith("2026-03-29T")
        )
        assert connection.execute(
            "select operation, actor_role, new_values from public.audit_logs"
            " where table_name = 'contacts' and record_id = %s", [str(sold["contact"])],
        ).fetchall()[0][:2] == ("insert", "authenticated")  # fmt: skip


def test_an_issued_invoice_cannot_be_changed_overpaid_or_deleted(crm: Crm) -> None:
    sold = sell_something(crm)
    own = crm.connection  # the owner of the schema: no policy stands in the way
    for statement in (
        "update public.invoices set currency = 'USD'",
        "update public.invoices set number = 'INV-1'",
        "delete from public.invoices",
        "update public.invoice_items set quantity = 2",
        "delete from public.invoice_items",
    ):
        with pytest.raises((RestrictViolation, ForeignKeyViolation)), own.transaction():
            own.execute(statement)
    # More than the invoice's balance of 60,366; more than the payment.
    for amount, paid in ((60_367, 60_367), (101, 100)):
        with crm.acting_as("owner"):
            payment = crm.insert(
                "payments",
                contact_id=sold["contact"],
                amount_minor=paid,
                currency="EUR",
            )
            with pytest.raises(CheckViolation), crm.connection.transaction():
                allocate(crm, payment, sold["invoice"], amount)
    with crm.acting_as("owner"):
        dollars = crm.insert(
            "payments", contact_id=sold["contact"], amount_minor=100, currency="USD"
        )
        for currency in ("USD", "EUR"):
            with pytest.raises(ForeignKeyViolation), crm.connection.transaction():
                allocate(crm, dollars, sold["invoice"], 100, currency)
    with crm.acting_as("owner"):
        crm.one("select public.reverse_payment(%s)", sold["payment"])
        assert crm.one("select (status, paid_minor)::text from public.invoices") == "(sent,0)"
        crm.one("select public.void_invoice(%s)", sold["invoice"])
        assert crm.one("select status from public.invoices") == "void"


def test_at_once_numbers_follow_each_other_and_a_payment_is_spent_once(
    server: Server, own_database: str
) -> None:
    owner, sessions = uuid.uuid4(), 4
    claims = json.dumps({"sub": str(owner), "role": "authenticated"})
    with server.connect(own_database, "blueprint_admin") as connection:
        connection.execute("set role ghostcrm_client_owner")
        create_user(connection, owner, "owner")
        create_profile(connection, owner, "owner")
        invoices = [
            row[0]
            for row in connection.execute(
                """
                with contact as (
                    insert into public.contacts (last_name) values ('Lovelace') returning id
                )
                insert into public.invoices (contact_id, currency)
                select id, 'EUR' from contact cross join generate_series(1, %s) returning id
                """,
                [sessions],
            )
        ]
        connection.execute(
            "insert into public.invoice_items (invoice_id, description, unit_price_minor)"
            " select i.id, 'Work', 100 from public.invoices i"
        )
        payment = connection.execute(
            "insert into public.payments (amount_minor, currency) values (250, 'EUR') returning id"
        ).fetchone()
    assert payment is not None
    everybody_is_there = threading.Barrier(sessions, timeout=300)
    refused: list[psycopg.Error] = []

    def bill(invoice: uuid.UUID) -> None:
        with server.connect(own_database, "blueprint_admin") as connection:
            connection.execute("set role authenticated")
            connection.execute("select set_config('request.jwt.claims', %s, false)", [claims])
            everybody_is_there.wait()
            connection.execute("select public.issue_invoice(%s)", [invoice])
            try:
                connection.execute(
                    "insert into public.payment_allocations"
                    " (payment_id, invoice_id, currency, amount_minor) values (%s, %s, 'EUR', 100)",
                    [payment[0], invoice],
                )
            except CheckViolation as error:
                refused.append(error)

    threads = [threading.Thread(target=bill, args=[invoice]) for invoice in invoices]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with server.connect(own_database) as connection:
        rows = connection.execute("select right(number, 5), paid_minor from public.invoices")
        numbers, paid = zip(*rows.fetchall(), strict=True)
        allocated = connection.execute("select allocated_minor from public.payments").fetchone()
    assert sorted(numbers) == ["00001", "00002", "00003", "00004"]
    assert sorted(paid) == [0, 0, 100, 100]
    assert allocated == (200,)
    assert len(refused) == 2


def test_a_stranger_and_a_deactivated_colleague_see_no_row_of_any_table(
    crm: Crm, catalog: Catalog
) -> None:
    sell_something(crm)
    with crm.acting_as("owner"):
        crm.one("select public.set_profile_active(%s, false)", crm.ids["colleague"])
    tables = catalog(f"select relname from pg_class where {IN_PUBLIC}")
    for name in ("stranger", "colleague"):
        with crm.acting_as(name):
            for table in tables:
                query = sql.SQL("select count(*) from public.{}").format(sql.Identifier(table))
                assert crm.connection.execute(query).fetchone() == (0,), (name, table)
            with pytest.raises(InsufficientPrivilege), crm.connection.transaction():
                crm.insert("contacts", owner_id=crm.ids[name], last_name="Mine")
            with pytest.raises(InsufficientPrivilege), crm.connection.transaction():
                crm.insert("contacts", last_name="Nobody's")
            with pytest.raises(InsufficientPrivilege), crm.connection.transaction():
                crm.one("select public.set_profile_role(%s, 'owner')", crm.ids[name])


def test_anon_may_not_even_ask(crm: Crm, catalog: Catalog) -> None:
    with crm.connection.transaction(force_rollback=True):
        crm.connection.execute("set local role anon")
        for table in catalog(f"select relname from pg_class where {IN_PUBLIC}"):
            query = sql.SQL("select from public.{}").format(sql.Identifier(table))
            with pytest.raises(InsufficientPrivilege), crm.connection.transaction():
                crm.connection.execute(query)


def test_sales_people_see_their_own_their_teams_and_unassigned_records_and_edit_their_own(
    crm: Crm,
) -> None:
    with crm.acting_as("admin"):
        team = crm.insert("teams", name="North")
        for name in ("sales", "colleague"):
            crm.connection.execute(
                "insert into public.team_memberships (team_id, profile_id) values (%s, %s)",
                [team, crm.ids[name]],
            )
        for name, owner, group in (
            ("mine", "sales", None), ("team", "colleague", team), ("theirs", "colleague", None),
            ("nobody", None, None),
        ):  # fmt: skip
            crm.insert(
                "contacts",
                last_name=name,
                owner_id=crm.ids[owner] if owner else None,
                team_id=group,
            )
    everything = ["mine", "nobody", "team", "theirs"]
    readable = {
        "sales": everything[:3],
        **dict.fromkeys(("manager", "viewer", "admin"), everything),
    }
    writable = {"sales": ["mine"], "manager": ["nobody"], "viewer": [], "admin": everything}
    for name, visible in readable.items():
        with crm.acting_as(name) as connection:
            rows = connection.execute("select last_name from public.contacts order by 1").fetchall()
            assert [row[0] for row in rows] == visible, name
            rows = connection.execute(
                "update public.contacts set job_title = 'x' returning last_name"
            ).fetchall()
            assert sorted(row[0] for row in rows) == writable[name], name
    with crm.acting_as("sales"):
        with pytest.raises(InsufficientPrivilege), crm.connection.transaction():
            crm.connection.execute(
                "update public.contacts set owner_id = %s where last_name = 'mine'",
                [crm.ids["colleague"]],
            )
        unassigned = crm.one("select id from public.contacts where last_name = 'nobody'")
        crm.one("select public.assign_record('contacts', %s, %s)", unassigned, crm.ids["sales"])
        assert (
            crm.one("select owner_id from public.contacts where id = %s", unassigned)
            == crm.ids["sales"]
        )
        teams = crm.one("select id from public.contacts where last_name = 'team'")
        with pytest.raises(InsufficientPrivilege), crm.connection.transaction():
            crm.one("select public.assign_record('contacts', %s, %s)", teams, crm.ids["sales"])


def test_a_private_note_is_seen_by_its_owner_only(crm: Crm) -> None:
    sold = sell_something(crm)
    with crm.acting_as("owner"):
        crm.insert(
            "activities", owner_id=crm.ids["owner"], contact_id=sold["contact"], type="note",
            body="between us", is_private=True,
        )  # fmt: skip
        assert crm.one("select count(*) from public.activities where is_private") == 1
    for name in ("admin", "manager", "sales", "viewer"):
        with crm.acting_as(name):
            assert crm.one("select count(*) from public.activities where is_private") == 0, name


def test_someone_invited_sees_the_appointment(crm: Crm) -> None:
    sold = sell_something(crm)
    with crm.acting_as("sales"):
        assert crm.one("select count(*) from public.appointments") == 0
    with crm.acting_as("owner"):
        crm.insert(
            "appointment_attendees", appointment_id=sold["appointment"], profile_id=crm.ids["sales"]
        )
    with crm.acting_as("sales"):
        assert crm.one("select title from public.appointments") == "Demo"
        crm.connection.execute("update public.appointment_attendees set response = 'accepted'")
        assert crm.one("select response from public.appointment_attendees") == "accepted"


def test_delete_hides_a_record_restore_brings_it_back_and_sales_may_do_neither(crm: Crm) -> None:
    sold = sell_something(crm)
    for entity, record in (
        ("contacts", sold["contact"]), ("companies", sold["company"]), ("deals", sold["deal"]),
        ("files", sold["file"]),
    ):  # fmt: skip
        with pytest.raises(InsufficientPrivilege), crm.acting_as("sales"):
            crm.one("select public.delete_record(%s, %s)", entity, record)
        with crm.acting_as("admin"):
            count = f"select count(*) from public.{entity}"
            crm.one("select public.delete_record(%s, %s)", entity, record)
            assert crm.one(count) == 0
            crm.one("select public.restore_record(%s, %s)", entity, record)
            assert crm.one(count) == 1
    with pytest.raises(psycopg.errors.InvalidParameterValue), crm.acting_as("admin"):
        crm.one("select public.delete_record('profiles', %s)", crm.ids["sales"])


def test_nobody_raises_their_own_role(crm: Crm) -> None:
    for name in ("sales", "manager", "viewer"):
        for role in ROLES:
            with pytest.raises(InsufficientPrivilege), crm.acting_as(name):
                crm.one("select public.set_profile_role(%s, %s)", crm.ids[name], role)
        with pytest.raises(InsufficientPrivilege), crm.acting_as(name):
            crm.connection.execute("update public.profiles set role_key = 'owner'")
    for statement in (
        "select public.set_profile_role(%(admin)s, 'owner')",
        "select public.set_profile_role(%(sales)s, 'owner')",
        "select public.set_profile_role(%(owner)s, 'viewer')",
        "select public.set_profile_active(%(owner)s, false)",
        "insert into public.profiles (id, role_key, email) values (%(stranger)s, 'owner', 'x@y.z')",
    ):
        with pytest.raises(InsufficientPrivilege), crm.acting_as("admin"):
            crm.connection.execute(statement, crm.ids)
    with crm.acting_as("admin"):
        crm.one("select public.set_profile_role(%s, 'manager')", crm.ids["sales"])
    with crm.acting_as("sales"):
        crm.connection.execute(
            "update public.profiles set first_name = 'Grace' where id = %(sales)s", crm.ids
        )
        assert crm.one("select private.my_role()") == "manager"
        updated = crm.connection.execute("update public.profiles set first_name = 'Eve'")
        assert updated.rowcount == 1


def test_the_last_owner_stays(crm: Crm) -> None:
    for statement in (
        "select public.set_profile_role(%(owner)s, 'admin')",
        "select public.set_profile_active(%(owner)s, false)",
    ):
        with pytest.raises(RestrictViolation), crm.acting_as("owner"):
            crm.connection.execute(statement, crm.ids)
    with pytest.raises(RestrictViolation), crm.connection.transaction():
        crm.connection.execute("delete from public.profiles where role_key = 'owner'")
    with crm.acting_as("owner"):
        crm.one("select public.set_profile_role(%s, 'owner')", crm.ids["admin"])
        crm.one("select public.set_profile_role(%s, 'admin')", crm.ids["owner"])
    with pytest.raises(RestrictViolation), crm.connection.transaction():
        crm.connection.execute("update public.profiles set is_active = false")


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
def test_of_two_owners_who_demote_each_other_at_once_one_remains(
    server: Server, own_database: str, isolation: str
) -> None:
    people = [uuid.uuid4(), uuid.uuid4()]
    with server.connect(own_database, "blueprint_admin") as connection:
        connection.execute("set role ghostcrm_client_owner")
        for person in people:
            create_user(connection, person, "owner")
            create_profile(connection, person, "owner")

    both_have_looked = threading.Barrier(2, timeout=300)
    refusals: list[psycopg.Error] = []

    def demote(me: uuid.UUID, other: uuid.UUID) -> None:
        with server.connect(own_database, "blueprint_admin") as connection:
            try:
                with connection.transaction():
                    connection.execute(f"set transaction isolation level {isolation}")
                    connection.execute("set local role authenticated")
                    claims = json.dumps({"sub": str(me), "role": "authenticated"})
                    connection.execute(
                        "select set_config('request.jwt.claims', %s, true)", [claims]
                    )
                    connection.execute("select private.my_role()")
                    both_have_looked.wait()
                    connection.execute("select public.set_profile_role(%s, 'viewer')", [other])
            except psycopg.Error as error:
                refusals.append(error)

    threads = [
        threading.Thread(target=demote, args=pair) for pair in (people, list(reversed(people)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with server.connect(own_database) as connection:
        owners = connection.execute(
            "select count(*) from public.profiles where role_key = 'owner' and is_active"
        ).fetchone()
    assert owners == (1,), refusals
    assert len(refusals) == 1


# The audit log ------------------------------------------------------------------------------------


def test_the_log_keeps_changed_columns_only_and_never_a_secret(crm: Crm) -> None:
    with crm.acting_as("owner"):
        contact = crm.insert("contacts", owner_id=crm.ids["owner"], last_name="Byron")
        for title in ("Countess", "Countess"):
            crm.connection.execute(
                "update public.contacts set job_title = %s where id = %s", [title, contact]
            )
        crm.connection.execute(
            "insert into public.client_settings (key, value, category, is_secret)"
            " values ('email.api_key', '\"hush\"', 'email', true)"
        )
        crm.connection.execute(
            "update public.client_settings set value = '\"psst\"' where key = 'email.api_key'"
        )
        changes = crm.connection.execute(
            "select old_values, new_values, actor_id from public.audit_logs"
            " where record_id = %s and operation = 'update'", [str(contact)],
        ).fetchall()  # fmt: skip
        assert changes == [
            ({"job_title": None}, {"job_title": "Countess"}, crm.ids["owner"]),
        ]
        log = crm.one("select string_agg(l::text, '') from public.audit_logs l")
        assert "hush" not in log
        assert "psst" not in log
    with crm.acting_as("sales"):
        assert crm.one("select count(*) from public.audit_logs") == 0
        assert crm.one("select count(*) from public.client_settings where is_secret") == 0


def test_the_log_only_grows_for_its_owner_too(crm: Crm) -> None:
    for statement in (
        "update public.audit_logs set actor_id = null",
        "delete from public.audit_logs",
        "truncate public.audit_logs",
    ):
        with pytest.raises(RestrictViolation), crm.connection.transaction():
            crm.connection.execute(statement)


def test_keys_are_version_7_and_follow_time(crm: Crm) -> None:
    keys = [crm.one("select private.uuid_v7()") for _ in range(3)]
    assert {(key.version, key.variant) for key in keys} == {(7, uuid.RFC_4122)}
    milliseconds = [key.int >> 80 for key in keys]
    assert milliseconds == sorted(milliseconds)
    assert (
        abs(milliseconds[0] - crm.one("select extract(epoch from clock_timestamp()) * 1000"))
        < 60_000
    )
