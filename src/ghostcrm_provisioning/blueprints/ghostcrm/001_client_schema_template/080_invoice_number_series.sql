-- Where invoice numbers come from. A row for each series and year, locked while an invoice is issued:
-- numbers follow each other without a gap, which a sequence cannot promise.

create table public.invoice_number_series (
    series text not null,
    year integer not null,
    last_number integer not null default 0,

    constraint invoice_number_series_pkey primary key (series, year),
    constraint invoice_number_series_series_format check (series ~ '^[A-Z0-9]{1,10}$'),
    constraint invoice_number_series_last_number_not_negative check (last_number >= 0)
);

comment on table public.invoice_number_series is
    'Last invoice number given out in each series and year.';

select private.keep_audit('public.invoice_number_series', 'series');

alter table public.invoice_number_series enable row level security;
revoke all on table public.invoice_number_series from public, anon, authenticated, service_role;
-- Written by issue_invoice() only.
grant select on table public.invoice_number_series to authenticated, service_role;

create policy invoice_number_series_select on public.invoice_number_series
    for select to authenticated
    using ((select private.my_role()) in ('owner', 'admin'));
