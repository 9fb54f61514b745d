insert into private."Mixed" (id) values ('00000000-0000-0000-0000-000000000001');  -- ! seed_fails_again
