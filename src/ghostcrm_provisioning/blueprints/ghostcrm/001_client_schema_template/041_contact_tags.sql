-- Which tags a contact has.

create table public.contact_tags (
    contact_id uuid not null,
    tag_id uuid not null,
    created_at timestamptz not null default now(),

    constraint contact_tags_pkey primary key (contact_id, tag_id),
    constraint contact_tags_contact_id_fkey
        foreign key (contact_id) references public.contacts (id) on delete cascade,
    constraint contact_tags_tag_id_fkey
        foreign key (tag_id) references public.tags (id) on delete cascade
);

comment on table public.contact_tags is 'Which tags a contact has.';

create index contact_tags_tag_id_idx on public.contact_tags (tag_id);

select private.keep_audit('public.contact_tags', 'contact_id');

alter table public.contact_tags enable row level security;
revoke all on table public.contact_tags from public, anon, authenticated, service_role;
grant select, insert (contact_id, tag_id), delete on table public.contact_tags to authenticated;
grant all on table public.contact_tags to service_role;

create policy contact_tags_select on public.contact_tags
    for select to authenticated
    using (exists (select 1 from public.contacts p where p.id = contact_tags.contact_id));
create policy contact_tags_insert on public.contact_tags
    for insert to authenticated
    with check (
        exists (
            select 1 from public.contacts p
            where p.id = contact_tags.contact_id
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
create policy contact_tags_delete on public.contact_tags
    for delete to authenticated
    using (
        exists (
            select 1 from public.contacts p
            where p.id = contact_tags.contact_id
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
