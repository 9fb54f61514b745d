-- Who changed what, from what, to what. Written by triggers; nobody changes or deletes it, the owner
-- of the schema included.

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
    constraint audit_logs_operation_known check (operation in ('insert', 'update', 'delete')),
    constraint audit_logs_values_fit_operation check (
        case operation
            when 'insert' then old_values is null
            when 'delete' then new_values is null
            else old_values is not null and new_values is not null
        end
    )
);

comment on table public.audit_logs is
    'Every change of a business record: changed columns only, old and new.';
comment on column public.audit_logs.record_id is
    'Primary key of the row, or of the parent where the key is composite.';
comment on column public.audit_logs.actor_id is
    'The signed-in user, or null when a service or the provisioner did it. No foreign key: the '
    'log outlives everything.';
comment on column public.audit_logs.actor_role is
    'Role claim of the token; without a token, the database login.';
comment on column public.audit_logs.transaction_id is
    'Changes with the same number were made together.';

create index audit_logs_record_idx on public.audit_logs (table_name, record_id, at desc);
create index audit_logs_actor_id_idx on public.audit_logs (actor_id, at desc);
create index audit_logs_at_idx on public.audit_logs using brin (at);

create trigger audit_logs_append_only
    before update or delete or truncate on public.audit_logs
    for each statement execute function private.forbid_change();

alter table public.audit_logs enable row level security;
revoke all on table public.audit_logs from public, anon, authenticated, service_role;
-- Not even the service writes here: the trigger does, with the rights of the schema's owner.
grant select on table public.audit_logs to authenticated, service_role;

create policy audit_logs_select on public.audit_logs
    for select to authenticated
    using ((select private.my_role()) in ('owner', 'admin'));
