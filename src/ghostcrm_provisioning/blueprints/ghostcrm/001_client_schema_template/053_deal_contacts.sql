-- Who else takes part in a deal on the other side.

create table public.deal_contacts (
    deal_id uuid not null,
    contact_id uuid not null,
    role text not null default 'other',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint deal_contacts_pkey primary key (deal_id, contact_id),
    constraint deal_contacts_deal_id_fkey
        foreign key (deal_id) references public.deals (id) on delete cascade,
    constraint deal_contacts_contact_id_fkey
        foreign key (contact_id) references public.contacts (id) on delete cascade,
    constraint deal_contacts_role_known
        check (role in ('decision_maker', 'influencer', 'user', 'billing', 'blocker', 'other'))
);

comment on table public.deal_contacts is
    'Contacts that take part in a deal beside the main one, and how.';

create index deal_contacts_contact_id_idx on public.deal_contacts (contact_id);

create trigger deal_contacts_check_new_links
    before insert on public.deal_contacts
    for each row when (new.contact_id is not null)
    execute function private.check_links('contact_id');
create trigger deal_contacts_set_updated_at
    before update on public.deal_contacts
    for each row execute function private.set_updated_at();
select private.keep_audit('public.deal_contacts', 'deal_id');

alter table public.deal_contacts enable row level security;
revoke all on table public.deal_contacts from public, anon, authenticated, service_role;
grant
    select,
    insert (deal_id, contact_id, role),
    update (role),
    delete
    on table public.deal_contacts to authenticated;
grant all on table public.deal_contacts to service_role;

create policy deal_contacts_select on public.deal_contacts
    for select to authenticated
    using (exists (select 1 from public.deals p where p.id = deal_contacts.deal_id));
create policy deal_contacts_insert on public.deal_contacts
    for insert to authenticated
    with check (
        exists (
            select 1 from public.deals p
            where p.id = deal_contacts.deal_id
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
create policy deal_contacts_update on public.deal_contacts
    for update to authenticated
    using (
        exists (
            select 1 from public.deals p
            where p.id = deal_contacts.deal_id
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
            where p.id = deal_contacts.deal_id
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
create policy deal_contacts_delete on public.deal_contacts
    for delete to authenticated
    using (
        exists (
            select 1 from public.deals p
            where p.id = deal_contacts.deal_id
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
