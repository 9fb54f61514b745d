-- How changes get into public.audit_logs (120_audit_logs.sql). A table file says
-- `select private.keep_audit('public.contacts');`. Why it is done this way, with figures:
-- docs/decisions/0017-audit-by-triggers.md.
--
-- What is left out of the values: columns that repeat what stands elsewhere (generated copies for
-- searching, the owner and team of a record on what hangs on it, times). A secret setting's change is
-- recorded, its value is not.

create or replace function private.unaudited_columns() returns text[]
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select '{
        updated_at, last_activity_at, search_text, record_owner_key, record_team_id,
        domain_normalized, email_normalized, name_normalized, phone_normalized, sku_normalized
    }'::text[]
$$;

-- What auth.uid() and auth.role() say, which are not this schema's: see 001_helper_functions.sql.
create or replace function private.acting_id() returns uuid
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
    )::uuid
$$;

create or replace function private.acting_role() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim.role', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role',
        nullif(current_setting('role'), 'none'),
        session_user::text
    )
$$;

comment on function private.unaudited_columns() is
    'Columns that repeat what stands elsewhere.';
comment on function private.acting_id() is 'The signed-in user, whether known here or not; or null.';
comment on function private.acting_role() is
    'Role claim of the token; without a token, the role that was set, or the database login.';

create or replace function private.record_rows() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    -- The column that identifies the row.
    key_column constant text := tg_argv[0];
    unaudited constant text[] := private.unaudited_columns();
    actor_id constant uuid := private.acting_id();
    actor_role constant text := private.acting_role();
    row_values text;
begin
    if tg_op = 'INSERT' then
        insert into public.audit_logs
            (table_name, record_id, operation, actor_id, actor_role, new_values)
        select tg_table_name, r.v ->> key_column, 'insert', actor_id, actor_role,
               case
                   when tg_table_name = 'client_settings' and (r.v ->> 'is_secret')::boolean
                       then r.v || '{"value": "(secret)"}'
                   else r.v
               end
        from (select to_jsonb(n) - unaudited as v from new_rows n) r;
    elsif tg_op = 'DELETE' then
        insert into public.audit_logs
            (table_name, record_id, operation, actor_id, actor_role, old_values)
        select tg_table_name, r.v ->> key_column, 'delete', actor_id, actor_role,
               case
                   when tg_table_name = 'client_settings' and (r.v ->> 'is_secret')::boolean
                       then r.v || '{"value": "(secret)"}'
                   else r.v
               end
        from (select to_jsonb(o) - unaudited as v from old_rows o) r;
    else
        -- Before TRUNCATE the rows are still there, and nobody else can write.
        row_values := format('select to_jsonb(t) - $1 from only %s t', tg_relid::regclass);
        execute format(
            'insert into public.audit_logs '
            '(table_name, record_id, operation, actor_id, actor_role, old_values) '
            'select $2, r.v ->> $3, ''delete'', $4, $5, '
            'case when $2 = ''client_settings'' and (r.v ->> ''is_secret'')::boolean '
            'then r.v || ''{"value": "(secret)"}'' else r.v end from (%s) as r (v)',
            row_values
        ) using unaudited, tg_table_name, key_column, actor_id, actor_role;
    end if;
    return null;
end
$$;

create or replace function private.record_update() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    key_column constant text := tg_argv[0];
    old_row jsonb := to_jsonb(old) - private.unaudited_columns();
    new_row jsonb := to_jsonb(new) - private.unaudited_columns();
    old_values jsonb;
    new_values jsonb;
begin
    if old_row = new_row then
        return null;
    end if;
    -- Changed columns only: full rows would fill the disk (measured: 59 MB against 10 MB for
    -- 50,000 updates).
    select jsonb_object_agg(c.key, old_row -> c.key), jsonb_object_agg(c.key, c.value)
    into old_values, new_values
    from jsonb_each(new_row) c
    where c.value is distinct from old_row -> c.key;

    if tg_table_name = 'client_settings' then
        if (old_row ->> 'is_secret')::boolean and old_values ? 'value' then
            old_values := old_values || '{"value": "(secret)"}';
        end if;
        if (new_row ->> 'is_secret')::boolean and new_values ? 'value' then
            new_values := new_values || '{"value": "(secret)"}';
        end if;
    end if;

    insert into public.audit_logs
        (table_name, record_id, operation, actor_id, actor_role, old_values, new_values)
    values (
        tg_table_name, new_row ->> key_column, 'update', private.acting_id(), private.acting_role(),
        old_values, new_values
    );
    return null;
end
$$;

comment on function private.record_rows() is
    'Trigger, for each statement: who added or deleted which rows. The argument names the key column.';
comment on function private.record_update() is
    'Trigger, after each row: who changed which columns, from what, to what. The argument names the '
    'key column.';

-- Inserts and deletes are recorded for the statement, which a bulk load feels; updates row by row,
-- where finding the changed columns takes the time.
create or replace function private.keep_audit(audited regclass, key_column text default 'id')
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    name constant name := (select c.relname from pg_catalog.pg_class c where c.oid = audited);
begin
    execute format(
        'create trigger %I after insert on %s referencing new table as new_rows '
        'for each statement execute function private.record_rows(%L)',
        name || '_audit_insert', audited, key_column
    );
    execute format(
        'create trigger %I after update on %s '
        'for each row execute function private.record_update(%L)',
        name || '_audit_update', audited, key_column
    );
    execute format(
        'create trigger %I after delete on %s referencing old table as old_rows '
        'for each statement execute function private.record_rows(%L)',
        name || '_audit_delete', audited, key_column
    );
    execute format(
        'create trigger %I before truncate on %s '
        'for each statement execute function private.record_rows(%L)',
        name || '_audit_truncate', audited, key_column
    );
end
$$;

comment on function private.keep_audit(regclass, text) is
    'Have every change of a table recorded in audit_logs, under the value of its key column.';

revoke all on function
    private.unaudited_columns(),
    private.acting_id(),
    private.acting_role(),
    private.record_rows(),
    private.record_update(),
    private.keep_audit(regclass, text)
    from public, anon, authenticated;
