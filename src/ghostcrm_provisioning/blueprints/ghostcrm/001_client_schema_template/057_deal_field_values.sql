-- Values of the custom fields of deals, one in a row, so that lists are filtered by them with an index:
-- conditions on jsonb are not leakproof, and under row level security no index serves them. Kept by the
-- triggers of 004_custom_fields.sql; what counts stands in deals.custom_fields.
--
--     GET /deals?select=*,deal_field_values!inner()
--         &deal_field_values.custom_field_definition_id=eq.…&deal_field_values.text_value=eq.vienna

create table public.deal_field_values (
    deal_id uuid not null,
    custom_field_definition_id uuid not null,
    ordinal smallint not null default 1,
    text_value text collate "C",
    number_value double precision,
    date_value date,
    unique_value text collate "C",

    constraint deal_field_values_pkey
        primary key (deal_id, custom_field_definition_id, ordinal),
    constraint deal_field_values_deal_id_fkey
        foreign key (deal_id) references public.deals (id) on delete cascade,
    constraint deal_field_values_custom_field_definition_id_fkey
        foreign key (custom_field_definition_id)
        references public.custom_field_definitions (id) on delete cascade,
    constraint deal_field_values_one_value
        check (num_nonnulls(text_value, number_value, date_value) = 1)
);

comment on table public.deal_field_values is
    'Values of the custom fields of deals that are not deleted, for filtering. Follows '
    'deals.custom_fields.';
comment on column public.deal_field_values.ordinal is
    'Place of a choice in a multi_select; otherwise 1.';
comment on column public.deal_field_values.text_value is
    'Text in lower case, without blanks around it; true or false.';
comment on column public.deal_field_values.number_value is
    'A double, whose comparison can use an index under row level security, unlike numeric''s.';
comment on column public.deal_field_values.unique_value is
    'The value again, where the field is unique.';

create index deal_field_values_text_idx on public.deal_field_values
    (custom_field_definition_id, text_value);
create index deal_field_values_number_idx on public.deal_field_values
    (custom_field_definition_id, number_value)
    where number_value is not null;
create index deal_field_values_date_idx on public.deal_field_values
    (custom_field_definition_id, date_value)
    where date_value is not null;
create unique index deal_field_values_unique_idx on public.deal_field_values
    (custom_field_definition_id, unique_value)
    where unique_value is not null;

alter table public.deal_field_values enable row level security;
revoke all on table public.deal_field_values from public, anon, authenticated, service_role;
-- Written by triggers only, the service's changes too.
grant select on table public.deal_field_values to authenticated, service_role;

create policy deal_field_values_select on public.deal_field_values
    for select to authenticated
    using (
        exists (select 1 from public.deals p where p.id = deal_field_values.deal_id)
    );
