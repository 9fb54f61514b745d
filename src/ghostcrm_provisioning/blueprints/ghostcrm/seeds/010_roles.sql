-- The five roles. Words that a client has changed stay as they are.

insert into public.roles (key, title, description, rank) values
    ('owner', 'Owner', 'Everything, including other owners. There is always one.', 1),
    ('admin', 'Administrator', 'Everything but owners: people, settings, billing, automation.', 2),
    ('manager', 'Manager', 'Reads everything; looks after the records of their teams.', 3),
    ('sales', 'Sales', 'Works on their own records; sees those of their teams and unassigned ones.', 4),
    ('viewer', 'Viewer', 'Reads; changes nothing but their own profile.', 5)
on conflict (key) do nothing;
