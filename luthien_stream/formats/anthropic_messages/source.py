"""What a framer asks of the decoder whose answer it writes: identity, counts, and the provider's own end."""

from __future__ import annotations

from typing import Any

from luthien_stream.events.answer import Cell, Part, StopReason
from luthien_stream.formats.anthropic_messages.wire import FORMAT
from luthien_stream.formats.framing import Notes

ENDING = Part(FORMAT, "end", -1)
"""The part of what belongs to no block."""


class Source:
    """What is known of the provider's answer so far."""

    def __init__(self) -> None:
        self.head: dict[str, Any] | None = None
        """The message as it began: id, model, ..."""
        self.usage: dict[str, Any] | None = None
        """Token counts so far."""
        self.leading = ""
        """The kind of the first block: text made by policies must not come before thinking."""
        self.calls = 0
        """Tool calls that the provider made, seen or not."""
        self.thoughts: dict[int, int] = {}
        """Pieces of each thinking block, by index: it leaves whole or not at all."""
        self.signed: set[int] = set()
        """Blocks of thinking that have their signature, by index."""
        self.trailing = ""
        """The kind of the last block: an answer of nothing but thinking may be the provider's own."""
        self.over: StopReason | None = None
        """Why the answer ended, None before."""
        self.ending: Cell | None = None
        """The frames of the provider's own end."""
        self.switched = False
        """Another answer of the same call was delivered in place of this one's end."""
        self.notes = Notes()
        """What the decoder dropped."""

    def switch(self, usage: dict[str, Any] | None) -> None:
        """The end is made anew, with the token counts of the answer that is delivered."""
        self.usage, self.switched = usage, True

    def count(self, usage: object) -> None:
        """Take token counts: they are cumulative, and fields may be missing from the later ones."""
        if isinstance(usage, dict):
            self.usage = {**(self.usage or {}), **{key: value for key, value in usage.items() if value is not None}}
