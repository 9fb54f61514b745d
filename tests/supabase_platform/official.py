"""The official description of the Management API, as a judge of requests and answers.

It is not ours to hand on, so it is not in this repository: it is read from ``../shared``, and where it
is not there, the tests that need it are skipped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs

ROOT = Path(__file__).parents[2]
FOLDER = ROOT.parent / "shared" / "supabase"
METHODS = ("get", "post", "put", "patch", "delete")
# Seen in recorded exchanges, or told by users; the description leaves them out.
UNDOCUMENTED_ERRORS = frozenset({400, 404, 500, 544})
# 201 with rows: the description says nothing about their form.
_ROWS = re.compile(r"/database/query(/read-only)?$")
_PARAMETER = re.compile(r"\{[^}]+\}")


@dataclass(frozen=True)
class Operation:
    """A method and a path of the description."""

    method: str
    template: str
    document: dict[str, Any]

    @property
    def key(self) -> str:
        return f"{self.method} {nameless(self.template)}"


def nameless(template: str) -> str:
    """A path whose parameters have no names: they differ between programs."""
    return _PARAMETER.sub("{}", template)


class Description:
    """The description, read."""

    def __init__(self, path: Path) -> None:
        self._document = json.loads(path.read_text(encoding="utf-8"))
        self._validators: dict[str, Any] = {}

    @cached_property
    def operations(self) -> dict[str, Operation]:
        found = [
            Operation(method.upper(), template, document)
            for template, methods in self._document["paths"].items()
            for method, document in methods.items()
            if method in METHODS
        ]
        return {operation.key: operation for operation in found}

    def find(self, method: str, path: str) -> Operation:
        """The operation that a request is of; a path without parameters before one with them."""
        fitting = [
            operation
            for operation in self.operations.values()
            if operation.method == method
            and re.fullmatch(_PARAMETER.sub("[^/]+", operation.template), path)
        ]
        assert fitting, f"the official description has no {method} {path}"
        return min(fitting, key=lambda operation: operation.template.count("{"))

    def judge(self, method: str, path: str, status: int, body: bytes, *, strict: bool) -> Operation:
        """Raises AssertionError when the answer is not one that the description has.

        Args:
            strict: a key that it does not name is wrong.
        """
        operation = self.find(method, path)
        where = f"{operation.key} → {status}"
        documented = operation.document["responses"].get(str(status))
        if status >= 400:
            assert documented is not None or status in UNDOCUMENTED_ERRORS, where
            document = json.loads(body)
            assert list(document) == ["message"], f"{where}: {document}"
            assert isinstance(document["message"], str), where
            return operation
        assert documented is not None, f"{where} is not in the description"
        content = documented.get("content")
        if content is None:
            if _ROWS.search(path):
                assert isinstance(json.loads(body), list), where
            else:
                assert body in {b"", b"null"}, f"{where}: {body[:200]!r}"
            return operation
        self._check(content["application/json"]["schema"], json.loads(body), where, strict=strict)
        return operation

    def judge_request(self, method: str, path: str, body: bytes) -> None:
        """Raises AssertionError when the request's body is not one that the description has."""
        operation = self.find(method, path)
        wanted = operation.document.get("requestBody")
        if wanted is None:
            assert not body, f"{operation.key} takes no body"
            return
        schema = wanted["content"]["application/json"]["schema"]
        self._check(schema, json.loads(body), f"the request {operation.key}", strict=False)

    def _check(self, schema: dict[str, Any], value: Any, where: str, *, strict: bool) -> None:
        key = f"{strict} {json.dumps(schema, sort_keys=True)}"
        if key not in self._validators:
            components = {"components": self._document["components"]}
            self._validators[key] = jsonschema_rs.validator_for(
                _plain({**schema, **components}, strict=strict)
            )
        problems = [
            f"{'.'.join(str(part) for part in error.instance_path)}: {error.message}"
            for error in self._validators[key].iter_errors(value)
        ]
        assert not problems, f"{where}: {'; '.join(problems)}"


def _plain(schema: Any, *, strict: bool) -> Any:
    """OpenAPI 3.0 as JSON Schema: what may be null says so in its type."""
    if isinstance(schema, list):
        return [_plain(each, strict=strict) for each in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: _plain(value, strict=strict) for name, value in schema.items()}
    if strict and plain.get("type") == "object" and plain.get("properties"):
        plain.setdefault("additionalProperties", False)
    if plain.pop("nullable", False) is True:
        return {"anyOf": [plain, {"type": "null"}]}
    return plain


class JudgedClient(httpx.Client):
    """Sends requests, and has every answer of the Management API judged."""

    def __init__(self, description: Description, **options: Any) -> None:
        self.seen: set[str] = set()
        self._description = description
        super().__init__(event_hooks={"response": [self._judge]}, **options)

    def _judge(self, answer: httpx.Response) -> None:
        answer.read()
        path = answer.request.url.path
        if not path.startswith("/v1/"):
            return
        operation = self._description.judge(
            answer.request.method, path, answer.status_code, answer.content, strict=True
        )
        if answer.is_success:
            self.seen.add(operation.key)
            if answer.request.content:
                self._description.judge_request(answer.request.method, path, answer.request.content)
        if answer.status_code not in {401, 404}:
            names = ("limit", "remaining", "reset")
            assert all(answer.headers[f"x-ratelimit-{name}"].isdecimal() for name in names)


def recorded_exchanges() -> Iterator[dict[str, Any]]:
    """Real requests and answers, with placeholders filled in."""
    text = (FOLDER / "recorded_exchanges.json").read_text(encoding="utf-8")
    fillings = {
        "__PROJECT_REF__": "abcdefghijklmnopqrst",
        "__UUID__": "6f6d7d3a-0f0c-4f3c-9d6a-0123456789ab",
        "__JWT__": "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl",
        "__API_KEY__": "sb_secret_abcde",
    }
    for placeholder, filling in fillings.items():
        text = text.replace(placeholder, filling)
    yield from json.loads(text)
