-- Whom a campaign is for: contacts with any of the included tags and none of the excluded ones.

create table public.email_campaign_tags (
    email_campaign_id uuid not null,
    tag_id uuid not null,
    is_excluded boolean not null default false,
    created_at timestamptz not null default now(),

    constraint email_campaign_tags_pkey primary key (email_campaign_id, tag_id),
    constraint email_campaign_tags_email_campaign_id_fkey
        foreign key (email_campaign_id) references public.email_campaigns (id) on delete cascade,
    constraint email_campaign_tags_tag_id_fkey
        foreign key (tag_id) references public.tags (id) on delete restrict
);

comment on table public.email_campaign_tags is
    'Whom a campaign is for: contacts with any included tag and no excluded one.';

create index email_campaign_tags_tag_id_idx on public.email_campaign_tags (tag_id);

select private.keep_audit('public.email_campaign_tags', 'email_campaign_id');

alter table public.email_campaign_tags enable row level security;
revoke all on table public.email_campaign_tags from public, anon, authenticated, service_role;
grant
    select,
    insert (email_campaign_id, tag_id, is_excluded),
    update (is_excluded),
    delete
    on table public.email_campaign_tags to authenticated;
grant all on table public.email_campaign_tags to service_role;

create policy email_campaign_tags_select on public.email_campaign_tags
    for select to authenticated
    using ((select private.my_role()) in ('owner', 'admin', 'manager', 'sales'));
create policy email_campaign_tags_insert on public.email_campaign_tags
    for insert to authenticated
    with check ((select private.my_role()) in ('owner', 'admin'));
create policy email_campaign_tags_update on public.email_campaign_tags
    for update to authenticated
    using ((select private.my_role()) in ('owner', 'admin'))
    with check ((select private.my_role()) in ('owner', 'admin'));
create policy email_campaign_tags_delete on public.email_campaign_tags
    for delete to authenticated
    using ((select private.my_role()) in ('owner', 'admin'));
