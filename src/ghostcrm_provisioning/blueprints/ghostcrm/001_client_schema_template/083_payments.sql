-- Money that came in. What it pays for stands in payment_allocations.

create table public.payments (
    id uuid not null default private.uuid_v7(),
    company_id uuid,
    contact_id uuid,
    status text not null default 'received',
    amount_minor bigint not null,
    currency char(3) not null,
    allocated_minor bigint not null default 0,
    paid_on date not null default current_date,
    method text not null default 'bank_transfer',
    reference text,
    note text not null default '',
    external_key text,
    recorded_by uuid default private.my_id(),
    reversed_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint payments_pkey primary key (id),
    constraint payments_company_id_fkey
        foreign key (company_id) references public.companies (id) on delete restrict,
    constraint payments_contact_id_fkey
        foreign key (contact_id) references public.contacts (id) on delete restrict,
    constraint payments_recorded_by_fkey
        foreign key (recorded_by) references public.profiles (id) on delete restrict,
    constraint payments_external_key_key unique (external_key),
    constraint payments_id_currency_key unique (id, currency),
    constraint payments_status_known check (status in ('received', 'reversed')),
    constraint payments_reversed_at_matches
        check ((status = 'reversed') = (reversed_at is not null)),
    constraint payments_amount_minor_positive check (amount_minor > 0),
    constraint payments_currency_format check (currency ~ '^[A-Z]{3}$'),
    constraint payments_not_overallocated check (allocated_minor between 0 and amount_minor),
    constraint payments_reversed_pays_nothing check (status = 'received' or allocated_minor = 0),
    constraint payments_method_known
        check (method in (
            'bank_transfer', 'card', 'cash', 'cheque', 'direct_debit', 'online', 'other'
        ))
);

comment on table public.payments is 'Money that came in.';
comment on column public.payments.status is
    'received → reversed (reverse_payment): bounced, charged back or a mistake.';
comment on column public.payments.allocated_minor is
    'How much of it is set against invoices; kept by a trigger.';
comment on column public.payments.external_key is
    'Id at the payment provider: the same event twice is one payment.';
comment on column public.payments.recorded_by is 'Null when a service recorded it.';

create index payments_company_id_idx on public.payments (company_id);
create index payments_contact_id_idx on public.payments (contact_id);
create index payments_recorded_by_idx on public.payments (recorded_by);
create index payments_paid_on_idx on public.payments (paid_on desc, id desc);

-- As with invoices: computed, never believed.
create or replace function private.keep_payment_sum() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    select coalesce(sum(a.amount_minor), 0) into new.allocated_minor
    from public.payment_allocations a where a.payment_id = new.id;
    return new;
end
$$;

comment on function private.keep_payment_sum() is
    'Trigger: what of a payment is allocated is the sum of its allocations, whatever is written.';

revoke all on function private.keep_payment_sum() from public, anon, authenticated;

create trigger payments_keep_books
    before truncate on public.payments
    for each statement execute function private.keep_books();
create trigger payments_keep_sum
    before insert or update of allocated_minor on public.payments
    for each row execute function private.keep_payment_sum();
create trigger payments_set_updated_at
    before update on public.payments
    for each row execute function private.set_updated_at();
select private.keep_audit('public.payments');

alter table public.payments enable row level security;
revoke all on table public.payments from public, anon, authenticated, service_role;
grant
    select,
    insert (
        id, company_id, contact_id, amount_minor, currency, paid_on, method, reference,
        note, external_key
    ),
    update (reference, note)
    on table public.payments to authenticated;
grant all on table public.payments to service_role;

create policy payments_select on public.payments
    for select to authenticated
    using (
        (select private.my_role()) in ('owner', 'admin', 'manager', 'viewer')
        or exists (select 1 from public.companies c where c.id = payments.company_id)
        or exists (select 1 from public.contacts c where c.id = payments.contact_id)
    );
create policy payments_insert on public.payments
    for insert to authenticated
    with check ((select private.my_role()) in ('owner', 'admin'));
create policy payments_update on public.payments
    for update to authenticated
    using ((select private.my_role()) in ('owner', 'admin'))
    with check ((select private.my_role()) in ('owner', 'admin'));
