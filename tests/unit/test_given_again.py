"""What was given at the same moment is not written over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ghostcrm_provisioning.clients.credentials import Credentials
from ghostcrm_provisioning.errors import Conflict
from ghostcrm_provisioning.fleet.given_again import _exchanged
from ghostcrm_provisioning.given_database import read_given_database

URL = "postgresql://owner:{}@db.example.com:5432/crm"


def test_what_was_given_meanwhile_is_not_lost() -> None:
    first, second, third = (
        read_given_database(URL.format(word), None) for word in ("one", "two", "three")
    )
    known = Credentials({}, "secret", "anon", "service", given=first.as_document())
    assert _exchanged(known, known, second, None).given == second.as_document()
    meanwhile = replace(known, given=third.as_document())
    with pytest.raises(Conflict, match="at the same moment"):
        _exchanged(meanwhile, known, second, None)
