-- Templates to start with. One that a client has edited stays as it is; one that is missing comes back.

insert into public.email_templates (key, name, category, subject, body_text, body_html)
select
    template.key,
    template.name,
    template.category,
    template.subject,
    array_to_string(template.paragraphs, e'\n\n'),
    '<p>' || array_to_string(template.paragraphs, e'</p>\n<p>') || '</p>'
from (
    values
        (
            'welcome', 'Welcome', 'general', 'Welcome to {{company.name}}',
            array[
                'Hello {{contact.first_name}},',
                'thank you for your interest in {{company.name}}. If there is anything you would like to know, just reply to this message.',
                '{{sender.name}}'
            ]
        ),
        (
            'follow_up', 'Follow-up', 'sales', 'Following up on {{deal.name}}',
            array[
                'Hello {{contact.first_name}},',
                'I wanted to come back to {{deal.name}}. Do you have a few minutes this week?',
                '{{sender.name}}'
            ]
        ),
        (
            'proposal', 'Proposal', 'sales', 'Our proposal: {{deal.name}}',
            array[
                'Hello {{contact.first_name}},',
                'please find our proposal for {{deal.name}} over {{deal.amount}} here: {{proposal.link}}',
                'It is valid until {{proposal.valid_until}}.',
                '{{sender.name}}'
            ]
        ),
        (
            'appointment_confirmation', 'Appointment confirmation', 'appointments', 'Confirmed: {{appointment.title}} on {{appointment.date}}',
            array[
                'Hello {{contact.first_name}},',
                'your appointment is confirmed: {{appointment.title}}, {{appointment.date}} at {{appointment.time}} ({{appointment.time_zone}}), {{appointment.location}}.',
                '{{sender.name}}'
            ]
        ),
        (
            'appointment_reminder', 'Appointment reminder', 'appointments', 'Reminder: {{appointment.title}} on {{appointment.date}}',
            array[
                'Hello {{contact.first_name}},',
                'a short reminder of {{appointment.title}}, {{appointment.date}} at {{appointment.time}} ({{appointment.time_zone}}), {{appointment.location}}.',
                '{{sender.name}}'
            ]
        ),
        (
            'invoice_issued', 'Invoice', 'billing', 'Invoice {{invoice.number}} from {{company.name}}',
            array[
                'Hello {{contact.first_name}},',
                'please find invoice {{invoice.number}} over {{invoice.total}} here: {{invoice.link}}',
                'It is due on {{invoice.due_on}}.',
                '{{company.name}}'
            ]
        ),
        (
            'payment_reminder', 'Payment reminder', 'billing', 'Reminder: invoice {{invoice.number}} is overdue',
            array[
                'Hello {{contact.first_name}},',
                'invoice {{invoice.number}} was due on {{invoice.due_on}}; {{invoice.balance}} is still open. If your payment crossed this message, please disregard it.',
                '{{company.name}}'
            ]
        ),
        (
            'payment_received', 'Payment received', 'billing', 'Thank you for your payment',
            array[
                'Hello {{contact.first_name}},',
                'we have received {{payment.amount}} for invoice {{invoice.number}}. Thank you.',
                '{{company.name}}'
            ]
        ),
        (
            'colleague_invitation', 'Invitation of a colleague', 'system', '{{inviter.name}} invites you to {{company.name}}',
            array[
                'Hello {{colleague.first_name}},',
                '{{inviter.name}} has invited you to work in the CRM of {{company.name}}. Set your password here: {{invitation.link}}',
                '{{company.name}}'
            ]
        )
) as template (key, name, category, subject, paragraphs)
on conflict (key, locale) do nothing;

insert into public.email_template_variables
    (email_template_id, name, description, is_required, default_value, example, position)
select template.id, variable.name, variable.description, variable.is_required, variable.default_value,
    variable.example, variable.position
from (
    values
        ('welcome', 1, 'contact.first_name', 'First name of the contact', true, null, 'Ada'),
        ('welcome', 2, 'company.name', 'Name of our company', true, null, 'ACME Corp'),
        ('welcome', 3, 'sender.name', 'Name of the sender', true, null, 'Grace Hopper'),
        ('follow_up', 1, 'contact.first_name', 'First name of the contact', true, null, 'Ada'),
        ('follow_up', 2, 'deal.name', 'Name of the deal', true, null, 'Website relaunch'),
        ('follow_up', 3, 'sender.name', 'Name of the sender', true, null, 'Grace Hopper'),
        ('proposal', 1, 'contact.first_name', 'First name of the contact', true, null, 'Ada'),
        ('proposal', 2, 'deal.name', 'Name of the deal', true, null, 'Website relaunch'),
        ('proposal', 3, 'deal.amount', 'Amount with currency', true, null, '12,000.00 USD'),
        ('proposal', 4, 'proposal.link', 'Address of the proposal', true, null, 'https://example.com/proposal'),
        ('proposal', 5, 'proposal.valid_until', 'Last day it is valid', false, 'further notice', '31 March'),
        ('proposal', 6, 'sender.name', 'Name of the sender', true, null, 'Grace Hopper'),
        ('appointment_confirmation', 1, 'contact.first_name', 'First name of the contact', true, null, 'Ada'),
        ('appointment_confirmation', 2, 'appointment.title', 'What it is about', true, null, 'Product demo'),
        ('appointment_confirmation', 3, 'appointment.date', 'Day', true, null, 'Monday, 2 March'),
        ('appointment_confirmation', 4, 'appointment.time', 'Local time of the start', true, null, '09:00'),
        ('appointment_confirmation', 5, 'appointment.time_zone', 'Time zone', true, null, 'Europe/Vienna'),
        ('appointment_confirmation', 6, 'appointment.location', 'Place or link', false, 'online', 'Main Street 1'),
        ('appointment_confirmation', 7, 'sender.name', 'Name of the sender', true, null, 'Grace Hopper'),
        ('appointment_reminder', 1, 'contact.first_name', 'First name of the contact', true, null, 'Ada'),
        ('appointment_reminder', 2, 'appointment.title', 'What it is about', true, null, 'Product demo'),
        ('appointment_reminder', 3, 'appointment.date', 'Day', true, null, 'Monday, 2 March'),
        ('appointment_reminder', 4, 'appointment.time', 'Local time of the start', true, null, '09:00'),
        ('appointment_reminder', 5, 'appointment.time_zone', 'Time zone', true, null, 'Europe/Vienna'),
        ('appointment_reminder', 6, 'appointment.location', 'Place or link', false, 'online', 'Main Street 1'),
        ('appointment_reminder', 7, 'sender.name', 'Name of the sender', true, null, 'Grace Hopper'),
        ('invoice_issued', 1, 'contact.first_name', 'First name of the contact', true, null, 'Ada'),
        ('invoice_issued', 2, 'invoice.number', 'Number of the invoice', true, null, 'INV-2026-00001'),
        ('invoice_issued', 3, 'invoice.total', 'Total with currency', true, null, '1,200.00 USD'),
        ('invoice_issued', 4, 'invoice.due_on', 'Due date', true, null, '15 March'),
        ('invoice_issued', 5, 'invoice.link', 'Address of the invoice', true, null, 'https://example.com/invoice'),
        ('invoice_issued', 6, 'company.name', 'Name of our company', true, null, 'ACME Corp'),
        ('payment_reminder', 1, 'contact.first_name', 'First name of the contact', true, null, 'Ada'),
        ('payment_reminder', 2, 'invoice.number', 'Number of the invoice', true, null, 'INV-2026-00001'),
        ('payment_reminder', 3, 'invoice.balance', 'Open amount with currency', true, null, '1,200.00 USD'),
        ('payment_reminder', 4, 'invoice.due_on', 'Due date', true, null, '15 March'),
        ('payment_reminder', 5, 'company.name', 'Name of our company', true, null, 'ACME Corp'),
        ('payment_received', 1, 'contact.first_name', 'First name of the contact', true, null, 'Ada'),
        ('payment_received', 2, 'payment.amount', 'Amount with currency', true, null, '1,200.00 USD'),
        ('payment_received', 3, 'invoice.number', 'Number of the invoice', true, null, 'INV-2026-00001'),
        ('payment_received', 4, 'company.name', 'Name of our company', true, null, 'ACME Corp'),
        ('colleague_invitation', 1, 'colleague.first_name', 'First name of the colleague', false, '', 'Alan'),
        ('colleague_invitation', 2, 'inviter.name', 'Who invites', true, null, 'Grace Hopper'),
        ('colleague_invitation', 3, 'company.name', 'Name of our company', true, null, 'ACME Corp'),
        ('colleague_invitation', 4, 'invitation.link', 'Address to set the password', true, null, 'https://example.com/invitation')
) as variable (template_key, position, name, description, is_required, default_value, example)
join public.email_templates template on template.key = variable.template_key and template.locale = 'en'
on conflict (email_template_id, name) do nothing;
