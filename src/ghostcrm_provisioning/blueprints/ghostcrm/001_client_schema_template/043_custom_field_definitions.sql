-- Fields that a client adds to its records. The values are in the records' custom_fields, by key.

create table public.custom_field_definitions (
    id uuid not null default private.uuid_v7(),
    entity text not null,
    key text not null,
    title text not null,
    description text not null default '',
    type text not null,
    options jsonb not null default '[]',
    is_required boolean not null default false,
    is_unique boolean not null default false,
    is_active boolean not null default true,
    position integer not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint custom_field_definitions_pkey primary key (id),
    constraint custom_field_definitions_entity_key_key unique (entity, key),
    constraint custom_field_definitions_entity_known
        check (entity in ('contacts', 'companies', 'deals')),
    constraint custom_field_definitions_key_format check (key ~ '^[a-z][a-z0-9_]{0,62}$'),
    constraint custom_field_definitions_title_not_blank check (btrim(title) <> ''),
    constraint custom_field_definitions_type_known check (type in (
        'text', 'long_text', 'number', 'boolean', 'date', 'select', 'multi_select', 'url', 'email'
    )),
    constraint custom_field_definitions_options_array check (jsonb_typeof(options) = 'array'),
    constraint custom_field_definitions_choices_have_options
        check ((type in ('select', 'multi_select')) = (options <> '[]'))
);

comment on table public.custom_field_definitions is
    'Fields that a client adds to contacts, companies or deals.';
comment on column public.custom_field_definitions.key is
    'Key in custom_fields; stays when the title changes.';
comment on column public.custom_field_definitions.options is
    'Choices of a (multi_)select: an array of strings.';
comment on column public.custom_field_definitions.is_active is
    'False hides the field; values that are there stay.';

create trigger custom_field_definitions_set_updated_at
    before update on public.custom_field_definitions
    for each row execute function private.set_updated_at();
select private.keep_audit('public.custom_field_definitions');

alter table public.custom_field_definitions enable row level security;
revoke all on table public.custom_field_definitions from public, anon, authenticated, service_role;
grant
    select,
    insert (
        id, entity, key, title, description, type, options, is_required, is_unique,
        is_active, position
    ),
    update (title, description, options, is_required, is_unique, is_active, position),
    delete
    on table public.custom_field_definitions to authenticated;
grant all on table public.custom_field_definitions to service_role;

create policy custom_field_definitions_select on public.custom_field_definitions
    for select to authenticated
    using ((select private.my_role()) is not null);
create policy custom_field_definitions_insert on public.custom_field_definitions
    for insert to authenticated
    with check ((select private.my_role()) in ('owner', 'admin', 'manager'));
create policy custom_field_definitions_update on public.custom_field_definitions
    for update to authenticated
    using ((select private.my_role()) in ('owner', 'admin', 'manager'))
    with check ((select private.my_role()) in ('owner', 'admin', 'manager'));
create policy custom_field_definitions_delete on public.custom_field_definitions
    for delete to authenticated
    using ((select private.my_role()) in ('owner', 'admin'));
