-- Further addresses of a contact. The main one stays on the contact, where lists, search and mail
-- need it without a join; whether an address may be written to stands in email_suppressions, by
-- address, so that it survives the contact.

create table public.contact_emails (
    id uuid not null default private.uuid_v7(),
    contact_id uuid not null,
    email text not null,
    email_normalized text collate "C" not null generated always as (lower(btrim(email))) stored,
    label text not null default 'work',
    invalid_at timestamptz,
    confirmed_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint contact_emails_pkey primary key (id),
    constraint contact_emails_contact_id_fkey
        foreign key (contact_id) references public.contacts (id) on delete cascade,
    constraint contact_emails_contact_id_email_key unique (contact_id, email_normalized),
    constraint contact_emails_email_format check (email like '%_@_%'),
    constraint contact_emails_label_known check (label in ('work', 'home', 'billing', 'other'))
);

comment on table public.contact_emails is
    'Further addresses of a contact, beside the main one on the contact itself.';
comment on column public.contact_emails.invalid_at is 'Mail to it bounced for good.';
comment on column public.contact_emails.confirmed_at is 'Its owner proved that it is theirs.';

create index contact_emails_email_idx on public.contact_emails (email_normalized);
create index contact_emails_search_idx on public.contact_emails
    using gin (email_normalized extensions.gin_trgm_ops);

create trigger contact_emails_set_updated_at
    before update on public.contact_emails
    for each row execute function private.set_updated_at();
select private.keep_audit('public.contact_emails');

alter table public.contact_emails enable row level security;
revoke all on table public.contact_emails from public, anon, authenticated, service_role;
grant
    select,
    insert (id, contact_id, email, label, invalid_at, confirmed_at),
    update (email, label, invalid_at, confirmed_at),
    delete
    on table public.contact_emails to authenticated;
grant all on table public.contact_emails to service_role;

create policy contact_emails_select on public.contact_emails
    for select to authenticated
    using (exists (select 1 from public.contacts p where p.id = contact_emails.contact_id));
create policy contact_emails_insert on public.contact_emails
    for insert to authenticated
    with check (
        exists (
            select 1 from public.contacts p
            where p.id = contact_emails.contact_id
              and p.deleted_at is null
              and (
                  (select private.my_role()) in ('owner', 'admin')
                  or (
                      (select private.my_role()) = 'manager'
                      and (
                          p.team_id = any (array(select private.my_team_ids()))
                          or p.owner_id is null
                          or p.owner_id = (select private.my_id())
                      )
                  )
                  or (
                      (select private.my_role()) = 'sales'
                      and p.owner_id = (select private.my_id())
                  )
              )
        )
    );
create policy contact_emails_update on public.contact_emails
    for update to authenticated
    using (
        exists (
            select 1 from public.contacts p
            where p.id = contact_emails.contact_id
              and p.deleted_at is null
              and (
                  (select private.my_role()) in ('owner', 'admin')
                  or (
                      (select private.my_role()) = 'manager'
                      and (
                          p.team_id = any (array(select private.my_team_ids()))
                          or p.owner_id is null
                          or p.owner_id = (select private.my_id())
                      )
                  )
                  or (
                      (select private.my_role()) = 'sales'
                      and p.owner_id = (select private.my_id())
                  )
              )
        )
    )
    with check (
        exists (
            select 1 from public.contacts p
            where p.id = contact_emails.contact_id
              and p.deleted_at is null
              and (
                  (select private.my_role()) in ('owner', 'admin')
                  or (
                      (select private.my_role()) = 'manager'
                      and (
                          p.team_id = any (array(select private.my_team_ids()))
                          or p.owner_id is null
                          or p.owner_id = (select private.my_id())
                      )
                  )
                  or (
                      (select private.my_role()) = 'sales'
                      and p.owner_id = (select private.my_id())
                  )
              )
        )
    );
create policy contact_emails_delete on public.contact_emails
    for delete to authenticated
    using (
        exists (
            select 1 from public.contacts p
            where p.id = contact_emails.contact_id
              and p.deleted_at is null
              and (
                  (select private.my_role()) in ('owner', 'admin')
                  or (
                      (select private.my_role()) = 'manager'
                      and (
                          p.team_id = any (array(select private.my_team_ids()))
                          or p.owner_id is null
                          or p.owner_id = (select private.my_id())
                      )
                  )
                  or (
                      (select private.my_role()) = 'sales'
                      and p.owner_id = (select private.my_id())
                  )
              )
        )
    );
