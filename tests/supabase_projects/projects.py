"""A project that is ready, with the keys of its API."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.running_platform import RunningPlatform, create_project, wait_for


@dataclass(frozen=True)
class ReadyProject:
    """Where it is, and what opens it."""

    ref: str
    url: str
    anon: str = field(repr=False)
    service_role: str = field(repr=False)
    publishable: str = field(repr=False)
    secret: str = field(repr=False)


def new_project(platform: RunningPlatform) -> ReadyProject:
    """One more; it is there when this returns."""
    with platform.caller() as caller:
        ref = create_project(caller, platform.organization)["ref"]
        wait_for(caller, ref)
        keys = caller.get(f"/v1/projects/{ref}/api-keys?reveal=true").json()
    found = {
        key["name"] if key["type"] == "legacy" else key["type"]: key["api_key"] for key in keys
    }
    return ReadyProject(
        ref=ref,
        url=f"{platform.url}/project/{ref}",
        anon=found["anon"],
        service_role=found["service_role"],
        publishable=found["publishable"],
        secret=found["secret"],
    )
