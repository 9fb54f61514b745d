-- Which tags a company has.

create table public.company_tags (
    company_id uuid not null,
    tag_id uuid not null,
    created_at timestamptz not null default now(),

    constraint company_tags_pkey primary key (company_id, tag_id),
    constraint company_tags_company_id_fkey
        foreign key (company_id) references public.companies (id) on delete cascade,
    constraint company_tags_tag_id_fkey
        foreign key (tag_id) references public.tags (id) on delete cascade
);

comment on table public.company_tags is 'Which tags a company has.';

create index company_tags_tag_id_idx on public.company_tags (tag_id);

select private.keep_audit('public.company_tags', 'company_id');

alter table public.company_tags enable row level security;
revoke all on table public.company_tags from public, anon, authenticated, service_role;
grant select, insert (company_id, tag_id), delete on table public.company_tags to authenticated;
grant all on table public.company_tags to service_role;

create policy company_tags_select on public.company_tags
    for select to authenticated
    using (exists (select 1 from public.companies p where p.id = company_tags.company_id));
create policy company_tags_insert on public.company_tags
    for insert to authenticated
    with check (
        exists (
            select 1 from public.companies p
            where p.id = company_tags.company_id
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
create policy company_tags_delete on public.company_tags
    for delete to authenticated
    using (
        exists (
            select 1 from public.companies p
            where p.id = company_tags.company_id
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
