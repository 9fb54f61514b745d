"""Which route a request is for, before anything of it is read; and every route there is, for tests.

The same table says what to call a route in logs, metrics and the audit log: its template, never the
path that was sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute, Mount, compile_path

from ghostcrm_provisioning.access.scope import Scope

UNKNOWN = "(unknown)"


# How the addresses of streams of events end.
STREAM = "/events"


@dataclass(frozen=True)
class Route:
    """One template with the methods that one function answers.

    ``scope`` is what it asks for; None when it asks for nothing, or has a guard of its own, as the
    pages of the dashboard do. ``needs_token`` when it wants to know who is asking, whatever he may.
    """

    template: str
    methods: frozenset[str]
    scope: Scope | None
    takes_body: bool
    in_schema: bool
    endpoint: Any = None
    needs_token: bool = False


@dataclass(frozen=True)
class Found:
    """What there is at a path: the route for the method, if there is one, and all methods."""

    route: Route | None
    template: str
    allowed: frozenset[str]
    path_parameters: dict[str, str]


class RouteTable:
    """All routes of an application, in the order in which they are tried."""

    def __init__(self, application: FastAPI) -> None:
        self.routes = list(_routes(application.routes))
        self._exact: dict[str, list[Route]] = {}
        self._patterns: list[tuple[re.Pattern[str], list[Route]]] = []
        patterns: dict[str, list[Route]] = {}
        for route in self.routes:
            if "{" in route.template:
                patterns.setdefault(route.template, []).append(route)
            else:
                self._exact.setdefault(route.template, []).append(route)
        for template, routes in patterns.items():
            self._patterns.append((compile_path(template)[0], routes))

    def find(self, method: str, path: str) -> Found | None:
        """None when there is nothing at that path."""
        exact = self._exact.get(path)
        if exact is not None:
            return _chosen(exact, method, {})
        for pattern, routes in self._patterns:
            match = pattern.match(path)
            if match is not None:
                return _chosen(routes, method, match.groupdict())
        return None


def scope_of(dependant: Dependant | None) -> Scope | None:
    """The scope that a route's dependencies ask for."""
    if dependant is None:
        return None
    found = getattr(dependant.call, "scope", None)
    if isinstance(found, Scope):
        return found
    for each in dependant.dependencies:
        if (inner := scope_of(each)) is not None:
            return inner
    return None


def _needs_token(dependant: Dependant | None) -> bool:
    if dependant is None:
        return False
    return bool(getattr(dependant.call, "needs_token", False)) or any(
        _needs_token(each) for each in dependant.dependencies
    )


def _chosen(routes: list[Route], method: str, parameters: dict[str, str]) -> Found:
    allowed: frozenset[str] = frozenset().union(*(route.methods for route in routes))
    if "GET" in allowed and not routes[0].template.endswith(STREAM):
        allowed |= {"HEAD"}
    route = next((each for each in routes if method in each.methods), None)
    return Found(route, routes[0].template, allowed, parameters)


def _routes(routes: Sequence[BaseRoute], prefix: str = "") -> Iterator[Route]:
    for context in iter_route_contexts(routes):
        original = context.original_route
        if isinstance(original, Mount):
            if original.routes:
                yield from _routes(original.routes, prefix + original.path)
            else:
                yield Route(
                    f"{prefix}{original.path}/{{path:path}}",
                    frozenset({"GET", "HEAD"}),
                    None,
                    takes_body=False,
                    in_schema=False,
                )
            continue
        path = context.path_format or context.path
        if path is None or context.methods is None:
            continue
        yield Route(
            prefix + (context.path or path),
            frozenset(context.methods),
            scope_of(getattr(context, "dependant", None)),
            takes_body=getattr(context, "body_field", None) is not None,
            in_schema=bool(getattr(context, "include_in_schema", False)),
            endpoint=context.endpoint,
            needs_token=_needs_token(getattr(context, "dependant", None)),
        )
