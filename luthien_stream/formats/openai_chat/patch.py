"""Changes to single chat chunks: one thing is said, everything else of the provider's chunk stays as it is spelled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Raw

from luthien_stream.core.sse import data_of, event_of, frame_of
from luthien_stream.events.answer import Text, Thinking
from luthien_stream.formats.json import dump, fields, items
from luthien_stream.formats.openai_chat.wire import CARRIERS, REASONING, REPEATS, Chunk, is_done, read

Fields = dict[str, Raw]
NULL = Raw(b"null")
ROLE = Raw(b'"assistant"')


def chunk_of(raw: bytes) -> Chunk | None:
    """The chunk in a frame, None if it has none. Raises `ProtocolError` where it cannot be read."""
    data = data_of(raw)
    return None if not data or is_done(data) else read(data)


def saying(raw: bytes, event: Text | Thinking, mates: bool) -> bytes:
    """The frame with this text for its own. What else it says goes if that is framed elsewhere (`mates`)."""

    def change(chunk: Fields, choice: Fields, delta: Fields) -> None:
        _say(event, delta, mates)
        if event.edited:
            choice["logprobs"] = NULL
        if "finish_reason" in choice:
            choice["finish_reason"] = NULL
        chunk.pop("obfuscation", None)

    return _patched(raw, change)


def only(raw: bytes, names: Sequence[str]) -> bytes:
    """The frame with these fields of its delta and no others."""

    def change(chunk: Fields, choice: Fields, delta: Fields) -> None:
        for name in [name for name in delta if name not in names]:
            del delta[name]
        choice["finish_reason"] = NULL
        choice.pop("logprobs", None)

    return _patched(raw, change)


def says_any(raw: bytes, names: Sequence[str]) -> bool:
    """True if the frame's delta has one of these fields."""
    chunk = chunk_of(raw)
    if chunk is None or not chunk.choices:
        return False
    found: list[bool] = []
    _patched(raw, lambda chunk, choice, delta: found.append(any(name in delta for name in names)))
    return found[0]


def finish_alone(raw: bytes, reason: str | None) -> bytes:
    """The frame with nothing but its finish, for another reason unless that is None."""

    def change(chunk: Fields, choice: Fields, delta: Fields) -> None:
        delta.clear()
        if "logprobs" in choice:
            choice["logprobs"] = NULL
        if reason is not None:
            choice["finish_reason"] = Raw(dump(reason))

    return _patched(raw, change)


def without_role(raw: bytes) -> bytes:
    """The frame without its role."""
    return _patched(raw, lambda chunk, choice, delta: delta.pop("role", None))


def with_role(raw: bytes) -> bytes:
    """The frame with the role."""
    return _patched(raw, lambda chunk, choice, delta: delta.update(role=ROLE))


def _patched(raw: bytes, change: Callable[[Fields, Fields, Fields], object]) -> bytes:
    """The frame with its chunk, first choice and that choice's delta changed; untouched fields stay byte for byte."""
    chunk = fields(data_of(raw) or b"{}")
    choices = items(chunk["choices"])
    choice = fields(choices[0])
    delta = fields(choice["delta"]) if bytes(choice.get("delta", NULL)) != b"null" else {}
    change(chunk, choice, delta)
    said: dict[str, Any] = {**chunk, "choices": [{**choice, "delta": delta}, *choices[1:]]}
    return frame_of(dump(said), event_of(raw))


def _say(event: Text | Thinking, delta: Fields, mates: bool) -> None:
    """Let a delta say this text; fields that may say it again go with an edit."""
    own: tuple[str, ...] = ("refusal",) if isinstance(event, Text) and event.refusal else ("content",)
    if isinstance(event, Thinking):
        own = REASONING if event.edited else (*REASONING, REPEATS)
    for name in list(delta):
        if name in own:
            if event.edited and bytes(delta[name]) not in (b"null", b'""'):
                delta[name] = Raw(dump(event.text))
        elif (mates and name != "role") or (event.edited and name not in CARRIERS):
            del delta[name]
