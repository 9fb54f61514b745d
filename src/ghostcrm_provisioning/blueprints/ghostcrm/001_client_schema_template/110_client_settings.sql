-- How this client wants its CRM.

create table public.client_settings (
    key text not null,
    value jsonb not null,
    category text not null,
    description text not null default '',
    is_secret boolean not null default false,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint client_settings_pkey primary key (key),
    constraint client_settings_key_format check (key ~ '^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$'),
    constraint client_settings_category_known
        check (category in (
            'company', 'localization', 'sales', 'email', 'appointments', 'billing', 'files',
            'security', 'custom'
        ))
);

comment on table public.client_settings is
    'How this client wants its CRM: one value for each key, such as billing.payment_terms_days.';
comment on column public.client_settings.is_secret is
    'Seen by owners and admins only; the audit log does not keep the value.';

create trigger client_settings_set_updated_at
    before update on public.client_settings
    for each row execute function private.set_updated_at();
select private.keep_audit('public.client_settings', 'key');

alter table public.client_settings enable row level security;
revoke all on table public.client_settings from public, anon, authenticated, service_role;
grant
    select,
    insert (key, value, category, description, is_secret),
    update (value, category, description, is_secret),
    delete
    on table public.client_settings to authenticated;
grant all on table public.client_settings to service_role;

create policy client_settings_select on public.client_settings
    for select to authenticated
    using (
        (select private.my_role()) in ('owner', 'admin')
        or ((select private.my_role()) in ('manager', 'sales') and not is_secret)
    );
create policy client_settings_insert on public.client_settings
    for insert to authenticated
    with check ((select private.my_role()) in ('owner', 'admin'));
create policy client_settings_update on public.client_settings
    for update to authenticated
    using ((select private.my_role()) in ('owner', 'admin'))
    with check ((select private.my_role()) in ('owner', 'admin'));
create policy client_settings_delete on public.client_settings
    for delete to authenticated
    using ((select private.my_role()) in ('owner', 'admin'));
