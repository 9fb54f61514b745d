-- One row for each address that a campaign goes to: the sender's list of work, and what became of it.

create table public.email_campaign_recipients (
    id uuid not null default private.uuid_v7(),
    email_campaign_id uuid not null,
    contact_id uuid,
    email text not null,
    email_normalized text not null generated always as (lower(btrim(email))) stored,
    status text not null default 'pending',
    attempts smallint not null default 0,
    last_error text,
    message_id text,
    sent_at timestamptz,
    opened_at timestamptz,
    clicked_at timestamptz,
    bounced_at timestamptz,
    complained_at timestamptz,
    unsubscribed_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint email_campaign_recipients_pkey primary key (id),
    constraint email_campaign_recipients_email_campaign_id_fkey
        foreign key (email_campaign_id) references public.email_campaigns (id) on delete cascade,
    -- The address is a copy: what was sent stays known when the contact is gone.
    constraint email_campaign_recipients_contact_id_fkey
        foreign key (contact_id) references public.contacts (id) on delete set null,
    constraint email_campaign_recipients_campaign_email_key
        unique (email_campaign_id, email_normalized),
    constraint email_campaign_recipients_email_format check (email like '%_@_%'),
    constraint email_campaign_recipients_status_known
        check (status in ('pending', 'sending', 'sent', 'failed', 'suppressed')),
    constraint email_campaign_recipients_attempts_not_negative check (attempts >= 0)
);

comment on table public.email_campaign_recipients is
    'Addresses that a campaign goes to: nobody twice.';
comment on column public.email_campaign_recipients.status is
    'pending → sending → sent or failed; suppressed: the address was on email_suppressions at '
    'that moment.';

create index email_campaign_recipients_contact_id_idx on public.email_campaign_recipients
    (contact_id);
create index email_campaign_recipients_pending_idx on public.email_campaign_recipients
    (email_campaign_id, id)
    where status = 'pending';

create trigger email_campaign_recipients_set_updated_at
    before update on public.email_campaign_recipients
    for each row execute function private.set_updated_at();
select private.keep_audit('public.email_campaign_recipients');

alter table public.email_campaign_recipients enable row level security;
revoke all on table public.email_campaign_recipients from public, anon, authenticated, service_role;
grant
    select,
    insert (id, email_campaign_id, contact_id, email),
    delete
    on table public.email_campaign_recipients to authenticated;
grant all on table public.email_campaign_recipients to service_role;

create policy email_campaign_recipients_select on public.email_campaign_recipients
    for select to authenticated
    using (
        (select private.my_role()) in ('owner', 'admin', 'manager')
        or (
            (select private.my_role()) = 'sales'
            and exists (
                select 1 from public.contacts c where c.id = email_campaign_recipients.contact_id
            )
        )
    );
create policy email_campaign_recipients_insert on public.email_campaign_recipients
    for insert to authenticated
    with check ((select private.my_role()) in ('owner', 'admin'));
create policy email_campaign_recipients_delete on public.email_campaign_recipients
    for delete to authenticated
    using (
        (select private.my_role()) in ('owner', 'admin')
        and status = 'pending'
    );
