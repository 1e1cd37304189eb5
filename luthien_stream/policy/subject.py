"""What a judge is shown: one JSON line a piece, so that nothing said in a piece can pass for another one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from luthien_stream.core.lens import Request
from luthien_stream.events.answer import Event, Text, Thinking, ToolCall

LIMIT: Final = 100_000
"""Characters of the conversation that a judge is shown; the newest ones stay."""


def conversation(request: Request, limit: int = LIMIT) -> list[str]:
    """Return what the user said and the tools that the model called, oldest first.

    What the model wrote and what tools returned is left out: both may be written to persuade the judge.
    """
    lines: list[str] = []
    size = 0
    for part in reversed(request.parts()):
        if part.kind == "text" and part.role == "user":
            line = _line({"user": part.text})
        elif part.kind == "tool_call":
            line = _line({"tool_call": {"name": part.name, "arguments": part.text}})
        else:
            continue
        size += len(line)
        if size > limit:
            lines.append(_line({"left_out": "what came before"}))
            break
        lines.append(line)
    return lines[::-1]


def rendered(subject: str | Sequence[Event], request: Request | None) -> str:
    """Return what is shown: a text as it is; events behind the conversation that they belong to."""
    if isinstance(subject, str):
        return subject
    before = conversation(request) if request is not None else []
    return "\n".join([*before, _line({"to_judge": list(_pieces(subject))})])


def _pieces(events: Iterable[Event]) -> Iterable[dict[str, Any]]:
    for event in events:
        if isinstance(event, ToolCall):
            yield {"tool_call": {"name": event.name, "arguments": event.arguments}}
        elif isinstance(event, Text):
            yield {"text": event.text}
        elif isinstance(event, Thinking):
            yield {"thinking": event.text}


def _line(value: Any) -> str:
    return msgspec.json.encode(value).decode()
