"""A request that a vendor refuses, and the small questions that all the rules ask."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_ID = re.compile(r"[a-zA-Z0-9_-]+")


class Refused(Exception):
    """The vendor answers 400 with this message; `param` and `code` are for OpenAI's dialect."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param, self.code = param, code


def is_id(text: Any) -> bool:
    """True for text that vendors take as an id of a call or the name of a tool."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def first_repeated(values: Iterable[Any]) -> Any:
    """The first value that is there twice, None if there is none."""
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None
