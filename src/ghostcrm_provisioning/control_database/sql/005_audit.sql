-- The audit log also knows where a request came from, which one it was, and what became of it.
-- Rows of before keep nulls there; the log is only ever added to.

alter table audit_log
    add column target text,
    add column result text check (result in ('done', 'refused', 'failed')),
    add column address text,
    add column request_id text;
comment on column audit_log.target is 'What it was done to, as a person reads it: a route, a token''s name.';
comment on column audit_log.result is
    'done: it happened; refused: it was not allowed, or asked wrongly; failed: we could not do it. '
    'Null where the action says it all.';
comment on column audit_log.address is 'Where the request came from; null for what was done on this machine.';
comment on column audit_log.request_id is 'The X-Request-Id of the answer, which the log has too.';

-- Every filter comes with its order, the newest first.
create index audit_log_by_time on audit_log (at desc, id desc);
create index audit_log_by_actor on audit_log (actor, at desc, id desc);
create index audit_log_by_action on audit_log (action, at desc, id desc);
create index audit_log_of_client on audit_log (client_id, at desc, id desc) where client_id is not null;
create index audit_log_not_done on audit_log (result, at desc, id desc) where result <> 'done';
create index audit_log_by_request on audit_log (request_id) where request_id is not null;
drop index audit_log_by_client;
