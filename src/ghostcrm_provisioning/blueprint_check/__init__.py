"""Looks at a blueprint before anything touches a client, for the person who writes a migration.

``check``              builds the blueprint in an empty database and puts together what was found
``watching``           which statement made what, and what PostgreSQL remarked
``lock_rules``         what a statement of a later migration means for clients with data
``catalog_rules``      questions to the catalog of the finished database
``policy_rules``       what the expressions of policies cost; ``policy_expressions`` reads them
``seed_rules``         seeds applied again change nothing
``isolation_rules``    the proof that every template must pass, with all that it meets
``rules``, ``rules/``  every rule as data: its code, how bad it is, what it means, what to do
``finding``            a finding, its place, the report of all

It is given a connection to an empty database; where that comes from is not known here.
"""
