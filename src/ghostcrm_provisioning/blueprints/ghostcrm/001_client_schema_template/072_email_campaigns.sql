-- Mail to many. What is sent is a copy: editing the template does not change a running campaign.

create table public.email_campaigns (
    id uuid not null default private.uuid_v7(),
    owner_id uuid,
    email_template_id uuid,
    name text not null,
    status text not null default 'draft',
    subject text not null default '',
    body_html text not null default '',
    body_text text not null default '',
    from_name text,
    from_email text,
    reply_to text,
    scheduled_at timestamptz,
    started_at timestamptz,
    finished_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint email_campaigns_pkey primary key (id),
    constraint email_campaigns_owner_id_fkey
        foreign key (owner_id) references public.profiles (id) on delete restrict,
    constraint email_campaigns_email_template_id_fkey
        foreign key (email_template_id) references public.email_templates (id) on delete set null,
    constraint email_campaigns_name_not_blank check (btrim(name) <> ''),
    constraint email_campaigns_status_known
        check (status in ('draft', 'scheduled', 'sending', 'paused', 'sent', 'cancelled')),
    constraint email_campaigns_scheduled_has_time
        check (status <> 'scheduled' or scheduled_at is not null),
    constraint email_campaigns_sent_has_subject
        check (status in ('draft', 'cancelled') or (btrim(subject) <> '' and from_email is not null))
);

comment on table public.email_campaigns is 'Mail to many.';
comment on column public.email_campaigns.status is
    'draft → scheduled → sending ⇄ paused → sent; cancelled from anywhere before sent.';
comment on column public.email_campaigns.email_template_id is
    'Where subject and body were copied from.';

create index email_campaigns_owner_id_idx on public.email_campaigns (owner_id);
create index email_campaigns_email_template_id_idx on public.email_campaigns (email_template_id);
create index email_campaigns_due_idx on public.email_campaigns (scheduled_at)
    where status = 'scheduled';

create trigger email_campaigns_set_updated_at
    before update on public.email_campaigns
    for each row execute function private.set_updated_at();
select private.keep_audit('public.email_campaigns');

alter table public.email_campaigns enable row level security;
revoke all on table public.email_campaigns from public, anon, authenticated, service_role;
grant
    select,
    insert (
        id, owner_id, email_template_id, name, status, subject, body_html, body_text,
        from_name, from_email, reply_to, scheduled_at
    ),
    update (
        owner_id, email_template_id, name, status, subject, body_html, body_text, from_name,
        from_email, reply_to, scheduled_at
    ),
    delete
    on table public.email_campaigns to authenticated;
grant all on table public.email_campaigns to service_role;

create policy email_campaigns_select on public.email_campaigns
    for select to authenticated
    using ((select private.my_role()) in ('owner', 'admin', 'manager', 'sales'));
create policy email_campaigns_insert on public.email_campaigns
    for insert to authenticated
    with check ((select private.my_role()) in ('owner', 'admin'));
create policy email_campaigns_update on public.email_campaigns
    for update to authenticated
    using ((select private.my_role()) in ('owner', 'admin'))
    with check ((select private.my_role()) in ('owner', 'admin'));
create policy email_campaigns_delete on public.email_campaigns
    for delete to authenticated
    using (
        (select private.my_role()) in ('owner', 'admin')
        and status in ('draft', 'cancelled')
    );
