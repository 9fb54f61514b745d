-- The project at Supabase of each client database: what is intended, before it is asked for, and what was
-- seen of it. The project's name is its stamp. The row outlives the project.

create table supabase_projects (
    database_id uuid primary key,
    stamp text not null unique,
    organization_slug text not null,
    created_at timestamptz not null default clock_timestamp(),
    -- When its creation was last asked for without knowing what came of it: it may yet appear.
    create_sent_at timestamptz,
    -- Known once it was seen.
    ref text unique,
    -- The status that was last seen, and since when: each may last only so long.
    status text,
    status_since timestamptz,
    ready_at timestamptz,
    -- Its absence was observed after it was deleted.
    removed_at timestamptz,
    check ((status is null) = (status_since is null))
);
