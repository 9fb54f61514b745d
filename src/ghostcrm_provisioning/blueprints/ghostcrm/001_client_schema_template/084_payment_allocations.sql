-- Which payment pays how much of which invoice. Both sides carry the sum, under a lock and a check:
-- an invoice cannot be overpaid, a payment cannot be spent twice.

create table public.payment_allocations (
    id uuid not null default private.uuid_v7(),
    payment_id uuid not null,
    invoice_id uuid not null,
    currency char(3) not null,
    amount_minor bigint not null,
    created_at timestamptz not null default now(),

    constraint payment_allocations_pkey primary key (id),
    -- With the currency in the keys, euros cannot pay a bill in dollars.
    constraint payment_allocations_payment_fkey foreign key (payment_id, currency)
        references public.payments (id, currency) on delete restrict,
    constraint payment_allocations_invoice_fkey foreign key (invoice_id, currency)
        references public.invoices (id, currency) on delete restrict,
    constraint payment_allocations_payment_id_invoice_id_key unique (payment_id, invoice_id),
    constraint payment_allocations_amount_minor_positive check (amount_minor > 0)
);

comment on table public.payment_allocations is 'Which payment pays how much of which invoice.';

create index payment_allocations_payment_idx on public.payment_allocations (payment_id, currency);
create index payment_allocations_invoice_idx on public.payment_allocations (invoice_id, currency);

create or replace function private.settle_allocation() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    allocation public.payment_allocations := case when tg_op = 'DELETE' then old else new end;
    payment_status text;
    invoice_status text;
begin
    -- The locks come first and in statements of their own: the sums below then see what the
    -- transaction that held them has committed.
    select p.status into payment_status
    from public.payments p where p.id = allocation.payment_id for no key update;
    select i.status into invoice_status
    from public.invoices i where i.id = allocation.invoice_id for no key update;

    if tg_op = 'INSERT'
       and (payment_status <> 'received' or invoice_status not in ('sent', 'partial'))
    then
        raise exception 'a % payment cannot be allocated to a % invoice',
            payment_status, invoice_status
            using errcode = 'restrict_violation';
    end if;

    update public.payments p
    set allocated_minor = (
        select coalesce(sum(a.amount_minor), 0)
        from public.payment_allocations a where a.payment_id = p.id
    )
    where p.id = allocation.payment_id;

    update public.invoices i
    set paid_minor = t.paid_minor,
        status = case
            when t.paid_minor = 0 then 'sent'
            when t.paid_minor < i.total_minor then 'partial'
            else 'paid'
        end,
        paid_at = case when t.paid_minor >= i.total_minor then coalesce(i.paid_at, now()) end
    from (
        select coalesce(sum(a.amount_minor), 0) as paid_minor
        from public.payment_allocations a where a.invoice_id = allocation.invoice_id
    ) t
    where i.id = allocation.invoice_id;
    return null;
end
$$;

comment on function private.settle_allocation() is
    'Trigger: a payment and an invoice each know the sum of their allocations.';

revoke all on function private.settle_allocation() from public, anon, authenticated;

create trigger payment_allocations_keep_books
    before truncate on public.payment_allocations
    for each statement execute function private.keep_books();
create trigger payment_allocations_settle
    after insert or delete on public.payment_allocations
    for each row execute function private.settle_allocation();
-- An allocation is made and taken back; changing one in place is neither.
create trigger payment_allocations_no_update
    before update on public.payment_allocations
    for each row execute function private.forbid_change();
select private.keep_audit('public.payment_allocations');

alter table public.payment_allocations enable row level security;
revoke all on table public.payment_allocations from public, anon, authenticated, service_role;
grant
    select,
    insert (id, payment_id, invoice_id, currency, amount_minor),
    delete
    on table public.payment_allocations to authenticated;
grant all on table public.payment_allocations to service_role;

create policy payment_allocations_select on public.payment_allocations
    for select to authenticated
    using (
        exists (select 1 from public.invoices i where i.id = payment_allocations.invoice_id)
    );
create policy payment_allocations_insert on public.payment_allocations
    for insert to authenticated
    with check ((select private.my_role()) in ('owner', 'admin'));
create policy payment_allocations_delete on public.payment_allocations
    for delete to authenticated
    using ((select private.my_role()) in ('owner', 'admin'));
