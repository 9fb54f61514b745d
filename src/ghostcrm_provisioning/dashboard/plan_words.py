"""How plans, their limits and what is used of them read on a page."""

from __future__ import annotations

from dataclasses import dataclass

from ghostcrm_provisioning.client_database.blueprint import Blueprint
from ghostcrm_provisioning.fleet.changing_plan import PlanPreview

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


@dataclass(frozen=True)
class PlanChoice:
    """A plan as one chooses it: its limits in one line, and what it has."""

    name: str
    title: str
    limits: str
    features: tuple[str, ...]


@dataclass(frozen=True)
class PreviewLine:
    """One limit: what is used, allowed now and then; ``tone`` says whether it fits."""

    title: str
    used: str
    now: str
    then: str
    verdict: str
    tone: str


def choices_of(blueprint: Blueprint) -> list[PlanChoice]:
    """The plans of a blueprint, in its order."""
    return [
        PlanChoice(
            name,
            plan.title,
            ", ".join(
                (
                    _so_many("users", plan.max_users),
                    _so_many("contacts", plan.max_contacts),
                    f"{amount('storage_bytes', plan.max_storage_bytes)} of files"
                    if plan.max_storage_bytes
                    else "unlimited files",
                    f"{plan.connection_limit} connections",
                )
            ),
            tuple(blueprint.features.get(key, key) for key in plan.features),
        )
        for name, plan in blueprint.plans.items()
    ]


def lines_of(preview: PlanPreview) -> list[PreviewLine]:
    """What another plan would mean, limit by limit."""
    lines = []
    for usage in preview.usages or ():
        if usage.is_in_the_way:
            verdict, tone = f"over by {amount(usage.resource, usage.over_by)}", "over"
        elif usage.over_by:
            verdict = f"over by {amount(usage.resource, usage.over_by)}, as it is now"
            tone = "over-already"
        else:
            verdict, tone = "fits", "fits"
        lines.append(
            PreviewLine(
                title_of(usage.resource),
                amount(usage.resource, usage.used),
                limit(usage.resource, usage.allowed_now),
                limit(usage.resource, usage.allowed_then),
                verdict,
                tone,
            )
        )
    now = preview.connections_now
    if preview.connections_then is not None:
        lines.append(
            PreviewLine(
                "Connections",
                "–",
                limit("connections", None if now == -1 else now),
                limit("connections", preview.connections_then),
                "",
                "",
            )
        )
    return lines


def title_of(resource: str) -> str:
    """What a resource is called."""
    return resource.removesuffix("_bytes").replace("_", " ").capitalize()


def limit(resource: str, allowed: int | None) -> str:
    """A limit; None is none."""
    return "unlimited" if allowed is None else amount(resource, allowed)


def amount(resource: str, number: int) -> str:
    """``1,204``; of bytes ``1.5 GB``, in powers of 1024 as plans are written."""
    if not resource.endswith("_bytes"):
        return f"{number:,}"
    size = float(number)
    unit = 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size /= 1024
        unit += 1
    return f"{size:,.0f} {_UNITS[unit]}" if size == int(size) else f"{size:,.1f} {_UNITS[unit]}"


def _so_many(resource: str, allowed: int | None) -> str:
    return f"unlimited {resource}" if allowed is None else f"{allowed:,} {resource}"
