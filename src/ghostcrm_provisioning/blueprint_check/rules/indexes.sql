-- rule: foreign_key_not_indexed
-- severity: warning
-- meaning: No index begins with a foreign key's columns: deleting what it refers to reads the whole table.
-- fix: Create an index that begins with them.
select 'pg_constraint' as catalog, k.oid as id, format('%%I on %%s', k.conname, k.conrelid::regclass) as object,
       format('no index of table %%s begins with the columns of foreign key %%I (%%s)',
              k.conrelid::regclass, k.conname, columns.list) as sentence,
       columns.first as word,
       format('create index on %%s (%%s);', k.conrelid::regclass, columns.list) as fix
from pg_constraint k
     join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
     cross join lateral (
         select string_agg(quote_ident(a.attname), ', ' order by u.position) as list,
                min(a.attname) filter (where u.position = 1) as first
         from unnest(k.conkey) with ordinality u(number, position)
              join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.number
     ) columns
where k.contype = 'f' and k.conparentid = 0 and n.nspname <> all(%(foreign_schemas)s)
  and not exists (
      select from pg_index i
      where i.indrelid = k.conrelid and i.indisvalid
        -- The key's columns, in any order, come first.
        and (i.indkey::smallint[])[0:cardinality(k.conkey) - 1] @> k.conkey
        and (i.indpred is null
             or pg_get_expr(i.indpred, i.indrelid) = any (
                 select format('(%%I IS NOT NULL)', a.attname)
                 from pg_attribute a where a.attrelid = k.conrelid and a.attnum = any(k.conkey)))
  )

-- rule: index_duplicate
-- severity: warning
-- meaning: Two indexes are the same but for their names: each write keeps both.
-- fix: Drop one of them; where one belongs to a constraint, the other.
with indexes as (
    select i.indexrelid, i.indrelid, c.oid::regclass::text as name,
           exists (select from pg_constraint k where k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x'))
               as is_constraint,
           concat_ws('|', i.indrelid, i.indkey, i.indclass, i.indcollation, i.indoption, i.indnkeyatts,
                     pg_get_expr(i.indexprs, i.indrelid), '|', pg_get_expr(i.indpred, i.indrelid), c.relam)
               as shape
    from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
    where n.nspname <> all(%(foreign_schemas)s)
), ranked as (
    select *, row_number() over by_worth as rank, first_value(name) over by_worth as kept
    from indexes window by_worth as (partition by shape order by is_constraint desc, indexrelid)
)
select 'pg_class' as catalog, indexrelid as id, name as object,
       format('index %%s of table %%s is the same as %%s', name, indrelid::regclass, kept) as sentence,
       format('drop index %%s;', name) as fix
from ranked where rank > 1

-- rule: table_without_primary_key
-- severity: warning
-- meaning: A table has no primary key: a row cannot be named, and replication cannot follow it.
-- fix: Give it one, such as id uuid primary key default gen_random_uuid().
select 'pg_class' as catalog, c.oid as id, c.oid::regclass::text as object,
       format('table %%s has no primary key', c.oid::regclass) as sentence
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and n.nspname <> all(%(foreign_schemas)s)
  and not exists (select from pg_constraint k where k.conrelid = c.oid and k.contype = 'p')
