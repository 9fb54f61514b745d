-- rule: table_without_rls
-- severity: error
-- meaning: Row level security is off on a table that the API reaches: every grant on it is for all rows.
-- fix: alter table … enable row level security; with policies and grants in the same file.
select 'pg_class' as catalog, c.oid as id, c.oid::regclass::text as object,
       format('row level security is off on table %%s', c.oid::regclass)
       || case when exists (select from pg_policy p where p.polrelid = c.oid)
               then ', so its policies do nothing' else '' end as sentence
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and not c.relrowsecurity and n.nspname <> all(%(foreign_schemas)s)
  and (n.nspname = any(%(exposed_schemas)s) or exists (
      select from aclexplode(c.relacl) a
      where a.grantee in (0, 'anon'::regrole, 'authenticated'::regrole)
  ))

-- rule: table_without_policy
-- severity: warning
-- meaning: Signed-in users may use a table according to its grants, but no policy shows them a row.
-- fix: Create a policy for what they may see, or revoke the grant.
select 'pg_class' as catalog, c.oid as id, c.oid::regclass::text as object,
       format('table %%s is granted to authenticated, but has no policy: they see no row of it',
              c.oid::regclass) as sentence
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and c.relrowsecurity and n.nspname <> all(%(foreign_schemas)s)
  and not exists (select from pg_policy p where p.polrelid = c.oid)
  and (has_table_privilege('authenticated', c.oid, 'select, insert, update, delete')
       or has_any_column_privilege('authenticated', c.oid, 'select, insert, update'))

-- rule: table_closed_to_all
-- severity: note
-- meaning: Row level security is on, and there is neither a policy nor a grant: only trusted jobs use it.
-- fix: Nothing, when that is meant; otherwise write the policies and the grants.
select 'pg_class' as catalog, c.oid as id, c.oid::regclass::text as object,
       format('nobody but the service role uses table %%s: no policy, no grant', c.oid::regclass) as sentence
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and c.relrowsecurity and n.nspname = any(%(exposed_schemas)s)
  and not exists (select from pg_policy p where p.polrelid = c.oid)
  and not (has_table_privilege('authenticated', c.oid, 'select, insert, update, delete')
           or has_any_column_privilege('authenticated', c.oid, 'select, insert, update'))

-- rule: policy_for_everyone
-- severity: error
-- meaning: A policy is for anon or, without TO, for everyone: also for those who are not signed in.
-- fix: create policy … to authenticated.
select 'pg_policy' as catalog, p.oid as id, format('%%I on %%s', p.polname, p.polrelid::regclass) as object,
       format('policy %%I on table %%s is for %%s', p.polname, p.polrelid::regclass,
              case when 0::oid = any(p.polroles) then 'everyone, signed in or not' else 'anon' end) as sentence
from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
where p.polroles && array[0::oid, 'anon'::regrole::oid] and n.nspname <> all(%(foreign_schemas)s)

-- rule: policy_always_true
-- severity: error
-- meaning: A policy lets every signed-in user see or write every row, also one who has been deactivated.
-- fix: Ask at least whether the caller is somebody here: (select private.my_role()) is not null, or the like.
select 'pg_policy' as catalog, p.oid as id, format('%%I on %%s', p.polname, p.polrelid::regclass) as object,
       format('policy %%I on table %%s is always true', p.polname, p.polrelid::regclass) as sentence
from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
where p.polpermissive and n.nspname <> all(%(foreign_schemas)s)
  and p.polroles && array[0::oid, 'anon'::regrole::oid, 'authenticated'::regrole::oid]
  and array['true', '(1 = 1)', '( SELECT true AS bool)', '( SELECT true)']
      && array[pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)]

-- rule: policy_asks_nobody
-- severity: error
-- meaning: A policy looks at the row alone and never at who is asking: whoever is signed in gets the same rows, also who has been deactivated, or is nobody here.
-- fix: Ask as well whether the caller is somebody here: (select private.my_role()) is not null, or the like.
-- Who is asking, an expression can only learn from a query, a function that is not immutable, or CURRENT_USER and
-- its kin. The WITH CHECK of an UPDATE is asked of rows that its USING has let through.
select 'pg_policy' as catalog, p.oid as id, format('%%I on %%s', p.polname, p.polrelid::regclass) as object,
       format('policy %%I on table %%s does not ask who is asking: %%s', p.polname, p.polrelid::regclass,
              min(pg_get_expr(e.tree, p.polrelid))) as sentence
from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
cross join lateral (values (p.polqual), (case when p.polcmd = 'a' then p.polwithcheck end)) as e (tree)
where p.polpermissive and n.nspname <> all(%(foreign_schemas)s)
  and p.polroles && array['authenticated'::regrole::oid]
  and e.tree::text !~ '\{(SUBLINK|SQLVALUEFUNCTION) '
  -- What is so for every row is another rule's.
  and pg_get_expr(e.tree, p.polrelid) not in ('true', 'false', '(1 = 1)')
  and not exists (
      select from regexp_matches(e.tree::text, ':(?:funcid|opfuncid) ([0-9]+)', 'g') as found (ids)
      join pg_proc f on f.oid = found.ids[1]::oid
      where f.provolatile <> 'i' and not (
          f.pronamespace = 'pg_catalog'::regnamespace
          -- Those look at the clock, or at the session's time zone.
          and (f.proname in ('now', 'transaction_timestamp', 'statement_timestamp', 'clock_timestamp')
               or f.proname ~ '^(date|timestamp|timestamptz|time)_')
      )
  )
group by p.oid, p.polname, p.polrelid

-- rule: policy_reads_user_metadata
-- severity: error
-- meaning: A policy believes user_metadata, which every user writes for themselves.
-- fix: Ask a table of yours, or app_metadata.
select 'pg_policy' as catalog, p.oid as id, format('%%I on %%s', p.polname, p.polrelid::regclass) as object,
       format('policy %%I on table %%s believes user_metadata, which users write themselves',
              p.polname, p.polrelid::regclass) as sentence, 'user_metadata' as word
from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
where n.nspname <> all(%(foreign_schemas)s)
  and concat(pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)) like '%%user_meta%%data%%'

-- rule: policies_overlap
-- severity: warning
-- meaning: Several permissive policies for the same role and operation: each row is put to all of them.
-- fix: Make one policy of them, with OR; or split by role or operation.
with applied as (
    select p.oid, p.polname, p.polrelid, operation, role
    from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace,
         unnest(case p.polcmd when '*' then array['r', 'a', 'w', 'd'] else array[p.polcmd::text] end) operation,
         unnest(case when 0::oid = any(p.polroles)
                     then array['anon'::regrole::oid, 'authenticated'::regrole::oid] else p.polroles end) role
    where p.polpermissive and n.nspname <> all(%(foreign_schemas)s)
), overlapping as (
    select polrelid, operation, role, max(oid) as latest,
           string_agg(quote_ident(polname), ' and ' order by oid) as names
    from applied group by polrelid, operation, role having count(*) > 1
)
select 'pg_policy' as catalog, latest as id, polrelid::regclass::text as object,
       format('table %%s has several permissive policies for %%s of %%s: %%s', polrelid::regclass,
              string_agg(distinct case operation when 'r' then 'select' when 'a' then 'insert'
                                                 when 'w' then 'update' else 'delete' end, ', '),
              string_agg(distinct role::regrole::text, ', '), names) as sentence
from overlapping group by polrelid, latest, names
