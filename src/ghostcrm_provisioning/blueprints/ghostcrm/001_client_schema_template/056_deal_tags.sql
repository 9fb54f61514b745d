-- Which tags a deal has.

create table public.deal_tags (
    deal_id uuid not null,
    tag_id uuid not null,
    created_at timestamptz not null default now(),

    constraint deal_tags_pkey primary key (deal_id, tag_id),
    constraint deal_tags_deal_id_fkey
        foreign key (deal_id) references public.deals (id) on delete cascade,
    constraint deal_tags_tag_id_fkey
        foreign key (tag_id) references public.tags (id) on delete cascade
);

comment on table public.deal_tags is 'Which tags a deal has.';

create index deal_tags_tag_id_idx on public.deal_tags (tag_id);

select private.keep_audit('public.deal_tags', 'deal_id');

alter table public.deal_tags enable row level security;
revoke all on table public.deal_tags from public, anon, authenticated, service_role;
grant select, insert (deal_id, tag_id), delete on table public.deal_tags to authenticated;
grant all on table public.deal_tags to service_role;

create policy deal_tags_select on public.deal_tags
    for select to authenticated
    using (exists (select 1 from public.deals p where p.id = deal_tags.deal_id));
create policy deal_tags_insert on public.deal_tags
    for insert to authenticated
    with check (
        exists (
            select 1 from public.deals p
            where p.id = deal_tags.deal_id
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
create policy deal_tags_delete on public.deal_tags
    for delete to authenticated
    using (
        exists (
            select 1 from public.deals p
            where p.id = deal_tags.deal_id
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
