create index if not exists big_kind_idx on private.big (kind);  -- ! index_built_beforehand
create unique index if not exists big_old_key on private.big (old);  -- ! index_built_beforehand
alter table private.big add constraint big_old_key unique using index big_old_key;
alter table private.big
    add column token uuid,
    add column colour text not null default 'red',
    add column created_at timestamptz not null default now();
alter table private.big alter column token set default gen_random_uuid();
-- The rows stay as they are.
alter table private.big alter column text type text;
alter table private.big
    add constraint big_note_id_fkey foreign key (note_id) references public.notes not valid;
alter table private.big add constraint big_kind_given check (kind is not null) not valid;
alter table private.big alter column small_number drop not null;
