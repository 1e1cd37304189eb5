"""What a stream of responses says, for tests."""

from __future__ import annotations

import json
from typing import Any

from luthien_stream.core.sse import data_of


def loads(frames: list[bytes]) -> list[dict[str, Any]]:
    """The events of a stream."""
    found = [data_of(raw) for raw in frames]
    return [json.loads(data) for data in found if data and data != b"[DONE]"]


def typed(frames: list[bytes], kind: str) -> list[dict[str, Any]]:
    """The events of one type."""
    return [event for event in loads(frames) if event["type"] == f"response.{kind}"]


def response(frames: list[bytes]) -> dict[str, Any]:
    """What the last event says of the response."""
    found: dict[str, Any] = loads(frames)[-1]["response"]
    return found


def said(frames: list[bytes]) -> dict[str, list[str]]:
    """The text of an answer of one message, as each of its repeats says it."""
    items = [event["item"] for event in typed(frames, "output_item.done")] + response(frames)["output"]
    return {
        "deltas": ["".join(event["delta"] for event in typed(frames, "output_text.delta"))],
        "text": [event["text"] for event in typed(frames, "output_text.done")],
        "part": [event["part"]["text"] for event in typed(frames, "content_part.done")],
        "items": [content["text"] for item in items for content in item["content"]],
    }
