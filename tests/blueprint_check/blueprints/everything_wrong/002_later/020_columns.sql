alter table private.big
    add column token uuid not null default gen_random_uuid();  -- ! volatile_default_rewrites
alter table private.big
    add column doubled integer generated always as (small_number * 2) stored;  -- ! generated_column_rewrites
alter table private.big
    alter column note_id type text;  -- ! type_change_rewrites
alter table private.big add column must_be_given integer not null;  -- ! column_without_value
alter table private.big alter column kind set not null;  -- ! not_null_scans
alter table private.big drop column older;  -- ! column_dropped
alter table private.big rename column old to former;  -- ! column_renamed
