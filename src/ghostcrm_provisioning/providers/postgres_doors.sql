-- name: observe_doors
-- Who may do what with a database besides its owner, and who is in it: not the administrator, nor
-- superusers, whom nobody can keep out. (What kind of a session it is, others than its user are not told;
-- the server's own have no user.)
select shobj_description(d.oid, 'pg_database') as stamp,
       coalesce((
           select array_agg(distinct coalesce(r.rolname, 'public') order by coalesce(r.rolname, 'public'))
           from aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
           left join pg_roles r on r.oid = a.grantee
           where a.grantee <> d.datdba
       ), '{}')::text[] as admitted,
       coalesce((
           select array_agg(distinct s.usename::text order by s.usename::text)
           from pg_stat_activity s join pg_roles r on r.oid = s.usesysid
           where s.datid = d.oid and s.usename <> current_user and not r.rolsuper
       ), '{}')::text[] as present
from pg_database d
where d.datname = %(name)s

-- name: end_sessions
-- Of one role in one database; each is waited for, five seconds at most.
select pg_terminate_backend(pid, 5000) from pg_stat_activity
where datname = %(name)s and usename = %(role)s

-- name: rights_inside
-- What whoever asks may read or change in this database: through a role of its own, or, in our own
-- schemas, as everybody. What comes with an extension, and what the server's keeper gave to everybody in
-- other places, are no client's affair.
select string_agg(lower(p.privilege), ', ' order by p.position) || ' ' || quote_ident(n.nspname) || '.' ||
       quote_ident(c.relname) as rights
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
cross join unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE'])
    with ordinality as p(privilege, position)
where c.relkind in ('r', 'p', 'v', 'm', 'f')
  and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and has_schema_privilege(n.oid, 'usage')
  and not exists (
      select from pg_depend d
      where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
  )
  and exists (
      select from (
          select acl from (values (coalesce(c.relacl, acldefault('r', c.relowner)))) whole(acl)
          union all
          select attacl from pg_attribute
          where attrelid = c.oid and attnum > 0 and not attisdropped and attacl is not null
      ) of_parts, aclexplode(of_parts.acl) a
      where a.privilege_type = p.privilege
        and case when a.grantee = 0 then n.nspname in ('ghostcrm', 'ghostcrm_queue')
                 else pg_has_role(a.grantee, 'member') end
  )
group by c.oid, n.nspname, c.relname
order by c.oid
limit 10
