"""Wishes that cannot be lost: each is accepted in one transaction, with its run and the queue's job.

``registration``
    a new client, a retry, another plan
``rotation``
    other credentials, sealed beside the current ones
``lifecycle``
    a suspension, a resumption, a deletion
"""
