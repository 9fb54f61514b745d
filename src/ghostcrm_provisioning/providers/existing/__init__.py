"""Client databases that are there already: a PostgreSQL database, or a project at Supabase, that the caller
names. What is in them and is not ours is never touched; they are never dropped."""
