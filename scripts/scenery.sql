-- A day in the life of an installation, for looking at its pages: clients of every state, names of every
-- kind, failures, retries, a full server. Nothing of it exists outside the control database.

-- name: servers
with home as (
    update servers set region = 'eu-central', client_limit = 300
    where name = (select name from servers order by created_at limit 1)
)
insert into servers (name, provider, region, client_limit, accepting)
values ('pg-02', 'postgres', 'eu-west', 80, true), ('pg-03', 'postgres', 'us-east', 24, true),
       ('pg-04-being-drained', 'postgres', 'us-east', 200, false)

-- name: worker
insert into workers (id, host, process_id, standing, concurrency, started_at, heartbeat_at)
values (md5('worker')::uuid, 'app-1', 4711, true, 8, now() - interval '3 days', now() + interval '1 day'),
       (md5('worker two')::uuid, 'app-2', 815, true, 8, now() - interval '2 hours', now() + interval '1 day')

-- name: companies
-- What each client is like; the newest has the number 1.
create temporary table companies on commit drop as
select i, md5('scenery client' || i)::uuid as id, md5('scenery run' || i)::uuid as run_id,
       coalesce(special.name, (array['Falkenberg', 'Adlerhof', 'Lindental', 'Birkenau', 'Kranich', 'Otterbach',
           'Luchsfeld', 'Reiherstieg', 'Ahornweg', 'Eichental'])[1 + i % 10]
           || ' ' || (array['Logistik', 'Software', 'Bau', 'Consulting', 'Energie', 'Möbel', 'Optik'])[1 + i % 7]
           || ' ' || (array['GmbH', 'AG', 'KG'])[1 + i % 3]) as name,
       coalesce(special.kind, 'ready') as kind,
       (array['starter', 'starter', 'professional', 'enterprise'])[1 + i % 4] as plan,
       case when i % 3 = 0 then 'pg-02' when i between 20 and 66 and i % 2 = 1 then 'pg-03' end as server,
       -- Nobody became ready in some of the hours: gaps.
       now() - case when i <= 12 then i * interval '3 minutes'
                    else interval '40 minutes' + i * interval '8 minutes'
                         + case when i > 60 then interval '3 hours' else interval '0' end end as began,
       (42 + (i * 37) % 55 + case when i % 11 = 0 then 380 when i % 7 = 0 then 140 else 0 end
        + case when i between 70 and 85 then 260 else 0 end) * interval '1 ms' as took
from generate_series(1, 130) as i
left join (values
    (1, 'provisioning', 'Nordwind Spedition GmbH'),
    (2, 'queued', 'Queued & Sons Ltd.'),
    (3, 'waiting', 'Kaffeerösterei Morgenrot 🌅'),
    (4, 'failed', 'ACME Corp'),
    (5, 'ready', 'شركة الأفق للتجارة والتوريدات'),
    (6, 'ready', '<script>alert("x")</script> & <b>Bold</b> Partners'),
    (7, 'ready', 'Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft'),
    (8, 'failed', 'Bäckerei "Zum goldenen Stern", Inh. O''Neill'),
    (9, 'quarantined', 'Glass House Analytics'),
    (10, 'ready', '有限会社さくら商店 🌸'),
    (23, 'failed', 'Umbrella Holding SE'),
    (31, 'failed', 'Initech')
) as special (i, kind, name) using (i)

-- name: clients
insert into clients (id, name, plan, wanted_plan, blueprint, status, registration_digest, registered_by,
                     created_at, ready_at, updated_at)
select id, name, plan, plan, 'ghostcrm',
       (case kind when 'queued' then 'registered' when 'waiting' then 'provisioning'
                  when 'quarantined' then 'ready' else kind end)::client_status,
       sha256(('scenery' || i)::bytea), 'token:web shop', began,
       case when kind in ('ready', 'quarantined') then began + took end, began + took
from companies

-- name: admins
insert into client_admins (client_id, user_id, email, must_change_password)
select id, md5('scenery user' || i)::uuid, 'admin@company-' || i || '.example', i % 2 = 0 from companies

-- name: databases
insert into client_databases (id, client_id, server_id, name, status, blueprint_fingerprint,
                              credentials_sealed, created_at, observed_at, handed_over_at)
select md5('scenery database' || c.i)::uuid, c.id,
       coalesce((select s.id from servers s where s.name = c.server),
                (select s.id from servers s order by s.created_at, s.id limit 1)),
       'ghostcrm_' || md5('scenery database' || c.i),
       (case when c.kind in ('ready', 'quarantined') then 'handed_over' when c.kind = 'queued' then 'planned'
             else 'present' end)::client_database_status,
       md5('blueprint'), '\x00', c.began, c.began, case when c.kind = 'ready' then c.began + c.took end
from companies c

-- name: errors
create temporary table errors on commit drop as
select * from (values
    ('failed', 4, jsonb_build_object('code', 'database_rejected', 'retryable', false,
        'message', 'create admin: permission denied for schema auth on pg-02 (42501)',
        'nextStep', 'On pg-02: `GRANT supabase_auth_admin TO provisioner;` Then retry the client.')),
    ('failed', 8, jsonb_build_object('code', 'migration_failed', 'retryable', false,
        'message', '001_client_schema_template/010_contacts.sql:14: column "emial" does not exist (42703)',
        'nextStep', 'Mend the file and line that are named, then retry the client.')),
    ('failed', 23, jsonb_build_object('code', 'server_unreachable', 'retryable', true,
        'message', 'pg-03 does not answer: connection timed out after 10 s.',
        'nextStep', 'Check that the server runs and that this machine reaches it.')),
    ('failed', 31, jsonb_build_object('code', 'server_unreachable', 'retryable', true,
        'message', 'pg-03 does not answer: connection timed out after 10 s.',
        'nextStep', 'Check that the server runs and that this machine reaches it.')),
    ('waiting', 3, jsonb_build_object('code', 'database_busy', 'retryable', true,
        'message', 'Another session holds a lock on pg_authid.', 'nextStep', 'Nothing; it goes on by itself.'))
) as known (kind, i, error)

-- name: runs
insert into runs (id, client_id, kind, status, fence, worker_id, next_attempt_at, error, created_at, queued_at,
                  started_at, finished_at, updated_at)
select c.run_id, c.id, 'provision_client',
       (case c.kind when 'ready' then 'succeeded' when 'quarantined' then 'succeeded'
                    when 'provisioning' then 'running' else c.kind end)::run_status,
       case c.kind when 'queued' then 0 when 'waiting' then 2 when 'failed' then 3 else 1 end,
       case when c.kind = 'provisioning' then md5('worker')::uuid end,
       case when c.kind = 'waiting' then now() + interval '42 seconds' end,
       case when c.kind = 'failed' then e.error end,
       c.began, c.began, case when c.kind <> 'queued' then c.began + interval '4 ms' end,
       case c.kind when 'ready' then c.began + c.took when 'quarantined' then c.began + c.took
                   when 'failed' then c.began + interval '18 seconds' end,
       c.began + c.took
from companies c
left join errors e using (i)

-- name: steps
insert into steps (run_id, position, name, status, attempt, started_at, finished_at, observation, error)
select c.run_id, step.position, step.name,
       (case when step.position < at.position then 'done' when step.position > at.position then 'pending'
             else case c.kind when 'provisioning' then 'running' else c.kind end end)::step_status,
       case when step.position < at.position then 1 when step.position > at.position then 0
            when c.kind = 'failed' then 3 when c.kind = 'waiting' then 2 else 1 end,
       case when step.position <= at.position then c.began + (step.position - 1) * c.took / 6 end,
       case when step.position < at.position then c.began + step.position * c.took / 6
            when step.position = at.position and c.kind = 'failed' then c.began + interval '18 seconds' end,
       case when step.position < at.position then 'The database is there, with our stamp.' end,
       case when step.position = at.position then e.error end
from companies c
left join errors e using (i)
cross join lateral (select case c.kind when 'queued' then 0 when 'provisioning' then 2 when 'waiting' then 3
                           when 'failed' then 3 else 7 end as position) at
cross join lateral unnest(array['acquire_database', 'install_blueprint', 'create_admin', 'apply_plan_settings',
                                'prove_isolation', 'hand_over']) with ordinality as step (name, position)

-- name: attempts
insert into step_attempts (run_id, position, fence, attempt, worker_id, outcome, started_at, finished_at, error)
select s.run_id, s.position, turn, turn, md5('worker')::uuid,
       (case when s.status = 'done' then 'done' when s.status = 'running' then 'running' else 'failed' end
       )::attempt_outcome,
       s.started_at + (turn - 1) * interval '6 seconds',
       case when s.status = 'done' then s.finished_at
            when s.status <> 'running' then s.started_at + (turn - 1) * interval '6 seconds' + interval '4 seconds'
       end, s.error
from steps s
join companies c on c.run_id = s.run_id
cross join lateral generate_series(1, s.attempt) as turn
where s.attempt > 0

-- name: verdict
insert into isolation_verdicts (client_id, database_id, began_at, duration_ms, holds, findings, attempts,
                                catalog_fingerprint, blueprint, requested_by, program_version)
select c.id, md5('scenery database' || c.i)::uuid, now() - interval '9 minutes', 912, false,
       '[{"code": "row_visible", "sentence": "A colleague of another team reads contacts that are not shared."}]',
       '{"read": 412, "write": 388}', md5('catalog'), 'ghostcrm', 'nightly round', '0.1.0'
from companies c
where c.kind = 'quarantined'

-- name: quarantine
update clients c
set status = 'quarantined', wanted_status = 'quarantined', quarantine_verdict_id = v.id,
    quarantined_at = v.began_at + interval '1 second'
from isolation_verdicts v
where v.client_id = c.id

-- name: notifications
insert into notifications (client_id, run_id, severity, subject, body, created_at, delivery, delivery_attempts,
                           delivery_error, delivered_at)
select c.id, c.run_id, case c.kind when 'quarantined' then 'critical' else 'warning' end,
       c.name || case c.kind when 'quarantined' then ' is in quarantine' else ' could not be provisioned' end,
       coalesce((select e.error ->> 'message' || E'\n' || (e.error ->> 'nextStep') from errors e where e.i = c.i),
                'Its isolation is not proven: a colleague of another team reads contacts that are not shared.'),
       c.began + interval '18 seconds', case when c.i = 4 then 'pending' else 'delivered' end,
       case when c.i = 4 then 3 else 1 end,
       case when c.i = 4 then 'mailto: the mail server refused the recipient (550)' end,
       case when c.i <> 4 then c.began + interval '19 seconds' end
from companies c
where c.kind in ('failed', 'quarantined')
order by c.began

-- name: audit
insert into audit_log (at, actor, action, client_id, target, result, address, request_id, details)
select c.began, 'token:web shop', 'client.registered', c.id, null, 'done', '10.20.0.14',
       'req_' || left(md5('request' || c.i), 16), jsonb_build_object('plan', c.plan)
from companies c
union all
select now() - interval '7 minutes', 'admin:olga@ghostcrm.example', 'client.connected', c.id, null, 'done',
       '2001:db8::7', 'req_' || left(md5('look' || c.i), 16), jsonb_build_object('role', 'app', 'reason', 'ticket 4711')
from companies c where c.i in (7, 10)
union all
select now() - interval '90 seconds', 'token:reports', 'request.refused', null, 'POST /api/admin/clients/{id}/retry',
       'refused', '203.0.113.9', 'req_0f3e9a7c5b2d4e61', '{"code": "not_permitted", "scope": "clients:write"}'
order by 1
