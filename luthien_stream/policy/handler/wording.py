"""Texts of a conversation in chat form, and the parts of the request that they were made of.

One text in chat form may be several parts of the request, joined by line ends; a user's turn may be several messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from luthien_stream.core.lens import Request, RequestPart
from luthien_stream.policy.errors import BadYield
from luthien_stream.policy.handler.whole import edits
from luthien_stream.policy.tail import rewrite

Json = dict[str, Any]
_SYSTEM = ("system", "developer")


class Leaf(Struct, frozen=True):
    """One text, the kind of its parts, and the message that it stands in."""

    kind: str
    text: str
    message: int


def leaves(messages: Iterable[Json]) -> Iterator[Leaf]:
    """All texts of messages in chat form, in order."""
    for number, message in enumerate(messages):
        kind = "tool_result" if message.get("role") == "tool" else "text"
        content = message.get("content")
        for one in content if isinstance(content, list) else ({"text": content},):
            if isinstance(one, dict) and isinstance(one.get("text"), str):
                yield Leaf(kind, one["text"], number)
        for call in message.get("tool_calls") or ():
            inner = call.get("function") or call.get("custom") or {}
            yield Leaf("tool_call", str(inner.get("arguments", inner.get("input", ""))), number)


def reword(request: Request, before: Sequence[Json], start: int, new: Sequence[Json]) -> Request:
    """Give the messages from `start` on the texts of `new`. Raises `BadYield` if more than texts differs."""
    old = before[start : start + len(new)]
    if [_bare(message) for message in old] != [_bare(message) for message in new]:
        raise BadYield("apply_request_policies changed more than the text of a message; write a Policy.request")
    every = list(leaves(before))
    at = sum(leaf.message < start for leaf in every)
    pairs = list(zip(range(at, len(every)), leaves(new), strict=False))
    for number, other in reversed(pairs):  # from the end, so that what stands before keeps its place
        if every[number].text != other.text:
            request = _replaced(request, every, number, other.text, str(before[every[number].message]["role"]))
    return request


def drop(request: Request, before: Sequence[Json], messages: range) -> Request:
    """Take messages out. Raises `EditError` where one answers a tool call."""
    every = list(leaves(before))
    for number in reversed(range(len(every))):
        if every[number].message in messages:
            for part in reversed(_parts(request, every, number)):
                request = request.drop(part)
    return request


def _replaced(request: Request, every: Sequence[Leaf], number: int, text: str, role: str) -> Request:
    old = every[number].text
    if role in _SYSTEM and text.startswith(old):
        return request.add_system(text[len(old) :].lstrip("\n"))
    parts, changes, at, said = _parts(request, every, number), edits(old, text), 0, []
    for part in parts:
        said.append(rewrite(part.text, at, changes) if old else text)
        at += len(part.text) + 1
    if "\n".join(said) != text:
        raise BadYield("apply_request_policies changed where a text is joined of several; write a Policy.request")
    for part, other in zip(parts, said, strict=True):
        request = request.replace(part, other)
    return request


def _parts(request: Request, every: Sequence[Leaf], number: int) -> Sequence[RequestPart]:
    """The parts that a text was made of. Raises `BadYield` where they cannot be told."""
    wanted = every[number]
    before = sum((leaf.kind, leaf.text) == (wanted.kind, wanted.text) for leaf in every[:number])
    parts = [part for part in request.parts() if part.kind == wanted.kind]
    for start in range(len(parts)):
        for end in range(start + 1, len(parts) + 1):
            said = "\n".join(part.text for part in parts[start:end])
            if said == wanted.text and not before:
                return parts[start:end]
            before -= said == wanted.text
            if not wanted.text.startswith(said):
                break
    raise BadYield("apply_request_policies changed a text that cannot be found in the request; write a Policy.request")


def _bare(message: Json) -> Json:
    """A message without its texts: all that must stay."""
    bare = {name: value for name, value in message.items() if name not in ("content", "tool_calls")}
    content = message.get("content")
    bare["content"] = [{**one, "text": ""} for one in content] if isinstance(content, list) else ""
    bare["tool_calls"] = [(call.get("id"), call.get("type")) for call in message.get("tool_calls") or ()]
    return bare
