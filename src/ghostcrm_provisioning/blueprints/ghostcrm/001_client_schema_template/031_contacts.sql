-- People that the client does business with: leads and customers.

create table public.contacts (
    id uuid not null default private.uuid_v7(),
    owner_id uuid,
    team_id uuid,
    company_id uuid,
    status text not null default 'lead',
    first_name text not null default '',
    last_name text not null default '',
    -- Prefix search by last name, then first: name_normalized >= 'doe' and name_normalized < 'dof'.
    name_normalized text collate "C" not null
        generated always as (lower(btrim(btrim(last_name) || ' ' || btrim(first_name)))) stored,
    job_title text,
    email text,
    email_normalized text collate "C" generated always as (lower(btrim(email))) stored,
    -- For search_contacts(): "anna berg anna anna@berg.example" has both orders of the name in it.
    search_text text collate "C" not null generated always as (
        lower(
            btrim(first_name) || ' ' || btrim(last_name) || ' ' || btrim(first_name)
            || coalesce(' ' || btrim(email), '')
        )
    ) stored,
    phone text,
    phone_normalized text collate "C"
        generated always as (regexp_replace(phone, '[^0-9+]', '', 'g')) stored,
    address jsonb not null default '{}',
    source text,
    description text not null default '',
    custom_fields jsonb not null default '{}',
    external_key text,
    last_activity_at timestamptz,
    merged_into_contact_id uuid,
    deleted_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint contacts_pkey primary key (id),
    constraint contacts_owner_id_fkey
        foreign key (owner_id) references public.profiles (id) on delete restrict,
    constraint contacts_team_id_fkey
        foreign key (team_id) references public.teams (id) on delete restrict,
    constraint contacts_company_id_fkey
        foreign key (company_id) references public.companies (id) on delete set null,
    constraint contacts_merged_into_contact_id_fkey
        foreign key (merged_into_contact_id) references public.contacts (id) on delete set null,
    constraint contacts_external_key_key unique (external_key),
    constraint contacts_status_known
        check (status in ('lead', 'prospect', 'customer', 'former', 'other')),
    constraint contacts_named_or_reachable
        check (btrim(first_name || last_name) <> '' or email is not null or phone is not null),
    constraint contacts_email_format check (email like '%_@_%'),
    constraint contacts_not_merged_into_itself check (merged_into_contact_id <> id),
    constraint contacts_merged_is_deleted
        check (merged_into_contact_id is null or deleted_at is not null),
    constraint contacts_address_object check (jsonb_typeof(address) = 'object'),
    constraint contacts_custom_fields_object check (jsonb_typeof(custom_fields) = 'object')
);

comment on table public.contacts is
    'People that the client does business with. An address is not unique: families and info@ share '
    'one, and a unique key would tell about rows that the asker may not see.';
comment on column public.contacts.status is
    'lead: nobody has talked to them. prospect: in conversation. customer: has bought. former: was a '
    'customer. other: supplier, partner, press.';
comment on column public.contacts.email is
    'Main address, for lists and mail; further ones in contact_emails.';
comment on column public.contacts.phone is 'Main number; further ones in contact_phones.';
comment on column public.contacts.owner_id is
    'Who looks after them; null means unassigned, free to be claimed.';
comment on column public.contacts.team_id is 'Team that shares them.';
comment on column public.contacts.address is
    'Keys: street, postal_code, city, region, country (ISO 3166 alpha-2).';
comment on column public.contacts.custom_fields is 'Values by key of custom_field_definitions.';
comment on column public.contacts.external_key is
    'Id in the system they were imported from: the target of an upsert.';
comment on column public.contacts.last_activity_at is 'Kept by a trigger on activities.';
comment on column public.contacts.merged_into_contact_id is
    'The surviving contact, when this one was a duplicate: by merge_contacts(), for good.';
comment on column public.contacts.deleted_at is
    'Soft delete, by delete_record() and restore_record() only.';

create index contacts_owner_id_idx on public.contacts (owner_id, created_at desc);
create index contacts_team_id_idx on public.contacts (team_id, created_at desc);
create index contacts_company_id_idx on public.contacts (company_id);
create index contacts_merged_into_contact_id_idx on public.contacts (merged_into_contact_id);
create index contacts_list_idx on public.contacts (created_at desc, id desc)
    where deleted_at is null;
create index contacts_name_idx on public.contacts (name_normalized) where deleted_at is null;
create index contacts_email_idx on public.contacts (email_normalized) where deleted_at is null;
create index contacts_phone_idx on public.contacts (phone_normalized) where deleted_at is null;
create index contacts_search_idx on public.contacts
    using gin (search_text extensions.gin_trgm_ops) where deleted_at is null;

create trigger contacts_check_new_links
    before insert on public.contacts
    for each row when (new.company_id is not null)
    execute function private.check_links('company_id');
create trigger contacts_check_changed_links
    before update of company_id on public.contacts
    for each row when (new.company_id is distinct from old.company_id)
    execute function private.check_links('company_id');
create trigger contacts_set_updated_at
    before update on public.contacts
    for each row execute function private.set_updated_at();
create trigger contacts_check_new_custom_fields
    after insert on public.contacts referencing new table as new_rows
    for each statement execute function private.check_new_custom_fields();
create trigger contacts_check_changed_custom_fields
    after update on public.contacts
    for each row when (
        old.custom_fields is distinct from new.custom_fields
        or (
            new.custom_fields <> '{}'
            and (old.deleted_at is null) is distinct from (new.deleted_at is null)
        )
    )
    execute function private.check_changed_custom_fields();
select private.keep_audit('public.contacts');
create trigger contacts_count_inserted
    after insert on public.contacts referencing new table as new_rows
    for each statement execute function private.count_contacts();
create trigger contacts_count_updated
    after update on public.contacts referencing old table as old_rows new table as new_rows
    for each statement execute function private.count_contacts();
create trigger contacts_count_deleted
    after delete on public.contacts referencing old table as old_rows
    for each statement execute function private.count_contacts();
create trigger contacts_count_truncated
    after truncate on public.contacts
    for each statement execute function private.count_truncated('contacts');

alter table public.contacts enable row level security;
revoke all on table public.contacts from public, anon, authenticated, service_role;
grant
    select,
    insert (
        id, owner_id, team_id, company_id, status, first_name, last_name, job_title, email,
        phone, address, source, description, custom_fields, external_key
    ),
    update (
        owner_id, team_id, company_id, status, first_name, last_name, job_title, email,
        phone, address, source, description, custom_fields, external_key
    )
    on table public.contacts to authenticated;
grant all on table public.contacts to service_role;

create policy contacts_select on public.contacts
    for select to authenticated
    using (
        deleted_at is null and (
            (select private.my_role() in ('owner', 'admin', 'manager', 'viewer'))
            or coalesce(owner_id, '00000000-0000-0000-0000-000000000000')
                = any ((select private.my_owner_keys())::uuid[])
            or team_id = any ((select private.my_teams())::uuid[])
        )
    );
create policy contacts_insert on public.contacts
    for insert to authenticated
    with check (
        deleted_at is null and (
            (select private.my_role()) in ('owner', 'admin')
            or (
                (select private.my_role()) = 'manager'
                and (
                    team_id = any (array(select private.my_team_ids()))
                    or (
                        team_id is null
                        and (owner_id is null or owner_id = (select private.my_id()))
                    )
                )
            )
            or (
                (select private.my_role()) = 'sales'
                and owner_id = (select private.my_id())
                and (team_id is null or team_id = any (array(select private.my_team_ids())))
            )
        )
    );
create policy contacts_update on public.contacts
    for update to authenticated
    using (
        deleted_at is null and (
            (select private.my_role()) in ('owner', 'admin')
            or (
                (select private.my_role()) = 'manager'
                and (
                    team_id = any (array(select private.my_team_ids()))
                    or owner_id is null
                    or owner_id = (select private.my_id())
                )
            )
            or ((select private.my_role()) = 'sales' and owner_id = (select private.my_id()))
        )
    )
    with check (
        deleted_at is null and (
            (select private.my_role()) in ('owner', 'admin')
            or (
                (select private.my_role()) = 'manager'
                and (
                    team_id = any (array(select private.my_team_ids()))
                    or (
                        team_id is null
                        and (owner_id is null or owner_id = (select private.my_id()))
                    )
                )
            )
            or (
                (select private.my_role()) = 'sales'
                and owner_id = (select private.my_id())
                and (team_id is null or team_id = any (array(select private.my_team_ids())))
            )
        )
    );
