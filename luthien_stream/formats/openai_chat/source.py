"""What a framer asks of the decoder whose answer it writes: identity, counts, and the provider's own end."""

from __future__ import annotations

from typing import Any

from luthien_stream.events.answer import Cell, Part, StopReason
from luthien_stream.formats.framing import Notes
from luthien_stream.formats.openai_chat.wire import FORMAT

LOOSE = Part(FORMAT, "loose", -1)
"""The part of what belongs to no text, thinking or call."""

CALL_PIECES = "tool_calls,function_call"
"""The kind of an opaque event for pieces of calls that nobody sees but that share a chunk with what somebody does."""


class Source:
    """What is known of the provider's answer so far."""

    def __init__(self) -> None:
        self.head: dict[str, Any] | None = None
        """id, model, created, ... of the first chunk with a choice."""
        self.usage: dict[str, Any] | None = None
        """Token counts so far."""
        self.role = False
        """True once the provider named the role."""
        self.said = False
        """True once the provider said a text, a refusal, or a call."""
        self.calls = 0
        """Tool calls that the provider made, seen or not."""
        self.over: StopReason | None = None
        """Why the answer ended, None before."""
        self.ending: Cell | None = None
        """The cell of the provider's own end."""
        self.switched = False
        """Another answer of the same call was delivered in place of this one's end."""
        self.notes = Notes()
        """What the decoder dropped."""

    def switch(self, usage: dict[str, Any] | None) -> None:
        """The end is made anew, with the token counts of the answer that is delivered."""
        self.usage, self.switched = usage, True
