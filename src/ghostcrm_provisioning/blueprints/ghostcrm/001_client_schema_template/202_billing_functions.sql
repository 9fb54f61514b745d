-- Steps in the life of invoices and payments that only owners and admins take.

create or replace function private.check_may_bill() returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if coalesce(private.my_role() not in ('owner', 'admin'), true) then
        raise exception 'only owners and admins issue or void invoices and reverse payments'
            using errcode = 'insufficient_privilege';
    end if;
end
$$;

create or replace function private.issue_invoice(invoice_id uuid) returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    draft public.invoices;
    issue_date date := (now() at time zone 'UTC')::date;
    counter integer;
begin
    perform private.check_may_bill();
    select i.* into draft from public.invoices i where i.id = invoice_id for update;
    if not found then
        raise exception 'no invoice %', invoice_id using errcode = 'no_data_found';
    end if;
    if draft.status <> 'draft' then
        -- Asked twice, answered twice: the reply may have been lost.
        return draft.number;
    end if;
    if not exists (select 1 from public.invoice_items item where item.invoice_id = draft.id) then
        raise exception 'invoice % has no items', invoice_id using errcode = 'restrict_violation';
    end if;

    -- The number comes last and holds its row until the commit: no gap, no number twice.
    insert into public.invoice_number_series as s (series, year, last_number)
    values (draft.series, extract(year from issue_date)::integer, 1)
    on conflict (series, year) do update set last_number = s.last_number + 1
    returning s.last_number into counter;

    update public.invoices i
    set number = concat_ws(
            '-', draft.series, to_char(issue_date, 'YYYY'),
            lpad(counter::text, greatest(5, length(counter::text)), '0')
        ),
        status = case when draft.total_minor = 0 then 'paid' else 'sent' end,
        paid_at = case when draft.total_minor = 0 then now() end,
        issued_on = issue_date,
        issued_at = now(),
        due_on = greatest(coalesce(draft.due_on, issue_date + draft.payment_terms_days), issue_date)
    where i.id = draft.id
    returning i.number into draft.number;
    return draft.number;
end
$$;

create or replace function private.void_invoice(invoice_id uuid) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    invoice public.invoices;
begin
    perform private.check_may_bill();
    select i.* into invoice from public.invoices i where i.id = invoice_id for update;
    if not found then
        raise exception 'no invoice %', invoice_id using errcode = 'no_data_found';
    end if;
    if invoice.status = 'void' then
        return;
    end if;
    if invoice.status = 'draft' then
        raise exception 'invoice % is a draft', invoice_id
            using errcode = 'restrict_violation', hint = 'Delete it.';
    end if;
    if invoice.paid_minor > 0 then
        raise exception 'invoice % has been paid in part or whole', invoice.number
            using errcode = 'restrict_violation', hint = 'Take back its payment allocations first.';
    end if;
    update public.invoices i set status = 'void', voided_at = now() where i.id = invoice_id;
end
$$;

create or replace function private.reverse_payment(payment_id uuid) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform private.check_may_bill();
    perform 1 from public.payments p where p.id = reverse_payment.payment_id for update;
    if not found then
        raise exception 'no payment %', payment_id using errcode = 'no_data_found';
    end if;
    -- The invoices it paid are open again; the audit log keeps what was allocated.
    delete from public.payment_allocations a where a.payment_id = reverse_payment.payment_id;
    update public.payments p set status = 'reversed', reversed_at = now()
    where p.id = reverse_payment.payment_id and p.status = 'received';
end
$$;

revoke all on function
    private.check_may_bill(),
    private.issue_invoice(uuid),
    private.void_invoice(uuid),
    private.reverse_payment(uuid)
    from public, anon;
grant execute on function
    private.issue_invoice(uuid),
    private.void_invoice(uuid),
    private.reverse_payment(uuid)
    to authenticated;

create function public.issue_invoice(invoice_id uuid) returns text
language sql
set search_path = pg_catalog, pg_temp
as $$
    select private.issue_invoice(invoice_id)
$$;

create function public.void_invoice(invoice_id uuid) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    select private.void_invoice(invoice_id)
$$;

create function public.reverse_payment(payment_id uuid) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    select private.reverse_payment(payment_id)
$$;

comment on function public.issue_invoice(uuid) is
    'Give a draft its number and date and make it final. Answers the number; asked again, the '
    'same one.';
comment on function public.void_invoice(uuid) is
    'Take an unpaid issued invoice back; its number stays used.';
comment on function public.reverse_payment(uuid) is 'Undo a payment: what it paid is open again.';

revoke all on function
    public.issue_invoice(uuid), public.void_invoice(uuid), public.reverse_payment(uuid)
    from public, anon, authenticated, service_role;
grant execute on function
    public.issue_invoice(uuid), public.void_invoice(uuid), public.reverse_payment(uuid)
    to authenticated;
