-- name: let_owner_in
-- What `postgres` may in a project on Supabase, beside what its login may by itself: make things in
-- public and extensions, refer to users, read and change rows of auth and storage, although row level
-- security holds there. It makes nothing in auth or storage.
grant usage, create on schema public to {owner} with grant option;
set role supabase_admin;
grant usage on schema auth to {owner} with grant option;
grant usage, create on schema extensions to {owner} with grant option;
grant usage on schema storage to {owner} with grant option;
grant all on table storage.buckets, storage.objects to {owner} with grant option;
drop policy if exists "the project's owner" on storage.buckets;
create policy "the project's owner" on storage.buckets to {owner} using (true) with check (true);
drop policy if exists "the project's owner" on storage.objects;
create policy "the project's owner" on storage.objects to {owner} using (true) with check (true);
reset role;
set role supabase_auth_admin;
grant all on table auth.users, auth.identities to {owner};
drop policy if exists "the project's owner" on auth.users;
create policy "the project's owner" on auth.users to {owner} using (true) with check (true);
drop policy if exists "the project's owner" on auth.identities;
create policy "the project's owner" on auth.identities to {owner} using (true) with check (true);
reset role
