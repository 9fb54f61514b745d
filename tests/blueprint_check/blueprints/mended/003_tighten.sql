alter table private.big validate constraint big_note_id_fkey;
alter table private.big validate constraint big_kind_given;
alter table private.big alter column kind set not null;
