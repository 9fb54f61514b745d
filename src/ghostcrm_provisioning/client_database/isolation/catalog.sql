-- name: row_versions
-- A fingerprint of everything in the database's catalog that decides who may do what, from the versions of its
-- rows: where each stands and which transaction wrote it. Equal in a template and in its copies, which are
-- copied block by block, and changed by whatever changes a row, the system's own included; cheap, because
-- no row is read for what it says, and because all of them are one sum, in which each catalog has a seed of its own.
-- Whether it is a table of public is told beside.
select md5(concat(count(*), ' ', sum(v.hash))) as fingerprint, count(*) filter (where v.is_table) as tables
from (
    select hash_record_extended(row(ctid, xmin), 0) as hash,
           relnamespace = 'public'::regnamespace and relkind in ('r', 'p') as is_table
    from pg_class
    union all
    select hash_record_extended(row(ctid, xmin), 1), false
    from pg_namespace where nspname !~ '^pg_(toast_)?temp'
    union all
    select hash_record_extended(row(ctid, xmin), 2), false from pg_attribute
    union all
    select hash_record_extended(row(ctid, xmin), 3), false from pg_policy
    union all
    select hash_record_extended(row(ctid, xmin), 4), false from pg_proc
    union all
    select hash_record_extended(row(ctid, xmin), 5), false from pg_trigger
    union all
    select hash_record_extended(row(ctid, xmin), 6), false from pg_rewrite
    union all
    select hash_record_extended(row(ctid, xmin), 7), false from pg_default_acl
) v

-- name: shared_rows
-- The same of what is shared by the whole server, roles and who is a member of which: these are read, in whatever
-- database.
select md5(concat(count(*), ' ', sum(v.hash))) as fingerprint
from (
    select hash_record_extended(row(roleid, member), 0) as hash
    from pg_auth_members where member in ('anon'::regrole, 'authenticated'::regrole)
    union all
    select hash_record_extended(row(oid, rolsuper, rolbypassrls, rolcreaterole, rolinherit), 1)
    from pg_roles where rolname = any(%(roles)s)
) v

-- name: facts
-- The same in words that can be compared and read: what it is about, and what is so. Names instead of
-- oids, each grant for itself. At Supabase its own schemas are left out, and what is granted to its roles:
-- it changes them as it likes. Where others are in the database (`ours` is a list), what is theirs is left out,
-- but for functions that lend their owner's rights, which might be rights to what is ours.
with schemas as materialized (
    select oid, nspname, nspowner, nspacl from pg_namespace
    where nspname !~ '^pg_' and nspname not in ('information_schema', 'ghostcrm_provisioning')
      and nspname <> all(%(platform_schemas)s)
      and (%(ours)s::text[] is null or nspname in ('public', 'auth', 'extensions') or exists (
          select from unnest(%(ours)s::text[]) o where starts_with(o, format('%%I.', nspname))
      ))
), of_extensions as materialized (
    select classid, objid from pg_depend where deptype = 'e'
), relations as materialized (
    select c.oid, c.relkind, c.relowner, c.relrowsecurity, c.relforcerowsecurity, c.reloptions, c.relacl,
           format('%%s.%%s', s.nspname, c.relname) as name
    from pg_class c join schemas s on s.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
      and (%(ours)s::text[] is null or format('%%I.%%I', s.nspname, c.relname) = any(%(ours)s))
), lending as materialized (
    -- Who may execute an aggregate need not be allowed what it is made of: its owner must.
    select a.aggfnoid as oid
    from pg_aggregate a
    join pg_proc part on part.prosecdef and part.oid in (
        a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, a.aggmtransfn,
        a.aggminvtransfn, a.aggmfinalfn
    )
), functions as materialized (
    select f.oid, f.proowner, f.prosecdef or f.oid in (select oid from lending) as prosecdef, f.proconfig, f.proacl, f.prosrc, f.prosqlbody, f.prolang,
           format('%%s.%%s(%%s)', s.nspname, f.proname, pg_get_function_identity_arguments(f.oid)) as name
    from pg_proc f join schemas s on s.oid = f.pronamespace
    -- Whoever owns an extension can put functions of their own into it (ALTER EXTENSION … ADD), which does not
    -- hide what these lend.
    where (
        (f.prosecdef or f.oid in (select oid from lending)) and f.proowner = to_regrole(quote_ident(%(owner)s))
        or not exists (
            select from of_extensions e where e.classid = 'pg_proc'::regclass and e.objid = f.oid
        )
    )
      and (%(ours)s::text[] is null or f.prosecdef or format('%%I.%%I', s.nspname, f.proname) = any(%(ours)s))
), names as materialized (
    select oid, rolname as name from pg_roles union all select 0, 'everyone'
), grants(kind, subject, grantee, privilege, is_grantable) as (
    select 'schema', s.nspname::text, a.grantee, a.privilege_type, a.is_grantable
    from schemas s, aclexplode(coalesce(s.nspacl, acldefault('n', s.nspowner))) a
    union all
    select 'relation', r.name, a.grantee, a.privilege_type, a.is_grantable
    from relations r,
         aclexplode(coalesce(r.relacl, acldefault(case r.relkind when 'S' then 's' else 'r' end::"char", r.relowner))) a
    union all
    select 'column', format('%%s.%%s', r.name, c.attname), a.grantee, a.privilege_type, a.is_grantable
    from relations r join pg_attribute c on c.attrelid = r.oid and c.attacl is not null, aclexplode(c.attacl) a
    union all
    select 'function', f.name, a.grantee, a.privilege_type, a.is_grantable
    from functions f, aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) a
)
select 'schema' as kind, s.nspname::text as subject, format('belongs to %%s', n.name) as fact
from schemas s join names n on n.oid = s.nspowner
union all
select 'relation', r.name, format(
    '%%s belongs to %%s; row level security %%s%%s; options %%s', r.relkind, n.name,
    case when r.relrowsecurity then 'on' else 'off' end,
    case when r.relforcerowsecurity then ', forced' else '' end, coalesce(r.reloptions::text, 'none'))
from relations r join names n on n.oid = r.relowner
union all
-- No difference by itself: a grant on one that was there is.
select 'column', format('%%s.%%s', r.name, a.attname), 'is there'
from pg_attribute a join relations r on r.oid = a.attrelid and r.relkind in ('r', 'p', 'v', 'm', 'f')
where a.attnum > 0 and not a.attisdropped
union all
select 'policy', format('%%s %%I', r.name, p.polname), format(
    'for %%s, %%s, to %%s, using (%%s), check (%%s)', p.polcmd,
    case when p.polpermissive then 'permissive' else 'restrictive' end,
    array(select n.name from names n where n.oid = any(p.polroles) order by n.name),
    pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
from pg_policy p join relations r on r.oid = p.polrelid
union all
select 'function', f.name, case
    -- Supabase Auth's own migrations replace what says who is asking; that it still says so is tried. But it may
    -- rest on nothing than the token's claims: what reads a table, or another setting (a header of the request, say),
    -- could let in whoever knows what to send.
    when f.name = any(array['auth.uid()', 'auth.role()', 'auth.email()', 'auth.jwt()'])
         and n.name = 'supabase_auth_admin' and not f.prosecdef and f.proconfig is null
         and f.prosqlbody is null and f.prolang = (select oid from pg_language where lanname = 'sql')
         and lower(f.prosrc) ~ '^(\s|\m(select|coalesce|nullif|current_setting|case|when|then|else|end|is|not|and|or'
             '|true|false|null|pg_catalog|operator|uuid|text|jsonb?)\M|''request\.jwt\.[a-z_.]*''|''[a-z_]*''|->>?|::|[(),;=.])*$'
    then 'belongs to supabase_auth_admin; invoker; replaced by Supabase Auth as it likes'
    else format(
        '%%sbelongs to %%s; %%s; %%s; %%s',
        case when f.name = any(array['auth.uid()', 'auth.role()', 'auth.email()', 'auth.jwt()'])
             then 'rests on more than the token''s claims; ' end, n.name, case when f.prosecdef then 'definer' else 'invoker' end,
        coalesce(f.proconfig::text, 'no settings'),
        md5(concat(f.prolang::text, f.prosrc, f.prosqlbody::text)))
end
from functions f join names n on n.oid = f.proowner
union all
select 'trigger', format('%%s %%I', r.name, t.tgname),
       format('%%s; enabled %%s', pg_get_triggerdef(t.oid), t.tgenabled)
from pg_trigger t join relations r on r.oid = t.tgrelid where not t.tgisinternal
union all
-- Whoever may read a parent reads its children's rows, and no policy of theirs is asked.
select 'inheritance', r.name, format('inherits from %%s', i.inhparent::regclass)
from pg_inherits i join relations r on r.oid = i.inhrelid
union all
select 'rule', format('%%s %%I', r.name, w.rulename), concat(md5(pg_get_ruledef(w.oid)), ' ', w.ev_enabled)
from pg_rewrite w join relations r on r.oid = w.ev_class
union all
select 'default', format('%%s in %%s for %%s', d.defaclobjtype, coalesce(s.nspname, 'every schema'), n.name),
       format('%%s may %%s', g.name, a.privilege_type)
from pg_default_acl d join names n on n.oid = d.defaclrole left join schemas s on s.oid = d.defaclnamespace,
     aclexplode(d.defaclacl) a join names g on g.oid = a.grantee
where not %(is_supabase)s
   or (n.name = %(owner)s and (d.defaclnamespace = 0 or s.oid is not null) and g.name <> all(%(platform_roles)s))
union all
select 'membership', m.member::regrole::text, format('is a member of %%s', m.roleid::regrole)
from pg_auth_members m where m.member in ('anon'::regrole, 'authenticated'::regrole)
union all
select 'role', r.rolname, concat_ws(', ', 'is there', case when r.rolsuper then 'superuser' end,
       case when r.rolbypassrls then 'bypasses row level security' end,
       case when r.rolcreaterole then 'makes roles' end, case when r.rolinherit then 'inherits' end)
from pg_roles r where r.rolname = any(%(roles)s)
union all
select 'grant on ' || g.kind, g.subject, format('%%s may %%s%%s', n.name, g.privilege,
       case when g.is_grantable then ' and grant it' else '' end)
from grants g join names n on n.oid = g.grantee
where n.name <> all(%(platform_roles)s)

-- name: find_nothing_by_itself
set local search_path = ''

-- name: read_proof
select proven_catalog, proven_with_rows_in from ghostcrm_provisioning.stamp

-- name: read_proven_facts
select proven_facts from ghostcrm_provisioning.stamp

-- name: write_proof
update ghostcrm_provisioning.stamp
set proven_catalog = %(fingerprint)s, proven_with_rows_in = %(with_rows_in)s, proven_facts = %(facts)s
