-- The few functions on which defaults, triggers and policies rest. `create or replace`, because a
-- `db reset` by the Supabase CLI empties public and leaves this schema. Those that read tables are
-- PL/pgSQL, whose bodies are looked up when they run: the tables come in later files.

-- Keys -------------------------------------------------------------------------------------------

create or replace function private.uuid_v7() returns uuid
language sql volatile parallel safe
set search_path = pg_catalog, pg_temp
as $$
    -- 48 bits of milliseconds since 1970, the version, and 74 random bits taken from a version 4.
    select (
        lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0')
        || '7'
        || substr(replace(gen_random_uuid()::text, '-', ''), 14)
    )::uuid
$$;

comment on function private.uuid_v7() is
    'A new time-ordered uuid (RFC 9562, version 7): keys made together stay together in an index. '
    'PostgreSQL 18 has uuidv7(); this one gives the same on every version. It reveals when a row was '
    'made: use gen_random_uuid() for a public link.';

revoke all on function private.uuid_v7() from public, anon;
grant execute on function private.uuid_v7() to authenticated, service_role;

-- Who is asking? ---------------------------------------------------------------------------------
-- All answer "nobody" for a user who has no profile or an inactive one: a deactivated colleague's
-- token opens nothing although it is valid until it expires. Every list pays for them once for each
-- place in its policies, so they are written to cost microseconds: the caller's id is worked out
-- first, and the one look at profiles is by index, where the planner would rather read a hundred
-- people than open one.
--
-- They say what auth.uid() says, and do not call it: it belongs to supabase_auth_admin, whose migrations
-- replace it, and whatever it is replaced with would run here with the rights of this schema's owner. The
-- same holds for every function with its owner's rights. (Written out each time: a function of its own,
-- with its own search_path, would cost half as much again.)

create or replace function private.my_id() returns uuid
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
declare
    caller constant uuid := coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
    )::uuid;
    found_id uuid;
begin
    select p.id into found_id from public.profiles p where p.id = caller and p.is_active;
    return found_id;
end
$$;

create or replace function private.my_role() returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
declare
    caller constant uuid := coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
    )::uuid;
    found_role text;
begin
    select p.role_key into found_role from public.profiles p where p.id = caller and p.is_active;
    return found_role;
end
$$;

create or replace function private.my_owner_keys() returns uuid[]
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
declare
    caller constant uuid := coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
    )::uuid;
    found_role text;
begin
    select p.role_key into found_role from public.profiles p where p.id = caller and p.is_active;
    return case
        when found_role = 'sales' then array[caller, '00000000-0000-0000-0000-000000000000']
        when found_role is not null then array[caller]
        else '{}'
    end;
end
$$;

create or replace function private.my_teams() returns uuid[]
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
declare
    caller constant uuid := coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
    )::uuid;
    found_teams uuid[];
begin
    select array(select m.team_id from public.team_memberships m where m.profile_id = p.id)
    into found_teams
    from public.profiles p where p.id = caller and p.is_active;
    return coalesce(found_teams, '{}');
end
$$;

create or replace function private.my_keys() returns uuid[]
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
declare
    caller constant uuid := coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
    )::uuid;
    found_keys uuid[];
begin
    select array[
               p.id,
               case when p.role_key = 'sales' then '00000000-0000-0000-0000-000000000000'::uuid end
           ]
           || array(select m.team_id from public.team_memberships m where m.profile_id = p.id)
    into found_keys
    from public.profiles p where p.id = caller and p.is_active;
    return coalesce(found_keys, '{}');
end
$$;

create or replace function private.my_team_ids() returns setof uuid
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query select unnest(private.my_teams());
end
$$;

-- An appointment is visible to those invited; the question may not be asked through the policies of
-- the two tables, which would ask each other without end.
create or replace function private.my_invitation_ids() returns setof uuid
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    caller constant uuid := coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
    )::uuid;
begin
    return query
        select a.appointment_id
        from public.appointment_attendees a
        join public.profiles p on p.id = a.profile_id
        where a.profile_id = caller and p.is_active;
end
$$;

comment on function private.my_id() is
    'Id of the caller''s profile; null unless it exists and is active.';
comment on function private.my_role() is
    'Role key of the caller''s profile; null unless it is active.';
comment on function private.my_owner_keys() is
    'Whose records are the caller''s to see: their own and, for salespeople, nobody''s, which is '
    'the uuid of zeros: coalesce(owner_id, ''00000000-0000-0000-0000-000000000000''). Empty unless '
    'the profile is active.';
comment on function private.my_teams() is
    'Teams of the caller; none unless the profile is active.';
comment on function private.my_keys() is
    'my_owner_keys() and my_teams() together, for records that may be shared.';
comment on function private.my_team_ids() is 'my_teams() as rows.';
comment on function private.my_invitation_ids() is 'Appointments to which the caller is invited.';

revoke all on function
    private.my_id(), private.my_role(), private.my_owner_keys(), private.my_teams(),
    private.my_keys(), private.my_team_ids(), private.my_invitation_ids()
    from public, anon;
grant execute on function
    private.my_id(), private.my_role(), private.my_owner_keys(), private.my_teams(),
    private.my_keys(), private.my_team_ids(), private.my_invitation_ids()
    to authenticated, service_role;

-- Triggers ---------------------------------------------------------------------------------------
-- Nobody needs EXECUTE on these: PostgreSQL asks for it when a trigger is made, not when it fires.

create or replace function private.set_updated_at() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    new.updated_at := now();
    return new;
end
$$;

comment on function private.set_updated_at() is
    'Trigger: updated_at is the start of the transaction that wrote the row.';

create or replace function private.forbid_change() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception '%.% only grows: % is not possible', tg_table_schema, tg_table_name, lower(tg_op)
        using errcode = 'restrict_violation';
end
$$;

comment on function private.forbid_change() is
    'Trigger: makes a table append-only, for its owner too.';

-- A link reveals what it points to: its owner follows an activity, its timeline shows what is added. So
-- nobody links to what they do not see; there is no difference between hidden and not there. As the
-- caller, whose policies decide. An old link may stay when its target was handed to somebody else, which
-- a policy's WITH CHECK could not tell: it does not see the row as it was. Named to fire before the
-- triggers that look at the target with more rights.
create or replace function private.check_links() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    links jsonb;
    old_links jsonb := '{}';
    link text;
    target uuid;
begin
    -- The service, the schema's owner and the functions that run with its rights see every row.
    if not row_security_active('public.contacts') then
        return new;
    end if;
    links := to_jsonb(new);
    if tg_op = 'UPDATE' then
        old_links := to_jsonb(old);
    end if;
    foreach link in array tg_argv loop
        target := links ->> link;
        continue when target is null or target = (old_links ->> link)::uuid;
        case link
            when 'contact_id' then
                perform from public.contacts c where c.id = target;
            when 'company_id', 'parent_company_id' then
                perform from public.companies c where c.id = target;
            when 'deal_id' then
                perform from public.deals d where d.id = target;
            when 'activity_id' then
                perform from public.activities a where a.id = target;
            when 'invoice_id' then
                perform from public.invoices i where i.id = target;
        end case;
        if not found then
            raise exception 'new row violates row-level security policy for table "%"',
                tg_table_name
                using errcode = 'insufficient_privilege';
        end if;
    end loop;
    return new;
end
$$;

comment on function private.check_links() is
    'Trigger: a new link (its columns are the arguments) points to a row that the caller sees.';

revoke all on function private.set_updated_at(), private.forbid_change(), private.check_links()
    from public, anon, authenticated;
