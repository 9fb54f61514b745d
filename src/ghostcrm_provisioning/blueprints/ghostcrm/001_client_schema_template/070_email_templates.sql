-- Mail that is written once and sent often.

create table public.email_templates (
    id uuid not null default private.uuid_v7(),
    key text,
    name text not null,
    category text not null default 'general',
    locale text not null default 'en',
    subject text not null,
    body_html text not null,
    body_text text not null,
    is_active boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint email_templates_pkey primary key (id),
    constraint email_templates_key_locale_key unique (key, locale),
    constraint email_templates_key_format check (key ~ '^[a-z][a-z0-9_]*$'),
    constraint email_templates_name_not_blank check (btrim(name) <> ''),
    constraint email_templates_subject_not_blank check (btrim(subject) <> ''),
    constraint email_templates_category_known
        check (category in ('general', 'sales', 'appointments', 'billing', 'marketing', 'system'))
);

comment on table public.email_templates is
    'Mail that is written once and sent often. {{name}} in subject and body stands for a variable.';
comment on column public.email_templates.key is
    'By which code finds it; null for a template that users made.';

create trigger email_templates_set_updated_at
    before update on public.email_templates
    for each row execute function private.set_updated_at();
select private.keep_audit('public.email_templates');

alter table public.email_templates enable row level security;
revoke all on table public.email_templates from public, anon, authenticated, service_role;
grant
    select,
    insert (id, name, category, locale, subject, body_html, body_text, is_active),
    update (name, category, locale, subject, body_html, body_text, is_active),
    delete
    on table public.email_templates to authenticated;
grant all on table public.email_templates to service_role;

create policy email_templates_select on public.email_templates
    for select to authenticated
    using ((select private.my_role()) is not null);
create policy email_templates_insert on public.email_templates
    for insert to authenticated
    with check ((select private.my_role()) in ('owner', 'admin', 'manager'));
create policy email_templates_update on public.email_templates
    for update to authenticated
    using ((select private.my_role()) in ('owner', 'admin', 'manager'))
    with check ((select private.my_role()) in ('owner', 'admin', 'manager'));
create policy email_templates_delete on public.email_templates
    for delete to authenticated
    using ((select private.my_role()) in ('owner', 'admin'));
