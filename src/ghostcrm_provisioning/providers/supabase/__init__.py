"""Client databases as projects at Supabase: its Management API, and one project per database kept with it.

Not yet a :class:`~ghostcrm_provisioning.providers.provider.Provider`: what is done inside a project's
database (logins, blueprint, isolation) is not here.
"""
