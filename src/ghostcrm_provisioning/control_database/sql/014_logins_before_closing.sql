-- Logins that a project's owner has made, beside ours: those that may log in are shut out while it is closed.

alter table supabase_projects add column logins_before_closing text[] not null default '{}';
comment on column supabase_projects.logins_before_closing is
    'Which of them might log in before it was closed, and may again afterwards.';
