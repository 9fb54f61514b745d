-- Addresses that must not be written to. By address, not by contact: a wish survives the deletion of
-- the contact and a new import of the same address.

create table public.email_suppressions (
    id uuid not null default private.uuid_v7(),
    email text not null,
    email_normalized text not null generated always as (lower(btrim(email))) stored,
    reason text not null,
    email_campaign_id uuid,
    note text not null default '',
    created_at timestamptz not null default now(),

    constraint email_suppressions_pkey primary key (id),
    constraint email_suppressions_email_campaign_id_fkey
        foreign key (email_campaign_id) references public.email_campaigns (id) on delete set null,
    constraint email_suppressions_email_normalized_key unique (email_normalized),
    constraint email_suppressions_email_format check (email like '%_@_%'),
    constraint email_suppressions_reason_known
        check (reason in ('unsubscribed', 'bounced', 'complained', 'manual'))
);

comment on table public.email_suppressions is
    'Addresses that must not be written to; checked at the moment of sending.';

create index email_suppressions_email_campaign_id_idx on public.email_suppressions
    (email_campaign_id);

select private.keep_audit('public.email_suppressions');

alter table public.email_suppressions enable row level security;
revoke all on table public.email_suppressions from public, anon, authenticated, service_role;
grant
    select,
    insert (id, email, reason, email_campaign_id, note),
    delete
    on table public.email_suppressions to authenticated;
grant all on table public.email_suppressions to service_role;

create policy email_suppressions_select on public.email_suppressions
    for select to authenticated
    using ((select private.my_role()) in ('owner', 'admin', 'manager', 'sales'));
create policy email_suppressions_insert on public.email_suppressions
    for insert to authenticated
    with check ((select private.my_role()) in ('owner', 'admin', 'manager', 'sales'));
create policy email_suppressions_delete on public.email_suppressions
    for delete to authenticated
    using ((select private.my_role()) in ('owner', 'admin'));
