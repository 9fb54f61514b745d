-- The people and the rows on which the access matrix is tried, in a transaction that is rolled back.
-- Run as the owner of the schema; the people's users are in auth.users already.
--
-- The id of a row says what it is for: md5('<table> <kind>')::uuid, with the kinds of matrix.toml. Where
-- a row has another key, it is written into pg_temp.access_rows (table_name, kind, key). Seen by "me",
-- whose role changes while the matrix is tried:
--
--   me      the caller                            mate    shares my team
--   other   an owner, of another team             left    was deactivated
--
-- Every contact, company and deal is mine, my_team's, unassigned, others' or (mine and) deleted; what
-- hangs on one of them is called like it.

-- Whatever the client has bought, and however full it is, must not stand in the way.
update public.client_plan
set max_users = null, max_contacts = null, max_storage_bytes = null,
    features = array[
        'basic_crm', 'full_crm', 'email_templates', 'basic_reports', 'advanced_reports', 'automation',
        'advanced_automation', 'integrations', 'api_access', 'white_label'
    ];
-- In a template nobody has bought anything yet.
insert into public.client_plan (plan, title, priority, features)
values ('tried', 'Tried', 0, array[
    'basic_crm', 'full_crm', 'email_templates', 'basic_reports', 'advanced_reports', 'automation',
    'advanced_automation', 'integrations', 'api_access', 'white_label'
])
on conflict (is_the_plan) do nothing;
insert into pg_temp.access_rows values ('client_plan', 'the_plan', '{"is_the_plan": true}');

insert into public.profiles (id, role_key, email) values
    (md5('person me')::uuid, 'sales', 'me@access.invalid'),
    (md5('person mate')::uuid, 'sales', 'mate@access.invalid'),
    (md5('person other')::uuid, 'owner', 'other@access.invalid'),
    (md5('person left')::uuid, 'sales', 'left@access.invalid');
update public.profiles set is_active = false where id = md5('person left')::uuid;
insert into pg_temp.access_rows values
    ('profiles', 'me', jsonb_build_object('id', md5('person me')::uuid)),
    ('profiles', 'colleague', jsonb_build_object('id', md5('person mate')::uuid)),
    ('profiles', 'owner', jsonb_build_object('id', md5('person other')::uuid)),
    ('roles', 'any', '{"key": "viewer"}'),
    ('permissions', 'any', '{"key": "contacts.read"}'),
    ('role_permissions', 'any', '{"role_key": "viewer", "permission_key": "contacts.read"}');

insert into public.teams (id, name) values
    (md5('teams mine')::uuid, 'Access matrix: mine'),
    (md5('teams others')::uuid, 'Access matrix: others');
insert into public.team_memberships (team_id, profile_id) values
    (md5('teams mine')::uuid, md5('person me')::uuid),
    (md5('teams mine')::uuid, md5('person mate')::uuid),
    (md5('teams others')::uuid, md5('person other')::uuid);
insert into pg_temp.access_rows values
    ('team_memberships', 'mine', jsonb_build_object(
        'team_id', md5('teams mine')::uuid, 'profile_id', md5('person me')::uuid)),
    ('team_memberships', 'others', jsonb_build_object(
        'team_id', md5('teams others')::uuid, 'profile_id', md5('person other')::uuid));

-- Whose a record is: the five kinds, once for the tables that follow.
create table private.access_kinds as
select kind, owner_id, team_id, deleted_at
from (
    values
        ('mine', md5('person me')::uuid, null::uuid, null::timestamptz),
        ('my_team', md5('person mate')::uuid, md5('teams mine')::uuid, null),
        ('unassigned', null, null, null),
        ('others', md5('person other')::uuid, md5('teams others')::uuid, null),
        ('deleted', md5('person me')::uuid, null, now())
) as k (kind, owner_id, team_id, deleted_at);

insert into public.companies (id, owner_id, team_id, name, deleted_at)
select md5('companies ' || kind)::uuid, owner_id, team_id, 'Access matrix', deleted_at
from private.access_kinds;
insert into public.contacts (id, owner_id, team_id, company_id, last_name, email, deleted_at)
select md5('contacts ' || kind)::uuid, owner_id, team_id, null, 'Accessmatrix',
       'contact@access.invalid', deleted_at
from private.access_kinds;

insert into public.contact_emails (id, contact_id, email)
select md5('contact_emails ' || kind)::uuid, md5('contacts ' || kind)::uuid, 'more@access.invalid'
from private.access_kinds;
insert into public.contact_phones (id, contact_id, phone)
select md5('contact_phones ' || kind)::uuid, md5('contacts ' || kind)::uuid, '+43 1 0000000'
from private.access_kinds;

insert into public.tags (id, name) values (md5('tags any')::uuid, 'Access matrix');
insert into public.contact_tags (contact_id, tag_id)
select md5('contacts ' || kind)::uuid, md5('tags any')::uuid from private.access_kinds;
insert into public.company_tags (company_id, tag_id)
select md5('companies ' || kind)::uuid, md5('tags any')::uuid from private.access_kinds;
insert into pg_temp.access_rows
select 'contact_tags', kind, jsonb_build_object(
    'contact_id', md5('contacts ' || kind)::uuid, 'tag_id', md5('tags any')::uuid)
from private.access_kinds
union all
select 'company_tags', kind, jsonb_build_object(
    'company_id', md5('companies ' || kind)::uuid, 'tag_id', md5('tags any')::uuid)
from private.access_kinds;

insert into public.custom_field_definitions (id, entity, key, title, type)
values (md5('custom_field_definitions any')::uuid, 'contacts', 'access_matrix', 'Access matrix', 'text');
-- One for each kind of record, with values, so that it cannot be deleted.
insert into public.custom_field_definitions (id, entity, key, title, type)
select md5('custom_field_definitions ' || entity)::uuid, entity, 'access_value', 'Access matrix', 'text'
from unnest(array['contacts', 'companies', 'deals']) as entity;
update public.contacts set custom_fields = '{"access_value": "x"}'
where id in (select md5('contacts ' || kind)::uuid from private.access_kinds);
update public.companies set custom_fields = '{"access_value": "x"}'
where id in (select md5('companies ' || kind)::uuid from private.access_kinds);
insert into pg_temp.access_rows
select 'contact_field_values', kind, jsonb_build_object(
    'contact_id', md5('contacts ' || kind)::uuid, 'ordinal', 1,
    'custom_field_definition_id', md5('custom_field_definitions contacts')::uuid)
from private.access_kinds where deleted_at is null
union all
select 'company_field_values', kind, jsonb_build_object(
    'company_id', md5('companies ' || kind)::uuid, 'ordinal', 1,
    'custom_field_definition_id', md5('custom_field_definitions companies')::uuid)
from private.access_kinds where deleted_at is null;
insert into public.products (id, name, unit_price_minor, currency)
values (md5('products any')::uuid, 'Access matrix', 100, 'EUR');

insert into public.pipelines (id, name) values
    (md5('pipelines any')::uuid, 'Access matrix: empty'),
    (md5('pipelines used')::uuid, 'Access matrix: used');
insert into public.pipeline_stages (id, pipeline_id, name, type, position, probability) values
    (md5('pipeline_stages any')::uuid, md5('pipelines any')::uuid, 'Begun', 'open', 1, 10),
    (md5('pipeline_stages used')::uuid, md5('pipelines used')::uuid, 'Begun', 'open', 1, 10);
insert into public.deals
    (id, owner_id, team_id, pipeline_id, stage_id, name, custom_fields, deleted_at)
select md5('deals ' || kind)::uuid, owner_id, team_id, md5('pipelines used')::uuid,
       md5('pipeline_stages used')::uuid, 'Access matrix', '{"access_value": "x"}', deleted_at
from private.access_kinds;
insert into public.deal_contacts (deal_id, contact_id)
select md5('deals ' || kind)::uuid, md5('contacts mine')::uuid from private.access_kinds;
insert into public.deal_items (id, deal_id, description, unit_price_minor)
select md5('deal_items ' || kind)::uuid, md5('deals ' || kind)::uuid, 'Access matrix', 100
from private.access_kinds;
insert into public.deal_tags (deal_id, tag_id)
select md5('deals ' || kind)::uuid, md5('tags any')::uuid from private.access_kinds;
insert into pg_temp.access_rows
select 'deal_contacts', kind, jsonb_build_object(
    'deal_id', md5('deals ' || kind)::uuid, 'contact_id', md5('contacts mine')::uuid)
from private.access_kinds
union all
select 'deal_tags', kind, jsonb_build_object(
    'deal_id', md5('deals ' || kind)::uuid, 'tag_id', md5('tags any')::uuid)
from private.access_kinds
union all
select 'deal_field_values', kind, jsonb_build_object(
    'deal_id', md5('deals ' || kind)::uuid, 'ordinal', 1,
    'custom_field_definition_id', md5('custom_field_definitions deals')::uuid)
from private.access_kinds where deleted_at is null
union all
select 'deal_stage_history', k.kind, jsonb_build_object('id', h.id)
from private.access_kinds k join public.deal_stage_history h on h.deal_id = md5('deals ' || k.kind)::uuid;

insert into public.activities (id, owner_id, team_id, type, subject, contact_id, is_private) values
    (md5('activities mine')::uuid, md5('person me')::uuid, null, 'note', 'Access matrix',
     md5('contacts mine')::uuid, false),
    (md5('activities my_team')::uuid, md5('person mate')::uuid, md5('teams mine')::uuid, 'note',
     'Access matrix', md5('contacts others')::uuid, false),
    (md5('activities on_mine')::uuid, md5('person other')::uuid, null, 'note', 'Access matrix',
     md5('contacts mine')::uuid, false),
    (md5('activities mine_on_others')::uuid, md5('person me')::uuid, null, 'note', 'Access matrix',
     md5('contacts others')::uuid, false),
    (md5('activities others')::uuid, md5('person other')::uuid, md5('teams others')::uuid, 'note',
     'Access matrix', md5('contacts others')::uuid, false),
    (md5('activities private_mine')::uuid, md5('person me')::uuid, null, 'note', 'Access matrix',
     md5('contacts mine')::uuid, true),
    (md5('activities private_others')::uuid, md5('person other')::uuid, null, 'note', 'Access matrix',
     md5('contacts mine')::uuid, true);

insert into public.appointments (id, owner_id, team_id, title, local_start, local_end, contact_id) values
    (md5('appointments mine')::uuid, md5('person me')::uuid, null, 'Access matrix',
     '2000-01-03 09:00', '2000-01-03 10:00', null),
    (md5('appointments my_team')::uuid, md5('person mate')::uuid, md5('teams mine')::uuid,
     'Access matrix', '2000-01-03 09:00', '2000-01-03 10:00', null),
    (md5('appointments invited')::uuid, md5('person other')::uuid, null, 'Access matrix',
     '2000-01-03 09:00', '2000-01-03 10:00', null),
    (md5('appointments others')::uuid, md5('person other')::uuid, md5('teams others')::uuid,
     'Access matrix', '2000-01-03 09:00', '2000-01-03 10:00', md5('contacts others')::uuid);
insert into public.appointment_attendees (id, appointment_id, profile_id, contact_id) values
    (md5('appointment_attendees of_mine')::uuid, md5('appointments mine')::uuid, null,
     md5('contacts mine')::uuid),
    (md5('appointment_attendees of_my_team')::uuid, md5('appointments my_team')::uuid, null,
     md5('contacts mine')::uuid),
    (md5('appointment_attendees me_invited')::uuid, md5('appointments invited')::uuid,
     md5('person me')::uuid, null),
    (md5('appointment_attendees of_others')::uuid, md5('appointments others')::uuid, null,
     md5('contacts mine')::uuid);

insert into public.email_templates (id, name, subject, body_html, body_text)
values (md5('email_templates any')::uuid, 'Access matrix', 'Access', '', '');
insert into public.email_template_variables (email_template_id, name)
values (md5('email_templates any')::uuid, 'access');
insert into public.email_campaigns (id, owner_id, name, status, subject, from_email) values
    (md5('email_campaigns draft')::uuid, md5('person other')::uuid, 'Access matrix', 'draft', '', null),
    (md5('email_campaigns sent')::uuid, md5('person other')::uuid, 'Access matrix', 'sent', 'Access',
     'from@access.invalid');
insert into public.email_campaign_tags (email_campaign_id, tag_id)
values (md5('email_campaigns draft')::uuid, md5('tags any')::uuid);
insert into public.email_campaign_recipients (id, email_campaign_id, contact_id, email, status) values
    (md5('email_campaign_recipients pending_others')::uuid, md5('email_campaigns draft')::uuid,
     md5('contacts others')::uuid, 'others@access.invalid', 'pending'),
    (md5('email_campaign_recipients sent_mine')::uuid, md5('email_campaigns sent')::uuid,
     md5('contacts mine')::uuid, 'mine@access.invalid', 'sent');
insert into public.email_suppressions (id, email, reason)
values (md5('email_suppressions any')::uuid, 'suppressed@access.invalid', 'manual');
insert into pg_temp.access_rows values
    ('email_template_variables', 'any', jsonb_build_object(
        'email_template_id', md5('email_templates any')::uuid, 'name', 'access')),
    ('email_campaign_tags', 'any', jsonb_build_object(
        'email_campaign_id', md5('email_campaigns draft')::uuid, 'tag_id', md5('tags any')::uuid));

insert into public.invoice_number_series (series, year, last_number) values ('ACCESS', 2000, 1);
insert into pg_temp.access_rows values
    ('invoice_number_series', 'any', '{"series": "ACCESS", "year": 2000}');
insert into public.invoices (id, owner_id, team_id, company_id, series, currency)
select md5('invoices ' || kind)::uuid, owner_id, team_id, company_id, 'ACCESS', 'EUR'
from (
    values
        ('draft_mine', md5('person me')::uuid, null::uuid, md5('companies mine')::uuid),
        ('draft_my_team', md5('person mate')::uuid, md5('teams mine')::uuid,
         md5('companies others')::uuid),
        ('draft_others', md5('person other')::uuid, null, md5('companies others')::uuid),
        ('issued_mine', md5('person me')::uuid, null, md5('companies mine')::uuid),
        ('issued_others', md5('person other')::uuid, null, md5('companies others')::uuid),
        ('unpaid_others', md5('person other')::uuid, null, md5('companies others')::uuid)
) as i (kind, owner_id, team_id, company_id);
insert into public.invoice_items (id, invoice_id, description, unit_price_minor)
select md5('invoice_items ' || kind)::uuid, md5('invoices ' || kind)::uuid, 'Access matrix', 1000
from unnest(array[
    'draft_mine', 'draft_my_team', 'draft_others', 'issued_mine', 'issued_others', 'unpaid_others'
]) as kind;
update public.invoices
set status = 'sent', number = 'ACCESS-' || id, issued_on = '2000-01-03', due_on = '2000-01-17',
    issued_at = now()
where id in (
    md5('invoices issued_mine')::uuid, md5('invoices issued_others')::uuid,
    md5('invoices unpaid_others')::uuid
);
insert into public.payments (id, company_id, amount_minor, currency) values
    (md5('payments of_mine')::uuid, md5('companies mine')::uuid, 500, 'EUR'),
    (md5('payments of_others')::uuid, md5('companies others')::uuid, 500, 'EUR');
insert into public.payment_allocations (id, payment_id, invoice_id, currency, amount_minor) values
    (md5('payment_allocations of_mine')::uuid, md5('payments of_mine')::uuid,
     md5('invoices issued_mine')::uuid, 'EUR', 100),
    (md5('payment_allocations of_others')::uuid, md5('payments of_others')::uuid,
     md5('invoices issued_others')::uuid, 'EUR', 100);

insert into public.files (id, owner_id, team_id, path, name, size_bytes, contact_id, deleted_at) values
    (md5('files mine')::uuid, md5('person me')::uuid, null, 'access/mine', 'Access', 1, null, null),
    (md5('files my_team')::uuid, md5('person mate')::uuid, md5('teams mine')::uuid, 'access/my_team',
     'Access', 1, null, null),
    (md5('files on_mine')::uuid, md5('person other')::uuid, null, 'access/on_mine', 'Access', 1,
     md5('contacts mine')::uuid, null),
    (md5('files others')::uuid, md5('person other')::uuid, null, 'access/others', 'Access', 1,
     md5('contacts others')::uuid, null),
    (md5('files deleted')::uuid, md5('person me')::uuid, null, 'access/deleted', 'Access', 1, null, now());

insert into public.workflows (id, name, trigger_type)
values (md5('workflows any')::uuid, 'Access matrix', 'manual');
insert into public.workflow_steps (id, workflow_id, version, position, type)
values (md5('workflow_steps any')::uuid, md5('workflows any')::uuid, 1, 1, 'notify');
insert into public.workflow_runs (id, workflow_id, version, owner_id, team_id) values
    (md5('workflow_runs mine')::uuid, md5('workflows any')::uuid, 1, md5('person me')::uuid, null),
    (md5('workflow_runs my_team')::uuid, md5('workflows any')::uuid, 1, md5('person mate')::uuid,
     md5('teams mine')::uuid),
    (md5('workflow_runs others')::uuid, md5('workflows any')::uuid, 1, md5('person other')::uuid,
     md5('teams others')::uuid);
insert into public.workflow_run_steps (workflow_run_id, workflow_step_id)
select md5('workflow_runs ' || kind)::uuid, md5('workflow_steps any')::uuid
from unnest(array['mine', 'my_team', 'others']) as kind;
insert into pg_temp.access_rows
select 'workflow_run_steps', kind, jsonb_build_object(
    'workflow_run_id', md5('workflow_runs ' || kind)::uuid,
    'workflow_step_id', md5('workflow_steps any')::uuid)
from unnest(array['mine', 'my_team', 'others']) as kind;

insert into public.client_settings (key, value, category, is_secret) values
    ('access.plain', '1', 'custom', false),
    ('access.secret', '1', 'custom', true);
insert into pg_temp.access_rows values
    ('client_settings', 'plain', '{"key": "access.plain"}'),
    ('client_settings', 'secret', '{"key": "access.secret"}');
insert into pg_temp.access_rows
select 'audit_logs', 'any', jsonb_build_object('id', max(id))
from public.audit_logs
where table_name = 'contacts' and record_id = md5('contacts mine')::uuid::text;
