update private.big set text = lower(text);  -- ! rows_changed
cluster private.big using big_pkey;  -- ! table_rewritten
lock table private.gone;  -- ! table_locked
refresh materialized view private.summary;  -- ! view_refreshed
truncate private.emptied;  -- ! table_emptied
drop table private.gone;  -- ! table_dropped
alter table private.moved rename to somewhere_else;  -- ! table_renamed
