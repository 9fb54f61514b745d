-- A CRM that has been used for three years, set-based: as many contacts as are asked for, a quarter as
-- many companies and deals, as many activities. Ninety people in twelve teams own them.
-- Triggers are off while it is written; names repeat as names do, and every run makes the same rows.

-- name: people
-- Users who can sign in: one owner, three admins, ten managers, eighty salespeople, six viewers.
insert into auth.users
    (instance_id, id, aud, role, email, email_confirmed_at, confirmation_token, recovery_token,
     email_change_token_new, email_change, raw_app_meta_data, raw_user_meta_data, created_at, updated_at)
select '00000000-0000-0000-0000-000000000000', md5('person ' || n)::uuid, 'authenticated', 'authenticated',
       'person' || n || '@bench.example', now(), '', '', '', '', '{}', '{}', now(), now()
from generate_series(1, 100) n

-- name: profiles
insert into public.profiles (id, role_key, email, first_name, last_name)
select md5('person ' || n)::uuid,
       case when n = 1 then 'owner' when n <= 4 then 'admin' when n <= 14 then 'manager'
            when n <= 94 then 'sales' else 'viewer' end,
       'person' || n || '@bench.example', 'Person', n::text
from generate_series(1, 100) n

-- name: teams
insert into public.teams (id, name)
select md5('team ' || n)::uuid, 'Team ' || n from generate_series(0, 11) n

-- name: memberships
-- Managers and salespeople are in one team each; every fifth in a second one.
insert into public.team_memberships (team_id, profile_id)
select md5('team ' || n %% 12)::uuid, md5('person ' || n)::uuid from generate_series(5, 94) n
union all
select md5('team ' || (n + 5) %% 12)::uuid, md5('person ' || n)::uuid
from generate_series(5, 94) n where n %% 5 = 0

-- name: companies
insert into public.companies
    (owner_id, team_id, name, domain, industry, created_at, updated_at, deleted_at)
select case when i %% 20 <> 0 then o.owner_id end, case when i %% 20 > 1 then o.team_id end,
       w.name || ' ' || k.kind || ' ' || i, 'www' || i || '.example',
       (array['software', 'trade', 'transport', 'health'])[1 + i %% 4],
       at.created_at, at.created_at, case when i %% 50 = 7 then now() end
from generate_series(1, %(contacts)s / 4) i
cross join lateral (
    select hashint4(i) & 2147483647 as chance,
           now() - interval '3 years' * (1 - i::float8 / (%(contacts)s / 4)) as created_at
) at
join (
    select n - 5 as number, md5('person ' || n)::uuid as owner_id, md5('team ' || n %% 12)::uuid as team_id
    from generate_series(5, 94) n
) o on o.number = at.chance %% 90
cross join lateral (
    select (array['Nord', 'Alpen', 'Rhein', 'Donau', 'Baltic', 'Iron', 'Silver', 'Cedar', 'Falcon', 'Harbour',
                  'Summit', 'Lumen', 'Vertex', 'Orchid', 'Copper', 'Meadow'])[1 + at.chance / 97 %% 16]
        || (array['wind', 'stein', 'feld', 'works', 'gate', 'line', 'bridge', 'port', 'craft', 'field',
                  'point', 'crest'])[1 + at.chance / 1553 %% 12] as name
) w
cross join lateral (
    select (array['GmbH', 'Ltd', 'Logistics', 'Trading', 'Software', 'Medical', 'Foods', 'Energy'])
        [1 + at.chance / 18637 %% 8] as kind
) k

-- name: contacts
-- One in twenty is nobody's, one in twenty belongs to a person alone, one in fifty is deleted.
insert into public.contacts
    (owner_id, team_id, company_id, status, first_name, last_name, job_title, email, phone,
     last_activity_at, created_at, updated_at, deleted_at)
select case when i %% 20 <> 0 then o.owner_id end, case when i %% 20 > 1 then o.team_id end,
       c.id, (array['lead', 'prospect', 'customer', 'former'])[1 + at.chance / 13 %% 4],
       n.first_name, n.last_name,
       (array['Buyer', 'Director', 'Engineer', 'Accountant', 'Assistant'])[1 + at.chance / 29 %% 5],
       lower(n.first_name || '.' || n.last_name) || i || '@' || c.domain,
       '+43 1 ' || lpad((at.chance %% 10000000)::text, 7, '0'),
       at.created_at + interval '3 days', at.created_at, at.created_at,
       case when i %% 50 = 13 then now() end
from generate_series(1, %(contacts)s) i
cross join lateral (
    select hashint4(-i) & 2147483647 as chance,
           now() - interval '3 years' * (1 - i::float8 / %(contacts)s) as created_at
) at
join (
    select n - 5 as number, md5('person ' || n)::uuid as owner_id, md5('team ' || n %% 12)::uuid as team_id
    from generate_series(5, 94) n
) o on o.number = at.chance %% 90
left join (
    select row_number() over (order by created_at, id) - 1 as number, id, domain from public.companies
) c on c.number = at.chance / 7 %% (%(contacts)s / 4)
cross join lateral (
    select (array['Anna', 'Ben', 'Clara', 'David', 'Elena', 'Felix', 'Greta', 'Hugo', 'Ines', 'Jonas',
                  'Katja', 'Leon', 'Mara', 'Nils', 'Olga', 'Paul', 'Rosa', 'Simon', 'Tanja', 'Viktor',
                  'Amelie', 'Bruno', 'Celine', 'Dominik', 'Edith', 'Fabian', 'Gloria', 'Henrik', 'Iris',
                  'Jakob', 'Karin', 'Lukas'])[1 + at.chance / 31 %% 32] as first_name,
           (array['Berg', 'Stein', 'Wald', 'Linden', 'Haber', 'Eich', 'Krone', 'Silber', 'Winter',
                  'Sommer', 'Falken', 'Rosen', 'Brand', 'Kessel', 'Hoch', 'Nieder', 'Ober', 'Unter', 'Feld',
                  'Kirch', 'Mühl', 'Neu', 'Alt', 'Grün', 'Schwarz', 'Weiss'])[1 + at.chance / 1013 %% 26]
               || (array['mann', 'er', 'bauer', 'berger', 'hofer', 'meier', 'bacher', 'dorfer', 'egger',
                         'huber', 'inger', 'kamp', 'lechner', 'mayr', 'qvist', 'reiter', 'sen', 'son', 'thaler',
                         'wieser', 'zweig', 'brunner', 'leitner', 'moser', 'pichler', 'wagner'])
                  [1 + at.chance / 27011 %% 26] as last_name
) n

-- name: deals
-- Two in five are open, in the five open stages; the others are won or lost.
insert into public.deals
    (owner_id, team_id, pipeline_id, stage_id, status, company_id, contact_id, name, amount_minor,
     currency, probability, expected_close_on, position, closed_at, created_at, updated_at)
select c.owner_id, c.team_id, s.pipeline_id, s.id, s.type, c.company_id, c.id, 'Offer ' || i,
       (at.chance %% 500) * 10000, 'EUR', s.probability, (c.created_at + interval '90 days')::date, i,
       case when s.type <> 'open' then c.created_at + interval '60 days' end, c.created_at, c.created_at
from generate_series(1, %(contacts)s / 4) i
cross join lateral (select hashint4(i + 77) & 2147483647 as chance) at
join (
    select row_number() over (order by created_at, id) - 1 as number, id, owner_id, team_id, company_id,
           created_at, deleted_at
    from public.contacts
) c on c.number = at.chance / 3 %% %(contacts)s
join (
    select pipeline_id, id, type, probability,
           row_number() over (partition by type order by position) - 1 as number
    from public.pipeline_stages
) s on s.type = case when i %% 5 < 2 then 'open' when i %% 5 < 4 then 'won' else 'lost' end
   and s.number = case when i %% 5 < 2 then at.chance / 11 %% 5 else 0 end

-- name: activities
-- Every two-hundredth contact is a busy one, with a hundred entries; of the others every second has one. Most are their
-- owner's own, some a colleague's of the team, some anybody's; one in fifty is private.
insert into public.activities
    (owner_id, team_id, type, subject, body, contact_id, record_owner_key, record_team_id, is_private,
     occurred_at, created_at, updated_at)
select case when at.chance %% 10 < 7 then c.owner_id else o.owner_id end,
       case when at.chance %% 10 < 9 then c.team_id else o.team_id end,
       (array['call', 'meeting', 'note', 'task', 'email'])[1 + at.chance / 17 %% 5],
       'Spoke about the offer',
       repeat('They think about it and will call back after the meeting. ', 1 + at.chance / 19 %% 9),
       c.id, case when c.deleted_at is null then coalesce(c.owner_id, '00000000-0000-0000-0000-000000000000') end,
       case when c.deleted_at is null then c.team_id end,
       at.chance %% 50 = 0 and (case when at.chance %% 10 < 7 then c.owner_id else o.owner_id end)
           is not null,
       c.created_at + (now() - c.created_at) * ((at.chance %% 997) / 997.0), now(), now()
from (
    select row_number() over (order by created_at, id) - 1 as number, id, owner_id, team_id, company_id,
           created_at, deleted_at
    from public.contacts
) c
cross join lateral generate_series(1, case when c.number %% 200 = 37 then 100 else c.number %% 2 end) i
cross join lateral (
    select hashint8(c.number * 131 + i) & 2147483647 as chance
) at
join (
    select n - 5 as number, md5('person ' || n)::uuid as owner_id, md5('team ' || n %% 12)::uuid as team_id
    from generate_series(5, 94) n
) o on o.number = at.chance / 101 %% 90

-- name: appointments
insert into public.appointments (owner_id, team_id, title, local_start, local_end, contact_id)
select c.owner_id, c.team_id, 'Meeting',
       date_trunc('hour', now()::timestamp) + interval '1 hour' * (c.number %% 2000 - 1000),
       date_trunc('hour', now()::timestamp) + interval '1 hour' * (c.number %% 2000 - 999), c.id
from (
    select row_number() over (order by created_at, id) - 1 as number, id, owner_id, team_id, company_id,
           created_at, deleted_at
    from public.contacts
) c
where c.owner_id is not null and c.number %% 5 = 0

-- name: invoices
-- One in ten is still open, of which half are overdue.
insert into public.invoices
    (owner_id, team_id, company_id, status, number, currency, issued_on, due_on, subtotal_minor,
     paid_minor, issued_at, paid_at, created_at)
select o.owner_id, o.team_id, c.id, case when i %% 10 = 0 then 'sent' else 'paid' end, 'INV-' || i, 'EUR',
       on_.issued_on, on_.issued_on + 14, 12000, case when i %% 10 = 0 then 0 else 12000 end,
       on_.issued_on, case when i %% 10 <> 0 then on_.issued_on + 10 end, on_.issued_on
from generate_series(1, %(contacts)s / 10) i
cross join lateral (
    select hashint4(i + 991) & 2147483647 as chance,
           current_date - case when i %% 10 = 0 then i / 10 %% 28 else i %% 900 end as issued_on
) on_
join (
    select n - 5 as number, md5('person ' || n)::uuid as owner_id, md5('team ' || n %% 12)::uuid as team_id
    from generate_series(5, 94) n
) o on o.number = on_.chance %% 90
join (
    select row_number() over (order by created_at, id) - 1 as number, id, domain from public.companies
) c on c.number = on_.chance / 7 %% (%(contacts)s / 4)
