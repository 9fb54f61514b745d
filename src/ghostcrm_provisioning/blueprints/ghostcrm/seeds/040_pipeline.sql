-- A pipeline to start with, for a client that has none.

with pipeline as (
    insert into public.pipelines (name, is_default)
    select 'Sales', true
    where not exists (select 1 from public.pipelines)
    returning id
)
insert into public.pipeline_stages (pipeline_id, name, type, position, probability, rotten_after_days)
select pipeline.id, stage.name, stage.type, stage.position, stage.probability, stage.rotten_after_days
from pipeline
cross join (
    values
        ('New', 'open', 1, 10, 7),
        ('Qualified', 'open', 2, 25, 14),
        ('Meeting', 'open', 3, 40, 14),
        ('Proposal', 'open', 4, 60, 14),
        ('Negotiation', 'open', 5, 80, 14),
        ('Won', 'won', 6, 100, null),
        ('Lost', 'lost', 7, 0, null)
) as stage (name, type, position, probability, rotten_after_days);
