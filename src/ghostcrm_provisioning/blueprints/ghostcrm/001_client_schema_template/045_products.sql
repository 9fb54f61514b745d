-- What the client sells. Deals and invoices copy name and price: a price list may change, a past
-- offer may not.

create table public.products (
    id uuid not null default private.uuid_v7(),
    sku text,
    sku_normalized text generated always as (upper(btrim(sku))) stored,
    name text not null,
    name_normalized text collate "C" not null generated always as (lower(btrim(name))) stored,
    description text not null default '',
    unit text not null default 'piece',
    unit_price_minor bigint not null,
    currency char(3) not null,
    tax_rate numeric(6, 3) not null default 0,
    is_active boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint products_pkey primary key (id),
    constraint products_sku_normalized_key unique (sku_normalized),
    constraint products_name_not_blank check (btrim(name) <> ''),
    constraint products_unit_price_minor_not_negative check (unit_price_minor >= 0),
    constraint products_currency_format check (currency ~ '^[A-Z]{3}$'),
    constraint products_tax_rate_range check (tax_rate between 0 and 100)
);

comment on table public.products is
    'What the client sells. Retired with is_active, not deleted, once used.';
comment on column public.products.sku is
    'The client''s own article number; unique without regard to case.';
comment on column public.products.unit_price_minor is
    'Net price of one unit in the smallest unit of the currency (cents).';
comment on column public.products.currency is 'ISO 4217 code.';
comment on column public.products.tax_rate is 'Percent.';

create index products_name_idx on public.products (name_normalized) where is_active;

create trigger products_set_updated_at
    before update on public.products
    for each row execute function private.set_updated_at();
select private.keep_audit('public.products');

alter table public.products enable row level security;
revoke all on table public.products from public, anon, authenticated, service_role;
grant
    select,
    insert (id, sku, name, description, unit, unit_price_minor, currency, tax_rate, is_active),
    update (sku, name, description, unit, unit_price_minor, currency, tax_rate, is_active),
    delete
    on table public.products to authenticated;
grant all on table public.products to service_role;

create policy products_select on public.products
    for select to authenticated
    using ((select private.my_role()) is not null);
create policy products_insert on public.products
    for insert to authenticated
    with check ((select private.my_role()) in ('owner', 'admin', 'manager'));
create policy products_update on public.products
    for update to authenticated
    using ((select private.my_role()) in ('owner', 'admin', 'manager'))
    with check ((select private.my_role()) in ('owner', 'admin', 'manager'));
create policy products_delete on public.products
    for delete to authenticated
    using ((select private.my_role()) in ('owner', 'admin'));
