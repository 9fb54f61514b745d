-- Steps of a pipeline. Whether a deal is won or lost follows from the stage's type, never its name.

create table public.pipeline_stages (
    id uuid not null default private.uuid_v7(),
    pipeline_id uuid not null,
    name text not null,
    type text not null default 'open',
    position integer not null,
    probability smallint not null,
    rotten_after_days integer,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint pipeline_stages_pkey primary key (id),
    constraint pipeline_stages_pipeline_id_fkey
        foreign key (pipeline_id) references public.pipelines (id) on delete cascade,
    -- What a deal refers to: a stage of its own pipeline, and the status that comes with it.
    constraint pipeline_stages_pipeline_id_id_type_key unique (pipeline_id, id, type),
    -- Deferred, so that stages can be reordered in one transaction.
    constraint pipeline_stages_position_key
        unique (pipeline_id, position) deferrable initially deferred,
    constraint pipeline_stages_name_not_blank check (btrim(name) <> ''),
    constraint pipeline_stages_type_known check (type in ('open', 'won', 'lost')),
    constraint pipeline_stages_probability_range check (probability between 0 and 100),
    constraint pipeline_stages_probability_fits_type check (
        case type when 'won' then probability = 100 when 'lost' then probability = 0 else true end
    ),
    constraint pipeline_stages_rotten_after_days_positive check (rotten_after_days > 0)
);

comment on table public.pipeline_stages is 'Steps of a pipeline, in order of position.';
comment on column public.pipeline_stages.type is
    'open: being worked on. won, lost: the end. Cannot change while deals are in the stage.';
comment on column public.pipeline_stages.probability is
    'Chance of winning in percent, which deals start with here.';
comment on column public.pipeline_stages.rotten_after_days is
    'A deal that stays longer wants attention.';

create unique index pipeline_stages_name_idx on public.pipeline_stages
    (pipeline_id, lower(btrim(name)));

create trigger pipeline_stages_set_updated_at
    before update on public.pipeline_stages
    for each row execute function private.set_updated_at();
select private.keep_audit('public.pipeline_stages');

alter table public.pipeline_stages enable row level security;
revoke all on table public.pipeline_stages from public, anon, authenticated, service_role;
grant
    select,
    insert (id, pipeline_id, name, type, position, probability, rotten_after_days),
    update (name, type, position, probability, rotten_after_days),
    delete
    on table public.pipeline_stages to authenticated;
grant all on table public.pipeline_stages to service_role;

create policy pipeline_stages_select on public.pipeline_stages
    for select to authenticated
    using ((select private.my_role()) is not null);
create policy pipeline_stages_insert on public.pipeline_stages
    for insert to authenticated
    with check ((select private.my_role()) in ('owner', 'admin', 'manager'));
create policy pipeline_stages_update on public.pipeline_stages
    for update to authenticated
    using ((select private.my_role()) in ('owner', 'admin', 'manager'))
    with check ((select private.my_role()) in ('owner', 'admin', 'manager'));
create policy pipeline_stages_delete on public.pipeline_stages
    for delete to authenticated
    using ((select private.my_role()) in ('owner', 'admin'));
