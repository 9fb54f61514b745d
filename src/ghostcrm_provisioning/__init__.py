"""GhostCRM Client Provisioning: a company registers and receives its own database.

What an application calls is in :mod:`ghostcrm_provisioning.registration`; ``docs/architecture.md``
shows the other rooms.
"""
