"""Two contacts become one: nothing of the duplicate is lost, and only by those who may."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import CheckViolation, InsufficientPrivilege, RestrictViolation
from psycopg.types.json import Jsonb

from tests.blueprint.conftest import Server
from tests.blueprint.people import Crm

# Foreign keys to contacts that a merge leaves: where the duplicate went, and what follows its row.
STAYS = {("contacts", "merged_into_contact_id"), ("contact_field_values", "contact_id")}


def everything_about(crm: Crm, contact: uuid.UUID) -> None:
    """A row in each table that refers to contacts."""
    owner = crm.ids["owner"]
    crm.insert("contact_emails", contact_id=contact, email="second@example.com")
    crm.insert("contact_phones", contact_id=contact, phone="+43 2")
    tag = crm.insert("tags", name=f"tag {uuid.uuid4()}")
    crm.connection.execute("insert into public.contact_tags values (%s, %s)", [contact, tag])
    deal = crm.insert("deals", name="Engine", contact_id=contact, **crm.first_stage)
    crm.connection.execute(
        "insert into public.deal_contacts (deal_id, contact_id, role) values (%s, %s, 'billing')",
        [deal, contact],
    )
    crm.insert("activities", type="call", subject="Hello", contact_id=contact)
    appointment = crm.insert(
        "appointments", owner_id=owner, title="Demo", contact_id=contact,
        local_start="2026-03-29 09:00", local_end="2026-03-29 10:00",
    )  # fmt: skip
    crm.insert(
        "appointment_attendees", appointment_id=appointment, contact_id=contact, response="accepted"
    )
    campaign = crm.insert("email_campaigns", name="Spring")
    crm.insert(
        "email_campaign_recipients", email_campaign_id=campaign, contact_id=contact, email="a@b.c"
    )
    crm.insert("payments", contact_id=contact, amount_minor=1, currency="EUR")
    crm.insert("files", path=f"{contact}", name="a", size_bytes=1, contact_id=contact)
    workflow = crm.insert("workflows", name="Greet", trigger_type="manual")
    crm.insert("workflow_runs", workflow_id=workflow, version=1, contact_id=contact)
    invoice = crm.insert("invoices", contact_id=contact, currency="EUR")
    crm.insert("invoice_items", invoice_id=invoice, description="Work", unit_price_minor=100)
    with crm.acting_as("owner"):
        crm.one("select public.issue_invoice(%s)", invoice)


def rows_about(crm: Crm, contact: uuid.UUID) -> dict[tuple[str, str], int]:
    """How many rows refer to a contact, by each foreign key there is."""
    keys = crm.connection.execute("""
        select r.relname, a.attname
        from pg_constraint k
        join pg_class r on r.oid = k.conrelid
        join pg_attribute a on a.attrelid = k.conrelid and a.attnum = k.conkey[1]
        where k.contype = 'f' and k.confrelid = 'public.contacts'::regclass""").fetchall()
    return {
        (table, column): crm.connection.execute(
            sql.SQL("select count(*) from public.{} where {} = %s").format(
                sql.Identifier(table), sql.Identifier(column)
            ),
            [contact],
        ).fetchall()[0][0]
        for table, column in keys
    }


def merge(crm: Crm, name: str, surviving: object, duplicate: object) -> None:
    with crm.acting_as(name):
        crm.one("select public.merge_contacts(%s, %s)", surviving, duplicate)


def test_no_foreign_key_to_contacts_is_forgotten(crm: Crm) -> None:
    crm.insert("custom_field_definitions", entity="contacts", key="vip", title="V", type="text")
    duplicate = crm.insert("contacts", last_name="Byron", custom_fields=Jsonb({"vip": "yes"}))
    earlier = crm.insert("contacts", last_name="Bryon")
    surviving = crm.insert("contacts", last_name="Lovelace")
    everything_about(crm, duplicate)
    merge(crm, "owner", duplicate, earlier)
    before = rows_about(crm, duplicate)
    assert all(before.values()), "a table that refers to contacts is missing in this test"
    merge(crm, "owner", surviving, duplicate)
    after = rows_about(crm, duplicate)
    assert not any(after.values()), after
    moved = rows_about(crm, surviving)
    # The duplicate and the one that had been merged into it.
    assert moved.pop(("contacts", "merged_into_contact_id")) == 2
    assert moved == {key: count for key, count in before.items() if key in moved}
    assert set(before) - set(moved) <= STAYS


def test_what_the_surviving_one_lacks_it_takes_over_and_nothing_is_there_twice(crm: Crm) -> None:
    for key in ("size", "city"):
        crm.insert("custom_field_definitions", entity="contacts", key=key, title=key, type="text")
    surviving = crm.insert(
        "contacts", first_name="Ada", last_name="Lovelace", email="ada@example.com", phone="+43 1",
        custom_fields=Jsonb({"city": "London"}), description="Likes numbers.",
    )  # fmt: skip
    duplicate = crm.insert(
        "contacts", last_name="Byron", email="Byron@example.com", phone="+43 (2)",
        job_title="Countess", external_key="x1", description="Rides.",
        custom_fields=Jsonb({"city": "Paris", "size": "5"}),
        address=Jsonb({"city": "London"}), last_activity_at="2026-01-01",
    )  # fmt: skip
    for contact, email in (
        (surviving, "second@example.com"), (duplicate, "SECOND@example.com"),
        (duplicate, "ada@example.com"), (duplicate, "byron@EXAMPLE.com"),
        (duplicate, "third@example.com"),
    ):  # fmt: skip
        crm.insert("contact_emails", contact_id=contact, email=email, invalid_at="2026-01-01")
    for contact, phone in (
        (surviving, "+43 3"), (duplicate, "+433"), (duplicate, "+43 1"), (duplicate, "+43 4"),
    ):  # fmt: skip
        crm.insert("contact_phones", contact_id=contact, phone=phone)
    tags = [crm.insert("tags", name=name) for name in ("both", "mine", "theirs")]
    for contact, tag in zip(
        (surviving, duplicate, surviving, duplicate), (tags[0], *tags), strict=True
    ):
        crm.connection.execute("insert into public.contact_tags values (%s, %s)", [contact, tag])
    deal = crm.insert("deals", name="Engine", **crm.first_stage)
    appointment = crm.insert(
        "appointments", owner_id=crm.ids["owner"], title="Demo",
        local_start="2026-03-29 09:00", local_end="2026-03-29 10:00",
    )  # fmt: skip
    for contact, role, response in (
        (surviving, "other", "pending"), (duplicate, "billing", "accepted"),
    ):  # fmt: skip
        crm.connection.execute(
            "insert into public.deal_contacts (deal_id, contact_id, role) values (%s, %s, %s)",
            [deal, contact, role],
        )
        crm.insert(
            "appointment_attendees", appointment_id=appointment, contact_id=contact,
            response=response,
        )  # fmt: skip
    crm.insert("email_suppressions", email="byron@example.com", reason="unsubscribed")

    used = "select used from private.plan_usage() where resource = 'contacts'"
    assert crm.one(used) == 2
    merge(crm, "admin", surviving, duplicate)
    assert crm.one(used) == 1
    # The reply may have been lost.
    merge(crm, "admin", surviving, duplicate)

    kept = crm.connection.execute(
        "select last_name, email, job_title, external_key, description, custom_fields,"
        " address, last_activity_at is not null from public.contacts where deleted_at is null"
    ).fetchall()
    assert kept == [(
        "Lovelace", "ada@example.com", "Countess", "x1", "Likes numbers.\n\nRides.",
        {"city": "London", "size": "5"}, {"city": "London"}, True,
    )]  # fmt: skip
    assert values(crm, "select email_normalized from public.contact_emails order by 1") == [
        "byron@example.com", "second@example.com", "third@example.com",
    ]  # fmt: skip
    assert values(crm, "select phone_normalized from public.contact_phones order by 1") == [
        "+432", "+433", "+434",
    ]  # fmt: skip
    assert values(crm, "select count(*) from public.contact_tags") == [3]
    assert values(crm, "select role from public.deal_contacts") == ["billing"]
    assert values(crm, "select response from public.appointment_attendees") == ["accepted"]
    assert values(crm, "select email_normalized from public.email_suppressions") == [
        "byron@example.com"
    ]
    assert values(
        crm,
        "select v.text_value from public.contact_field_values v order by 1",
    ) == ["5", "london"]


def values(crm: Crm, query: str) -> list[Any]:
    return [row[0] for row in crm.connection.execute(query).fetchall()]


def test_a_merged_contact_is_not_restored_and_an_issued_invoice_follows_nobody_else(
    crm: Crm,
) -> None:
    surviving = crm.insert("contacts", last_name="Lovelace")
    duplicate = crm.insert("contacts", last_name="Byron")
    other = crm.insert("contacts", last_name="Babbage")
    everything_about(crm, duplicate)
    with pytest.raises(RestrictViolation), crm.connection.transaction():
        crm.connection.execute("update public.invoices set contact_id = %s", [surviving])
    merge(crm, "owner", surviving, duplicate)
    with pytest.raises(RestrictViolation), crm.connection.transaction():
        crm.connection.execute("update public.invoices set contact_id = %s", [other])
    with pytest.raises(CheckViolation), crm.acting_as("owner"):
        crm.one("select public.restore_record('contacts', %s)", duplicate)


def test_only_who_may_manage_both_may_merge_them(crm: Crm) -> None:
    team = crm.insert("teams", name="North")
    crm.connection.execute(
        "insert into public.team_memberships (team_id, profile_id) values (%s, %s)",
        [team, crm.ids["manager"]],
    )
    ours = [crm.insert("contacts", last_name="Ours", team_id=team) for _ in range(2)]
    theirs = crm.insert("contacts", last_name="Theirs", owner_id=crm.ids["sales"])
    for name in ("sales", "viewer", "stranger"):
        with pytest.raises(InsufficientPrivilege):
            merge(crm, name, *ours)
    for pair in ((ours[0], theirs), (theirs, ours[0]), (ours[0], ours[0])):
        with pytest.raises(InsufficientPrivilege):
            merge(crm, "manager", *pair)
    with pytest.raises(InsufficientPrivilege):
        merge(crm, "owner", ours[0], uuid.uuid4())
    merge(crm, "manager", *ours)
    merge(crm, "owner", theirs, ours[0])
    # Into one that is deleted: no. One that went there anyway, by way of another: it did.
    with pytest.raises(InsufficientPrivilege):
        merge(crm, "owner", ours[1], theirs)
    merge(crm, "owner", theirs, ours[1])


def test_two_merges_the_other_way_round_leave_one_contact(
    server: Server, own_database: str
) -> None:
    with server.connect(own_database, "blueprint_admin") as connection:
        connection.execute("set role ghostcrm_client_owner")
        crm = Crm(connection)
        pair = [crm.insert("contacts", last_name=name) for name in ("Lovelace", "Byron")]
    both_are_there = threading.Barrier(2, timeout=300)
    refused: list[psycopg.Error] = []

    def race(surviving: uuid.UUID, duplicate: uuid.UUID) -> None:
        with server.connect(own_database, "blueprint_admin") as connection:
            other = object.__new__(Crm)
            other.connection, other.ids = connection, crm.ids
            connection.execute("set role ghostcrm_client_owner")
            both_are_there.wait()
            try:
                merge(other, "owner", surviving, duplicate)
            except InsufficientPrivilege as error:
                refused.append(error)

    threads = [threading.Thread(target=race, args=way) for way in (pair, pair[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with server.connect(own_database) as connection:
        living = connection.execute(
            "select count(*) from public.contacts where deleted_at is null"
        ).fetchone()
    assert living == (1,)
    assert len(refused) == 1
