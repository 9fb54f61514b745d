-- What a deal is about: products with the quantity and price offered.

create table public.deal_items (
    id uuid not null default private.uuid_v7(),
    deal_id uuid not null,
    product_id uuid,
    position integer not null default 0,
    description text not null,
    quantity numeric(14, 4) not null default 1,
    unit_price_minor bigint not null,
    discount_percent numeric(5, 2) not null default 0,
    total_minor bigint not null generated always as
        (round(quantity * unit_price_minor * (1 - discount_percent / 100))::bigint) stored,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint deal_items_pkey primary key (id),
    constraint deal_items_deal_id_fkey
        foreign key (deal_id) references public.deals (id) on delete cascade,
    constraint deal_items_product_id_fkey
        foreign key (product_id) references public.products (id) on delete set null,
    constraint deal_items_description_not_blank check (btrim(description) <> ''),
    constraint deal_items_quantity_positive check (quantity > 0),
    constraint deal_items_unit_price_minor_not_negative check (unit_price_minor >= 0),
    constraint deal_items_discount_percent_range check (discount_percent between 0 and 100)
);

comment on table public.deal_items is
    'Products offered in a deal, in the deal''s currency, with a copy of name and price.';
comment on column public.deal_items.total_minor is 'Net, rounded half away from zero.';

create index deal_items_deal_id_idx on public.deal_items (deal_id, position);
create index deal_items_product_id_idx on public.deal_items (product_id);

create trigger deal_items_set_updated_at
    before update on public.deal_items
    for each row execute function private.set_updated_at();
select private.keep_audit('public.deal_items');

alter table public.deal_items enable row level security;
revoke all on table public.deal_items from public, anon, authenticated, service_role;
grant
    select,
    insert (
        id, deal_id, product_id, position, description, quantity, unit_price_minor,
        discount_percent
    ),
    update (product_id, position, description, quantity, unit_price_minor, discount_percent),
    delete
    on table public.deal_items to authenticated;
grant all on table public.deal_items to service_role;

create policy deal_items_select on public.deal_items
    for select to authenticated
    using (exists (select 1 from public.deals p where p.id = deal_items.deal_id));
create policy deal_items_insert on public.deal_items
    for insert to authenticated
    with check (
        exists (
            select 1 from public.deals p
            where p.id = deal_items.deal_id
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
create policy deal_items_update on public.deal_items
    for update to authenticated
    using (
        exists (
            select 1 from public.deals p
            where p.id = deal_items.deal_id
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
            select 1 from public.deals p
            where p.id = deal_items.deal_id
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
create policy deal_items_delete on public.deal_items
    for delete to authenticated
    using (
        exists (
            select 1 from public.deals p
            where p.id = deal_items.deal_id
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
