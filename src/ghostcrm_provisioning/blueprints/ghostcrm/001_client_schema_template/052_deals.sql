-- Sales opportunities.

create table public.deals (
    id uuid not null default private.uuid_v7(),
    owner_id uuid,
    team_id uuid,
    pipeline_id uuid not null,
    stage_id uuid not null,
    status text not null default 'open',
    company_id uuid,
    contact_id uuid,
    name text not null,
    name_normalized text collate "C" not null generated always as (lower(btrim(name))) stored,
    amount_minor bigint,
    currency char(3),
    probability smallint not null,
    expected_close_on date,
    position double precision not null default 0,
    stage_entered_at timestamptz not null default now(),
    closed_at timestamptz,
    lost_reason text,
    source text,
    description text not null default '',
    custom_fields jsonb not null default '{}',
    external_key text,
    deleted_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint deals_pkey primary key (id),
    constraint deals_owner_id_fkey
        foreign key (owner_id) references public.profiles (id) on delete restrict,
    constraint deals_team_id_fkey
        foreign key (team_id) references public.teams (id) on delete restrict,
    constraint deals_pipeline_id_fkey
        foreign key (pipeline_id) references public.pipelines (id) on delete restrict,
    -- The stage is one of the deal's own pipeline, and the status is the stage's type: always.
    constraint deals_stage_fkey foreign key (pipeline_id, stage_id, status)
        references public.pipeline_stages (pipeline_id, id, type) on delete restrict,
    constraint deals_company_id_fkey
        foreign key (company_id) references public.companies (id) on delete set null,
    constraint deals_contact_id_fkey
        foreign key (contact_id) references public.contacts (id) on delete set null,
    constraint deals_external_key_key unique (external_key),
    constraint deals_name_not_blank check (btrim(name) <> ''),
    constraint deals_status_known check (status in ('open', 'won', 'lost')),
    constraint deals_closed_at_matches check ((status = 'open') = (closed_at is null)),
    constraint deals_amount_minor_not_negative check (amount_minor >= 0),
    constraint deals_amount_has_currency check (amount_minor is null or currency is not null),
    constraint deals_currency_format check (currency ~ '^[A-Z]{3}$'),
    constraint deals_probability_range check (probability between 0 and 100),
    constraint deals_custom_fields_object check (jsonb_typeof(custom_fields) = 'object')
);

comment on table public.deals is 'Sales opportunities.';
comment on column public.deals.status is
    'The type of the stage: open, won or lost. Follows the stage by itself.';
comment on column public.deals.contact_id is
    'Main contact; others, with their part in it, in deal_contacts.';
comment on column public.deals.amount_minor is
    'Expected value in the smallest unit of the currency (cents).';
comment on column public.deals.currency is 'ISO 4217 code.';
comment on column public.deals.probability is
    'Percent. Starts as the stage''s, may be set otherwise until the next move.';
comment on column public.deals.position is
    'Order within the stage on the board; the middle between two neighbours when moved.';
comment on column public.deals.deleted_at is
    'Soft delete, by delete_record() and restore_record() only.';

create index deals_owner_id_idx on public.deals (owner_id, created_at desc);
create index deals_team_id_idx on public.deals (team_id, created_at desc);
create index deals_stage_idx on public.deals (pipeline_id, stage_id, status);
create index deals_company_id_idx on public.deals (company_id);
create index deals_contact_id_idx on public.deals (contact_id);
create index deals_list_idx on public.deals (created_at desc, id desc) where deleted_at is null;
create index deals_name_idx on public.deals (name_normalized) where deleted_at is null;
create index deals_search_idx on public.deals
    using gin (name_normalized extensions.gin_trgm_ops) where deleted_at is null;
create index deals_board_idx on public.deals (pipeline_id, stage_id, position, id)
    where status = 'open' and deleted_at is null;

create or replace function private.follow_stage() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    stage record;
begin
    select s.type, s.probability into stage
    from public.pipeline_stages s
    where s.id = new.stage_id and s.pipeline_id = new.pipeline_id;
    if not found then
        raise exception 'stage % is not a stage of pipeline %', new.stage_id, new.pipeline_id
            using errcode = 'foreign_key_violation';
    end if;

    new.status := stage.type;
    new.closed_at := case when stage.type <> 'open' then coalesce(new.closed_at, now()) end;
    if tg_op = 'INSERT' then
        new.probability := coalesce(new.probability, stage.probability);
    elsif new.stage_id is distinct from old.stage_id then
        new.stage_entered_at := now();
        -- A probability sent along with the move is meant; otherwise the stage's counts again.
        if new.probability is not distinct from old.probability then
            new.probability := stage.probability;
        end if;
        if stage.type <> 'open' and old.status <> stage.type then
            new.closed_at := now();
        end if;
    end if;
    return new;
end
$$;

comment on function private.follow_stage() is
    'Trigger: status, closing time and probability follow the deal''s stage.';

revoke all on function private.follow_stage() from public, anon, authenticated;

create trigger deals_check_new_links
    before insert on public.deals
    for each row when (
        new.company_id is not null
        or new.contact_id is not null
    )
    execute function private.check_links('company_id', 'contact_id');
create trigger deals_check_changed_links
    before update of company_id, contact_id on public.deals
    for each row when (
        new.company_id is distinct from old.company_id
        or new.contact_id is distinct from old.contact_id
    )
    execute function private.check_links('company_id', 'contact_id');
create trigger deals_follow_stage
    before insert or update of pipeline_id, stage_id, status, closed_at on public.deals
    for each row execute function private.follow_stage();
create trigger deals_set_updated_at
    before update on public.deals
    for each row execute function private.set_updated_at();
create trigger deals_check_new_custom_fields
    after insert on public.deals referencing new table as new_rows
    for each statement execute function private.check_new_custom_fields();
create trigger deals_check_changed_custom_fields
    after update on public.deals
    for each row when (
        old.custom_fields is distinct from new.custom_fields
        or (
            new.custom_fields <> '{}'
            and (old.deleted_at is null) is distinct from (new.deleted_at is null)
        )
    )
    execute function private.check_changed_custom_fields();
select private.keep_audit('public.deals');

alter table public.deals enable row level security;
revoke all on table public.deals from public, anon, authenticated, service_role;
grant
    select,
    insert (
        id, owner_id, team_id, pipeline_id, stage_id, company_id, contact_id, name,
        amount_minor, currency, probability, expected_close_on, position, lost_reason,
        source, description, custom_fields, external_key
    ),
    update (
        owner_id, team_id, pipeline_id, stage_id, company_id, contact_id, name,
        amount_minor, currency, probability, expected_close_on, position, lost_reason,
        source, description, custom_fields, external_key
    )
    on table public.deals to authenticated;
grant all on table public.deals to service_role;

create policy deals_select on public.deals
    for select to authenticated
    using (
        deleted_at is null and (
            (select private.my_role() in ('owner', 'admin', 'manager', 'viewer'))
            or coalesce(owner_id, '00000000-0000-0000-0000-000000000000')
                = any ((select private.my_owner_keys())::uuid[])
            or team_id = any ((select private.my_teams())::uuid[])
        )
    );
create policy deals_insert on public.deals
    for insert to authenticated
    with check (
        deleted_at is null and (
            (select private.my_role()) in ('owner', 'admin')
            or (
                (select private.my_role()) = 'manager'
                and (
                    team_id = any (array(select private.my_team_ids()))
                    or (
                        team_id is null
                        and (owner_id is null or owner_id = (select private.my_id()))
                    )
                )
            )
            or (
                (select private.my_role()) = 'sales'
                and owner_id = (select private.my_id())
                and (team_id is null or team_id = any (array(select private.my_team_ids())))
            )
        )
    );
create policy deals_update on public.deals
    for update to authenticated
    using (
        deleted_at is null and (
            (select private.my_role()) in ('owner', 'admin')
            or (
                (select private.my_role()) = 'manager'
                and (
                    team_id = any (array(select private.my_team_ids()))
                    or owner_id is null
                    or owner_id = (select private.my_id())
                )
            )
            or ((select private.my_role()) = 'sales' and owner_id = (select private.my_id()))
        )
    )
    with check (
        deleted_at is null and (
            (select private.my_role()) in ('owner', 'admin')
            or (
                (select private.my_role()) = 'manager'
                and (
                    team_id = any (array(select private.my_team_ids()))
                    or (
                        team_id is null
                        and (owner_id is null or owner_id = (select private.my_id()))
                    )
                )
            )
            or (
                (select private.my_role()) = 'sales'
                and owner_id = (select private.my_id())
                and (team_id is null or team_id = any (array(select private.my_team_ids())))
            )
        )
    );
