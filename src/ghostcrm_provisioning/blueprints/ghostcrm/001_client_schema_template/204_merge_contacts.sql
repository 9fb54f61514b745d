-- Two contacts turn out to be one person. Everything that points at the duplicate points at the
-- surviving one afterwards (a test asks the catalog that no foreign key is forgotten); the duplicate
-- stays, soft-deleted, and says where it went.

create or replace function private.merge_contacts(surviving uuid, duplicate uuid) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    kept public.contacts;
    gone public.contacts;
begin
    -- In the order of their ids, so that two merges the other way round do not lock each other out.
    perform from public.contacts c where c.id in (surviving, duplicate) order by c.id for update;
    select c.* into kept from public.contacts c
    where c.id = surviving and c.deleted_at is null and private.may_manage(c.owner_id, c.team_id);
    select c.* into gone from public.contacts c
    where c.id = duplicate and private.may_manage(c.owner_id, c.team_id);
    if kept.id is null or gone.id is null or kept.id = gone.id
       or (gone.deleted_at is not null and gone.merged_into_contact_id is distinct from kept.id)
    then
        raise exception 'no contacts % and % that you may merge', surviving, duplicate
            using errcode = 'insufficient_privilege';
    end if;
    if gone.merged_into_contact_id = kept.id then
        -- Asked twice, answered twice: the reply may have been lost.
        return;
    end if;

    -- First it goes, so that what must be unique is free, and issued invoices may follow it.
    update public.contacts c
    set deleted_at = now(),
        merged_into_contact_id = kept.id,
        external_key = case when kept.external_key is not null then c.external_key end
    where c.id = gone.id;
    update public.contacts c set merged_into_contact_id = kept.id
    where c.merged_into_contact_id = gone.id;

    -- What the surviving one lacks, it takes over.
    update public.contacts c
    set company_id = coalesce(kept.company_id, gone.company_id),
        first_name = case when btrim(kept.first_name) = '' then gone.first_name else kept.first_name end,
        last_name = case when btrim(kept.last_name) = '' then gone.last_name else kept.last_name end,
        job_title = coalesce(kept.job_title, gone.job_title),
        email = coalesce(kept.email, gone.email),
        phone = coalesce(kept.phone, gone.phone),
        address = gone.address || kept.address,
        source = coalesce(kept.source, gone.source),
        description = concat_ws(
            E'\n\n', nullif(kept.description, ''), nullif(gone.description, '')
        ),
        custom_fields = gone.custom_fields || kept.custom_fields,
        external_key = coalesce(kept.external_key, gone.external_key),
        last_activity_at = greatest(kept.last_activity_at, gone.last_activity_at)
    where c.id = kept.id
    returning c.* into kept;

    -- Addresses and numbers: each once, beside the main one; what is known of it is kept.
    insert into public.contact_emails as e (contact_id, email, label, invalid_at, confirmed_at)
    select distinct on (lower(btrim(a.email)))
           kept.id, a.email, a.label, a.invalid_at, a.confirmed_at
    from (
        select d.email, d.label, d.invalid_at, d.confirmed_at, 1 as position
        from public.contact_emails d where d.contact_id = gone.id
        union all
        select gone.email, 'other', null, null, 2 where gone.email is not null
    ) a
    where lower(btrim(a.email)) is distinct from kept.email_normalized
    order by lower(btrim(a.email)), a.position
    on conflict (contact_id, email_normalized) do update
    set invalid_at = coalesce(e.invalid_at, excluded.invalid_at),
        confirmed_at = coalesce(e.confirmed_at, excluded.confirmed_at)
    where (e.invalid_at is null and excluded.invalid_at is not null)
       or (e.confirmed_at is null and excluded.confirmed_at is not null);
    delete from public.contact_emails e where e.contact_id = gone.id;

    update public.contact_phones p set contact_id = kept.id
    where p.contact_id = gone.id
      and p.phone_normalized is distinct from kept.phone_normalized
      and not exists (
          select from public.contact_phones k
          where k.contact_id = kept.id and k.phone_normalized = p.phone_normalized
      );
    delete from public.contact_phones p where p.contact_id = gone.id;
    insert into public.contact_phones (contact_id, phone)
    select kept.id, gone.phone
    where gone.phone_normalized <> kept.phone_normalized
    on conflict do nothing;

    -- Where each may be named once only, the surviving one's row is kept.
    insert into public.contact_tags (contact_id, tag_id)
    select kept.id, t.tag_id from public.contact_tags t where t.contact_id = gone.id
    on conflict do nothing;
    delete from public.contact_tags t where t.contact_id = gone.id;

    update public.deal_contacts k set role = d.role
    from public.deal_contacts d
    where k.contact_id = kept.id and d.contact_id = gone.id and d.deal_id = k.deal_id
      and k.role = 'other' and d.role <> 'other';
    delete from public.deal_contacts d
    where d.contact_id = gone.id and exists (
        select from public.deal_contacts k where k.contact_id = kept.id and k.deal_id = d.deal_id
    );
    update public.deal_contacts d set contact_id = kept.id where d.contact_id = gone.id;

    update public.appointment_attendees k
    set response = d.response, responded_at = d.responded_at
    from public.appointment_attendees d
    where k.contact_id = kept.id and d.contact_id = gone.id
      and d.appointment_id = k.appointment_id
      and k.response = 'pending' and d.response <> 'pending';
    delete from public.appointment_attendees d
    where d.contact_id = gone.id and exists (
        select from public.appointment_attendees k
        where k.contact_id = kept.id and k.appointment_id = d.appointment_id
    );
    update public.appointment_attendees d set contact_id = kept.id where d.contact_id = gone.id;

    -- The rest just follows. What must not be written to stands in email_suppressions by address, and
    -- stays.
    update public.deals d set contact_id = kept.id where d.contact_id = gone.id;
    update public.activities a set contact_id = kept.id where a.contact_id = gone.id;
    update public.appointments a set contact_id = kept.id where a.contact_id = gone.id;
    update public.email_campaign_recipients r set contact_id = kept.id
    where r.contact_id = gone.id;
    update public.invoices i set contact_id = kept.id where i.contact_id = gone.id;
    update public.payments p set contact_id = kept.id where p.contact_id = gone.id;
    update public.files f set contact_id = kept.id where f.contact_id = gone.id;
    update public.workflow_runs r set contact_id = kept.id where r.contact_id = gone.id;
end
$$;

revoke all on function private.merge_contacts(uuid, uuid) from public, anon;
grant execute on function private.merge_contacts(uuid, uuid) to authenticated;

create function public.merge_contacts(surviving uuid, duplicate uuid) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    select private.merge_contacts(surviving, duplicate)
$$;

comment on function public.merge_contacts(uuid, uuid) is
    'Make two contacts one: everything of the duplicate goes to the surviving one, which also takes '
    'over what it lacks. For whoever may delete both; SQLSTATE 42501 otherwise. Cannot be undone; the '
    'audit log tells what was where.';

revoke all on function public.merge_contacts(uuid, uuid)
    from public, anon, authenticated, service_role;
grant execute on function public.merge_contacts(uuid, uuid) to authenticated;
