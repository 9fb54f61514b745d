-- Invoices. A draft is anybody's paper; an issued invoice has a number and does not change any more:
-- it is paid or voided.

create table public.invoices (
    id uuid not null default private.uuid_v7(),
    owner_id uuid,
    team_id uuid,
    company_id uuid,
    contact_id uuid,
    deal_id uuid,
    status text not null default 'draft',
    series text not null default 'INV',
    number text,
    currency char(3) not null,
    bill_to jsonb not null default '{}',
    issued_on date,
    due_on date,
    payment_terms_days integer not null default 14,
    subtotal_minor bigint not null default 0,
    tax_minor bigint not null default 0,
    total_minor bigint not null generated always as (subtotal_minor + tax_minor) stored,
    paid_minor bigint not null default 0,
    balance_minor bigint not null
        generated always as (subtotal_minor + tax_minor - paid_minor) stored,
    notes text not null default '',
    issued_at timestamptz,
    paid_at timestamptz,
    voided_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint invoices_pkey primary key (id),
    constraint invoices_owner_id_fkey
        foreign key (owner_id) references public.profiles (id) on delete restrict,
    constraint invoices_team_id_fkey
        foreign key (team_id) references public.teams (id) on delete restrict,
    -- Books are kept: whoever was invoiced cannot be erased from under an invoice.
    constraint invoices_company_id_fkey
        foreign key (company_id) references public.companies (id) on delete restrict,
    constraint invoices_contact_id_fkey
        foreign key (contact_id) references public.contacts (id) on delete restrict,
    constraint invoices_deal_id_fkey
        foreign key (deal_id) references public.deals (id) on delete restrict,
    constraint invoices_number_key unique (number),
    -- What an allocation refers to, so that money is only set against money of the same currency.
    constraint invoices_id_currency_key unique (id, currency),
    constraint invoices_for_somebody check (num_nonnulls(company_id, contact_id) >= 1),
    constraint invoices_status_known check (status in ('draft', 'sent', 'partial', 'paid', 'void')),
    constraint invoices_series_format check (series ~ '^[A-Z0-9]{1,10}$'),
    constraint invoices_currency_format check (currency ~ '^[A-Z]{3}$'),
    constraint invoices_bill_to_object check (jsonb_typeof(bill_to) = 'object'),
    constraint invoices_payment_terms_days_not_negative check (payment_terms_days >= 0),
    constraint invoices_issued_has_number check (
        (status = 'draft') = (number is null)
        and (status = 'draft') = (issued_at is null)
        and (status = 'draft' or (issued_on is not null and due_on is not null))
    ),
    constraint invoices_due_after_issue check (due_on >= issued_on),
    -- A draft may pass through a negative total while its credit lines are being written.
    constraint invoices_not_overpaid
        check (status = 'draft' or paid_minor between 0 and subtotal_minor + tax_minor),
    -- Status and money cannot disagree.
    constraint invoices_status_fits_money check (
        case status
            when 'sent' then paid_minor = 0 and subtotal_minor + tax_minor > 0
            when 'partial' then paid_minor > 0 and paid_minor < subtotal_minor + tax_minor
            when 'paid' then paid_minor = subtotal_minor + tax_minor
            else paid_minor = 0
        end
    )
);

comment on table public.invoices is 'Invoices, from draft to paid or void.';
comment on column public.invoices.status is
    'draft → sent (issue_invoice) → partial → paid, by allocating payments; void (by '
    'void_invoice) while nothing is paid.';
comment on column public.invoices.number is
    'Given when issued: series, year, counter. Null in a draft.';
comment on column public.invoices.bill_to is
    'Copy of name, address and tax number at issue. Keys: name, tax_number, street, postal_code, '
    'city, region, country.';
comment on column public.invoices.subtotal_minor is
    'Net, the sum of the items; smallest unit of the currency.';
comment on column public.invoices.paid_minor is 'Sum of the allocated payments, kept by a trigger.';

create index invoices_owner_id_idx on public.invoices (owner_id, created_at desc);
create index invoices_team_id_idx on public.invoices (team_id, created_at desc);
create index invoices_company_id_idx on public.invoices (company_id, created_at desc);
create index invoices_contact_id_idx on public.invoices (contact_id, created_at desc);
create index invoices_deal_id_idx on public.invoices (deal_id);
create index invoices_list_idx on public.invoices (created_at desc, id desc);
create index invoices_open_idx on public.invoices (due_on) where status in ('sent', 'partial');

create or replace function private.keep_issued_invoice() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'DELETE' then
        raise exception 'invoice % has been issued and cannot be deleted', old.number
            using errcode = 'restrict_violation', hint = 'Void it: select void_invoice(id).';
    end if;
    if (new.number, new.issued_on, new.issued_at, new.currency, new.bill_to, new.company_id,
        new.due_on, new.subtotal_minor, new.tax_minor)
       is distinct from
       (old.number, old.issued_on, old.issued_at, old.currency, old.bill_to, old.company_id,
        old.due_on, old.subtotal_minor, old.tax_minor)
       -- The contact is who it was, also under another id: a merged one is followed.
       or (new.contact_id is distinct from old.contact_id and not exists (
           select from public.contacts c
           where c.id = old.contact_id and c.merged_into_contact_id = new.contact_id
       ))
       or new.status = 'draft' or (old.status = 'void' and new.status <> 'void')
    then
        raise exception 'invoice % has been issued and does not change any more', old.number
            using errcode = 'restrict_violation', hint = 'Void it and write a new one.';
    end if;
    return new;
end
$$;

comment on function private.keep_issued_invoice() is
    'Trigger: an issued invoice is paid or voided, nothing else, by anybody.';

-- Sums are computed, never believed: whoever writes one, the service and the schema's owner included,
-- writes what the items and allocations say.
create or replace function private.keep_invoice_sums() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    select coalesce(sum(item.subtotal_minor), 0), coalesce(sum(item.tax_minor), 0)
    into new.subtotal_minor, new.tax_minor
    from public.invoice_items item where item.invoice_id = new.id;
    select coalesce(sum(a.amount_minor), 0) into new.paid_minor
    from public.payment_allocations a where a.invoice_id = new.id;
    return new;
end
$$;

create or replace function private.keep_books() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from public.invoices i where i.status <> 'draft')
       or exists (select from public.payments)
    then
        raise exception 'invoices have been issued or payments recorded: % is not possible on %',
            lower(tg_op), tg_table_name
            using errcode = 'restrict_violation';
    end if;
    return null;
end
$$;

comment on function private.keep_invoice_sums() is
    'Trigger: an invoice''s sums are those of its items and allocations, whatever is written.';
comment on function private.keep_books() is
    'Trigger: TRUNCATE, which asks no row, does not empty the books.';

revoke all on function
    private.keep_issued_invoice(), private.keep_invoice_sums(), private.keep_books()
    from public, anon, authenticated;

create trigger invoices_check_new_links
    before insert on public.invoices
    for each row when (
        new.company_id is not null
        or new.contact_id is not null
        or new.deal_id is not null
    )
    execute function private.check_links('company_id', 'contact_id', 'deal_id');
create trigger invoices_check_changed_links
    before update of company_id, contact_id, deal_id on public.invoices
    for each row when (
        new.company_id is distinct from old.company_id
        or new.contact_id is distinct from old.contact_id
        or new.deal_id is distinct from old.deal_id
    )
    execute function private.check_links('company_id', 'contact_id', 'deal_id');
create trigger invoices_keep_books
    before truncate on public.invoices
    for each statement execute function private.keep_books();
create trigger invoices_keep_sums
    before insert or update of subtotal_minor, tax_minor, paid_minor on public.invoices
    for each row execute function private.keep_invoice_sums();
create trigger invoices_keep_issued
    before update or delete on public.invoices
    for each row when (old.status <> 'draft')
    execute function private.keep_issued_invoice();
create trigger invoices_set_updated_at
    before update on public.invoices
    for each row execute function private.set_updated_at();
select private.keep_audit('public.invoices');

alter table public.invoices enable row level security;
revoke all on table public.invoices from public, anon, authenticated, service_role;
grant
    select,
    insert (
        id, owner_id, team_id, company_id, contact_id, deal_id, series, currency, bill_to,
        due_on, payment_terms_days, notes
    ),
    update (
        owner_id, team_id, company_id, contact_id, deal_id, series, currency, bill_to,
        due_on, payment_terms_days, notes
    ),
    delete
    on table public.invoices to authenticated;
grant all on table public.invoices to service_role;

-- `offset 0`: one look by index for each row that needs it, never all records read beforehand.
create policy invoices_select on public.invoices
    for select to authenticated
    using (
        (select private.my_role() in ('owner', 'admin', 'manager', 'viewer'))
        or owner_id = (select private.my_id())
        or team_id = any ((select private.my_teams())::uuid[])
        or exists (
            select from public.companies c where c.id = invoices.company_id offset 0
        )
        or exists (
            select from public.contacts c where c.id = invoices.contact_id offset 0
        )
        or exists (
            select from public.deals d where d.id = invoices.deal_id offset 0
        )
    );
create policy invoices_insert on public.invoices
    for insert to authenticated
    with check (
        status = 'draft'
        and (
            (select private.my_role()) in ('owner', 'admin')
            or (
                (select private.my_role()) in ('manager', 'sales')
                and owner_id = (select private.my_id())
                and (team_id is null or team_id = any (array(select private.my_team_ids())))
            )
        )
    );
create policy invoices_update on public.invoices
    for update to authenticated
    using (
        status = 'draft'
        and (
            (select private.my_role()) in ('owner', 'admin')
            or (
                (select private.my_role()) in ('manager', 'sales')
                and owner_id = (select private.my_id())
            )
        )
    )
    with check (
        status = 'draft'
        and (
            (select private.my_role()) in ('owner', 'admin')
            or (
                (select private.my_role()) in ('manager', 'sales')
                and owner_id = (select private.my_id())
                and (team_id is null or team_id = any (array(select private.my_team_ids())))
            )
        )
    );
create policy invoices_delete on public.invoices
    for delete to authenticated
    using (
        status = 'draft'
        and (
            (select private.my_role()) in ('owner', 'admin')
            or (
                (select private.my_role()) in ('manager', 'sales')
                and owner_id = (select private.my_id())
            )
        )
    );
