-- The pages that a CRM shows all day, as PostgREST sends them: one statement each, prepared, whose
-- answer is JSON. {contacts}, {companies}, {deals} and {activities} stand for a condition: nothing as
-- the person, whom the policies bind; without row level security what makes it show the same rows.

-- name: contacts_page
-- /contacts?select=…,company:companies(name),owner:profiles(…)&created_at=lte.…&or=(…)
-- &order=created_at.desc,id.desc&limit=50: a page in the middle, 50 rows from where the last one ended.
with pgrst_source as (
    select c.id, c.first_name, c.last_name, c.job_title, c.email, c.phone, c.status, c.source,
           c.last_activity_at, c.created_at, row_to_json(company.*)::jsonb as company,
           row_to_json(owner.*)::jsonb as owner
    from public.contacts c
    left join lateral (
        select o.id, o.name from public.companies o where o.id = c.company_id {companies}
    ) company on true
    left join lateral (
        select p.id, p.first_name, p.last_name, p.avatar_path
        from public.profiles p where p.id = c.owner_id
    ) owner on true
    where c.created_at <= %(created_at)s
      and (c.created_at < %(created_at)s or c.id < %(contact_id)s) {contacts}
    order by c.created_at desc, c.id desc
    limit %(page_size)s
)
select null::bigint as total_result_set, pg_catalog.count(t) as page_total,
       coalesce(json_agg(t), '[]') as body
from (select * from pgrst_source) t

-- name: search
-- /rpc/search_contacts?select=…&order=name_normalized,id: without row level security, what the function does inside.
with pgrst_source as (
    select c.id, c.first_name, c.last_name, c.job_title, c.email, c.phone, c.status, c.source,
           c.last_activity_at, c.created_at, row_to_json(company.*)::jsonb as company,
           row_to_json(owner.*)::jsonb as owner
    from {search} c
    left join lateral (
        select o.id, o.name from public.companies o where o.id = c.company_id {companies}
    ) company on true
    left join lateral (
        select p.id, p.first_name, p.last_name, p.avatar_path
        from public.profiles p where p.id = c.owner_id
    ) owner on true
    order by c.name_normalized, c.id
)
select null::bigint as total_result_set, pg_catalog.count(t) as page_total,
       coalesce(json_agg(t), '[]') as body
from (select * from pgrst_source) t

-- name: board
-- /pipeline_stages?select=…,deals(…)&deals.limit=20: the first cards of each open stage.
with pgrst_source as (
    select s.id, s.name, s.position, s.probability, coalesce(deals.deals, '[]') as deals
    from public.pipeline_stages s
    left join lateral (
        select json_agg(d)::jsonb as deals
        from (
            select d.id, d.name, d.amount_minor, d.currency, d.probability, d.expected_close_on,
                   d.position, d.stage_entered_at, row_to_json(company.*)::jsonb as company,
                   row_to_json(owner.*)::jsonb as owner
            from public.deals d
            left join lateral (
                select o.id, o.name from public.companies o where o.id = d.company_id {companies}
            ) company on true
            left join lateral (
                select p.id, p.first_name, p.last_name, p.avatar_path
                from public.profiles p where p.id = d.owner_id
            ) owner on true
            where d.status = 'open' and d.pipeline_id = s.pipeline_id and d.stage_id = s.id {deals}
            order by d.position, d.id
            limit 20
        ) d
    ) deals on true
    where s.pipeline_id = %(pipeline_id)s and s.type = 'open'
    order by s.position
)
select null::bigint as total_result_set, pg_catalog.count(t) as page_total,
       coalesce(json_agg(t), '[]') as body
from (select * from pgrst_source) t

-- name: timeline
-- /activities?contact_id=eq.…&select=…,owner:profiles(…)&order=occurred_at.desc,id.desc&limit=50
with pgrst_source as (
    select a.id, a.type, a.subject, a.body, a.direction, a.priority, a.is_private, a.occurred_at,
           a.duration_seconds, a.due_at, a.completed_at, row_to_json(owner.*)::jsonb as owner
    from public.activities a
    left join lateral (
        select p.id, p.first_name, p.last_name, p.avatar_path
        from public.profiles p where p.id = a.owner_id
    ) owner on true
    where a.contact_id = %(contact_id)s {activities}
    order by a.occurred_at desc, a.id desc
    limit %(page_size)s
)
select null::bigint as total_result_set, pg_catalog.count(t) as page_total,
       coalesce(json_agg(t), '[]') as body
from (select * from pgrst_source) t

-- name: search_as_the_person
public.search_contacts(%(term)s, %(page_size)s)

-- name: search_without_policies
(
    select hit.*
    from (
        select c.* from public.contacts c
        where (
            c.search_text like %(pattern)s
            or c.company_id = any (array(
                select o.id from public.companies o where o.search_text like %(pattern)s {companies}
            ))
            or c.id = any (array(
                select e.contact_id from public.contact_emails e
                where e.email_normalized like %(pattern)s
            ))
        ) {contacts}
        offset 0
    ) hit
    order by hit.name_normalized, hit.id
    limit %(page_size)s
)

-- name: whole
-- The condition for those who see every record that is not deleted.
and {alias}.deleted_at is null

-- name: of_sales
-- The condition for a salesperson: own, of their teams, nobody's.
and {alias}.deleted_at is null and (
    {alias}.owner_id = %(person_id)s or {alias}.owner_id is null or {alias}.team_id = any (%(team_ids)s)
)

-- name: of_a_visible_record
-- The condition on what happened with a record that one may see.
and (not a.is_private or a.owner_id = %(person_id)s)

-- name: a_page_start
-- Where the page before ended: a hundred pages down the list.
select created_at, id from public.contacts where deleted_at is null
order by created_at desc, id desc offset 5000 limit 1

-- name: a_busy_contact
-- One with more than a page of activities, of the team but not one's own.
select c.id
from public.contacts c
where c.team_id = %(team_id)s and c.owner_id <> %(person_id)s and c.deleted_at is null
  and (select count(*) from public.activities a where a.contact_id = c.id) > 60
order by c.id
limit 1

-- name: a_person
-- The first of a role, with their teams; for those without one, a team to look at.
select p.id as person_id,
       array(select m.team_id from public.team_memberships m where m.profile_id = p.id order by 1) as team_ids
from public.profiles p
where p.role_key = %(role)s
order by p.email limit 1

-- name: become
-- What PostgREST does at the beginning of a request.
select set_config('role', %(role)s, true), set_config('request.jwt.claims', %(claims)s, true)

-- name: a_pipeline
select id as pipeline_id from public.pipelines where is_default

-- name: a_team
-- One to look at for those who belong to none.
select id from public.teams order by name limit 1

-- name: import_batch
-- What PostgREST makes of a POST with many rows.
insert into public.contacts (owner_id, team_id, first_name, last_name, email, phone, status, source, external_key)
select r.owner_id, r.team_id, r.first_name, r.last_name, r.email, r.phone, r.status, r.source, r.external_key
from json_to_recordset(%(rows)s::json) as r (
    owner_id uuid, team_id uuid, first_name text, last_name text, email text, phone text, status text,
    source text, external_key text
)
