"""Requests that no codec reads: counts, embeddings, and what is opened by name. They pass as they came, on record."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from luthien_stream.formats.json import dump, fields, parse


class PlainRequest:
    """What the edge needs to know of any body. Only a JSON object has fields; all else passes unread."""

    streamed = False
    """Nothing is known of the answer's form before it comes."""

    def __init__(self, body: bytes, content_type: str) -> None:
        self.body = body
        self._type = content_type
        self.is_json = "json" in content_type.lower() or not content_type
        self._fields = _fields(body) if self.is_json else {}

    @property
    def model(self) -> str:
        """The model that is asked for, empty if none is named."""
        named = self.get("model")
        return named if isinstance(named, str) else ""

    def get(self, field: str) -> Any:
        """A top-level field of the body, parsed; None if absent."""
        raw = self._fields.get(field)
        return None if raw is None else parse(raw)

    def set(self, field: str, value: Any) -> PlainRequest:
        """Set a top-level field, where there are fields."""
        if not self._fields:
            return self
        return PlainRequest(dump({**self._fields, field: value}), self._type)

    def set_model(self, model: str) -> PlainRequest:
        """Ask for another model, where one is named."""
        return self.set("model", model) if "model" in self._fields else self


def _fields(body: bytes) -> dict[str, Raw]:
    try:
        return fields(body)
    except ValueError:
        return {}
