"""What a proof of isolation found: a dated, machine-readable verdict and its findings."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

# Among the attempts of a verdict: facts of the catalog that were compared, which are no attacks.
CATALOG = "catalog"


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it must be.

    Attributes:
        code: what kind of thing, for machines: ``row_seen``, ``policy_differs`` …
        sentence: what is wrong and where, for the person who must act.
        subject: the table, function or role that it is about.
        caller: as whom the attack was made.
    """

    code: str
    sentence: str
    subject: str | None = None
    caller: str | None = None

    def as_document(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "sentence": self.sentence,
            "subject": self.subject,
            "caller": self.caller,
        }


@dataclass(frozen=True)
class Verdict:
    """The outcome of one full attack on one client database.

    Attributes:
        holds: isolation is proven; exactly when there are no findings.
        attempts: how many attacks of each kind were made.
        catalog_fingerprint: of everything in the catalog that decides who may do what.
        duration_ms: how long it took, in milliseconds.
    """

    holds: bool
    findings: tuple[Finding, ...]
    attempts: dict[str, int] = field(hash=False)
    catalog_fingerprint: str
    began_at: datetime
    duration_ms: float

    def as_document(self) -> dict[str, Any]:
        return {
            "holds": self.holds,
            "findings": [finding.as_document() for finding in self.findings],
            "attempts": dict(self.attempts),
            "catalogFingerprint": self.catalog_fingerprint,
            "beganAt": self.began_at.isoformat(),
            "durationMs": round(self.duration_ms, 1),
        }
