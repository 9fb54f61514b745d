"""What a check found: findings, each with its place in the blueprint, and the report of all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ghostcrm_provisioning.blueprint_check.rules import SEVERITIES, Severity


@dataclass(frozen=True)
class Place:
    """A line of a script; ``path`` is relative to the blueprint's folder, ``line`` counts from 1."""

    path: str
    line: int | None = None


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        code: which rule, for machines.
        severity: ``error``, ``warning`` or ``note``.
        sentence: what is wrong, for the person who wrote it.
        fix: what to do.
        place: where, when it is known.
        subject: the table, policy, function … that it is about.
        sqlstate: of PostgreSQL's error.
        excerpt: the lines of the script around the place, as a compiler shows them.
    """

    code: str
    severity: Severity
    sentence: str
    fix: str
    place: Place | None = None
    subject: str | None = None
    sqlstate: str | None = None
    excerpt: str | None = None

    def as_document(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "severity": self.severity,
            "file": self.place.path if self.place else None,
            "line": self.place.line if self.place else None,
            "object": self.subject,
            "sentence": self.sentence,
            "fix": self.fix,
            "sqlstate": self.sqlstate,
            "excerpt": self.excerpt,
        }


@dataclass(frozen=True)
class Report:
    """Everything that was found out about a blueprint.

    Attributes:
        folder: the blueprint's folder.
        name: as it calls itself; None when it cannot be read.
        built: all of it could be built, so that its catalog was looked at too.
        observations: what was tried and holds, in words.
    """

    folder: str
    name: str | None
    built: bool
    findings: tuple[Finding, ...]
    observations: tuple[str, ...] = field(default=())

    def count(self, severity: Severity) -> int:
        return sum(finding.severity == severity for finding in self.findings)

    def is_clean(self, *, strict: bool) -> bool:
        """No errors; when strict, no warnings either."""
        return not self.count("error") and not (strict and self.count("warning"))

    def as_document(self, *, strict: bool) -> dict[str, Any]:
        return {
            "blueprint": self.name,
            "folder": self.folder,
            "clean": self.is_clean(strict=strict),
            "built": self.built,
            "counts": {severity: self.count(severity) for severity in SEVERITIES},
            "findings": [finding.as_document() for finding in self.findings],
            "observations": list(self.observations),
        }
