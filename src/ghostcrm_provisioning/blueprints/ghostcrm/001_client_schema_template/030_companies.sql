-- Organisations that the client does business with.

create table public.companies (
    id uuid not null default private.uuid_v7(),
    owner_id uuid,
    team_id uuid,
    parent_company_id uuid,
    name text not null,
    -- Prefix search: name_normalized >= 'acm' and name_normalized < 'acn', leakproof and indexed.
    name_normalized text collate "C" not null generated always as (lower(btrim(name))) stored,
    domain text,
    domain_normalized text generated always as (lower(btrim(domain))) stored,
    -- For search_companies() and search_contacts().
    search_text text collate "C" not null generated always as (
        lower(btrim(name) || coalesce(' ' || btrim(domain), ''))
    ) stored,
    industry text,
    employee_count integer,
    phone text,
    website text,
    tax_number text,
    address jsonb not null default '{}',
    source text,
    description text not null default '',
    custom_fields jsonb not null default '{}',
    external_key text,
    deleted_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint companies_pkey primary key (id),
    constraint companies_owner_id_fkey
        foreign key (owner_id) references public.profiles (id) on delete restrict,
    constraint companies_team_id_fkey
        foreign key (team_id) references public.teams (id) on delete restrict,
    constraint companies_parent_company_id_fkey
        foreign key (parent_company_id) references public.companies (id) on delete set null,
    constraint companies_external_key_key unique (external_key),
    constraint companies_name_not_blank check (btrim(name) <> ''),
    constraint companies_not_its_own_parent check (parent_company_id <> id),
    constraint companies_employee_count_not_negative check (employee_count >= 0),
    constraint companies_address_object check (jsonb_typeof(address) = 'object'),
    constraint companies_custom_fields_object check (jsonb_typeof(custom_fields) = 'object')
);

comment on table public.companies is
    'Organisations that the client does business with. Names repeat: no unique key.';
comment on column public.companies.owner_id is
    'Who looks after it; null means unassigned, free to be claimed.';
comment on column public.companies.team_id is 'Team that shares it.';
comment on column public.companies.address is
    'Keys: street, postal_code, city, region, country (ISO 3166 alpha-2).';
comment on column public.companies.custom_fields is 'Values by key of custom_field_definitions.';
comment on column public.companies.external_key is
    'Id in the system it was imported from: the target of an upsert.';
comment on column public.companies.deleted_at is
    'Soft delete, by delete_record() and restore_record() only.';

create index companies_owner_id_idx on public.companies (owner_id, created_at desc);
create index companies_team_id_idx on public.companies (team_id, created_at desc);
create index companies_parent_company_id_idx on public.companies (parent_company_id);
create index companies_list_idx on public.companies (created_at desc, id desc)
    where deleted_at is null;
create index companies_name_idx on public.companies (name_normalized) where deleted_at is null;
create index companies_domain_idx on public.companies (domain_normalized) where deleted_at is null;
create index companies_search_idx on public.companies
    using gin (search_text extensions.gin_trgm_ops) where deleted_at is null;

create trigger companies_check_new_links
    before insert on public.companies
    for each row when (new.parent_company_id is not null)
    execute function private.check_links('parent_company_id');
create trigger companies_check_changed_links
    before update of parent_company_id on public.companies
    for each row when (new.parent_company_id is distinct from old.parent_company_id)
    execute function private.check_links('parent_company_id');
create trigger companies_set_updated_at
    before update on public.companies
    for each row execute function private.set_updated_at();
create trigger companies_check_new_custom_fields
    after insert on public.companies referencing new table as new_rows
    for each statement execute function private.check_new_custom_fields();
create trigger companies_check_changed_custom_fields
    after update on public.companies
    for each row when (
        old.custom_fields is distinct from new.custom_fields
        or (
            new.custom_fields <> '{}'
            and (old.deleted_at is null) is distinct from (new.deleted_at is null)
        )
    )
    execute function private.check_changed_custom_fields();
select private.keep_audit('public.companies');

alter table public.companies enable row level security;
revoke all on table public.companies from public, anon, authenticated, service_role;
grant
    select,
    insert (
        id, owner_id, team_id, parent_company_id, name, domain, industry, employee_count,
        phone, website, tax_number, address, source, description, custom_fields,
        external_key
    ),
    update (
        owner_id, team_id, parent_company_id, name, domain, industry, employee_count, phone,
        website, tax_number, address, source, description, custom_fields, external_key
    )
    on table public.companies to authenticated;
grant all on table public.companies to service_role;

create policy companies_select on public.companies
    for select to authenticated
    using (
        deleted_at is null and (
            (select private.my_role() in ('owner', 'admin', 'manager', 'viewer'))
            or coalesce(owner_id, '00000000-0000-0000-0000-000000000000')
                = any ((select private.my_owner_keys())::uuid[])
            or team_id = any ((select private.my_teams())::uuid[])
        )
    );
create policy companies_insert on public.companies
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
create policy companies_update on public.companies
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
