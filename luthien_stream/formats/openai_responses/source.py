"""What a framer asks of the decoder whose answer it writes: identity, counts, and the provider's own end."""

from __future__ import annotations

from typing import Any

from luthien_stream.events.answer import Cell, Part, StopReason
from luthien_stream.formats.framing import Notes
from luthien_stream.formats.openai_responses.wire import FORMAT

ENDING = Part(FORMAT, "end", -1)
"""The part of the end."""
LOOSE = "loose"
"""The kind of the part of an event that belongs to no item; the part begins with its frame."""


class Run(Cell, frozen=True):
    """A cell of consecutive frames. An event that is one frame has that frame's place in its `pos`."""

    last: int = -1
    """The place of the last frame among all frames of the stream."""
    loose: tuple[bytes, ...] = ()
    """The frames of events that belong to no item."""


class Source:
    """What is known of the provider's answer so far."""

    def __init__(self) -> None:
        self.head: bytes | None = None
        """The response as it began, as JSON: id, model, settings."""
        self.usage: dict[str, Any] | None = None
        """Token counts, known at the end."""
        self.calls = 0
        """Tool calls that the provider made, seen or not."""
        self.orders: dict[int, int] = {}
        """How many items came before each, by its position: some providers leave positions out."""
        self.thoughts: dict[int, int] = {}
        """Pieces of each reasoning item, by the item's position: it leaves whole or not at all."""
        self.annotations: dict[tuple[int, int], int] = {}
        """Annotations of each content, by the positions of item and content."""
        self.closings: dict[int, tuple[bytes, ...]] = {}
        """The frames that end each reasoning item."""
        self.over: StopReason | None = None
        """Why the answer ended, None before."""
        self.ending = b""
        """The frame of the provider's own end, or its whole body."""
        self.switched = False
        """Another answer of the same call was delivered in place of this one's end."""
        self.notes = Notes()
        """What the decoder dropped."""

    def switch(self, usage: dict[str, Any] | None) -> None:
        """The end is made anew, with the token counts of the answer that is delivered."""
        self.usage, self.switched = usage, True
