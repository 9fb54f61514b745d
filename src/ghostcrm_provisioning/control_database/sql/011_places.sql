-- Where client databases can be, beside PostgreSQL servers of our own: an organization at Supabase, and
-- databases that were there already.

alter table servers drop constraint servers_provider_check;
alter table servers add constraint servers_provider_check
    check (provider in ('postgres', 'supabase', 'existing'));

-- Which organization, and at which address its API answers: a token is sent nowhere else.
alter table servers add column organization_slug text;
alter table servers add column api_url text;
alter table servers add constraint servers_at_supabase check (
    (provider = 'supabase') = (organization_slug is not null and api_url is not null)
);
create unique index servers_by_organization on servers (organization_slug, api_url)
where provider = 'supabase';

alter table client_databases add column region text;
comment on column client_databases.region is 'As it was asked for; NULL: where its server puts it.';

-- What the project's REST API showed before it was closed, to be shown again afterwards.
alter table supabase_projects add column schemas_before_closing text;
-- Supabase has refused to pause it: it is closed instead, for as long as it is suspended.
alter table supabase_projects add column pause_refused_at timestamptz;
