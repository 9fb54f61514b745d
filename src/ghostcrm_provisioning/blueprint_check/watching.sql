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
