-- What a plan allows and what there is: for the client's application, for the provisioner, and to
-- make sure that the counters are right. How the limits are kept: 002_plan_limits.sql.

-- A resource that a feature opens (workflows) is allowed without limit or, with 0, not at all.
create or replace function private.plan_usage(
    max_users integer, max_contacts integer, max_storage_bytes bigint, features text[]
) returns table (resource text, used bigint, allowed bigint)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
        select r.resource, r.used, r.allowed
        from (
            values
                (1, 'users', private.plan_usage_of('users'), max_users::bigint),
                (2, 'contacts', private.plan_usage_of('contacts'), max_contacts::bigint),
                (3, 'storage_bytes', private.plan_usage_of('storage_bytes'), max_storage_bytes),
                (
                    4, 'workflows', (select count(*) from public.workflows),
                    case when not features && array['automation', 'advanced_automation'] then 0 end
                )
        ) as r (position, resource, used, allowed)
        order by r.position;
end
$$;

create or replace function private.plan_usage()
returns table (resource text, used bigint, allowed bigint)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
        select u.resource, u.used, u.allowed
        from (values (true)) as always (is_the_plan)
        left join public.client_plan p using (is_the_plan)
        cross join lateral private.plan_usage(
            p.max_users, p.max_contacts, p.max_storage_bytes, p.features
        ) u;
end
$$;

create or replace function private.my_plan_usage()
returns table (resource text, used bigint, allowed bigint)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if private.my_role() is not null then
        return query select u.resource, u.used, u.allowed from private.plan_usage() u;
    end if;
end
$$;

-- The rows themselves are counted in the statement that reads the counters, in one snapshot: a row
-- and the change that counts it are seen together or not at all, so nobody has to be kept from writing.
create or replace function private.recount_plan_usage()
returns table (resource text, counted bigint, actual bigint, drift bigint)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Two at once would each correct the same drift.
    perform from private.plan_usage_totals for update;
    perform private.sum_up_plan_usage();
    return query
        with compared as (
            select a.position, a.resource, private.plan_usage_of(a.resource) as counted, a.actual
            from (
                values
                    (1, 'users', (select count(*) from public.profiles p where p.is_active)),
                    (
                        2, 'contacts',
                        (select count(*) from public.contacts c where c.deleted_at is null)
                    ),
                    (
                        3, 'storage_bytes',
                        (
                            select coalesce(sum(f.size_bytes), 0)::bigint from public.files f
                            where f.deleted_at is null
                        )
                    )
            ) as a (position, resource, actual)
        ),
        corrected as (
            update private.plan_usage_totals t
            set users = t.users + u.drift, contacts = t.contacts + c.drift,
                storage_bytes = t.storage_bytes + s.drift
            from (select x.actual - x.counted as drift from compared x where x.position = 1) u,
                 (select x.actual - x.counted as drift from compared x where x.position = 2) c,
                 (select x.actual - x.counted as drift from compared x where x.position = 3) s
        )
        select x.resource, x.counted, x.actual, x.actual - x.counted
        from compared x order by x.position;
end
$$;

comment on function private.plan_usage(integer, integer, bigint, text[]) is
    'What there is, and what a plan with these limits and features would allow: the preview of '
    'another plan. allowed: null is unlimited, 0 is not included.';
comment on function private.plan_usage() is
    'What there is, and what the plan allows. allowed: null is unlimited, 0 is not included.';
comment on function private.my_plan_usage() is 'plan_usage() for an active profile; others: nothing.';
comment on function private.recount_plan_usage() is
    'Count everything anew, correct the counters, and tell how far they were off: by nothing, unless '
    'triggers were switched off, as some restores do.';

revoke all on function
    private.plan_usage(integer, integer, bigint, text[]),
    private.plan_usage(),
    private.my_plan_usage(),
    private.recount_plan_usage()
    from public, anon, authenticated;
grant execute on function private.my_plan_usage() to authenticated;
grant execute on function private.plan_usage(), private.recount_plan_usage() to service_role;

create function public.plan_usage()
returns table (resource text, used bigint, allowed bigint)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select u.resource, u.used, u.allowed from private.my_plan_usage() u
$$;

comment on function public.plan_usage() is
    'How much of the plan is used: a row for each resource. allowed: null is unlimited, 0 is not '
    'included in the plan.';

revoke all on function public.plan_usage() from public, anon, authenticated, service_role;
grant execute on function public.plan_usage() to authenticated;
