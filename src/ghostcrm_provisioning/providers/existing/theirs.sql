-- name: what_is_theirs
-- Everything in the catalog about what is not ours: a row for each thing, with what it is now, in words. What
-- PostgreSQL itself counts and moves is left out, and what grows with our own things: who depends on it, and
-- whether triggers (of foreign keys to it) hang there.
-- Privileges are rows of their own: those that were there are to stay, others may be added.
with places(oid, nspname) as (
    select oid, nspname from pg_namespace
    where nspname !~ '^pg_' and nspname not in ('information_schema', 'ghostcrm_provisioning')
)
select 'relation ' || c.oid::regclass as thing,
       (to_jsonb(c) - array['relpages', 'reltuples', 'relallvisible', 'relallfrozen', 'relfrozenxid', 'relminmxid',
                            'relhastriggers', 'relacl'])::text as state
from pg_class c join places p on p.oid = c.relnamespace
union all
select format('column %s.%I', a.attrelid::regclass, a.attname),
       (to_jsonb(a) - array['attacl', 'attcacheoff'])::text || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
from pg_attribute a join pg_class c on c.oid = a.attrelid join places p on p.oid = c.relnamespace
left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attnum > 0
union all
select format('constraint %I on %s', k.conname, k.conrelid::regclass), k.oid::text || pg_get_constraintdef(k.oid)
from pg_constraint k join places p on p.oid = k.connamespace
union all
select format('trigger %I on %s', t.tgname, t.tgrelid::regclass), t.tgenabled::text || pg_get_triggerdef(t.oid)
from pg_trigger t join pg_class c on c.oid = t.tgrelid join places p on p.oid = c.relnamespace
where not t.tgisinternal
union all
select format('policy %I on %s', y.polname, y.polrelid::regclass), to_jsonb(y)::text
from pg_policy y join pg_class c on c.oid = y.polrelid join places p on p.oid = c.relnamespace
union all
select format('rule %I on %s', r.rulename, r.ev_class::regclass), pg_get_ruledef(r.oid)
from pg_rewrite r join pg_class c on c.oid = r.ev_class join places p on p.oid = c.relnamespace
union all
select 'function ' || f.oid::regprocedure, (to_jsonb(f) - 'proacl')::text
from pg_proc f join places p on p.oid = f.pronamespace
union all
select 'type ' || t.oid::regtype, (to_jsonb(t) - 'typacl')::text
from pg_type t join places p on p.oid = t.typnamespace
union all
select format('value %L of the type %s', e.enumlabel, e.enumtypid::regtype), to_jsonb(e)::text
from pg_enum e
union all
select format('schema %I', n.nspname), (to_jsonb(n) - 'nspacl')::text
from pg_namespace n join places p on p.oid = n.oid
union all
select format('extension %I', extname), to_jsonb(x)::text from pg_extension x
union all
select format('event trigger %I', evtname), to_jsonb(e)::text from pg_event_trigger e
union all
select format('publication %I', pubname), to_jsonb(p)::text from pg_publication p
union all
-- In this database, and of the roles that client databases share; what else stands on the server changes meanwhile.
select format('setting of %s in %s', s.setrole::regrole, s.setdatabase), s.setconfig::text
from pg_db_role_setting s left join pg_roles r on r.oid = s.setrole
where s.setdatabase = (select oid from pg_database where datname = current_database())
   or r.rolname in ('postgres', 'anon', 'authenticated', 'service_role', 'authenticator', 'supabase_admin',
                    'supabase_auth_admin')
union all
select format('comment on %s', pg_describe_object(d.classoid, d.objoid, d.objsubid)), d.description
from pg_description d join pg_class c on d.classoid = 'pg_class'::regclass and c.oid = d.objoid
     join places p on p.oid = c.relnamespace
union all
-- Privileges, with who gave them.
select format('privilege %s of %s on the relation %s', a.privilege_type, a.grantee::regrole, c.oid::regclass),
       a.is_grantable::text
from pg_class c join places p on p.oid = c.relnamespace,
     aclexplode(coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's'::"char" else 'r'::"char" end, c.relowner))) a
where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
union all
select format('privilege %s of %s on the column %s.%I', a.privilege_type, a.grantee::regrole,
              t.attrelid::regclass, t.attname), a.is_grantable::text
from pg_attribute t join pg_class c on c.oid = t.attrelid join places p on p.oid = c.relnamespace,
     aclexplode(t.attacl) a
union all
select format('privilege %s of %s on the function %s', a.privilege_type, a.grantee::regrole, f.oid::regprocedure),
       a.is_grantable::text
from pg_proc f join places p on p.oid = f.pronamespace,
     aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) a
union all
select format('privilege %s of %s on the type %s', a.privilege_type, a.grantee::regrole, t.oid::regtype),
       a.is_grantable::text
from pg_type t join places p on p.oid = t.typnamespace,
     aclexplode(coalesce(t.typacl, acldefault('T', t.typowner))) a
union all
select format('privilege %s of %s on the schema %I', a.privilege_type, a.grantee::regrole, n.nspname),
       a.is_grantable::text
from pg_namespace n join places p on p.oid = n.oid,
     aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
union all
select format('privilege %s of %s on the database', a.privilege_type, a.grantee::regrole), a.is_grantable::text
from pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
where d.datname = current_database()
union all
select format('privileges of what %s will make in %s (%s)', d.defaclrole::regrole,
              coalesce(nullif(d.defaclnamespace, 0)::regnamespace::text, 'any schema'), d.defaclobjtype),
       d.defaclacl::text
from pg_default_acl d

-- name: rows_changed
-- Tables in which this transaction has changed rows: of these names.
select relid::regclass::text as name
from pg_stat_xact_all_tables
where n_tup_ins + n_tup_upd + n_tup_del > 0 and relid = any(%(relations)s::oid[])

-- name: their_tables
select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'ghostcrm_provisioning')
  and c.relkind in ('r', 'p')

-- name: makers
-- Whose default privileges are somebody's affair: the login's that we were given, and theirs who have set any.
select session_user::text as maker
union
select rolname::text from pg_roles where oid in (select defaclrole from pg_default_acl)

-- name: default_privileges
-- What these roles give away with what they make, one row for each privilege: as it was set, and where nothing
-- was, as PostgreSQL has it. `place` is a schema, or null for all; `grantee` is null for everybody.
with given(maker, place, kind, acl) as (
    select r.rolname, n.nspname, d.defaclobjtype, d.defaclacl
    from pg_default_acl d join pg_roles r on r.oid = d.defaclrole
    left join pg_namespace n on n.oid = d.defaclnamespace
    union all
    select r.rolname, null, kind, acldefault(case kind when 'S' then 's' else kind end, r.oid)
    from pg_roles r cross join unnest(array['r', 'S', 'f', 'T', 'n']::"char"[]) kind
    where not exists (
        select from pg_default_acl d
        where d.defaclrole = r.oid and d.defaclnamespace = 0 and d.defaclobjtype = kind
    )
)
select g.maker::text, g.place::text, g.kind::text, r.rolname::text as grantee,
       a.privilege_type as privilege, a.is_grantable
from given g cross join aclexplode(g.acl) a left join pg_roles r on r.oid = a.grantee
where g.maker = any(%(makers)s)

-- name: things
-- The tables, views and functions that are there, by name.
select format('%I.%I', n.nspname, c.relname) as name
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
union
select format('%I.%I', n.nspname, f.proname)
from pg_proc f join pg_namespace n on n.oid = f.pronamespace
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'

-- name: create_ours
create table if not exists ghostcrm_provisioning.ours (name text primary key)

-- name: close_ours
revoke all on ghostcrm_provisioning.ours from public

-- name: add_ours
insert into ghostcrm_provisioning.ours select unnest(%(names)s::text[]) on conflict do nothing

-- name: remembers_ours
select exists (
    select from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'ghostcrm_provisioning' and c.relname = 'ours'
) as holds

-- name: read_ours
select name from ghostcrm_provisioning.ours
