"""What is left of a case behind the policies, in the form in which the case was written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from luthien_stream.cli.try_cases import MODEL, Case, Turn
from luthien_stream.cli.try_wire import answer_left
from luthien_stream.events.answer import ToolCall
from luthien_stream.formats.json import parse
from luthien_stream.record.speech import Speech, speech

Left = tuple[Turn, bytes | None, Sequence[bytes]]
"""A turn, the request for the provider (None if it was not released), and the answer's frames for the client."""


def left_of(case: Case, turns: Sequence[Left]) -> Any:
    """What is left of all turns; None for nothing."""
    if len(turns) < len(case.turns):
        return None
    match case.shape:
        case "messages":
            return _messages(case, turns)
        case "said":
            return _said(case, turns[0])
        case "asked":
            request = turns[0][1]
            return None if request is None else _last_text(request, case)
        case "wire":
            return _on_wire(case, turns[0])


def _said(case: Case, left: Left) -> Any:
    """Text for text; for a tool call the call, a list if there are several, what is said instead if there is none."""
    if _is_whole(left):
        given = case.given
        return {"tool": given["tool"], "args": given.get("args", {})} if "tool" in given else given["text"]
    said = _speech(left)
    if "tool" not in case.given:
        return said.text
    text = "args" in case.given and isinstance(case.given["args"], str)
    calls = [{"tool": call.name, "args": call.arguments if text else _args(call)} for call in said.tools]
    if not calls:
        return said.text or None
    return calls[0] if len(calls) == 1 else calls


def _is_whole(left: Left) -> bool:
    """True if the answer reaches the client as it came."""
    turn, _, frames = left
    return turn.answer is not None and [*turn.answer.chunks] == [*frames]


def _on_wire(case: Case, left: Left) -> Any:
    turn, request, frames = left
    answer = answer_left(turn.answer, frames) if turn.answer is not None else None
    if "request" not in case.given:
        return answer
    asked = None if request is None else _request(case, request)
    return asked if turn.answer is None else {"request": asked, "response": answer}


def _request(case: Case, body: bytes) -> Any:
    given = case.given["request"]
    if isinstance(given, str):
        return body.decode(errors="replace")
    left = parse(body)
    if "model" not in given and left.get("model") == MODEL:
        del left["model"]
    return left


def _last_text(request: bytes, case: Case) -> Any:
    """The text that a `user`, `tool` or `system` case brought in, as the provider gets it."""
    role = case.given.get("role", "user")
    said = [one.get("content") for one in parse(request)["messages"] if one.get("role") == role]
    return said[-1] if said else None


def _messages(case: Case, turns: Sequence[Left]) -> Any:
    """The conversation, each assistant turn as it was delivered, the others as the provider got them."""
    left = list(case.given["messages"])
    assistants = [at for at, one in enumerate(left) if one["role"] == "assistant"]
    for at, (turn, _, frames) in zip(assistants, turns, strict=False):
        if turn.answer is not None and not _is_whole((turn, None, frames)):
            left[at] = _message(frames)
    for turn, request, _ in turns:
        if request is None or request is turn.request:
            continue
        asked, released = parse(turn.request)["messages"], parse(request)["messages"]
        if len(asked) == len(released):
            changed = {at: new for at, (old, new) in enumerate(zip(asked, released, strict=True)) if old != new}
            left = [changed.get(at, one) for at, one in enumerate(left)]
    return [one for one in left if one is not None]


def _message(frames: Sequence[bytes]) -> Any:
    """The message of an unstreamed answer, None if nothing was released."""
    return parse(b"".join(frames))["choices"][0]["message"] if frames else None


def _speech(left: Left) -> Speech:
    turn, _, frames = left
    streamed = turn.answer is not None and turn.answer.streamed
    return speech(turn.format, [("frame" if streamed else "body", frame) for frame in frames])


def _args(call: ToolCall) -> Any:
    try:
        return parse(call.arguments.encode()) if call.arguments.strip() else {}
    except ValueError:
        return call.arguments
