"""What a policy sees of an answer, whatever the wire: text, thinking, tool calls, and what has no name of its own.

Each event may carry the provider's own bytes (`src`); an event that leaves as it came is written as those bytes.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec
from msgspec import Struct

StopReason = Literal["stop", "length", "tool_calls", "content_filter", "pause", "error", "cut"]
ToolKind = Literal[
    "function", "custom", "shell", "local_shell", "apply_patch", "computer", "tool_search", "mcp_approval", "legacy"
]


class Part(Struct, frozen=True):
    """The block of the provider's answer that an event belongs to; opaque to policies."""

    format: str
    kind: str
    index: int
    start: Any = None
    origin: int = 0


class Cell(Struct, frozen=True):
    """Frames gathered into one or several events; they leave verbatim if all events come through untouched."""

    frames: tuple[bytes, ...]
    events: int


# Thousands of these live at once, and none can be part of a cycle: the collector need not look at them (`gc=False`).
class Text(Struct, frozen=True, gc=False):
    """One piece of text, as the provider streamed it; a whole block when the answer was not streamed."""

    text: str
    part: Part | None = None
    refusal: bool = False
    src: bytes | Cell | None = None
    pos: int = 0
    edited: bool = False

    def with_text(self, text: str) -> Text:
        """Return this event with another text: unknown fields of its frame are kept."""
        if text == self.text:
            return self
        return Text(text, self.part, self.refusal, self.src, self.pos, True)


class Thinking(Struct, frozen=True, gc=False):
    """One piece of reasoning. Signed reasoning is passed or dropped as a whole part, never edited."""

    text: str
    part: Part | None = None
    signed: bool = False
    src: bytes | Cell | None = None
    pos: int = 0
    edited: bool = False

    def with_text(self, text: str) -> Thinking:
        """Return this event with another text."""
        if text == self.text:
            return self
        return Thinking(text, self.part, self.signed, self.src, self.pos, True)


class ToolCall(Struct, frozen=True):
    """One whole tool call. `arguments` is the JSON text as the model wrote it, `args` the same parsed."""

    id: str
    name: str
    arguments: str
    part: Part | None = None
    kind: ToolKind = "function"
    src: bytes | Cell | None = None
    pos: int = 0
    edited: bool = False

    @property
    def args(self) -> Any:
        """The arguments parsed; an empty text is `{}`. Raises `msgspec.DecodeError` where they are no JSON."""
        return msgspec.json.decode(self.arguments) if self.arguments.strip() else {}

    def with_args(self, args: Any) -> ToolCall:
        """Return this call with other arguments (anything JSON can say, or JSON text)."""
        text = args if isinstance(args, str) else msgspec.json.encode(args).decode()
        if text == self.arguments:
            return self
        return ToolCall(self.id, self.name, text, self.part, self.kind, self.src, self.pos, True)


class Opaque(Struct, frozen=True):
    """What has no name of its own: server-side tools and their results, images, citations, unknown blocks."""

    kind: str
    part: Part | None = None
    whole: bool = True
    src: bytes | Cell | None = None
    pos: int = 0
    edited: ClassVar[bool] = False


class PartEnd(Struct, frozen=True, gc=False):
    """The end of a block of text or thinking: the place to release what a policy held back."""

    part: Part | None = None
    src: bytes | Cell | None = None
    pos: int = 0
    edited: ClassVar[bool] = False


class End(Struct, frozen=True):
    """The end of the answer. `usage` is the provider's; a policy that makes its own `End` does not change it."""

    reason: StopReason = "stop"
    raw_reason: str | None = None
    usage: dict[str, Any] | None = None
    error: str | None = None
    part: Part | None = None
    src: bytes | Cell | None = None
    pos: int = 0
    edited: bool = False

    def with_reason(self, reason: StopReason) -> End:
        """Return this end with another reason."""
        if reason == self.reason:
            return self
        return End(reason, None, self.usage, self.error, self.part, self.src, self.pos, True)


Event = Text | Thinking | ToolCall | Opaque | PartEnd | End
Kinds = frozenset[type[Struct]]
ALL: Kinds = frozenset({Text, Thinking, ToolCall, Opaque, PartEnd, End})
