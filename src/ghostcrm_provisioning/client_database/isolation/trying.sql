-- name: forget_prepared
-- Whatever has been prepared on this connection.
deallocate all

-- name: plan_once
-- A statement that was prepared is planned for whatever value it is run with.
set local plan_cache_mode = force_generic_plan

-- name: prepare
-- Followed by the statement, whose one value is $1.
prepare {name} as

-- name: execute
execute {name} ({value})

-- name: create_runner
-- Runs statements one after the other, with the rights of whoever calls it, undoes each, and says what came
-- of it. In the transaction that is rolled back, and in the connection's own temporary schema.
--   preparations: what must be run once before the statement, under the name in `names`; or null
--   ways: 'rows' for a statement whose rows are wanted, 'any' for one of which their number is, 'run' for
--         one without rows
-- Stops after a while, between two statements: whoever reads less than was asked for asks for the rest. What
-- is no answer but the end of the attack (a cancellation) is not caught.
create function pg_temp.ghostcrm_try_all(
    names text[], preparations text[], statements text[], ways text[],
    out was_prepared boolean, out seen jsonb, out touched bigint, out code text, out named boolean,
    out said text
) returns setof record
language plpgsql
as $runner$
declare
    began constant timestamptz := pg_catalog.clock_timestamp();
    prepared text[] := '{}';
    is_done boolean;
    found_row record;
    of_constraint text;
    of_column text;
begin
    for i in 1 .. pg_catalog.cardinality(statements) loop
        seen := '[]';
        touched := 0;
        code := null;
        named := false;
        said := null;
        is_done := false;
        begin
            if preparations[i] is not null
               and not names[i] operator(pg_catalog.=) any (prepared) then
                execute preparations[i];
                prepared := pg_catalog.array_append(prepared, names[i]);
            end if;
            if ways[i] operator(pg_catalog.=) 'run' then
                execute statements[i];
                get diagnostics touched = row_count;
            else
                for found_row in execute statements[i] loop
                    touched := touched operator(pg_catalog.+) 1;
                    if ways[i] operator(pg_catalog.=) 'rows' then
                        seen := seen operator(pg_catalog.||) pg_catalog.to_jsonb(found_row);
                    end if;
                end loop;
            end if;
            is_done := true;
            -- What has happened since BEGIN is undone; what the variables hold is not.
            raise exception 'undone';
        exception when others or assert_failure then
            if not is_done then
                get stacked diagnostics code = returned_sqlstate, said = message_text,
                    of_constraint = constraint_name, of_column = column_name;
                named := of_constraint operator(pg_catalog.<>) '' or of_column operator(pg_catalog.<>) '';
            end if;
        end;
        was_prepared := names[i] operator(pg_catalog.=) any (prepared);
        return next;
        exit when pg_catalog.clock_timestamp() operator(pg_catalog.>)
            (began operator(pg_catalog.+) interval '2 seconds');
    end loop;
end
$runner$;
revoke execute on function pg_temp.ghostcrm_try_all from public;
grant execute on function pg_temp.ghostcrm_try_all to anon, authenticated

-- name: try_all
select * from pg_temp.ghostcrm_try_all(
    %(names)s::text[], %(preparations)s::text[], %(statements)s::text[], %(ways)s::text[])
