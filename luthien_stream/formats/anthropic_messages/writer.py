"""How each step of an answer looks on the wire: `frame` writes it streamed, `body` at once."""

from __future__ import annotations

from abc import ABC, abstractmethod

from luthien_stream.events.answer import End, Opaque, Part, PartEnd, StopReason, Text, Thinking, ToolCall
from luthien_stream.formats.anthropic_messages.server_tools import Json


class Writer(ABC):
    """The steps, in the order that `Blocks` decides on."""

    @abstractmethod
    def _begin(self, part: Part | None) -> None:
        """Begin a block, the provider's or one of our own; a piece of it follows at once."""

    @abstractmethod
    def _piece(self, event: Text | Thinking | Opaque) -> None:
        """Write a piece of the open block."""

    @abstractmethod
    def _is_first(self, event: Thinking, part: Part) -> bool:
        """True if the event is the first of its part."""

    @abstractmethod
    def _stop(self, event: PartEnd | None) -> None:
        """End the open block."""

    @abstractmethod
    def _block(self, event: ToolCall | Opaque) -> None:
        """Write a whole block."""

    @abstractmethod
    def _made_block(self, block: Json) -> None:
        """Write a whole block of our own."""

    @abstractmethod
    def _cut(self) -> None:
        """The open thinking will not be whole: mark it, for its provider to be spared it in the next turn."""

    @abstractmethod
    def _loose(self, event: Opaque) -> None:
        """Write what belongs to no block."""

    @abstractmethod
    def _finish(self, event: End, reason: StopReason) -> None:
        """Write the end, with this reason."""
