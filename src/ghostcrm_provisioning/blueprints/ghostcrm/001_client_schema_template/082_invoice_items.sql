-- Lines of an invoice. The invoice's totals are the sum of these and of nothing else.

create table public.invoice_items (
    id uuid not null default private.uuid_v7(),
    invoice_id uuid not null,
    product_id uuid,
    position integer not null default 0,
    description text not null,
    unit text not null default 'piece',
    quantity numeric(14, 4) not null default 1,
    unit_price_minor bigint not null,
    discount_percent numeric(5, 2) not null default 0,
    tax_rate numeric(6, 3) not null default 0,
    subtotal_minor bigint not null generated always as
        (round(quantity * unit_price_minor * (1 - discount_percent / 100))::bigint) stored,
    tax_minor bigint not null generated always as
        (
            round(
                round(quantity * unit_price_minor * (1 - discount_percent / 100)) * tax_rate / 100
            )::bigint
        ) stored,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint invoice_items_pkey primary key (id),
    constraint invoice_items_invoice_id_fkey
        foreign key (invoice_id) references public.invoices (id) on delete cascade,
    constraint invoice_items_product_id_fkey
        foreign key (product_id) references public.products (id) on delete set null,
    constraint invoice_items_description_not_blank check (btrim(description) <> ''),
    constraint invoice_items_quantity_positive check (quantity > 0),
    constraint invoice_items_discount_percent_range check (discount_percent between 0 and 100),
    constraint invoice_items_tax_rate_range check (tax_rate between 0 and 100)
);

comment on table public.invoice_items is
    'Lines of an invoice, with a copy of the product''s name, price and tax rate.';
comment on column public.invoice_items.unit_price_minor is 'Net; negative for a credit line.';
comment on column public.invoice_items.tax_rate is 'Percent.';
comment on column public.invoice_items.subtotal_minor is
    'Net, rounded per line, half away from zero.';

create index invoice_items_invoice_id_idx on public.invoice_items (invoice_id, position);
create index invoice_items_product_id_idx on public.invoice_items (product_id);

-- Before: only a draft's lines change, and the draft is locked first, so that an issue and a change
-- of a line, or two changes, at the same moment come one after the other.
create or replace function private.lock_draft_invoice() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    -- A product that is deleted takes its link, not the line; generated columns have no value yet.
    free_columns constant text[] := '{product_id,subtotal_minor,tax_minor,updated_at}';
    invoice record;
begin
    for invoice in
        select i.number, i.status
        from public.invoices i
        where i.id in (case when tg_op <> 'INSERT' then old.invoice_id end,
                       case when tg_op <> 'DELETE' then new.invoice_id end)
        order by i.id
        for no key update
    loop
        if invoice.status <> 'draft' and not (
            tg_op = 'UPDATE' and to_jsonb(new) - free_columns = to_jsonb(old) - free_columns
        ) then
            raise exception 'the items of invoice % do not change any more', invoice.number
                using errcode = 'restrict_violation', hint = 'Void the invoice and write a new one.';
        end if;
    end loop;
    return case when tg_op = 'DELETE' then old else new end;
end
$$;

create or replace function private.total_invoice() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update public.invoices i
    set subtotal_minor = t.subtotal_minor, tax_minor = t.tax_minor
    from (
        select touched.id,
               coalesce(sum(item.subtotal_minor), 0) as subtotal_minor,
               coalesce(sum(item.tax_minor), 0) as tax_minor
        from unnest(array[case when tg_op <> 'INSERT' then old.invoice_id end,
                          case when tg_op <> 'DELETE' then new.invoice_id end]) as touched (id)
        left join public.invoice_items item on item.invoice_id = touched.id
        where touched.id is not null
        group by touched.id
    ) t
    where i.id = t.id
      and (i.subtotal_minor, i.tax_minor) is distinct from (t.subtotal_minor, t.tax_minor);
    return null;
end
$$;

create or replace function private.total_drafts() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- The other trigger computes the values.
    update public.invoices i set subtotal_minor = 0 where i.subtotal_minor <> 0 or i.tax_minor <> 0;
    return null;
end
$$;

comment on function private.total_drafts() is
    'Trigger, after TRUNCATE: no invoice, a draft then, has anything to sum up.';
comment on function private.lock_draft_invoice() is
    'Trigger: only the items of a draft change, one transaction at a time.';
comment on function private.total_invoice() is
    'Trigger: an invoice''s totals are the sums of its items.';

revoke all on function
    private.lock_draft_invoice(), private.total_invoice(), private.total_drafts()
    from public, anon, authenticated;

create trigger invoice_items_keep_books
    before truncate on public.invoice_items
    for each statement execute function private.keep_books();
create trigger invoice_items_lock_draft
    before insert or update or delete on public.invoice_items
    for each row execute function private.lock_draft_invoice();
create trigger invoice_items_total
    after insert or update or delete on public.invoice_items
    for each row execute function private.total_invoice();
create trigger invoice_items_truncated
    after truncate on public.invoice_items
    for each statement execute function private.total_drafts();
create trigger invoice_items_set_updated_at
    before update on public.invoice_items
    for each row execute function private.set_updated_at();
select private.keep_audit('public.invoice_items');

alter table public.invoice_items enable row level security;
revoke all on table public.invoice_items from public, anon, authenticated, service_role;
grant
    select,
    insert (
        id, invoice_id, product_id, position, description, unit, quantity, unit_price_minor,
        discount_percent, tax_rate
    ),
    update (
        product_id, position, description, unit, quantity, unit_price_minor,
        discount_percent, tax_rate
    ),
    delete
    on table public.invoice_items to authenticated;
grant all on table public.invoice_items to service_role;

create policy invoice_items_select on public.invoice_items
    for select to authenticated
    using (exists (select 1 from public.invoices i where i.id = invoice_items.invoice_id));
create policy invoice_items_insert on public.invoice_items
    for insert to authenticated
    with check (
        exists (
            select 1 from public.invoices i
            where i.id = invoice_items.invoice_id
              and i.status = 'draft'
              and (
                  (select private.my_role()) in ('owner', 'admin')
                  or (
                      (select private.my_role()) in ('manager', 'sales')
                      and i.owner_id = (select private.my_id())
                  )
              )
        )
    );
create policy invoice_items_update on public.invoice_items
    for update to authenticated
    using (
        exists (
            select 1 from public.invoices i
            where i.id = invoice_items.invoice_id
              and i.status = 'draft'
              and (
                  (select private.my_role()) in ('owner', 'admin')
                  or (
                      (select private.my_role()) in ('manager', 'sales')
                      and i.owner_id = (select private.my_id())
                  )
              )
        )
    )
    with check (
        exists (
            select 1 from public.invoices i
            where i.id = invoice_items.invoice_id
              and i.status = 'draft'
              and (
                  (select private.my_role()) in ('owner', 'admin')
                  or (
                      (select private.my_role()) in ('manager', 'sales')
                      and i.owner_id = (select private.my_id())
                  )
              )
        )
    );
create policy invoice_items_delete on public.invoice_items
    for delete to authenticated
    using (
        exists (
            select 1 from public.invoices i
            where i.id = invoice_items.invoice_id
              and i.status = 'draft'
              and (
                  (select private.my_role()) in ('owner', 'admin')
                  or (
                      (select private.my_role()) in ('manager', 'sales')
                      and i.owner_id = (select private.my_id())
                  )
              )
        )
    );
