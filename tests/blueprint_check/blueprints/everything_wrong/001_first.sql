-- Row level security ---------------------------------------------------------------------------

create table public.open_notes (id uuid primary key);  -- ! table_without_rls

create table public.unseen_notes (id uuid primary key);  -- ! table_without_policy
alter table public.unseen_notes enable row level security;
grant select on public.unseen_notes to authenticated;

create table public.closed_notes (id uuid primary key);  -- ! table_closed_to_all
alter table public.closed_notes enable row level security;

create table public.notes (
    id uuid primary key,
    author_id uuid not null,
    reviewer_id uuid,
    text text not null default ''
);
alter table public.notes enable row level security;
grant select, insert, update, delete on public.notes to authenticated;
create index notes_author_id_idx on public.notes (author_id);

create function private.may_see(author uuid) returns boolean
language sql stable
set search_path = ''
as $$ select author is not null $$;
revoke execute on function private.may_see(uuid) from public;
grant execute on function private.may_see(uuid) to authenticated;

create policy notes_for_all on public.notes for insert  -- ! policy_for_everyone
    with check (author_id = (select auth.uid()));
create policy notes_true on public.notes for delete to authenticated  -- ! policy_always_true
    using (true);
create policy notes_metadata on public.notes for update to authenticated
    using (
        (select auth.jwt()) -> 'user_metadata' ->> 'role' = 'admin'  -- ! policy_reads_user_metadata
    );
create policy notes_own on public.notes for select to authenticated
    using (
        author_id = auth.uid()  -- ! policy_calls_function_per_row
        or reviewer_id = (select auth.uid())  -- ! policy_column_not_indexed
    );
create policy notes_more on public.notes for select to authenticated  -- ! policies_overlap
    using (
        private.may_see(author_id)  -- ! policy_function_takes_columns
    );

create table public.shown_notes (id uuid primary key, is_shown boolean not null);
alter table public.shown_notes enable row level security;
grant select, insert, update on public.shown_notes to authenticated;
create policy shown_notes_select on public.shown_notes for select to authenticated  -- ! policy_asks_nobody
    using (is_shown or not is_shown);
create policy shown_notes_insert on public.shown_notes for insert to authenticated  -- ! policy_asks_nobody
    with check (length(id::text) > 0 and now() > '2020-01-01');
create policy shown_notes_update on public.shown_notes for update to authenticated
    using ((select auth.uid()) is not null) with check (is_shown);

-- Indexes and keys -----------------------------------------------------------------------------

create table private.lines (  -- ! table_without_primary_key
    note_id uuid not null references public.notes,  -- ! foreign_key_not_indexed
    number integer not null
);
create index lines_number_idx on private.lines (number);
create index lines_number_again_idx on private.lines (number);  -- ! index_duplicate

-- Functions and views --------------------------------------------------------------------------

create function private.loose() returns integer language sql as $$ select 1 $$;  -- ! function_search_path
create function public.lends_rights() returns integer  -- ! definer_function_exposed function_search_path
language sql security definer
set search_path = ''
as $$ select 1 $$;
grant execute on function public.lends_rights() to authenticated;
create function private.add_up(total integer, more integer) returns integer
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select total + more + (select count(*) from public.notes)::integer $$;
revoke execute on function private.add_up(integer, integer) from public;
create aggregate public.lends_its_parts(integer) (sfunc = private.add_up, stype = integer);  -- ! definer_function_exposed
grant execute on function public.lends_its_parts(integer) to authenticated;
create view public.all_notes as select id from public.notes;  -- ! view_with_owners_rights
create materialized view public.note_count as select count(*) from public.notes;  -- ! copy_without_policies attack_succeeded
grant select on public.note_count to authenticated;

-- Grants ---------------------------------------------------------------------------------------

create table public.shared_notes (id uuid primary key);
alter table public.shared_notes enable row level security;
create policy shared_notes_select on public.shared_notes for select to authenticated
    using ((select auth.uid()) is not null);
grant select on public.shared_notes to anon;  -- ! granted_to_strangers
grant all
    on public.shared_notes  -- ! privilege_beyond_policies
    to authenticated;
create function private.helper() returns integer language sql set search_path = '' as $$ select 1 $$;
grant execute on function private.helper() to public;  -- ! function_open_to_strangers
grant create on schema private to public;  -- ! schema_open_to_strangers
alter default privileges in schema public grant select on tables to authenticated;  -- ! default_privileges_open

create extension citext schema public;  -- ! extension_in_public

-- Names ----------------------------------------------------------------------------------------

create function extensions.ours() returns integer language sql set search_path = ''  -- ! object_in_foreign_schema
as $$ select 1 $$;
create schema vault;  -- ! schema_of_supabase
create table vault.keys (id uuid primary key);  -- ! object_in_foreign_schema
create table private.users (id uuid primary key);  -- ! name_of_supabase
create table private."Mixed" (id uuid primary key);  -- ! name_needs_quotes
create function private.lower(text) returns text language sql set search_path = ''  -- ! name_of_builtin
as $$ select '' $$;
create table private.a_name_that_is_so_very_long_that_postgresql_will_cut_it_off_somewhere (id int primary key);  -- ! name_shortened
create table if not exists public.notes (id uuid);  -- ! already_there
do $$ begin raise warning 'look here'; end $$;  -- ! postgres_warned

-- What the later migrations meet ---------------------------------------------------------------

create table private.big (
    id integer primary key,
    small_number integer,
    text text,
    kind text,
    note_id uuid,
    other_id uuid,
    old text,
    older text
);
create unique index big_text_key on private.big (text);
create table private.gone (id integer primary key);
create table private.moved (id integer primary key);
create table private.emptied (id integer primary key);
create materialized view private.summary as select count(*) from private.big;
alter table private.big add constraint big_kind_check check (kind <> '') not valid;
