-- What makes the values of a range comes with the type, and is nobody's to mend.
create type public.note_range as range (subtype = bigint);

-- Row level security ---------------------------------------------------------------------------

create table public.notes (
    id uuid primary key default gen_random_uuid(),
    author_id uuid not null,
    reviewer_id uuid,
    text text not null default ''
);
alter table public.notes enable row level security;
grant select, insert, update, delete on public.notes to authenticated;
create index notes_author_id_idx on public.notes (author_id);
create index notes_reviewer_id_idx on public.notes (reviewer_id, author_id);

create function private.my_notes() returns setof uuid
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select id from public.notes where author_id = auth.uid() $$;
revoke execute on function private.my_notes() from public;
grant execute on function private.my_notes() to authenticated;

create policy notes_select on public.notes for select to authenticated
    using (
        author_id = (select auth.uid())
        or reviewer_id = (select auth.uid())
        or id = any (array(select private.my_notes()))
    );
-- A WITH CHECK looks at one row: nothing has to be found by an index.
create policy notes_insert on public.notes for insert to authenticated
    with check (author_id = (select auth.uid()) and text <> (select auth.email()));
create policy notes_update on public.notes for update to authenticated
    using ((select auth.jwt()) -> 'app_metadata' ->> 'role' = 'admin');
create policy notes_delete on public.notes as restrictive for delete to authenticated
    using (true);
create policy notes_service on public.notes for select to service_role using (true);

-- Indexes and keys -----------------------------------------------------------------------------

create table public.lines (
    note_id uuid not null references public.notes,
    number integer not null,
    corrects_note_id uuid,
    corrects_number integer,
    seen_note_id uuid references public.notes,
    primary key (note_id, number),
    foreign key (corrects_note_id, corrects_number) references public.lines (note_id, number)
);
alter table public.lines enable row level security;
grant select on public.lines to authenticated;
create policy lines_select on public.lines for select to authenticated
    using (exists (select 1 from public.notes n where n.id = note_id));
-- The columns of the key in another order, and an index of those rows only that have it.
create index lines_corrects_idx on public.lines (corrects_number, corrects_note_id, note_id);
create index lines_seen_note_id_idx on public.lines (seen_note_id) where seen_note_id is not null;
-- Alike, and not the same.
create index lines_number_idx on public.lines (number);
create index lines_number_desc_idx on public.lines (number desc nulls last);
create index lines_number_first_idx on public.lines (number) where number = 1;

-- Functions and views --------------------------------------------------------------------------

create function public.my_note_count() returns bigint
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select count(*) from private.my_notes() $$;
grant execute on function public.my_note_count() to authenticated;
create view public.recent_notes with (security_invoker = on) as select id from public.notes;
grant select on public.recent_notes to authenticated;
create materialized view private.note_count as select 1 as only_row, count(*) from public.notes;
create unique index note_count_key on private.note_count (only_row);

-- The platform has it; on Supabase somebody has to ask for it.
create extension if not exists plpgsql;
create extension citext schema extensions;
create schema archive;
create table archive.notes (id uuid primary key);

-- Grants ---------------------------------------------------------------------------------------

grant usage on schema private to service_role;
alter default privileges in schema public grant select on tables to service_role;

-- What the later migrations meet ---------------------------------------------------------------

create table private.big (
    id integer primary key,
    small_number integer,
    text varchar(20),
    kind text,
    note_id uuid,
    old text
);
create index big_note_id_idx on private.big (note_id);
