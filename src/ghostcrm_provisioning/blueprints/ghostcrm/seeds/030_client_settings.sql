-- Default settings. A value that a client has changed stays; descriptions follow ours.

insert into public.client_settings (key, value, category, description) values
    ('company.name', '""', 'company', 'Name on invoices and in mail; the provisioner fills it in.'),
    ('company.address', '{}', 'company', 'Address on invoices: street, postal_code, city, region, country.'),
    ('company.tax_number', '""', 'company', 'Tax number on invoices.'),
    ('company.email', '""', 'company', 'Address that customers write to.'),
    ('company.logo_path', 'null', 'company', 'Path of the logo in the storage bucket.'),
    ('localization.locale', '"en"', 'localization', 'Language of new profiles and templates (BCP 47).'),
    ('localization.time_zone', '"UTC"', 'localization', 'IANA time zone for everything without one of its own.'),
    ('localization.currency', '"USD"', 'localization', 'ISO 4217 code for new deals, products and invoices.'),
    ('localization.date_format', '"YYYY-MM-DD"', 'localization', 'How dates are shown.'),
    ('localization.first_day_of_week', '1', 'localization', '1 Monday to 7 Sunday, as in ISO 8601.'),
    ('sales.default_deal_days_to_close', '30', 'sales', 'Days until the expected closing date of a new deal.'),
    ('sales.warn_about_duplicates', 'true', 'sales', 'Look for the same address or number when a contact is added.'),
    ('email.from_name', '""', 'email', 'Sender''s name of mail; empty means the company''s name.'),
    ('email.from_address', '""', 'email', 'Sender''s address of mail.'),
    ('email.signature', '""', 'email', 'Added below every mail.'),
    ('email.max_per_hour', '500', 'email', 'Campaigns send no more than this.'),
    ('email.track_opens', 'false', 'email', 'Count opened mail with an image; ask a lawyer first.'),
    ('appointments.default_minutes', '30', 'appointments', 'Length of a new appointment.'),
    ('appointments.reminder_minutes', '[1440, 60]', 'appointments', 'When attendees are reminded, in minutes before the start.'),
    ('appointments.working_hours', '{"monday": ["09:00", "17:00"], "tuesday": ["09:00", "17:00"], "wednesday": ["09:00", "17:00"], "thursday": ["09:00", "17:00"], "friday": ["09:00", "17:00"]}', 'appointments', 'When colleagues can be booked, local time.'),
    ('billing.payment_terms_days', '14', 'billing', 'Days from issue to due date of a new invoice.'),
    ('billing.default_tax_rate', '0', 'billing', 'Percent, for products without a rate of their own.'),
    ('billing.invoice_series', '"INV"', 'billing', 'Beginning of invoice numbers.'),
    ('billing.invoice_footer', '""', 'billing', 'Last lines of every invoice.'),
    ('files.max_upload_bytes', '26214400', 'files', 'Largest file that may be uploaded, in bytes.'),
    ('security.session_minutes', '720', 'security', 'Applications ask for a new sign-in after this long.'),
    ('security.require_two_factors', 'false', 'security', 'Applications insist on a second factor.')
on conflict (key) do update set description = excluded.description, category = excluded.category
where (client_settings.description, client_settings.category)
      is distinct from (excluded.description, excluded.category);
