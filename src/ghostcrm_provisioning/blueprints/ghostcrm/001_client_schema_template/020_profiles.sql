-- A person who works in this CRM. Same id as the user who signs in. Deactivated, never deleted:
-- their records, history and invoices keep a name.

create table public.profiles (
    id uuid not null,
    role_key text not null default 'sales',
    is_active boolean not null default true,
    email text not null,
    email_normalized text not null generated always as (lower(btrim(email))) stored,
    first_name text not null default '',
    last_name text not null default '',
    job_title text,
    phone text,
    avatar_path text,
    time_zone text not null default 'UTC',
    locale text not null default 'en',
    must_change_password boolean not null default false,
    deactivated_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint profiles_pkey primary key (id),
    -- Whoever deletes a user must first decide what becomes of their records.
    constraint profiles_id_fkey foreign key (id) references auth.users (id) on delete restrict,
    constraint profiles_role_key_fkey
        foreign key (role_key) references public.roles (key) on delete restrict,
    constraint profiles_email_normalized_key unique (email_normalized),
    constraint profiles_email_format check (email like '%_@_%'),
    -- An unknown zone makes the expression fail, which is as good as false.
    constraint profiles_time_zone_known
        check ((timestamptz '2000-01-01 00:00+00' at time zone time_zone) is not null),
    constraint profiles_deactivated_at_matches check (is_active = (deactivated_at is null))
);

comment on table public.profiles is
    'People who work in this CRM; id is that of the user who signs in.';
comment on column public.profiles.role_key is
    'Changed only by set_profile_role(): nobody raises themselves.';
comment on column public.profiles.is_active is
    'Changed only by set_profile_active(). Inactive: sees nothing.';
comment on column public.profiles.email is
    'Copy of the sign-in address for lists; Auth''s is the one that counts.';
comment on column public.profiles.time_zone is 'IANA name, such as Europe/Vienna.';
comment on column public.profiles.avatar_path is 'Path in the storage bucket of avatars.';
comment on column public.profiles.must_change_password is
    'A temporary password was given out: applications ask for a new one at the next sign-in and '
    'clear this.';

create index profiles_role_key_idx on public.profiles (role_key);
-- What every policy asks first: who is this, and what may they do?
create index profiles_access_idx on public.profiles (id) include (role_key) where is_active;

-- deactivated_at is nobody's to write: it follows is_active.
create or replace function private.set_deactivated_at() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    new.deactivated_at := case when not new.is_active then coalesce(new.deactivated_at, now()) end;
    return new;
end
$$;

-- Two owners who demote each other at the same moment would each still see the other. So changes of
-- who may what come one after the other: the lock is taken before any row is, and the check after the
-- change sees what the one before has committed. In a stricter isolation level, where it could not
-- see that, locking the rows it does see fails instead.
create or replace function private.lock_ownership() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('public.profiles: an owner remains', 0));
    return null;
end
$$;

create or replace function private.keep_an_owner() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform 1 from public.profiles p where p.role_key = 'owner' and p.is_active for key share;
    if not found then
        raise exception 'the last active owner cannot be removed, deactivated or demoted'
            using errcode = 'restrict_violation', hint = 'Make someone else an owner first.';
    end if;
    return null;
end
$$;

comment on function private.set_deactivated_at() is 'Trigger: deactivated_at follows is_active.';
comment on function private.lock_ownership() is
    'Trigger: changes of roles and activity come one after the other.';
comment on function private.keep_an_owner() is 'Trigger: one active owner remains.';

revoke all on function
    private.set_deactivated_at(), private.lock_ownership(), private.keep_an_owner()
    from public, anon, authenticated;

create trigger profiles_set_deactivated_at
    before insert or update of is_active, deactivated_at on public.profiles
    for each row execute function private.set_deactivated_at();
create trigger profiles_lock_ownership
    before update of role_key, is_active or delete on public.profiles
    for each statement execute function private.lock_ownership();
create trigger profiles_keep_an_owner_on_update
    after update of role_key, is_active on public.profiles
    for each row when (
        old.role_key = 'owner' and old.is_active and (new.role_key <> 'owner' or not new.is_active)
    )
    execute function private.keep_an_owner();
create trigger profiles_keep_an_owner_on_delete
    after delete on public.profiles
    for each row when (old.role_key = 'owner' and old.is_active)
    execute function private.keep_an_owner();
create trigger profiles_keep_an_owner_on_truncate
    after truncate on public.profiles
    for each statement execute function private.keep_an_owner();
create trigger profiles_set_updated_at
    before update on public.profiles
    for each row execute function private.set_updated_at();
select private.keep_audit('public.profiles');
create trigger profiles_count_inserted
    after insert on public.profiles referencing new table as new_rows
    for each statement execute function private.count_profiles();
create trigger profiles_count_updated
    after update on public.profiles referencing old table as old_rows new table as new_rows
    for each statement execute function private.count_profiles();
create trigger profiles_count_deleted
    after delete on public.profiles referencing old table as old_rows
    for each statement execute function private.count_profiles();
create trigger profiles_count_truncated
    after truncate on public.profiles
    for each statement execute function private.count_truncated('users');

alter table public.profiles enable row level security;
revoke all on table public.profiles from public, anon, authenticated, service_role;
grant
    select,
    insert (
        id, role_key, email, first_name, last_name, job_title, phone, avatar_path,
        time_zone, locale, must_change_password
    ),
    update (
        first_name, last_name, job_title, phone, avatar_path, time_zone, locale,
        must_change_password
    )
    on table public.profiles to authenticated;
grant all on table public.profiles to service_role;

create policy profiles_select on public.profiles
    for select to authenticated
    using ((select private.my_role()) is not null);
create policy profiles_insert on public.profiles
    for insert to authenticated
    with check (
        (select private.my_role()) in ('owner', 'admin')
        and (role_key <> 'owner' or (select private.my_role()) = 'owner')
    );
create policy profiles_update on public.profiles
    for update to authenticated
    using (
        id = (select private.my_id())
        or (select private.my_role()) in ('owner', 'admin')
    )
    with check (
        id = (select private.my_id())
        or (select private.my_role()) in ('owner', 'admin')
    );
