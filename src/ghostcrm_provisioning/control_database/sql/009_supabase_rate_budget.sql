-- What Supabase's Management API lets us ask in a minute, shared by all workers: one row for each endpoint
-- and the project or organization that it is counted for. What its answers say corrects the rows.

create table supabase_rate_budget (
    -- Digest of address and access token: another account at Supabase has a budget of its own.
    account text not null,
    endpoint text not null,
    counted_for text not null,
    allowed integer not null check (allowed > 0),
    spent integer not null check (spent >= 0),
    resets_at timestamptz not null,
    primary key (account, endpoint, counted_for)
);
create index supabase_rate_budget_by_age on supabase_rate_budget (resets_at);
