insert into private.users (id) values (gen_random_uuid());  -- ! seed_changes_rows

insert into private.emptied (id) values (1) on conflict (id) do nothing;
update private.emptied set id = id;  -- ! seed_writes_over_rows
