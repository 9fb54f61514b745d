-- A control database that has been used for a while: clients with everything that their registrations
-- and changes of plan have left behind. Set-based; the same number gives the same clients.

-- name: fill_servers
insert into servers (name, provider, region, client_limit)
select 'bench-' || lpad(i::text, 2, '0'), 'postgres',
       (array['eu-central', 'eu-west', 'us-east'])[1 + i %% 3], 20000
from generate_series(1, 11) as i

-- name: fill_people
-- What a client is like is drawn by its number, each trait by a draw of its own.
create temporary table people on commit drop as
select i, md5('client' || i)::uuid as id,
       (array['Falken', 'Adler', 'Eichen', 'Linden', 'Birken', 'Kranich', 'Ahorn', 'Otter', 'Luchs',
              'Reiher'])[1 + draw[1] %% 10]
       || (array['berg', 'tal', 'bach', 'feld', 'hof', 'stein', 'au', 'wald', 'see', 'burg', 'heim',
                 'dorf', 'furt'])[1 + draw[2] %% 13]
       || ' ' || (array['Logistik', 'Software', 'Medizintechnik', 'Bau', 'Consulting', 'Druck', 'Energie',
                        'Möbel', 'Catering', 'Immobilien', 'Textil', 'Spedition', 'Optik', 'Gartenbau',
                        'Verlag', 'Maschinenbau', 'Reisen', 'Elektronik', 'Feinkost', 'Sanitär',
                        'Holzbau', 'Chemie', 'Werbung', 'Pflege', 'Akustik', 'Metall', 'Tiefbau',
                        'Labor', 'Film', 'Fahrrad'])[1 + draw[3] %% 30]
       || ' ' || (array['GmbH', 'AG', 'KG', 'GmbH', 'SE'])[1 + draw[4] %% 5]
       || ' ' || lpad(i::text, 6, '0') as name,
       (array['admin', 'office', 'it', 'anna.berg', 'team'])[1 + draw[5] %% 5] || '@firma'
       || lpad(i::text, 6, '0') || (array['.example.com', '.example.org', '.example.de'])[1 + draw[6] %% 3]
           as email,
       (array['starter', 'starter', 'starter', 'professional', 'professional', 'enterprise']
       )[1 + draw[7] %% 6] as plan,
       1 + draw[8] %% 11 as server,
       draw[9] %% 50 = 0 as failed,
       clock_timestamp() - interval '30 days' * (%(clients)s - i + 1) / (%(clients)s + 1) as began
from generate_series(1, %(clients)s) as i
cross join lateral (
    select array_agg(hashint4extended(i, trait) & 1073741823 order by trait) as draw
    from generate_series(1, 9) as trait
) drawn

-- name: fill_clients
insert into clients (id, name, plan, wanted_plan, blueprint, status, registration_digest, registered_by,
                     created_at, ready_at, updated_at, server_id, search_words)
select p.id, p.name, p.plan, p.plan, 'ghostcrm',
       (case when p.failed then 'failed' else 'ready' end)::client_status,
       sha256(('client' || p.i)::bytea), 'bench', p.began,
       case when not p.failed then p.began + interval '40 ms' end, p.began + interval '40 ms', s.id,
       ' ' || array_to_string(words_of(p.name || ' ' || p.email), ' ')
from people p
join servers s on s.name = 'bench-' || lpad(p.server::text, 2, '0')
order by p.i

-- name: fill_words
insert into client_words (word, created_at, client_id)
select word, c.created_at, c.id
from clients c
cross join lateral unnest(string_to_array(c.search_words, ' ')) as word
where word <> ''
order by word collate "C", c.created_at

-- name: fill_admins
insert into client_admins (client_id, user_id, email, must_change_password)
select id, md5('user' || i)::uuid, email, true from people order by i

-- name: fill_databases
insert into client_databases (id, client_id, server_id, name, status, blueprint_fingerprint,
                              credentials_sealed, created_at, observed_at, handed_over_at)
select md5('database' || c.id)::uuid, c.id, c.server_id, 'ghostcrm_' || replace(c.id::text, '-', ''),
       'handed_over', 'bench', '\x00', c.created_at, c.created_at, c.ready_at
from clients c

-- name: fill_verdicts
-- Every fifth client was attacked since its hand-over.
insert into isolation_verdicts (client_id, database_id, began_at, duration_ms, holds, findings, attempts,
                                catalog_fingerprint, blueprint, requested_by, program_version)
select c.id, d.id, c.created_at + interval '1 hour', 900, c.bad is null,
       case when c.bad is null then '[]' else '[{"code": "bench", "sentence": "Found by nobody."}]'::jsonb end,
       '{"read": 500}', 'bench', 'ghostcrm', 'bench', 'bench'
from (
    select id, created_at, status, nullif(row_number() over (order by created_at) %% 100 = 50, false) as bad,
           row_number() over (order by created_at) as i
    from clients
) c
join client_databases d on d.client_id = c.id
where c.status = 'ready' and c.i %% 5 = 0

-- name: fill_quarantine
update clients c
set status = 'quarantined', wanted_status = 'quarantined', quarantine_verdict_id = v.id,
    quarantined_at = v.began_at
from isolation_verdicts v
where v.client_id = c.id and not v.holds and c.status = 'ready'

-- name: fill_runs
-- One that brought the client into being, and some that changed its plan.
insert into runs (id, client_id, kind, status, error, created_at, queued_at, started_at, finished_at,
                  updated_at)
select md5('run' || c.id || turn)::uuid, c.id,
       (case when turn = 0 then 'provision_client' else 'change_plan' end)::run_kind,
       (case when failed then 'failed' else 'succeeded' end)::run_status,
       case when failed then jsonb_build_object(
           'code', (array['server_unreachable', 'migration_failed', 'database_busy'])[1 + c.i %% 3],
           'message', 'The server does not answer.', 'nextStep', 'See that it runs.', 'retryable', true)
       end,
       began, began, began + interval '3 ms', began + (30 + c.i %% 40) * interval '1 ms', began
from (select id, status, created_at, row_number() over (order by created_at) as i from clients) c
cross join generate_series(0, %(changes)s) as turn
cross join lateral (
    select c.created_at + turn * interval '2 minutes' as began, c.status = 'failed' and turn = 0 as failed
) run
where turn = 0 or c.status = 'ready'

-- name: fill_steps
insert into steps (run_id, position, name, status, attempt, started_at, finished_at, observation, error)
select r.id, step.position, step.name,
       (case when r.status = 'succeeded' or step.position < 4 then 'done'
             when step.position = 4 then 'failed' else 'pending' end)::step_status,
       case when r.status = 'succeeded' or step.position <= 4 then 1 else 0 end,
       case when r.status = 'succeeded' or step.position <= 4 then r.started_at end,
       case when r.status = 'succeeded' or step.position <= 4 then r.finished_at end,
       case when r.status = 'succeeded' or step.position < 4 then 'It is so.' end,
       case when r.status = 'failed' and step.position = 4 then r.error end
from runs r
cross join lateral unnest(
    case r.kind when 'provision_client'
         then array['acquire_database', 'install_blueprint', 'create_admin', 'apply_plan_settings',
                    'prove_isolation', 'hand_over']
         else array['apply_plan_settings', 'record_plan'] end
) with ordinality as step (name, position)

-- name: fill_attempts
insert into step_attempts (run_id, position, fence, attempt, worker_id, outcome, started_at, finished_at,
                           error)
select s.run_id, s.position, 1, 1, md5('worker')::uuid,
       (case s.status when 'failed' then 'failed' else 'done' end)::attempt_outcome, s.started_at,
       s.finished_at, s.error
from steps s
where s.started_at is not null

-- name: fill_audit
insert into audit_log (at, actor, action, client_id, details)
select c.created_at + turn * interval '1 minute', 'bench',
       (array['client.registered', 'client.handed_over', 'client.connected'])[1 + turn], c.id,
       '{"plan": "starter"}'
from clients c
cross join generate_series(0, 2) as turn
