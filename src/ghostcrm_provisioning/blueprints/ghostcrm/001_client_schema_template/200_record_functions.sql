-- Deleting, restoring and handing over records. An UPDATE under row level security cannot do these:
-- the new row would be one that the caller no longer sees, and PostgreSQL refuses that. So they are
-- functions that check and write with the rights of the schema's owner. What the API sees are the
-- thin ones in public, which have no rights of their own.

create or replace function private.may_manage(record_owner_id uuid, record_team_id uuid)
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case private.my_role()
        when 'owner' then true
        when 'admin' then true
        when 'manager' then
            record_owner_id is null
            or record_owner_id = private.my_id()
            or record_team_id in (select private.my_team_ids())
        else false
    end
$$;

comment on function private.may_manage(uuid, uuid) is
    'May the caller look after a record of this owner and team? Admins always, managers in their '
    'teams.';

create or replace function private.set_deleted_at(entity text, record_id uuid, is_deleted boolean)
returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    new_value timestamptz := case when is_deleted then now() end;
begin
    case entity
        when 'contacts' then
            update public.contacts c set deleted_at = new_value
            where c.id = record_id and (c.deleted_at is null) = is_deleted
              and private.may_manage(c.owner_id, c.team_id);
        when 'companies' then
            update public.companies c set deleted_at = new_value
            where c.id = record_id and (c.deleted_at is null) = is_deleted
              and private.may_manage(c.owner_id, c.team_id);
        when 'deals' then
            update public.deals d set deleted_at = new_value
            where d.id = record_id and (d.deleted_at is null) = is_deleted
              and private.my_role() in ('owner', 'admin');
        when 'files' then
            update public.files f set deleted_at = new_value
            where f.id = record_id and (f.deleted_at is null) = is_deleted
              and (
                  private.may_manage(f.owner_id, f.team_id)
                  or (private.my_role() = 'sales' and f.owner_id = private.my_id())
              );
        else
            raise exception 'records of % are not soft-deleted', entity
                using errcode = 'invalid_parameter_value',
                      hint = 'One of: contacts, companies, deals, files.';
    end case;
    if not found then
        -- The same words whether it does not exist or is not the caller's: existence is not told.
        raise exception 'no record % in % that you may %', record_id, entity,
            case when is_deleted then 'delete' else 'restore' end
            using errcode = 'insufficient_privilege';
    end if;
end
$$;

create or replace function private.assign_record(
    entity text, record_id uuid, new_owner_id uuid, new_team_id uuid
) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    record_owner_id uuid;
    record_team_id uuid;
begin
    if new_owner_id is not null and not exists (
        select 1 from public.profiles p where p.id = new_owner_id and p.is_active
    ) then
        raise exception 'no active profile %', new_owner_id using errcode = 'foreign_key_violation';
    end if;

    case entity
        when 'contacts' then
            select c.owner_id, c.team_id into record_owner_id, record_team_id
            from public.contacts c where c.id = record_id and c.deleted_at is null for no key update;
        when 'companies' then
            select c.owner_id, c.team_id into record_owner_id, record_team_id
            from public.companies c where c.id = record_id and c.deleted_at is null for no key update;
        when 'deals' then
            select d.owner_id, d.team_id into record_owner_id, record_team_id
            from public.deals d where d.id = record_id and d.deleted_at is null for no key update;
        else
            raise exception 'records of % are not assigned by this function', entity
                using errcode = 'invalid_parameter_value',
                      hint = 'One of: contacts, companies, deals.';
    end case;
    if not found or not coalesce(
        private.may_manage(record_owner_id, record_team_id)
        -- A salesperson hands over what is theirs, and takes for themselves what is nobody's.
        or (private.my_role() = 'sales' and (
            record_owner_id = private.my_id()
            or (record_owner_id is null and new_owner_id = private.my_id())
        )),
        false
    ) then
        raise exception 'no record % in % that you may assign', record_id, entity
            using errcode = 'insufficient_privilege';
    end if;

    case entity
        when 'contacts' then
            update public.contacts c set owner_id = new_owner_id, team_id = new_team_id
            where c.id = record_id;
        when 'companies' then
            update public.companies c set owner_id = new_owner_id, team_id = new_team_id
            where c.id = record_id;
        when 'deals' then
            update public.deals d set owner_id = new_owner_id, team_id = new_team_id
            where d.id = record_id;
    end case;
end
$$;

revoke all on function
    private.may_manage(uuid, uuid),
    private.set_deleted_at(text, uuid, boolean),
    private.assign_record(text, uuid, uuid, uuid)
    from public, anon;
grant execute on function
    private.set_deleted_at(text, uuid, boolean),
    private.assign_record(text, uuid, uuid, uuid)
    to authenticated;

create function public.delete_record(entity text, record_id uuid) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    select private.set_deleted_at(entity, record_id, true)
$$;

create function public.restore_record(entity text, record_id uuid) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    select private.set_deleted_at(entity, record_id, false)
$$;

create function public.assign_record(
    entity text, record_id uuid, new_owner_id uuid, new_team_id uuid default null
) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    select private.assign_record(entity, record_id, new_owner_id, new_team_id)
$$;

comment on function public.delete_record(text, uuid) is
    'Soft-delete a record of contacts, companies, deals or files. SQLSTATE 42501 if it is not '
    'yours to delete.';
comment on function public.restore_record(text, uuid) is
    'Bring a soft-deleted record back. SQLSTATE 42501 if it is not yours to restore.';
comment on function public.assign_record(text, uuid, uuid, uuid) is
    'Hand a contact, company or deal to another owner and team, or claim an unassigned one.';

revoke all on function
    public.delete_record(text, uuid),
    public.restore_record(text, uuid),
    public.assign_record(text, uuid, uuid, uuid)
    from public, anon, authenticated, service_role;
grant execute on function
    public.delete_record(text, uuid),
    public.restore_record(text, uuid),
    public.assign_record(text, uuid, uuid, uuid)
    to authenticated;
