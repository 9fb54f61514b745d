-- Search. Under row level security PostgreSQL gives an index no condition that might tell a stranger
-- something, and LIKE might: asked directly, every search would read the whole table. So the search
-- runs with the rights of the schema's owner, and asks the policy's own question itself, word for word
-- (tests compare the two texts, and the rows that both show). The limit comes after that question, so
-- nothing that the caller may see is crowded out by what they may not. What the API sees are the thin
-- functions in public, which have no rights of their own.
--
-- Whatever the term, one plan serves: the trigram indexes, then the order. So it is made once in a
-- session instead of for every term.
--
-- Terms of three and more characters are found anywhere in the text; shorter ones, which have no
-- trigram, at the beginning of a name.

create or replace function private.like_anywhere(term text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select '%' || replace(replace(replace(term, '\', '\\'), '%', '\%'), '_', '\_') || '%'
$$;

comment on function private.like_anywhere(text) is
    'A LIKE pattern for texts that contain the term, whatever characters it has.';

create or replace function private.search_contacts(term text, page_size integer)
returns setof public.contacts
language plpgsql stable security definer rows 50
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
declare
    wanted constant text := lower(btrim(term));
    pattern constant text := private.like_anywhere(wanted);
    wanted_rows constant integer := least(greatest(coalesce(page_size, 50), 1), 200);
begin
    if coalesce(wanted, '') = '' then
        return;
    elsif char_length(wanted) < 3 then
        return query
        select c.* from public.contacts c
        where c.name_normalized >= wanted
          and c.name_normalized < wanted || U&'\+10FFFF'
          and (
            deleted_at is null and (
                (select private.my_role() in ('owner', 'admin', 'manager', 'viewer'))
                or coalesce(owner_id, '00000000-0000-0000-0000-000000000000')
                    = any ((select private.my_owner_keys())::uuid[])
                or team_id = any ((select private.my_teams())::uuid[])
            )
        )
        order by c.name_normalized, c.id
        limit wanted_rows;
    else
        return query
        select hit.*
        from (
            select c.* from public.contacts c
            where (
                c.search_text like pattern
                or c.company_id = any (array(
                    select o.id from public.companies o
                    where o.search_text like pattern and (
                        deleted_at is null and (
                            (select private.my_role() in ('owner', 'admin', 'manager', 'viewer'))
                            or coalesce(owner_id, '00000000-0000-0000-0000-000000000000')
                                = any ((select private.my_owner_keys())::uuid[])
                            or team_id = any ((select private.my_teams())::uuid[])
                        )
                    )
                ))
                or c.id = any (array(
                    select e.contact_id from public.contact_emails e
                    where e.email_normalized like pattern
                ))
            )
            and (
                deleted_at is null and (
                    (select private.my_role() in ('owner', 'admin', 'manager', 'viewer'))
                    or coalesce(owner_id, '00000000-0000-0000-0000-000000000000')
                        = any ((select private.my_owner_keys())::uuid[])
                    or team_id = any ((select private.my_teams())::uuid[])
                )
            )
            -- Keeps the planner from walking through all names in order until it has met enough hits.
            offset 0
        ) hit
        order by hit.name_normalized, hit.id
        limit wanted_rows;
    end if;
end
$$;

create or replace function private.search_companies(term text, page_size integer)
returns setof public.companies
language plpgsql stable security definer rows 50
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
declare
    wanted constant text := lower(btrim(term));
    pattern constant text := private.like_anywhere(wanted);
    wanted_rows constant integer := least(greatest(coalesce(page_size, 50), 1), 200);
begin
    if coalesce(wanted, '') = '' then
        return;
    elsif char_length(wanted) < 3 then
        return query
        select o.* from public.companies o
        where o.name_normalized >= wanted
          and o.name_normalized < wanted || U&'\+10FFFF'
          and (
            deleted_at is null and (
                (select private.my_role() in ('owner', 'admin', 'manager', 'viewer'))
                or coalesce(owner_id, '00000000-0000-0000-0000-000000000000')
                    = any ((select private.my_owner_keys())::uuid[])
                or team_id = any ((select private.my_teams())::uuid[])
            )
        )
        order by o.name_normalized, o.id
        limit wanted_rows;
    else
        return query
        select hit.*
        from (
            select o.* from public.companies o
            where o.search_text like pattern
            and (
                deleted_at is null and (
                    (select private.my_role() in ('owner', 'admin', 'manager', 'viewer'))
                    or coalesce(owner_id, '00000000-0000-0000-0000-000000000000')
                        = any ((select private.my_owner_keys())::uuid[])
                    or team_id = any ((select private.my_teams())::uuid[])
                )
            )
            -- Keeps the planner from walking through all names in order until it has met enough hits.
            offset 0
        ) hit
        order by hit.name_normalized, hit.id
        limit wanted_rows;
    end if;
end
$$;

create or replace function private.search_deals(term text, page_size integer)
returns setof public.deals
language plpgsql stable security definer rows 50
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
declare
    wanted constant text := lower(btrim(term));
    pattern constant text := private.like_anywhere(wanted);
    wanted_rows constant integer := least(greatest(coalesce(page_size, 50), 1), 200);
begin
    if coalesce(wanted, '') = '' then
        return;
    elsif char_length(wanted) < 3 then
        return query
        select d.* from public.deals d
        where d.name_normalized >= wanted
          and d.name_normalized < wanted || U&'\+10FFFF'
          and (
            deleted_at is null and (
                (select private.my_role() in ('owner', 'admin', 'manager', 'viewer'))
                or coalesce(owner_id, '00000000-0000-0000-0000-000000000000')
                    = any ((select private.my_owner_keys())::uuid[])
                or team_id = any ((select private.my_teams())::uuid[])
            )
        )
        order by d.name_normalized, d.id
        limit wanted_rows;
    else
        return query
        select hit.*
        from (
            select d.* from public.deals d
            where (
                d.name_normalized like pattern
                or d.company_id = any (array(
                    select o.id from public.companies o
                    where o.search_text like pattern and (
                        deleted_at is null and (
                            (select private.my_role() in ('owner', 'admin', 'manager', 'viewer'))
                            or coalesce(owner_id, '00000000-0000-0000-0000-000000000000')
                                = any ((select private.my_owner_keys())::uuid[])
                            or team_id = any ((select private.my_teams())::uuid[])
                        )
                    )
                ))
            )
            and (
                deleted_at is null and (
                    (select private.my_role() in ('owner', 'admin', 'manager', 'viewer'))
                    or coalesce(owner_id, '00000000-0000-0000-0000-000000000000')
                        = any ((select private.my_owner_keys())::uuid[])
                    or team_id = any ((select private.my_teams())::uuid[])
                )
            )
            -- Keeps the planner from walking through all names in order until it has met enough hits.
            offset 0
        ) hit
        order by hit.name_normalized, hit.id
        limit wanted_rows;
    end if;
end
$$;

revoke all on function
    private.like_anywhere(text),
    private.search_contacts(text, integer),
    private.search_companies(text, integer),
    private.search_deals(text, integer)
    from public, anon;
grant execute on function
    private.search_contacts(text, integer),
    private.search_companies(text, integer),
    private.search_deals(text, integer)
    to authenticated;

create function public.search_contacts(term text, page_size integer default 50)
returns setof public.contacts
language plpgsql stable rows 50
set search_path = pg_catalog, pg_temp
as $$
begin
    return query select * from private.search_contacts(term, page_size);
end
$$;

create function public.search_companies(term text, page_size integer default 50)
returns setof public.companies
language plpgsql stable rows 50
set search_path = pg_catalog, pg_temp
as $$
begin
    return query select * from private.search_companies(term, page_size);
end
$$;

create function public.search_deals(term text, page_size integer default 50)
returns setof public.deals
language plpgsql stable rows 50
set search_path = pg_catalog, pg_temp
as $$
begin
    return query select * from private.search_deals(term, page_size);
end
$$;

comment on function public.search_contacts(text, integer) is
    'Contacts that the caller may see whose name (in either order), email addresses or company '
    'contain the term, by name; at most page_size, 200 at the utmost. One or two characters find '
    'last names that begin with them.';
comment on function public.search_companies(text, integer) is
    'Companies that the caller may see whose name or domain contains the term, by name. One or two '
    'characters find names that begin with them.';
comment on function public.search_deals(text, integer) is
    'Deals that the caller may see whose name or company contains the term, by name. One or two '
    'characters find names that begin with them.';

revoke all on function
    public.search_contacts(text, integer),
    public.search_companies(text, integer),
    public.search_deals(text, integer)
    from public, anon, authenticated, service_role;
grant execute on function
    public.search_contacts(text, integer),
    public.search_companies(text, integer),
    public.search_deals(text, integer)
    to authenticated;
