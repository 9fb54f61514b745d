"""What is done with a client that exists: its plan, its credentials, its suspension and its end.

Everything is accepted here and carried out by a worker (:mod:`~ghostcrm_provisioning.provisioning`), but for an
export, which whoever asks makes, and for credentials that are another's, which can only be looked at.

``changing_plan``
    what another plan would mean, and having it
``rotating``
    other passwords and keys
``given_again``
    another URL or key for a database that was given
``lifecycle``
    suspended, resumed, exported, deleted
"""
