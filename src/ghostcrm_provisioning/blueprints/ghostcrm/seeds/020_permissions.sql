-- What can be allowed, and to whom: a description, for applications, of what the policies enforce.
-- A row for each permission; the last five columns are the scope for each role, null for not at all.

with matrix (key, title, owner, admin, manager, sales, viewer) as (
    values
        ('profiles.read', 'See colleagues', 'all', 'all', 'all', 'all', 'all'),
        ('profiles.update', 'Edit profiles', 'all', 'all', 'own', 'own', 'own'),
        ('profiles.manage', 'Invite, deactivate and give roles', 'all', 'all', null, null, null),
        ('teams.manage', 'Make teams and choose their members', 'all', 'all', null, null, null),
        ('companies.read', 'See companies', 'all', 'all', 'all', 'team', 'all'),
        ('companies.create', 'Add companies', 'all', 'all', 'team', 'own', null),
        ('companies.update', 'Edit companies', 'all', 'all', 'team', 'own', null),
        ('companies.delete', 'Delete and restore companies', 'all', 'all', 'team', null, null),
        ('companies.assign', 'Assign companies', 'all', 'all', 'team', 'own', null),
        ('contacts.read', 'See contacts', 'all', 'all', 'all', 'team', 'all'),
        ('contacts.create', 'Add contacts', 'all', 'all', 'team', 'own', null),
        ('contacts.update', 'Edit contacts', 'all', 'all', 'team', 'own', null),
        ('contacts.delete', 'Delete and restore contacts', 'all', 'all', 'team', null, null),
        ('contacts.assign', 'Assign contacts', 'all', 'all', 'team', 'own', null),
        ('contacts.export', 'Export contacts', 'all', 'all', null, null, null),
        ('deals.read', 'See deals', 'all', 'all', 'all', 'team', 'all'),
        ('deals.create', 'Add deals', 'all', 'all', 'team', 'own', null),
        ('deals.update', 'Edit and move deals', 'all', 'all', 'team', 'own', null),
        ('deals.delete', 'Delete and restore deals', 'all', 'all', null, null, null),
        ('deals.assign', 'Assign deals', 'all', 'all', 'team', 'own', null),
        ('activities.read', 'See activities', 'all', 'all', 'all', 'team', 'all'),
        ('activities.update', 'Add, edit and delete activities', 'all', 'all', 'team', 'own', null),
        ('appointments.read', 'See appointments', 'all', 'all', 'team', 'own', 'all'),
        ('appointments.update', 'Add and edit appointments', 'all', 'all', 'team', 'own', null),
        ('email_templates.update', 'Write email templates', 'all', 'all', 'all', null, null),
        ('email_campaigns.read', 'See email campaigns', 'all', 'all', 'all', 'all', null),
        ('email_campaigns.manage', 'Prepare and send email campaigns', 'all', 'all', null, null, null),
        ('products.update', 'Edit the product list', 'all', 'all', 'all', null, null),
        ('pipelines.update', 'Edit pipelines and stages', 'all', 'all', 'all', null, null),
        ('invoices.read', 'See invoices', 'all', 'all', 'all', 'team', 'all'),
        ('invoices.draft', 'Write draft invoices', 'all', 'all', 'own', 'own', null),
        ('invoices.issue', 'Issue and void invoices', 'all', 'all', null, null, null),
        ('payments.read', 'See payments', 'all', 'all', 'all', 'team', 'all'),
        ('payments.manage', 'Record, allocate and reverse payments', 'all', 'all', null, null, null),
        ('files.read', 'See files', 'all', 'all', 'all', 'team', 'all'),
        ('files.update', 'Add, edit and delete files', 'all', 'all', 'team', 'own', null),
        ('custom_fields.manage', 'Define custom fields', 'all', 'all', 'all', null, null),
        ('workflows.read', 'See workflows', 'all', 'all', 'all', 'all', null),
        ('workflows.manage', 'Define workflows', 'all', 'all', null, null, null),
        ('settings.read', 'See settings that are not secret', 'all', 'all', 'all', 'all', null),
        ('settings.manage', 'Change settings', 'all', 'all', null, null, null),
        ('audit_logs.read', 'Read the audit log', 'all', 'all', null, null, null)
),
named as (
    insert into public.permissions (key, title)
    select key, title from matrix
    on conflict (key) do update set title = excluded.title
    where permissions.title is distinct from excluded.title
)
-- Both tables are written by one statement, so the foreign key is checked at its end.
insert into public.role_permissions (role_key, permission_key, scope)
select role.key, matrix.key, role.scope
from matrix
cross join lateral (
    values ('owner', owner), ('admin', admin), ('manager', manager), ('sales', sales), ('viewer', viewer)
) as role (key, scope)
where role.scope is not null
on conflict (role_key, permission_key) do update set scope = excluded.scope
where role_permissions.scope is distinct from excluded.scope;
