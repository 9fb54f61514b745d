"""The house rules of ``000_private_schema.sql``, asked of the catalog; and sums that nobody can make wrong."""

from __future__ import annotations

import pytest
from psycopg.errors import CheckViolation, RestrictViolation

from tests.blueprint.people import Crm

COLUMNS = """
    from pg_attribute a join pg_class c on c.oid = a.attrelid
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
      and a.attnum > 0 and not a.attisdropped
    """


def columns(crm: Crm, condition: str) -> list[str]:
    rows = crm.connection.execute(
        f"select c.relname || '.' || a.attname {COLUMNS} and ({condition}) order by 1".encode()
    ).fetchall()
    return [row[0] for row in rows]


def test_money_is_whole_numbers_of_the_smallest_unit(crm: Crm) -> None:
    assert columns(crm, "a.attname like '%\\_minor' and a.atttypid <> 'bigint'::regtype") == []
    assert columns(crm, "a.atttypid = 'money'::regtype") == []
    # Doubles: the place on a board, and numbers to filter by.
    assert columns(crm, "a.atttypid in ('float4'::regtype, 'float8'::regtype)") == [
        "company_field_values.number_value", "contact_field_values.number_value",
        "deal_field_values.number_value", "deals.position",
    ]  # fmt: skip


def test_instants_dates_and_flags_are_named_for_what_they_are(crm: Crm) -> None:
    instant = "a.atttypid = 'timestamptz'::regtype"
    assert columns(crm, f"a.attname like '%\\_at' and not {instant}") == []
    assert columns(crm, f"{instant} and a.attname not like '%\\_at'") == ["audit_logs.at"]
    assert columns(crm, "a.attname like '%\\_on' and a.atttypid <> 'date'::regtype") == []
    assert columns(crm, "a.atttypid = 'date'::regtype and a.attname not like '%\\_on'") == [
        "company_field_values.date_value", "contact_field_values.date_value",
        "deal_field_values.date_value",
    ]  # fmt: skip
    assert columns(crm, "a.attname like 'is\\_%' and a.atttypid <> 'boolean'::regtype") == []
    # Local times of appointments are what people agreed on; their instants are generated.
    assert columns(crm, "a.atttypid = 'timestamp'::regtype") == [
        "appointments.local_end", "appointments.local_start",
    ]  # fmt: skip


def test_there_is_no_enum_and_no_citext_and_no_array_of_ids(crm: Crm) -> None:
    kinds = "select t.oid from pg_type t where t.typtype = 'e' or t.typname in ('citext', '_uuid')"
    assert columns(crm, f"a.atttypid in ({kinds})") == []
    assert columns(crm, "a.atttypid = 'varchar'::regtype") == []


def test_updated_at_is_kept_by_a_trigger_wherever_it_is(crm: Crm) -> None:
    assert (
        columns(
            crm,
            """a.attname = 'updated_at' and not exists (
            select from pg_trigger t where t.tgrelid = c.oid and t.tgenabled = 'O'
              and t.tgfoid = 'private.set_updated_at()'::regprocedure)""",
        )
        == []
    )


def test_addresses_that_must_be_unique_are_so_whatever_their_case(crm: Crm) -> None:
    unique = crm.connection.execute("""
        select c.relname from pg_index i
        join pg_class c on c.oid = i.indrelid and c.relnamespace = 'public'::regnamespace
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
        where i.indisunique and a.attname = 'email_normalized'
        order by 1""").fetchall()
    assert [row[0] for row in unique] == [
        "appointment_attendees", "contact_emails",
        "email_campaign_recipients", "email_suppressions", "profiles",
    ]  # fmt: skip


@pytest.mark.parametrize("role", ["service_role", "ghostcrm_client_owner"])
def test_sums_of_invoices_and_payments_cannot_be_written(crm: Crm, role: str) -> None:
    contact = crm.insert("contacts", last_name="Lovelace")
    invoice = crm.insert("invoices", contact_id=contact, currency="EUR")
    crm.insert("invoice_items", invoice_id=invoice, description="Work", unit_price_minor=100)
    payment = crm.insert("payments", amount_minor=50, currency="EUR")
    crm.connection.execute(f"set local role {role}".encode())
    wrong = crm.insert(
        "invoices", contact_id=contact, currency="EUR", subtotal_minor=7, tax_minor=7
    )
    crm.connection.execute(
        "update public.invoices set subtotal_minor = 5, tax_minor = 5 where status = 'draft'"
    )
    crm.connection.execute("update public.payments set allocated_minor = 7")
    crm.connection.execute("set local role ghostcrm_client_owner")
    sums = "select subtotal_minor, tax_minor, paid_minor from public.invoices where id = %s"
    assert crm.connection.execute(sums, [wrong]).fetchone() == (0, 0, 0)
    assert crm.connection.execute(sums, [invoice]).fetchone() == (100, 0, 0)
    with crm.acting_as("owner"):
        crm.one("select public.issue_invoice(%s)", invoice)
        crm.insert(
            "payment_allocations", payment_id=payment, invoice_id=invoice, currency="EUR",
            amount_minor=50,
        )  # fmt: skip
    crm.connection.execute(f"set local role {role}".encode())
    crm.connection.execute("update public.payments set allocated_minor = 0")
    with pytest.raises(CheckViolation), crm.connection.transaction():
        crm.connection.execute(
            "update public.invoices set paid_minor = 100, status = 'paid' where status = 'partial'"
        )
    crm.connection.execute("set local role ghostcrm_client_owner")
    assert crm.one("select allocated_minor from public.payments") == 50
    assert crm.connection.execute(sums, [invoice]).fetchone() == (100, 0, 50)
    for table in ("invoices", "invoice_items", "payments", "payment_allocations", "contacts"):
        with pytest.raises(RestrictViolation), crm.connection.transaction():
            crm.connection.execute(f"truncate public.{table} cascade".encode())
    with pytest.raises(RestrictViolation), crm.connection.transaction():
        crm.connection.execute("truncate public.profiles cascade")


def test_drafts_without_items_sum_up_to_nothing(crm: Crm) -> None:
    contact = crm.insert("contacts", last_name="Lovelace")
    invoice = crm.insert("invoices", contact_id=contact, currency="EUR")
    crm.insert("invoice_items", invoice_id=invoice, description="Work", unit_price_minor=100)
    crm.connection.execute("truncate public.invoice_items")
    assert crm.one("select total_minor from public.invoices") == 0
