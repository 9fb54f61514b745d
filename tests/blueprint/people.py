"""People in a client database, who act under row level security with the claims of a token."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import sql

ROLES = ("owner", "admin", "manager", "sales", "viewer")


class Crm:
    """A client database with one person of each role in it, and one stranger, in a transaction."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection
        self.ids = {name: uuid.uuid4() for name in (*ROLES, "colleague", "stranger")}
        for name, person in self.ids.items():
            create_user(connection, person, name)
            if name != "stranger":
                create_profile(connection, person, "sales" if name == "colleague" else name)

    @contextlib.contextmanager
    def acting_as(self, name: str) -> Iterator[psycopg.Connection]:
        """Be this person inside the block, as PostgREST makes one."""
        with self.connection.transaction():
            self.connection.execute("set local role authenticated")
            self.connection.execute(
                "select set_config('request.jwt.claims', %s, true)",
                [json.dumps({"sub": str(self.ids[name]), "role": "authenticated"})],
            )
            yield self.connection
            self.connection.execute("select set_config('request.jwt.claims', '', true)")
            self.connection.execute("set local role ghostcrm_client_owner")

    def one(self, query: str, *parameters: object) -> Any:
        row = self.connection.execute(query, parameters).fetchone()
        return row[0] if row is not None else None

    def insert(self, table: str, **values: object) -> Any:
        query = sql.SQL("insert into public.{} ({}) values ({}) returning id").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(sql.Placeholder() * len(values)),
        )
        row = self.connection.execute(query, list(values.values())).fetchone()
        assert row is not None
        return row[0]

    @property
    def first_stage(self) -> dict[str, object]:
        row = self.connection.execute(
            "select pipeline_id, id from public.pipeline_stages order by position limit 1"
        ).fetchone()
        assert row is not None
        return {"pipeline_id": row[0], "stage_id": row[1]}

    def stage(self, type_: str) -> object:
        return self.one(
            "select id from public.pipeline_stages where type = %s order by position limit 1", type_
        )


def create_user(connection: psycopg.Connection, person: uuid.UUID, name: str) -> None:
    with connection.transaction():
        connection.execute("set local role supabase_auth_admin")
        connection.execute(
            """
            insert into auth.users
                (instance_id, id, aud, role, email, encrypted_password, email_confirmed_at,
                 confirmation_token, recovery_token, email_change_token_new, email_change,
                 raw_app_meta_data, raw_user_meta_data, created_at, updated_at)
            values ('00000000-0000-0000-0000-000000000000', %s, 'authenticated', 'authenticated',
                    %s, 'not a hash', now(), '', '', '', '', '{}', '{}', now(), now())
            """,
            [person, f"{name}.{person}@example.com"],
        )
        connection.execute("set local role ghostcrm_client_owner")


def create_profile(connection: psycopg.Connection, person: uuid.UUID, role: str) -> None:
    connection.execute(
        "insert into public.profiles (id, role_key, email) values (%s, %s, %s)",
        [person, role, f"{role}.{person}@example.com"],
    )


def apply_plan(connection: psycopg.Connection, name: str, plan: dict[str, Any]) -> None:
    """The contract that 111_client_plan.sql describes."""
    columns = (
        "title", "priority", "max_users", "max_contacts", "max_storage_bytes", "features",
    )  # fmt: skip
    connection.execute(
        """
        insert into public.client_plan
            (plan, title, priority, max_users, max_contacts, max_storage_bytes, features)
        values (%s, %s, %s, %s, %s, %s, %s)
        on conflict (is_the_plan) do update set
            plan = excluded.plan, title = excluded.title, priority = excluded.priority,
            max_users = excluded.max_users, max_contacts = excluded.max_contacts,
            max_storage_bytes = excluded.max_storage_bytes, features = excluded.features,
            applied_at = now()
        where (client_plan.plan, client_plan.title, client_plan.priority, client_plan.max_users,
               client_plan.max_contacts, client_plan.max_storage_bytes, client_plan.features)
              is distinct from
              (excluded.plan, excluded.title, excluded.priority, excluded.max_users,
               excluded.max_contacts, excluded.max_storage_bytes, excluded.features)
        """,
        [name, *(plan.get(column) for column in columns)],
    )
