-- Who changed what, from what, to what. Written by the triggers of 003_audit.sql; nobody changes it, the
-- owner of the schema included, and nobody deletes what is younger than 90 days. Deleting older entries
-- is an entry. An owner can switch triggers off, or drop the table: that is DDL, which no trigger of the
-- database's own keeps back; `ghostcrm verify` sees it.

create table public.audit_logs (
    id bigint generated always as identity,
    at timestamptz not null default clock_timestamp(),
    table_name text not null,
    record_id text not null,
    operation text not null,
    actor_id uuid,
    actor_role text not null,
    old_values jsonb,
    new_values jsonb,
    transaction_id bigint not null default (pg_current_xact_id()::text)::bigint,

    constraint audit_logs_pkey primary key (id),
    constraint audit_logs_operation_known check (operation in ('insert', 'update', 'delete', 'purge')),
    constraint audit_logs_values_fit_operation check (
        case operation
            when 'insert' then old_values is null
            when 'delete' then new_values is null
            when 'purge' then new_values is null
            else old_values is not null and new_values is not null
        end
    )
);

comment on table public.audit_logs is
    'Every change of a business record: changed columns only, old and new.';
comment on column public.audit_logs.operation is
    'insert, update, delete; purge: entries of this log were deleted, old_values says which.';
comment on column public.audit_logs.record_id is
    'Primary key of the row, or of the parent where the key is composite.';
comment on column public.audit_logs.actor_id is
    'The signed-in user, or null when a service or the provisioner did it. No foreign key: the '
    'log outlives everything.';
comment on column public.audit_logs.actor_role is
    'Role claim of the token; without a token, the role that was set, or the database login.';
comment on column public.audit_logs.transaction_id is
    'Changes with the same number were made together.';

create index audit_logs_record_idx on public.audit_logs (table_name, record_id, at desc);
create index audit_logs_actor_id_idx on public.audit_logs (actor_id, at desc);
create index audit_logs_at_idx on public.audit_logs using brin (at);

create or replace function private.keep_recent_audit() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    shortest constant interval := '90 days';
    gone record;
begin
    select count(*) as entries, min(o.at) as oldest, max(o.at) as newest into gone from old_rows o;
    if gone.newest > now() - shortest then
        raise exception 'entries of the audit log are kept for at least % days',
            extract(day from shortest)
            using errcode = 'restrict_violation';
    end if;
    if gone.entries > 0 then
        insert into public.audit_logs
            (table_name, record_id, operation, actor_id, actor_role, old_values)
        values (
            'audit_logs', gone.newest::text, 'purge', private.acting_id(), private.acting_role(),
            to_jsonb(gone)
        );
    end if;
    return null;
end
$$;

create or replace function private.purge_audit_logs(older_than interval) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    entries bigint;
begin
    delete from public.audit_logs l where l.at < now() - older_than;
    get diagnostics entries = row_count;
    return entries;
end
$$;

comment on function private.keep_recent_audit() is
    'Trigger: only old entries are deleted, and that is recorded.';
comment on function private.purge_audit_logs(interval) is
    'Delete entries that are older, 90 days at least; for a service that keeps the client''s rule of '
    'retention. Without it the log is kept for ever. Answers how many there were.';

revoke all on function private.keep_recent_audit(), private.purge_audit_logs(interval)
    from public, anon, authenticated;
grant execute on function private.purge_audit_logs(interval) to service_role;

create trigger audit_logs_append_only
    before update or truncate on public.audit_logs
    for each statement execute function private.forbid_change();
create trigger audit_logs_keep_recent
    after delete on public.audit_logs referencing old table as old_rows
    for each statement execute function private.keep_recent_audit();

alter table public.audit_logs enable row level security;
revoke all on table public.audit_logs from public, anon, authenticated, service_role;
-- Not even the service writes here: the trigger does, with the rights of the schema's owner.
grant select on table public.audit_logs to authenticated, service_role;

create policy audit_logs_select on public.audit_logs
    for select to authenticated
    using ((select private.my_role()) in ('owner', 'admin'));
