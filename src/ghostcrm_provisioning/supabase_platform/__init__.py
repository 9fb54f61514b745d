"""A local server that speaks Supabase's Management API over our own PostgreSQL.

Every project is a real database, made as client databases are, with what a new project on Supabase
has in it. What is here knows nothing of clients, runs or blueprints: it is the other side, for trying
and testing without an account, and a small control plane for whoever hosts such projects himself.
"""
