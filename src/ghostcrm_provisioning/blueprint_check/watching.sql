-- name: newest_object
-- The highest object id that the catalogs hold; ids are given out in order.
select greatest(
    16383,
    (select max(oid)::bigint from pg_catalog.pg_class), (select max(oid)::bigint from pg_catalog.pg_proc),
    (select max(oid)::bigint from pg_catalog.pg_policy), (select max(oid)::bigint from pg_catalog.pg_constraint),
    (select max(oid)::bigint from pg_catalog.pg_namespace), (select max(oid)::bigint from pg_catalog.pg_extension),
    (select max(oid)::bigint from pg_catalog.pg_default_acl)
) as newest

-- name: newer_objects
-- What was made since; asked after every statement, so it goes by the catalogs' own indexes.
select 'pg_class' as catalog, oid::bigint as id from pg_catalog.pg_class where oid > %(newest)s::bigint::oid
union all
select 'pg_proc', oid::bigint from pg_catalog.pg_proc where oid > %(newest)s::bigint::oid
union all
select 'pg_policy', oid::bigint from pg_catalog.pg_policy where oid > %(newest)s::bigint::oid
union all
select 'pg_constraint', oid::bigint from pg_catalog.pg_constraint where oid > %(newest)s::bigint::oid
union all
select 'pg_namespace', oid::bigint from pg_catalog.pg_namespace where oid > %(newest)s::bigint::oid
union all
select 'pg_extension', oid::bigint from pg_catalog.pg_extension where oid > %(newest)s::bigint::oid
union all
select 'pg_default_acl', oid::bigint from pg_catalog.pg_default_acl where oid > %(newest)s::bigint::oid

-- name: tables
-- Tables and materialized views of the blueprint, and what a later statement may change about them.
select c.oid::bigint as id, format('%%I.%%I', n.nspname, c.relname) as name, c.relkind::text as kind, c.relfilenode::bigint as file,
       coalesce((
           select jsonb_object_agg(a.attnum, jsonb_build_object(
               'name', a.attname, 'type', format('%%s %%s', a.atttypid, a.atttypmod),
               'not_null', a.attnotnull, 'has_value', a.atthasdef or a.attidentity <> '',
               'generated', a.attgenerated <> ''))
           from pg_catalog.pg_attribute a
           where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
       ), '{}') as columns,
       coalesce((
           select jsonb_object_agg(k.oid, jsonb_build_object(
               'name', k.conname, 'type', k.contype, 'valid', k.convalidated, 'index', k.conindid::bigint,
               'columns', k.conkey,
               'other', (select format('%%I.%%I', o.relnamespace::regnamespace, o.relname)
                         from pg_catalog.pg_class o where o.oid = k.confrelid),
               'says', pg_catalog.pg_get_constraintdef(k.oid)))
           from pg_catalog.pg_constraint k
           where k.conrelid = c.oid and k.contype in ('c', 'f', 'p', 'u', 'x', 'n')
       ), '{}') as constraints,
       coalesce((
           select jsonb_object_agg(i.indexrelid::bigint, jsonb_build_object(
               'name', format('%%I.%%I', n.nspname, r.relname), 'file', r.relfilenode::bigint))
           from pg_catalog.pg_index i join pg_catalog.pg_class r on r.oid = i.indexrelid
           where i.indrelid = c.oid
       ), '{}') as indexes,
       coalesce((
           select array_agg(l.mode)
           from pg_catalog.pg_locks l
           where l.pid = pg_catalog.pg_backend_pid() and l.locktype = 'relation' and l.granted
             and l.relation = c.oid
             and l.database = (select d.oid from pg_catalog.pg_database d
                               where d.datname = pg_catalog.current_database())
       ), '{}') as locks
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'm') and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'ghostcrm_provisioning', 'supabase_migrations')
  and (%(only)s::bigint[] is null or c.oid = any(%(only)s::bigint[]::oid[]))
