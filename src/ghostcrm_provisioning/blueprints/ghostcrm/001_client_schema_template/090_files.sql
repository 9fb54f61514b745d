-- What is known about a stored file. The bytes are in the storage bucket; the row comes first, and
-- says ready when they have arrived.
--
-- The plan's storage is what stands here. Large objects (lo_create) do not: PUBLIC may execute the
-- functions of pg_catalog, and nobody but a superuser can take that away. No API exposes them.

create table public.files (
    id uuid not null default private.uuid_v7(),
    owner_id uuid,
    team_id uuid,
    uploaded_by uuid default private.my_id(),
    bucket text not null default 'files',
    path text not null,
    name text not null,
    mime_type text not null default 'application/octet-stream',
    size_bytes bigint not null,
    sha256 bytea,
    state text not null default 'pending',
    contact_id uuid,
    company_id uuid,
    deal_id uuid,
    activity_id uuid,
    invoice_id uuid,
    deleted_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint files_pkey primary key (id),
    constraint files_owner_id_fkey
        foreign key (owner_id) references public.profiles (id) on delete restrict,
    constraint files_team_id_fkey
        foreign key (team_id) references public.teams (id) on delete restrict,
    constraint files_uploaded_by_fkey
        foreign key (uploaded_by) references public.profiles (id) on delete restrict,
    -- The row outlives what it was attached to, or nobody would know which bytes to delete.
    constraint files_contact_id_fkey
        foreign key (contact_id) references public.contacts (id) on delete set null,
    constraint files_company_id_fkey
        foreign key (company_id) references public.companies (id) on delete set null,
    constraint files_deal_id_fkey
        foreign key (deal_id) references public.deals (id) on delete set null,
    constraint files_activity_id_fkey
        foreign key (activity_id) references public.activities (id) on delete set null,
    constraint files_invoice_id_fkey
        foreign key (invoice_id) references public.invoices (id) on delete set null,
    constraint files_bucket_path_key unique (bucket, path),
    constraint files_name_not_blank check (btrim(name) <> ''),
    constraint files_path_relative check (path <> '' and path !~ '(^/|(^|/)\.\.(/|$))'),
    -- At most 1 TiB: two files of any size a bigint holds would make every sum of sizes overflow.
    constraint files_size_bytes_range check (size_bytes between 0 and 1099511627776),
    constraint files_sha256_length check (octet_length(sha256) = 32),
    constraint files_state_known check (state in ('pending', 'ready', 'failed')),
    constraint files_at_most_one_target
        check (num_nonnulls(contact_id, company_id, deal_id, activity_id, invoice_id) <= 1)
);

comment on table public.files is 'What is known about a stored file, and what it is attached to.';
comment on column public.files.state is
    'pending: announced. ready: the bytes are there. failed: they never came.';
comment on column public.files.size_bytes is
    'Counts towards the plan''s storage from the announcement on.';
comment on column public.files.deleted_at is
    'Soft delete, by delete_record() and restore_record(); a service deletes the bytes.';

create index files_owner_id_idx on public.files (owner_id, created_at desc);
create index files_team_id_idx on public.files (team_id, created_at desc);
create index files_uploaded_by_idx on public.files (uploaded_by);
create index files_contact_id_idx on public.files (contact_id);
create index files_company_id_idx on public.files (company_id);
create index files_deal_id_idx on public.files (deal_id);
create index files_activity_id_idx on public.files (activity_id);
create index files_invoice_id_idx on public.files (invoice_id);
create index files_list_idx on public.files (created_at desc, id desc) where deleted_at is null;

create trigger files_check_new_links
    before insert on public.files
    for each row when (
        new.contact_id is not null
        or new.company_id is not null
        or new.deal_id is not null
        or new.activity_id is not null
        or new.invoice_id is not null
    )
    execute function private.check_links(
        'contact_id', 'company_id', 'deal_id', 'activity_id', 'invoice_id'
    );
create trigger files_check_changed_links
    before update of contact_id, company_id, deal_id, activity_id, invoice_id on public.files
    for each row when (
        new.contact_id is distinct from old.contact_id
        or new.company_id is distinct from old.company_id
        or new.deal_id is distinct from old.deal_id
        or new.activity_id is distinct from old.activity_id
        or new.invoice_id is distinct from old.invoice_id
    )
    execute function private.check_links(
        'contact_id', 'company_id', 'deal_id', 'activity_id', 'invoice_id'
    );
create trigger files_set_updated_at
    before update on public.files
    for each row execute function private.set_updated_at();
select private.keep_audit('public.files');
create trigger files_count_inserted
    after insert on public.files referencing new table as new_rows
    for each statement execute function private.count_files();
create trigger files_count_updated
    after update on public.files referencing old table as old_rows new table as new_rows
    for each statement execute function private.count_files();
create trigger files_count_deleted
    after delete on public.files referencing old table as old_rows
    for each statement execute function private.count_files();
create trigger files_count_truncated
    after truncate on public.files
    for each statement execute function private.count_truncated('storage_bytes');

alter table public.files enable row level security;
revoke all on table public.files from public, anon, authenticated, service_role;
grant
    select,
    insert (
        id, owner_id, team_id, bucket, path, name, mime_type, size_bytes, sha256,
        contact_id, company_id, deal_id, activity_id, invoice_id
    ),
    update (owner_id, team_id, name, contact_id, company_id, deal_id, activity_id, invoice_id)
    on table public.files to authenticated;
grant all on table public.files to service_role;

-- `offset 0`: one look by index for each row that needs it, never all records read beforehand.
create policy files_select on public.files
    for select to authenticated
    using (
        deleted_at is null
        and (
            (select private.my_role()) in ('owner', 'admin', 'manager')
            or owner_id = (select private.my_id())
            or (
                team_id = any (array(select private.my_team_ids()))
                and (select private.my_role()) = 'sales'
            )
            or exists (
                select from public.contacts c where c.id = files.contact_id offset 0
            )
            or exists (
                select from public.companies c where c.id = files.company_id offset 0
            )
            or exists (
                select from public.deals d where d.id = files.deal_id offset 0
            )
            or exists (
                select from public.activities a where a.id = files.activity_id offset 0
            )
            or exists (
                select from public.invoices i where i.id = files.invoice_id offset 0
            )
        )
    );
create policy files_insert on public.files
    for insert to authenticated
    with check (
        deleted_at is null
        and (
            (select private.my_role()) in ('owner', 'admin')
            or (
                (select private.my_role()) = 'manager'
                and (
                    team_id = any (array(select private.my_team_ids()))
                    or (team_id is null and owner_id = (select private.my_id()))
                )
            )
            or (
                (select private.my_role()) = 'sales'
                and owner_id = (select private.my_id())
                and (team_id is null or team_id = any (array(select private.my_team_ids())))
            )
        )
    );
create policy files_update on public.files
    for update to authenticated
    using (
        deleted_at is null
        and (
            (select private.my_role()) in ('owner', 'admin')
            or (
                (select private.my_role()) = 'manager'
                and (
                    team_id = any (array(select private.my_team_ids()))
                    or owner_id = (select private.my_id())
                )
            )
            or ((select private.my_role()) = 'sales' and owner_id = (select private.my_id()))
        )
    )
    with check (
        deleted_at is null
        and (
            (select private.my_role()) in ('owner', 'admin')
            or (
                (select private.my_role()) = 'manager'
                and (
                    team_id = any (array(select private.my_team_ids()))
                    or (team_id is null and owner_id = (select private.my_id()))
                )
            )
            or (
                (select private.my_role()) = 'sales'
                and owner_id = (select private.my_id())
                and (team_id is null or team_id = any (array(select private.my_team_ids())))
            )
        )
    );
