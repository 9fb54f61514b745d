"""A blueprint with next to nothing in it, for tests that are not about the CRM."""

from __future__ import annotations

from pathlib import Path

_DECLARATION = """
name = "small"
title = "Small"

[plans.starter]
title = "Starter"

[plans.professional]
title = "Professional"
priority = 10

[plans.enterprise]
title = "Enterprise"
priority = 20
"""

_SCHEMA = """
create table public.things (id uuid primary key default gen_random_uuid(), name text not null);
alter table public.things enable row level security;
grant select on public.things to authenticated;
insert into public.things (name) values ('a row that no stranger may see');
"""

# The plan is written into this table by the step "apply plan settings".
_PLAN_THAT_FAILS_AT_FIRST = """
create table public.client_plan (
    is_the_plan boolean primary key default true check (is_the_plan),
    plan text not null, title text not null, priority integer not null,
    max_users integer, max_contacts integer, max_storage_bytes bigint,
    features text[] not null, applied_at timestamptz not null default now()
);
alter table public.client_plan enable row level security;

-- A sequence counts on, whatever becomes of the transaction.
create sequence private.tries;

create function private.fail_at_first() returns trigger language plpgsql set search_path = '' as $$
begin
    if nextval('private.tries') <= {failures} then
        raise exception 'not yet' using errcode = '40001';
    end if;
    return new;
end $$;
revoke execute on function private.fail_at_first() from public;
create trigger fail_at_first before insert on public.client_plan
    for each row execute function private.fail_at_first();
"""


def write_small_blueprint(folder: Path, **migrations: str) -> Path:
    """A blueprint in ``folder``; ``migrations`` (``_002_name="…"``) follow its only one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "blueprint.toml").write_text(_DECLARATION)
    (folder / "001_things.sql").write_text(_SCHEMA)
    for name, text in migrations.items():
        (folder / f"{name.removeprefix('_')}.sql").write_text(text)
    return folder


def plan_that_fails_at_first(failures: int) -> str:
    """A migration with which “apply plan settings” fails so often, for a reason that passes."""
    return _PLAN_THAT_FAILS_AT_FIRST.format(failures=failures)


def raising(sqlstate: str) -> str:
    """A migration that always fails with that SQLSTATE."""
    return f"do $$ begin raise exception 'as ordered' using errcode = '{sqlstate}'; end $$;\n"
