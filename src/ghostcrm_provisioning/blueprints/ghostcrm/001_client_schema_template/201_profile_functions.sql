-- Roles and deactivation of people. Columns that decide about access are not in anybody's column
-- grants; these functions are the only way, and they never let a caller rise.

create or replace function private.check_may_change_profile(profile_id uuid, new_role_key text)
returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    my_role text := private.my_role();
    current_role_key text := (select p.role_key from public.profiles p where p.id = profile_id);
begin
    if my_role is null or my_role not in ('owner', 'admin') or current_role_key is null then
        raise exception 'you may not change profile %', profile_id
            using errcode = 'insufficient_privilege';
    end if;
    if my_role <> 'owner' and 'owner' in (current_role_key, new_role_key) then
        raise exception 'only an owner makes or unmakes an owner'
            using errcode = 'insufficient_privilege';
    end if;
end
$$;

create or replace function private.set_profile_role(profile_id uuid, new_role_key text) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform private.check_may_change_profile(profile_id, new_role_key);
    update public.profiles p set role_key = new_role_key
    where p.id = profile_id and p.role_key is distinct from new_role_key;
end
$$;

create or replace function private.set_profile_active(profile_id uuid, is_active boolean) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform private.check_may_change_profile(profile_id, null);
    update public.profiles p set is_active = set_profile_active.is_active
    where p.id = profile_id and p.is_active is distinct from set_profile_active.is_active;
end
$$;

revoke all on function
    private.check_may_change_profile(uuid, text),
    private.set_profile_role(uuid, text),
    private.set_profile_active(uuid, boolean)
    from public, anon;
grant execute on function
    private.set_profile_role(uuid, text),
    private.set_profile_active(uuid, boolean)
    to authenticated;

create function public.set_profile_role(profile_id uuid, new_role_key text) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    select private.set_profile_role(profile_id, new_role_key)
$$;

create function public.set_profile_active(profile_id uuid, is_active boolean) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    select private.set_profile_active(profile_id, is_active)
$$;

comment on function public.set_profile_role(uuid, text) is
    'Give somebody another role. Admins and owners; only an owner makes or unmakes an owner; the '
    'last one stays.';
comment on function public.set_profile_active(uuid, boolean) is
    'Let somebody in or shut them out at once, whatever tokens they hold. Admins and owners.';

revoke all on function
    public.set_profile_role(uuid, text), public.set_profile_active(uuid, boolean)
    from public, anon, authenticated, service_role;
grant execute on function
    public.set_profile_role(uuid, text), public.set_profile_active(uuid, boolean)
    to authenticated;
