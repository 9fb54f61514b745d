-- What may stand between {{ and }} in a template.

create table public.email_template_variables (
    email_template_id uuid not null,
    name text not null,
    description text not null default '',
    is_required boolean not null default true,
    default_value text,
    example text not null default '',
    position integer not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint email_template_variables_pkey primary key (email_template_id, name),
    constraint email_template_variables_email_template_id_fkey
        foreign key (email_template_id) references public.email_templates (id) on delete cascade,
    constraint email_template_variables_name_format
        check (name ~ '^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$')
);

comment on table public.email_template_variables is
    'Variables of a template: names such as contact.first_name.';
comment on column public.email_template_variables.default_value is
    'Used when the variable is not required and has no value.';
comment on column public.email_template_variables.example is 'For the preview.';

create trigger email_template_variables_set_updated_at
    before update on public.email_template_variables
    for each row execute function private.set_updated_at();
select private.keep_audit('public.email_template_variables', 'email_template_id');

alter table public.email_template_variables enable row level security;
revoke all on table public.email_template_variables from public, anon, authenticated, service_role;
grant
    select,
    insert (email_template_id, name, description, is_required, default_value, example, position),
    update (name, description, is_required, default_value, example, position),
    delete
    on table public.email_template_variables to authenticated;
grant all on table public.email_template_variables to service_role;

create policy email_template_variables_select on public.email_template_variables
    for select to authenticated
    using ((select private.my_role()) is not null);
create policy email_template_variables_insert on public.email_template_variables
    for insert to authenticated
    with check ((select private.my_role()) in ('owner', 'admin', 'manager'));
create policy email_template_variables_update on public.email_template_variables
    for update to authenticated
    using ((select private.my_role()) in ('owner', 'admin', 'manager'))
    with check ((select private.my_role()) in ('owner', 'admin', 'manager'));
create policy email_template_variables_delete on public.email_template_variables
    for delete to authenticated
    using ((select private.my_role()) in ('owner', 'admin', 'manager'));
