"""The stamp: what a thing that we made carries, so that it is known as ours, and whose it is.

Without its stamp, or with another one, a thing of the right name is never used, changed or deleted.
"""

from __future__ import annotations

import json
from uuid import UUID


def stamp_of(installation_id: UUID, **what: str) -> str:
    """The stamp of something that this installation makes."""
    return json.dumps({"ghostcrm": {"installation": str(installation_id), **what}}, sort_keys=True)


def is_same_stamp(seen: str | None, wanted: str) -> bool:
    """Whether what was seen on a thing is the stamp that it should have."""
    try:
        return seen is not None and json.loads(seen) == json.loads(wanted)
    except json.JSONDecodeError:
        return False
