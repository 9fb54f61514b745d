create index big_note_id_idx on private.big (note_id);  -- ! index_blocks_writes
create index if not exists big_other_id_idx on private.big (other_id);  -- ! index_built_beforehand
alter table private.big
    add constraint big_old_key unique (old);  -- ! unique_blocks_everything
reindex table private.big;  -- ! index_rebuilt
