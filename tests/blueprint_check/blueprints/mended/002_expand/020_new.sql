-- A table that nobody has yet may be made and changed in whatever way.
create table private.fresh (id integer);
alter table private.fresh add column big_id integer not null;
alter table private.fresh add primary key (id);
alter table private.fresh alter column big_id type bigint;
alter table private.fresh add foreign key (big_id) references private.big;
create index fresh_big_id_idx on private.fresh (big_id);
alter table private.fresh alter column big_id set not null;
