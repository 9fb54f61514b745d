-- name: find_installation
select id, sealing_check from installation

-- name: insert_installation
insert into installation (sealing_check) values (%(sealing_check)s) on conflict do nothing
