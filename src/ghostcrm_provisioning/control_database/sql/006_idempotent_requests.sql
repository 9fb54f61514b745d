-- Requests with an Idempotency-Key: whoever sends one again is given the answer of the first.
-- Rows are kept for 24 hours; whoever serves the API deletes those that are older.

create table idempotent_requests (
    principal text not null,
    route text not null,
    key text not null check (length(key) between 1 and 255),
    -- Sealed, because the request may hold a password, and its digest would be open to guessing.
    sealed_digest bytea not null,
    created_at timestamptz not null default clock_timestamp(),
    -- While nobody has answered: who is at it, and until when others leave it to him.
    claimed_by uuid not null,
    claimed_until timestamptz not null,
    answered_at timestamptz,
    -- Sealed, because the answer may hold a secret that is shown only once.
    sealed_answer bytea,
    primary key (principal, route, key),
    check ((answered_at is null) = (sealed_answer is null))
);
create index idempotent_requests_by_age on idempotent_requests (created_at);
