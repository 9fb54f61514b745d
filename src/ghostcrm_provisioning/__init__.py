"""GhostCRM Client Provisioning: a company registers and receives its own database.

The functions an application calls are importable from here; everything else has a room of its own
(see ``docs/architecture.md``).
"""
