"""A small blueprint that counts: with things, plans that limit them, and a feature to lose."""

from __future__ import annotations

from pathlib import Path

_DECLARATION = """
name = "counting"
title = "Counting"

[features]
things = "Things"
machines = "Machines"
reports = "Reports"

[plans.small]
title = "Small"
max_contacts = 3
connection_limit = 12
features = ["things", "reports"]

[plans.medium]
title = "Medium"
priority = 10
max_contacts = 5
connection_limit = 13
features = ["things", "machines"]

[plans.large]
title = "Large"
priority = 20
connection_limit = 14
features = ["things", "machines"]
"""

_SCHEMA = """
create table public.client_plan (
    is_the_plan boolean primary key default true check (is_the_plan),
    plan text not null, title text not null, priority integer not null,
    max_users integer, max_contacts integer, max_storage_bytes bigint,
    features text[] not null, applied_at timestamptz not null default now()
);
alter table public.client_plan enable row level security;

create table public.contacts (id uuid primary key default gen_random_uuid(), name text not null);
alter table public.contacts enable row level security;
create table public.machines (id uuid primary key default gen_random_uuid(), name text not null);
alter table public.machines enable row level security;

create function private.plan_usage(
    max_users integer, max_contacts integer, max_storage_bytes bigint, features text[]
) returns table (resource text, used bigint, allowed bigint)
language sql stable set search_path = '' as $$
    select 'contacts', (select count(*) from public.contacts), max_contacts::bigint
    union all
    select 'machines', (select count(*) from public.machines),
           case when 'machines' = any(features) then null else 0 end
$$;
create function private.plan_usage() returns table (resource text, used bigint, allowed bigint)
language sql stable set search_path = '' as $$
    select u.* from public.client_plan p
    cross join lateral private.plan_usage(p.max_users, p.max_contacts, p.max_storage_bytes, p.features) u
$$;

create function private.keep_limit() returns trigger language plpgsql set search_path = '' as $$
begin
    if (select count(*) >= p.max_contacts from public.contacts, public.client_plan p
        group by p.max_contacts) then
        raise exception 'no more contacts' using errcode = 'PT402';
    end if;
    return new;
end $$;
create trigger keep_limit before insert on public.contacts
    for each row execute function private.keep_limit();
revoke execute on all functions in schema private from public;
"""


def write_counting_blueprint(folder: Path) -> Path:
    """Plans ``small``, ``medium`` and ``large``: 3, 5 and any number of contacts; 12, 13 and 14
    connections (with fewer, our own sessions that are just ending may be too many); machines not in the
    small one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "blueprint.toml").write_text(_DECLARATION)
    (folder / "001_counting.sql").write_text(_SCHEMA)
    return folder
