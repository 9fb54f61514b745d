-- Custom fields: the triggers that check values against their definitions
-- (043_custom_field_definitions.sql) and keep them, typed, in contact_field_values,
-- company_field_values and deal_field_values for filtering. Why it is done this way, with figures:
-- docs/decisions/0018-custom-fields.md.
--
-- What is checked, and when:
--   * a new record: every value, that every key is defined, and that no required field is missing
--   * an edited one: the values that changed; and, if any did, that no required field is missing.
--     What a stricter definition would no longer take stays until somebody edits it.
--   * a null is no value

create or replace function private.custom_field_problem(
    type text, options jsonb, minimum numeric, maximum numeric, pattern text, value jsonb
) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    kind constant text := jsonb_typeof(value);
    words constant text := value #>> '{}';
    size numeric;
    unit text := '';
begin
    if kind = 'null' then
        return null;
    end if;
    case type
        when 'number' then
            if kind <> 'number' then
                return 'must be a number';
            end if;
            size := words::numeric;
            if abs(size) > 1e15 then
                return 'is too large a number';
            end if;
        when 'boolean' then
            return case when kind <> 'boolean' then 'must be true or false' end;
        when 'date' then
            if kind <> 'string' or words !~ '^[0-9]{4}-(0[1-9]|1[0-2])-[0-3][0-9]$'
               or left(words, 4) = '0000'
               or right(words, 2)::integer not between 1 and extract(
                   day from (left(words, 8) || '01')::date + interval '1 month - 1 day'
               )
            then
                return 'must be a date as YYYY-MM-DD';
            end if;
            return null;
        when 'select' then
            return case
                when kind <> 'string' or not options ? words then 'must be one of the choices'
            end;
        when 'multi_select' then
            if kind <> 'array' or not options @> value then
                return 'must be a list of the choices';
            end if;
            size := jsonb_array_length(value);
            if size <> (select count(distinct e) from jsonb_array_elements(value) e) then
                return 'must not name a choice twice';
            end if;
            unit := ' choices';
        else
            if kind <> 'string' then
                return 'must be a text';
            end if;
            size := length(words);
            unit := ' characters long';
            if size > (case type when 'long_text' then 100000 else 500 end) then
                return 'is too long';
            end if;
            if type = 'url' and words !~ '^https?://[^[:space:]]+$' then
                return 'must be an address that begins with https:// or http://';
            end if;
            if type = 'email' and words !~ '^[^@[:space:]]+@[^@[:space:]]+$' then
                return 'must be an email address';
            end if;
            if words !~ ('^(?:' || pattern || ')$') then
                return 'does not have the form that is asked for';
            end if;
    end case;
    return case
        when size < minimum then format('must be at least %s%s', trim_scale(minimum), unit)
        when size > maximum then format('must be at most %s%s', trim_scale(maximum), unit)
    end;
end
$$;

create or replace function private.refuse_custom_field(
    entity text, key text, problem text, record_id uuid
) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'custom field "%" of % %', key, entity, problem
        using errcode = 'check_violation', table = entity, column = 'custom_fields',
              constraint = 'custom_fields_fit_definitions',
              detail = jsonb_build_object(
                  'entity', entity, 'key', key, 'problem', problem, 'record_id', record_id
              )::text;
end
$$;

comment on function private.custom_field_problem(text, jsonb, numeric, numeric, text, jsonb) is
    'What is wrong with a value of a field with this definition; null if nothing is.';
comment on function private.refuse_custom_field(text, text, text, uuid) is
    'Say which custom field is wrong, and why.';

-- Values for filtering -----------------------------------------------------------------------------

-- $1 the entity, $2 null or the only definition to write values of; what else the source needs, from
-- $3 on. One statement for a record and for ten thousand.
create or replace function private.write_field_values_sql(entity text, source text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select format(
        $statement$
        insert into public.%1$I (
            %2$I, custom_field_definition_id, ordinal, text_value, number_value, date_value,
            unique_value
        )
        select r.id, d.id, e.ordinal,
               case when d.type not in ('number', 'date') then lower(btrim(e.value)) end,
               case d.type when 'number' then e.value::double precision end,
               case d.type when 'date' then e.value::date end,
               case
                   when not d.is_unique then null
                   when d.type = 'number' then trim_scale(e.value::numeric)::text
                   else lower(btrim(e.value))
               end
        from %3$s
        cross join lateral jsonb_each(r.custom_fields) v
        join public.custom_field_definitions d
            on d.entity = $1 and d.key = v.key and d.id = coalesce($2, d.id)
            and (d.is_filterable or d.is_unique) and d.type <> 'long_text'
        cross join lateral (
            select v.value #>> '{}' as value, 1 as ordinal
            where jsonb_typeof(v.value) not in ('array', 'null')
            union all
            select a.value, a.ordinality::integer
            from jsonb_array_elements_text(
                case jsonb_typeof(v.value) when 'array' then v.value else '[]' end
            ) with ordinality a
        ) e
        where r.deleted_at is null and r.custom_fields <> '{}'
        $statement$,
        n.singular || '_field_values', n.singular || '_id', source
    )
    from (
        select case entity when 'companies' then 'company' else rtrim(entity, 's') end as singular
    ) n
$$;

create or replace function private.write_field_values(
    entity text, source text, definition_id uuid, record_id uuid, fields jsonb
) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    violated text;
    detail text;
begin
    -- The source may be a transition table: only the trigger itself sees it, so it executes the
    -- statement for that one and comes here for the rest.
    execute private.write_field_values_sql(entity, source)
        using entity, definition_id, record_id, fields;
exception when unique_violation then
    get stacked diagnostics violated = constraint_name, detail = pg_exception_detail;
    perform private.refuse_duplicate(entity, violated, detail);
end
$$;

create or replace function private.refuse_duplicate(entity text, violated text, detail text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    key text := (
        select d.key from public.custom_field_definitions d
        where d.id = substring(detail from '\(([0-9a-f-]{36}), ')::uuid
    );
begin
    raise exception 'another record of % has the same value in the custom field "%"', entity, key
        using errcode = 'unique_violation', constraint = violated, table = entity,
              column = 'custom_fields',
              detail = jsonb_build_object(
                  'entity', entity, 'key', key, 'problem', 'must be unique'
              )::text;
end
$$;

comment on function private.write_field_values_sql(text, text) is
    'The statement that writes the values of records, which the source calls r, for filtering.';
comment on function private.write_field_values(text, text, uuid, uuid, jsonb) is
    'Write values for filtering; a duplicate of a unique one is refused in words.';

-- Triggers of contacts, companies and deals --------------------------------------------------------

create or replace function private.check_new_custom_fields() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    wrong record;
    violated text;
    detail text;
begin
    select d.key, r.id into wrong
    from public.custom_field_definitions d
    join new_rows r on coalesce(r.custom_fields -> d.key, 'null') = 'null'
    where d.entity = tg_table_name and d.is_required and d.is_active
    limit 1;
    if found then
        perform private.refuse_custom_field(tg_table_name, wrong.key, 'is required', wrong.id);
    end if;

    if not exists (select from new_rows r where r.custom_fields <> '{}') then
        return null;
    end if;
    select f.* into wrong
    from (
        select r.id, v.key,
               case
                   when d.id is null then 'is not defined'
                   else private.custom_field_problem(
                       d.type, d.options, d.minimum, d.maximum, d.pattern, v.value
                   )
               end as problem
        from new_rows r
        cross join lateral jsonb_each(r.custom_fields) v
        left join public.custom_field_definitions d on d.entity = tg_table_name and d.key = v.key
    ) f
    where f.problem is not null
    limit 1;
    if found then
        perform private.refuse_custom_field(tg_table_name, wrong.key, wrong.problem, wrong.id);
    end if;

    begin
        execute private.write_field_values_sql(tg_table_name, 'new_rows r')
            using tg_table_name, null::uuid;
    exception when unique_violation then
        get stacked diagnostics violated = constraint_name, detail = pg_exception_detail;
        perform private.refuse_duplicate(tg_table_name, violated, detail);
    end;
    return null;
end
$$;

create or replace function private.check_changed_custom_fields() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    wrong record;
begin
    if new.custom_fields is distinct from old.custom_fields then
        select d.key into wrong
        from public.custom_field_definitions d
        where d.entity = tg_table_name and d.is_required and d.is_active
          and coalesce(new.custom_fields -> d.key, 'null') = 'null'
        limit 1;
        if found then
            perform private.refuse_custom_field(tg_table_name, wrong.key, 'is required', new.id);
        end if;
        select f.* into wrong
        from (
            select v.key,
                   case
                       when d.id is null then 'is not defined'
                       else private.custom_field_problem(
                           d.type, d.options, d.minimum, d.maximum, d.pattern, v.value
                       )
                   end as problem
            from jsonb_each(new.custom_fields) v
            left join public.custom_field_definitions d
                on d.entity = tg_table_name and d.key = v.key
            where v.value is distinct from old.custom_fields -> v.key
        ) f
        where f.problem is not null
        limit 1;
        if found then
            perform private.refuse_custom_field(tg_table_name, wrong.key, wrong.problem, new.id);
        end if;
    end if;

    case tg_table_name
        when 'contacts' then
            delete from public.contact_field_values v where v.contact_id = new.id;
        when 'companies' then
            delete from public.company_field_values v where v.company_id = new.id;
        else
            delete from public.deal_field_values v where v.deal_id = new.id;
    end case;
    if new.deleted_at is null then
        perform private.write_field_values(
            tg_table_name, '(values ($3, $4, null::timestamptz)) as r (id, custom_fields, deleted_at)',
            null, new.id, new.custom_fields
        );
    end if;
    return null;
end
$$;

comment on function private.check_new_custom_fields() is
    'Trigger, for each statement: values fit their definitions, and can be filtered by.';
comment on function private.check_changed_custom_fields() is
    'Trigger, after each row: values that changed fit their definitions, and can be filtered by.';

-- Definitions --------------------------------------------------------------------------------------

create or replace function private.custom_field_is_used(entity text, key text) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return case entity
        when 'contacts' then
            exists (select from public.contacts c where c.custom_fields ? custom_field_is_used.key)
        when 'companies' then
            exists (select from public.companies c where c.custom_fields ? custom_field_is_used.key)
        else
            exists (select from public.deals d where d.custom_fields ? custom_field_is_used.key)
    end;
end
$$;

create or replace function private.keep_used_custom_field() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if (tg_op = 'DELETE' or (new.entity, new.key, new.type) <> (old.entity, old.key, old.type))
       and private.custom_field_is_used(old.entity, old.key)
    then
        raise exception 'records of % have values of the custom field "%"', old.entity, old.key
            using errcode = 'restrict_violation',
                  hint = case tg_op
                      when 'DELETE' then
                          'Switch it off (is_active), or erase it with its values: '
                          'select erase_custom_field(id).'
                      else 'Its title can change. For another type, define another field.'
                  end;
    end if;
    return case tg_op when 'DELETE' then old else new end;
end
$$;

create or replace function private.rewrite_field_values() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    delete from public.contact_field_values v where v.custom_field_definition_id = new.id;
    delete from public.company_field_values v where v.custom_field_definition_id = new.id;
    delete from public.deal_field_values v where v.custom_field_definition_id = new.id;
    perform private.write_field_values(
        new.entity, format('public.%I r', new.entity), new.id, null, null
    );
    return null;
end
$$;

create or replace function private.erase_custom_field(definition_id uuid) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    field record;
begin
    if coalesce(private.my_role() not in ('owner', 'admin'), true) then
        raise exception 'only owners and admins erase custom fields'
            using errcode = 'insufficient_privilege';
    end if;
    -- From here on nothing new is required or found; then the values go, which the audit log keeps.
    update public.custom_field_definitions d
    set is_active = false, is_required = false, is_unique = false, is_filterable = false
    where d.id = definition_id
    returning d.entity, d.key into field;
    if not found then
        raise exception 'no custom field %', definition_id using errcode = 'no_data_found';
    end if;
    case field.entity
        when 'contacts' then
            update public.contacts c set custom_fields = c.custom_fields - field.key
            where c.custom_fields ? field.key;
        when 'companies' then
            update public.companies c set custom_fields = c.custom_fields - field.key
            where c.custom_fields ? field.key;
        else
            update public.deals d set custom_fields = d.custom_fields - field.key
            where d.custom_fields ? field.key;
    end case;
    delete from public.custom_field_definitions d where d.id = definition_id;
end
$$;

comment on function private.custom_field_is_used(text, text) is
    'Has any record a value of it, deleted ones included?';
comment on function private.keep_used_custom_field() is
    'Trigger: a field with values is neither deleted nor made into another one.';
comment on function private.rewrite_field_values() is
    'Trigger: what is found and what is unique follows the definition.';

revoke all on function
    private.custom_field_problem(text, jsonb, numeric, numeric, text, jsonb),
    private.refuse_custom_field(text, text, text, uuid),
    private.write_field_values_sql(text, text),
    private.write_field_values(text, text, uuid, uuid, jsonb),
    private.refuse_duplicate(text, text, text),
    private.check_new_custom_fields(),
    private.check_changed_custom_fields(),
    private.custom_field_is_used(text, text),
    private.keep_used_custom_field(),
    private.rewrite_field_values(),
    private.erase_custom_field(uuid)
    from public, anon, authenticated;
grant execute on function private.erase_custom_field(uuid) to authenticated;
