alter table private.big
    add constraint big_other_id_fkey foreign key (other_id) references public.notes;  -- ! foreign_key_scans
alter table private.big add constraint big_text_check check (text <> '');  -- ! check_scans
alter table private.big add constraint big_id_check check (id > 0) not valid;
alter table private.big validate constraint big_id_check;  -- ! validated_at_once
-- Added by an earlier migration: this is how it is done.
alter table private.big validate constraint big_kind_check;
