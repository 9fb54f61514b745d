-- Who this database belongs to and what was installed in it. In a schema of its own, which no role
-- of the client can enter.
create schema if not exists ghostcrm_provisioning;
revoke all on schema ghostcrm_provisioning from public;
create table if not exists ghostcrm_provisioning.stamp (
    only_row boolean primary key default true check (only_row),
    database_id uuid,
    blueprint text,
    blueprint_fingerprint text,
    -- The catalog on which isolation was proven by the whole attack: a fingerprint, the same in words,
    -- and tables that had rows then.
    proven_catalog text,
    proven_facts jsonb,
    proven_with_rows_in text[],
    stamped_at timestamptz not null default now()
);
revoke all on ghostcrm_provisioning.stamp from public;
insert into ghostcrm_provisioning.stamp default values on conflict do nothing;
