-- name: columns
-- Of tables and views, in their order.
select n.nspname as schema, c.relname as relation, c.relkind::text as kind, a.attname as name,
       t.typname as type, t.typtype::text as typtype, tn.nspname as type_schema,
       e.typname as element, e.typtype::text as element_typtype, en.nspname as element_schema,
       a.attnotnull as not_null,
       a.atthasdef or a.attidentity <> '' as has_default,
       a.attgenerated <> '' or a.attidentity = 'a' as is_generated,
       c.relkind in ('r', 'p', 'f') or (pg_relation_is_updatable(c.oid, true) & 8) = 8 as insertable
from pg_attribute a
join pg_class c on c.oid = a.attrelid
join pg_namespace n on n.oid = c.relnamespace
join pg_type t0 on t0.oid = a.atttypid
join pg_type t on t.oid = case when t0.typtype = 'd' then t0.typbasetype else t0.oid end
join pg_namespace tn on tn.oid = t.typnamespace
left join pg_type e on e.oid = t.typelem and t.typcategory = 'A'
left join pg_namespace en on en.oid = e.typnamespace
where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'f', 'v', 'm') and not c.relispartition
  and n.nspname = any($1)
order by n.nspname, c.relname, a.attname

-- name: relationships
select n.nspname as schema, c.relname as relation, k.conname as name, rn.nspname as referenced_schema,
       rc.relname as referenced_relation,
       array(select a.attname from unnest(k.conkey) with ordinality u(num, place)
             join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.num order by u.place)::text[] as columns,
       array(select a.attname from unnest(k.confkey) with ordinality u(num, place)
             join pg_attribute a on a.attrelid = k.confrelid and a.attnum = u.num order by u.place)::text[] as referenced_columns,
       exists (select from pg_index i where i.indrelid = k.conrelid and i.indisunique and i.indpred is null
               and i.indnkeyatts = cardinality(k.conkey) and i.indkey::int2[] @> k.conkey) as is_one_to_one
from pg_constraint k
join pg_class c on c.oid = k.conrelid
join pg_namespace n on n.oid = c.relnamespace
join pg_class rc on rc.oid = k.confrelid
join pg_namespace rn on rn.oid = rc.relnamespace
where k.contype = 'f' and k.conparentid = 0 and n.nspname = any($1) and rn.nspname = any($1)
order by n.nspname, c.relname, k.conname

-- name: functions
-- Those that the API can call; triggers' are not among them.
select n.nspname as schema, p.proname as name, p.proretset as is_set,
       t.typname as type, t.typtype::text as typtype, tn.nspname as type_schema,
       e.typname as element, e.typtype::text as element_typtype, en.nspname as element_schema,
       coalesce((
           select jsonb_agg(jsonb_build_object(
               'name', coalesce(nullif(p.proargnames[u.place], ''), ''), 'type', at.typname,
               'typtype', at.typtype, 'type_schema', atn.nspname, 'element', ae.typname,
               'element_typtype', ae.typtype, 'element_schema', aen.nspname,
               'has_default', u.place > p.pronargs - p.pronargdefaults) order by u.place)
           from unnest(p.proargtypes::oid[]) with ordinality u(type, place)
           join pg_type at on at.oid = u.type
           join pg_namespace atn on atn.oid = at.typnamespace
           left join pg_type ae on ae.oid = at.typelem and at.typcategory = 'A'
           left join pg_namespace aen on aen.oid = ae.typnamespace
       ), '[]') as arguments
from pg_proc p
join pg_namespace n on n.oid = p.pronamespace
join pg_type t on t.oid = p.prorettype
join pg_namespace tn on tn.oid = t.typnamespace
left join pg_type e on e.oid = t.typelem and t.typcategory = 'A'
left join pg_namespace en on en.oid = e.typnamespace
where p.prokind = 'f' and n.nspname = any($1)
  and t.typname not in ('trigger', 'event_trigger')
  and not exists (select from pg_depend d where d.objid = p.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'e')
order by n.nspname, p.proname, p.oid

-- name: enums
select n.nspname as schema, t.typname as name, array_agg(e.enumlabel order by e.enumsortorder)::text[] as labels
from pg_type t
join pg_namespace n on n.oid = t.typnamespace
join pg_enum e on e.enumtypid = t.oid
where n.nspname = any($1)
group by n.nspname, t.typname
order by n.nspname, t.typname
