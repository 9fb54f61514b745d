-- Further numbers of a contact; the main one stays on the contact.

create table public.contact_phones (
    id uuid not null default private.uuid_v7(),
    contact_id uuid not null,
    phone text not null,
    phone_normalized text collate "C" not null
        generated always as (regexp_replace(phone, '[^0-9+]', '', 'g')) stored,
    label text not null default 'work',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint contact_phones_pkey primary key (id),
    constraint contact_phones_contact_id_fkey
        foreign key (contact_id) references public.contacts (id) on delete cascade,
    constraint contact_phones_contact_id_phone_key unique (contact_id, phone_normalized),
    constraint contact_phones_phone_not_blank check (btrim(phone) <> ''),
    constraint contact_phones_label_known
        check (label in ('work', 'mobile', 'home', 'fax', 'other'))
);

comment on table public.contact_phones is
    'Further numbers of a contact, beside the main one on the contact itself.';

create index contact_phones_phone_idx on public.contact_phones (phone_normalized);

create trigger contact_phones_set_updated_at
    before update on public.contact_phones
    for each row execute function private.set_updated_at();
select private.keep_audit('public.contact_phones');

alter table public.contact_phones enable row level security;
revoke all on table public.contact_phones from public, anon, authenticated, service_role;
grant
    select,
    insert (id, contact_id, phone, label),
    update (phone, label),
    delete
    on table public.contact_phones to authenticated;
grant all on table public.contact_phones to service_role;

create policy contact_phones_select on public.contact_phones
    for select to authenticated
    using (exists (select 1 from public.contacts p where p.id = contact_phones.contact_id));
create policy contact_phones_insert on public.contact_phones
    for insert to authenticated
    with check (
        exists (
            select 1 from public.contacts p
            where p.id = contact_phones.contact_id
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
create policy contact_phones_update on public.contact_phones
    for update to authenticated
    using (
        exists (
            select 1 from public.contacts p
            where p.id = contact_phones.contact_id
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
            select 1 from public.contacts p
            where p.id = contact_phones.contact_id
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
create policy contact_phones_delete on public.contact_phones
    for delete to authenticated
    using (
        exists (
            select 1 from public.contacts p
            where p.id = contact_phones.contact_id
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
