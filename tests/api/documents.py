"""Answers, held against the models that are published for them."""

from __future__ import annotations

from typing import Any, TypeVar

import httpx
from pydantic import BaseModel

_Document = TypeVar("_Document", bound=BaseModel)


def checked(answer: httpx.Response, model: type[_Document], *, status: int = 200) -> Any:
    """The answer's JSON, after it was found to be exactly a document of that model."""
    assert answer.status_code == status, answer.text
    model.model_validate_json(answer.content, strict=False)
    return answer.json()
