insert into private.big (id, kind) values (1, 'first') on conflict (id) do nothing;
update private.big set kind = 'known' where kind = 'first' and id = 2;
