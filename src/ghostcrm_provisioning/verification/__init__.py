"""Proves the isolation of clients that are ready, again and again, and closes those whose proof fails.

``verifying``
    the full attack on one client database, and the knocks at its doors
``doors``
    one client's login at another's database, and at every other database of the server
``quarantine``
    closed to everybody: wished for first, then made, then observed; and opened again
``verifier``
    who has his turn, what is stored, what follows from it; the nightly round
"""
