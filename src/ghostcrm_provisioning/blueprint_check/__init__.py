"""Looks at a blueprint before anything touches a client, for the person who writes a migration.

``check``        builds the blueprint in an empty database and puts together what was found
``watching``     which statement made what, and what each did to tables that clients have already
``lock_rules``   what a statement of a later migration means for clients with data
``catalog_rules``  questions to the catalog of the finished database: one ``.sql`` a family in ``rules/``
``policy_rules`` what a policy's expression calls and compares
``seed_rules``   seeds applied again change nothing
``rules/``       every rule as data: its code, how bad it is, what it means, what to do

It is given a connection to an empty database; where that comes from is not known here.
"""
