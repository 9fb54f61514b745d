-- Finding clients and runs, however many there are: what they are searched and filtered by stands in
-- indexes that have the order of the lists (newest first).

-- Small letters without their accents, split at whatever is neither letter nor digit. What is searched
-- for goes through it as well, so that both are always cut in the same way.
create function words_of(value text) returns text[]
    language sql immutable parallel safe set search_path = ''
begin atomic
    select coalesce(array_agg(distinct left(word, 100) order by left(word, 100)), '{}')
    from regexp_split_to_table(
        lower(case when pg_catalog.getdatabaseencoding() = 'UTF8'
                   then regexp_replace(normalize(value, NFKD), '[\u0300-\u036f]', '', 'g')
                   else value end),
        '[\s!-/:-@\[-`{-~]+'
    ) as word
    where word <> '';
end;

create function end_of_prefix(prefix text) returns text
    language sql immutable parallel safe set search_path = ''
begin atomic
    select prefix || case when pg_catalog.getdatabaseencoding() = 'UTF8'
                          then chr(1114111) else chr(255) end;
end;
comment on function end_of_prefix is 'No word that begins with the prefix comes after it (collation C).';

alter table clients
    add column server_id uuid references servers on delete restrict,
    add column search_words text not null default '';
comment on column clients.server_id is
    'Of its database: kept here too (by a trigger), for the lists of a server or region.';
comment on column clients.search_words is
    'The words of its name and of its admin''s email, each after a space. Kept by triggers.';

create table client_words (
    word text collate "C" not null,
    created_at timestamptz not null,
    client_id uuid not null,
    primary key (word, created_at, client_id)
);
comment on table client_words is
    'clients.search_words, one word a row, with the key by which clients are listed. Kept by a trigger.';

-- Those that are there already.
update clients c
set server_id = d.server_id,
    search_words = coalesce(' ' || nullif(array_to_string(words_of(c.name || ' ' || a.email), ' '), ''), '')
from client_databases d, client_admins a
where d.client_id = c.id and a.client_id = c.id;
insert into client_words (word, created_at, client_id)
select word, c.created_at, c.id
from clients c
cross join lateral regexp_split_to_table(c.search_words, ' ') as word
where word <> '';

create function keep_search_words() returns trigger language plpgsql set search_path = ghostcrm as $$
begin
    new.search_words := coalesce(' ' || nullif(array_to_string(words_of(concat_ws(
        ' ', new.name, (select email from client_admins where client_id = new.id))), ' '), ''), '');
    return new;
end $$;
create trigger clients_keep_search_words before insert or update of name, search_words on clients
    for each row execute function keep_search_words();

create function keep_client_words() returns trigger language plpgsql set search_path = ghostcrm as $$
begin
    if tg_op in ('UPDATE', 'DELETE') then
        delete from client_words
        where client_id = old.id and created_at = old.created_at
          and word = any(string_to_array(old.search_words, ' '))
          and (tg_op = 'DELETE' or word <> all(string_to_array(new.search_words, ' ')));
    end if;
    if tg_op in ('INSERT', 'UPDATE') then
        insert into client_words (word, created_at, client_id)
        select word, new.created_at, new.id
        from unnest(string_to_array(new.search_words, ' ')) as word
        where word <> ''
        on conflict do nothing;
    end if;
    return null;
end $$;
create trigger clients_keep_words after insert or delete on clients
    for each row execute function keep_client_words();
create trigger clients_keep_changed_words after update of name, search_words on clients
    for each row when (old.search_words is distinct from new.search_words)
    execute function keep_client_words();

create function keep_words_of_admin() returns trigger language plpgsql set search_path = ghostcrm as $$
begin
    -- What it is set to is seen to by the trigger above.
    update clients set search_words = '' where id = new.client_id;
    return null;
end $$;
create trigger client_admins_keep_words after insert or update of email on client_admins
    for each row execute function keep_words_of_admin();

create function keep_server_of_client() returns trigger language plpgsql set search_path = ghostcrm as $$
begin
    update clients set server_id = new.server_id where id = new.client_id;
    return null;
end $$;
create trigger client_databases_keep_server after insert or update of server_id on client_databases
    for each row execute function keep_server_of_client();

create index clients_by_server on clients (server_id, created_at desc, id desc);
create index clients_by_plan on clients (plan, created_at desc, id desc);
-- Small, for counting.
create index clients_by_what_is_counted on clients (status, plan, server_id);

create index runs_by_age on runs (created_at desc, id desc);
create index runs_by_status on runs (status, created_at desc, id desc);
create index runs_by_kind on runs (kind, created_at desc, id desc);
create index runs_failed on runs (finished_at desc, id) where status = 'failed';
-- How long registrations took, in the order of their ends.
create index runs_time_to_ready on runs (finished_at) include (queued_at)
    where status = 'succeeded' and kind = 'provision_client';
create index notifications_undelivered on notifications (created_at) where delivery = 'pending';
