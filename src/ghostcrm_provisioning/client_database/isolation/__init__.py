"""The proof that a client database keeps strangers out, and keeps its own people to what they may.

``proof``
    what is proven when: the template once, each client at birth, any client again on demand
``verdict``
    what a proof found, for people and for machines
"""
