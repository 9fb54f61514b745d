-- Fields that a client adds to its records. The values are in the records' custom_fields, by key, and
-- checked by the triggers of 004_custom_fields.sql. Why it is done this way, with figures:
-- docs/decisions/0018-custom-fields.md.

create table public.custom_field_definitions (
    id uuid not null default private.uuid_v7(),
    entity text not null,
    key text not null,
    title text not null,
    description text not null default '',
    type text not null,
    options jsonb not null default '[]',
    minimum numeric,
    maximum numeric,
    pattern text,
    is_required boolean not null default false,
    is_unique boolean not null default false,
    is_filterable boolean not null default true,
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
    constraint custom_field_definitions_options_are_words
        check (not jsonb_path_exists(options, '$[*] ? (@.type() != "string" || @ == "")')),
    constraint custom_field_definitions_choices_have_options
        check ((type in ('select', 'multi_select')) = (options <> '[]')),
    constraint custom_field_definitions_limits_fit_type check (
        type in ('text', 'long_text', 'number', 'multi_select', 'url', 'email')
        or num_nonnulls(minimum, maximum) = 0
    ),
    constraint custom_field_definitions_limits_in_order check (minimum <= maximum),
    constraint custom_field_definitions_pattern_fits_type
        check (type in ('text', 'long_text', 'url', 'email') or pattern is null),
    -- An invalid expression makes the comparison fail, which is as good as false.
    constraint custom_field_definitions_pattern_valid check (
        pattern is null or (length(pattern) between 1 and 200 and ('' ~ pattern) is not null)
    ),
    constraint custom_field_definitions_unique_fits_type
        check (not is_unique or type in ('text', 'number', 'date', 'url', 'email'))
);

comment on table public.custom_field_definitions is
    'Fields that a client adds to contacts, companies or deals.';
comment on column public.custom_field_definitions.key is
    'Key in custom_fields; stays when the title changes.';
comment on column public.custom_field_definitions.options is
    'Choices of a (multi_)select: an array of strings.';
comment on column public.custom_field_definitions.minimum is
    'Smallest number, shortest text, or fewest choices of a multi_select.';
comment on column public.custom_field_definitions.maximum is
    'Largest number, longest text, or most choices of a multi_select.';
comment on column public.custom_field_definitions.pattern is
    'Regular expression (PostgreSQL''s) that the whole of a text must match.';
comment on column public.custom_field_definitions.is_required is
    'Records that are there without it stay as they are until their custom fields are edited.';
comment on column public.custom_field_definitions.is_unique is
    'No two records that are not deleted have the same value, whoever may see them.';
comment on column public.custom_field_definitions.is_filterable is
    'Values are also in contact_, company_ or deal_field_values, where lists are filtered by them. A '
    'long_text never is.';
comment on column public.custom_field_definitions.is_active is
    'False hides the field and requires nothing; values that are there stay.';

create trigger custom_field_definitions_set_updated_at
    before update on public.custom_field_definitions
    for each row execute function private.set_updated_at();
create trigger custom_field_definitions_keep_used
    before update of entity, key, type or delete on public.custom_field_definitions
    for each row execute function private.keep_used_custom_field();
create trigger custom_field_definitions_rewrite_values
    after update on public.custom_field_definitions
    for each row when (
        (old.is_unique, old.is_filterable) is distinct from (new.is_unique, new.is_filterable)
    )
    execute function private.rewrite_field_values();
select private.keep_audit('public.custom_field_definitions');

alter table public.custom_field_definitions enable row level security;
revoke all on table public.custom_field_definitions from public, anon, authenticated, service_role;
grant
    select,
    insert (
        id, entity, key, title, description, type, options, minimum, maximum, pattern,
        is_required, is_unique, is_filterable, is_active, position
    ),
    update (
        title, description, options, minimum, maximum, pattern, is_required, is_unique,
        is_filterable, is_active, position
    ),
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

create function public.erase_custom_field(definition_id uuid) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    select private.erase_custom_field(definition_id)
$$;

comment on function public.erase_custom_field(uuid) is
    'Delete a custom field together with all its values. Owners and admins.';

revoke all on function public.erase_custom_field(uuid)
    from public, anon, authenticated, service_role;
grant execute on function public.erase_custom_field(uuid) to authenticated;
