-- What the plan limits (active profiles, contacts, bytes of files), counted to the row and kept
-- within what public.client_plan allows, whoever writes. Why it is done this way, with figures:
-- docs/decisions/0012-plan-limits-in-the-client-database.md.
--
-- Every statement that makes such rows more or fewer writes one row into plan_usage_changes, by
-- triggers with transition tables; what is there is plan_usage_totals plus these changes. A rollback,
-- of a savepoint too, takes the change back together with the rows, and nobody waits for anybody.
-- Two looks keep the limit:
--   * at the end of the statement, without a lock: it sees what is committed and what the transaction
--     itself has done, and refuses at once what is too much already
--   * at the commit, one transaction after the other: the last word, also among sessions that race.
--     It adds the changes up into the totals. Only growth of something that has a limit comes here:
--     an unlimited resource, an edit or a deletion takes no lock.

-- The Supabase CLI's `db reset` empties public and leaves this schema: begin from nothing.
drop table if exists private.plan_usage_changes, private.plan_usage_totals;

create table private.plan_usage_totals (
    is_the_total boolean not null default true,
    users bigint not null default 0,
    contacts bigint not null default 0,
    storage_bytes bigint not null default 0,

    constraint plan_usage_totals_pkey primary key (is_the_total),
    constraint plan_usage_totals_one_row check (is_the_total)
);

comment on table private.plan_usage_totals is
    'Usage of what the plan limits, without the rows of plan_usage_changes. One row: its lock is the '
    'gate through which growth commits.';

insert into private.plan_usage_totals default values;

create table private.plan_usage_changes (
    id bigint generated always as identity,
    resource text not null,
    amount bigint not null,
    transaction_id xid8 not null default pg_current_xact_id(),

    constraint plan_usage_changes_pkey primary key (id),
    constraint plan_usage_changes_resource_known
        check (resource in ('users', 'contacts', 'storage_bytes'))
)
-- Rows come and go at once: what they leave is cleared away early, or every look would pass it.
with (autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);

comment on table private.plan_usage_changes is
    'What statements added or took away since the totals were last summed up.';

revoke all on table private.plan_usage_totals, private.plan_usage_changes
    from public, anon, authenticated, service_role;

-- What is allowed ----------------------------------------------------------------------------------

create or replace function private.plan_includes(any_of text[]) returns boolean
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce((select p.features && any_of from public.client_plan p), true);
end
$$;

comment on function private.plan_includes(text[]) is
    'Does the plan include any of these features? True while no plan is applied: nobody is handed '
    'such a database.';

-- What is said -------------------------------------------------------------------------------------
-- PostgREST answers SQLSTATE PT402 with HTTP 402 Payment Required; the message can be shown as it is,
-- the detail is for programs.

create or replace function private.readable_bytes(bytes bigint) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when bytes >= 1073741824 then trim_scale(round(bytes / 1073741824.0, 1)) || ' GB'
        when bytes >= 1048576 then trim_scale(round(bytes / 1048576.0, 1)) || ' MB'
        when bytes >= 1024 then trim_scale(round(bytes / 1024.0, 1)) || ' kB'
        else bytes || ' bytes'
    end
$$;

create or replace function private.refuse_growth(
    resource text, allowed bigint, used bigint, requested bigint
) returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    plan text := (select p.title from public.client_plan p);
    over bigint := used + requested - allowed;
    amount_format constant text := 'FM999,999,999,999,999';
    words text[] := case resource
        when 'users' then array[
            to_char(allowed, amount_format) || ' active users',
            to_char(over, amount_format) || ' too many',
            'Deactivate somebody who no longer works here'
        ]
        when 'contacts' then array[
            to_char(allowed, amount_format) || ' contacts',
            to_char(over, amount_format) || ' too many',
            'Delete contacts that you no longer need'
        ]
        else array[
            private.readable_bytes(allowed) || ' of files',
            private.readable_bytes(over) || ' too much',
            'Delete files that you no longer need'
        ]
    end;
begin
    raise exception 'The plan % allows %; this would be %.', plan, words[1], words[2]
        using errcode = 'PT402',
              detail = jsonb_build_object(
                  'resource', resource, 'allowed', allowed, 'used', used, 'requested', requested
              )::text,
              hint = words[3] || ', or change to a larger plan.';
end
$$;

comment on function private.refuse_growth(text, bigint, bigint, bigint) is
    'Say that the plan does not allow so much more, in words for whoever wanted it.';

-- Counting -----------------------------------------------------------------------------------------

create or replace function private.plan_usage_of(resource text) returns bigint
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select case resource
                   when 'users' then t.users
                   when 'contacts' then t.contacts
                   when 'storage_bytes' then t.storage_bytes
               end
               + (
                   select coalesce(sum(c.amount), 0)::bigint
                   from private.plan_usage_changes c
                   where c.resource = plan_usage_of.resource
               )
        from private.plan_usage_totals t
    );
end
$$;

create or replace function private.count_towards_plan(resource text, amount bigint) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    -- How much more there was room for when this transaction last added it all up: a transaction of
    -- ten thousand single inserts need not do that ten thousand times, but now and then, to notice
    -- what others have committed. Whoever forges the setting is refused at the commit only.
    room_setting constant text := 'ghostcrm.room_for_' || resource;
    room bigint := nullif(current_setting(room_setting, true), '')::bigint - amount;
    change_id bigint;
    allowed bigint;
begin
    if amount = 0 then
        return;
    end if;
    insert into private.plan_usage_changes (resource, amount) values (resource, amount)
    returning id into change_id;
    if amount < 0 then
        return;
    end if;
    if room is null or room < 0 or change_id % 32 = 0 then
        select l.allowed,
               l.allowed - l.total - (
                   select coalesce(sum(c.amount), 0)::bigint
                   from private.plan_usage_changes c
                   where c.resource = count_towards_plan.resource
               )
        into allowed, room
        from (
            select case resource
                       when 'users' then p.max_users
                       when 'contacts' then p.max_contacts
                       when 'storage_bytes' then p.max_storage_bytes
                   end as allowed,
                   case resource
                       when 'users' then t.users
                       when 'contacts' then t.contacts
                       when 'storage_bytes' then t.storage_bytes
                   end as total
            from public.client_plan p cross join private.plan_usage_totals t
        ) l
        where l.allowed is not null;
        if not found then
            return;
        end if;
        if room < 0 then
            perform private.refuse_growth(resource, allowed, allowed - room - amount, amount);
        end if;
    end if;
    perform set_config(room_setting, room::text, true);
end
$$;

create or replace function private.forget_room() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform set_config('ghostcrm.room_for_' || r.resource, '', true)
    from (values ('users'), ('contacts'), ('storage_bytes')) as r (resource);
    return null;
end
$$;

create or replace function private.sum_up_plan_usage(
    except_of xid8 default null,
    out users bigint, out contacts bigint, out storage_bytes bigint,
    out my_users bigint, out my_contacts bigint, out my_storage_bytes bigint
)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    with gone as (
        delete from private.plan_usage_changes c
        where except_of is null or c.transaction_id <> except_of
        returning c.resource, c.amount, c.transaction_id = pg_current_xact_id() as is_mine
    ), sums as (
        select coalesce(sum(amount) filter (where resource = 'users'), 0) as users,
               coalesce(sum(amount) filter (where resource = 'contacts'), 0) as contacts,
               coalesce(sum(amount) filter (where resource = 'storage_bytes'), 0) as storage_bytes,
               coalesce(sum(amount) filter (where is_mine and resource = 'users'), 0) as my_users,
               coalesce(sum(amount) filter (where is_mine and resource = 'contacts'), 0)
                   as my_contacts,
               coalesce(sum(amount) filter (where is_mine and resource = 'storage_bytes'), 0)
                   as my_storage_bytes
        from gone
    )
    update private.plan_usage_totals t
    set users = t.users + s.users,
        contacts = t.contacts + s.contacts,
        storage_bytes = t.storage_bytes + s.storage_bytes
    from sums s
    returning t.users, t.contacts, t.storage_bytes, s.my_users, s.my_contacts, s.my_storage_bytes
    into sum_up_plan_usage.users, sum_up_plan_usage.contacts, sum_up_plan_usage.storage_bytes,
         my_users, my_contacts, my_storage_bytes;
end
$$;

create or replace function private.settle_plan_usage() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    plan record;
    usage record;
    allowed bigint;
begin
    select p.max_users, p.max_contacts, p.max_storage_bytes into plan from public.client_plan p;
    allowed := case new.resource
        when 'users' then plan.max_users
        when 'contacts' then plan.max_contacts
        else plan.max_storage_bytes
    end;
    if allowed is null then
        -- Nothing to check. Now and then, when nobody else is at it, what others have committed is
        -- summed up; our own changes stay, for a check that is still to come.
        if new.id % 256 = 0 and current_setting('transaction_isolation') = 'read committed' then
            perform from private.plan_usage_totals for update skip locked;
            if found then
                perform private.sum_up_plan_usage(except_of => pg_current_xact_id());
            end if;
        end if;
        return null;
    end if;

    -- One check covers all that the transaction did: the later changes find themselves summed up.
    if not exists (select from private.plan_usage_changes c where c.id = new.id) then
        return null;
    end if;

    -- The gate. Whoever was in it before has committed what the statements from here on see. In a
    -- stricter isolation level, where they would not see it, this one fails: the row has changed.
    perform from private.plan_usage_totals for update;
    usage := private.sum_up_plan_usage();
    if usage.my_users > 0 and usage.users > plan.max_users then
        perform private.refuse_growth(
            'users', plan.max_users, usage.users - usage.my_users, usage.my_users
        );
    end if;
    if usage.my_contacts > 0 and usage.contacts > plan.max_contacts then
        perform private.refuse_growth(
            'contacts', plan.max_contacts, usage.contacts - usage.my_contacts, usage.my_contacts
        );
    end if;
    if usage.my_storage_bytes > 0 and usage.storage_bytes > plan.max_storage_bytes then
        perform private.refuse_growth(
            'storage_bytes', plan.max_storage_bytes, usage.storage_bytes - usage.my_storage_bytes,
            usage.my_storage_bytes
        );
    end if;
    return null;
end
$$;

comment on function private.plan_usage_of(text) is 'How much of it there is.';
comment on function private.count_towards_plan(text, bigint) is
    'Note that a statement made so much more (or less) of it; refuse what is too much already.';
comment on function private.forget_room() is
    'Trigger, after a change of the plan: what follows in the same transaction is measured anew.';
comment on function private.sum_up_plan_usage(xid8) is
    'Add changes up into the totals; answer these, and what of the changes this transaction made. The '
    'caller holds the lock of plan_usage_totals.';
comment on function private.settle_plan_usage() is
    'Trigger, at the commit: what a transaction added fits the plan, whoever else added something.';

create constraint trigger plan_usage_changes_settle
    after insert on private.plan_usage_changes
    deferrable initially deferred
    for each row when (new.amount > 0 or new.id % 256 = 0)
    execute function private.settle_plan_usage();

-- Triggers of the tables ---------------------------------------------------------------------------
-- One for each statement: ten thousand rows cost little more than one. Those of TRUNCATE, which has no
-- transition tables, name the resource.

create or replace function private.count_profiles() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    amount bigint := 0;
begin
    if tg_op <> 'DELETE' then
        amount := (select count(*) from new_rows where is_active);
    end if;
    if tg_op <> 'INSERT' then
        amount := amount - (select count(*) from old_rows where is_active);
    end if;
    perform private.count_towards_plan('users', amount);
    return null;
end
$$;

create or replace function private.count_contacts() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    amount bigint := 0;
begin
    if tg_op <> 'DELETE' then
        amount := (select count(*) from new_rows where deleted_at is null);
    end if;
    if tg_op <> 'INSERT' then
        amount := amount - (select count(*) from old_rows where deleted_at is null);
    end if;
    perform private.count_towards_plan('contacts', amount);
    return null;
end
$$;

create or replace function private.count_files() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    bytes bigint := 0;
begin
    if tg_op <> 'DELETE' then
        bytes := (select coalesce(sum(size_bytes), 0) from new_rows where deleted_at is null);
    end if;
    if tg_op <> 'INSERT' then
        bytes := bytes
            - (select coalesce(sum(size_bytes), 0) from old_rows where deleted_at is null);
    end if;
    perform private.count_towards_plan('storage_bytes', bytes);
    return null;
end
$$;

create or replace function private.count_truncated() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        -- TRUNCATE takes away rows that the transaction's snapshot does not hold.
        raise exception 'truncate % in a transaction of the level read committed', tg_relid::regclass
            using errcode = 'feature_not_supported';
    end if;
    -- Nobody else has uncommitted rows in the table now.
    perform private.count_towards_plan(tg_argv[0], -private.plan_usage_of(tg_argv[0]));
    return null;
end
$$;

comment on function private.count_profiles() is 'Trigger: active profiles are the plan''s users.';
comment on function private.count_contacts() is
    'Trigger: contacts that are not deleted count towards the plan.';
comment on function private.count_files() is
    'Trigger: the bytes of files that are not deleted count towards the plan.';
comment on function private.count_truncated() is
    'Trigger, after TRUNCATE: nothing is left of the resource that the argument names.';

-- Features -----------------------------------------------------------------------------------------

create or replace function private.require_feature() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if not private.plan_includes(tg_argv[1:]) then
        raise exception 'The plan % does not include %.',
            (select p.title from public.client_plan p), tg_argv[0]
            using errcode = 'PT402',
                  detail = jsonb_build_object(
                      'resource', tg_table_name, 'allowed', 0, 'any_of_features', tg_argv[1:]
                  )::text,
                  hint = 'What is there stays; change to a larger plan to have more.';
    end if;
    return null;
end
$$;

comment on function private.require_feature() is
    'Trigger, after each row: refuse what the plan does not include. Arguments: what people call it, '
    'then the features of which one is enough.';

revoke all on function
    private.plan_includes(text[]),
    private.readable_bytes(bigint),
    private.refuse_growth(text, bigint, bigint, bigint),
    private.plan_usage_of(text),
    private.count_towards_plan(text, bigint),
    private.forget_room(),
    private.sum_up_plan_usage(xid8),
    private.settle_plan_usage(),
    private.count_profiles(),
    private.count_contacts(),
    private.count_files(),
    private.count_truncated(),
    private.require_feature()
    from public, anon, authenticated;
