"""An answer without a format, piece by piece: what the readers make of a provider's frames, and the writers of them.

Calls never interleave here: a call's pieces lie between its beginning and its end, and nothing else does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Struct

from luthien_stream.core.lens import Violation
from luthien_stream.events.answer import StopReason
from luthien_stream.formats.convert.seal import Seal
from luthien_stream.formats.errors import ProtocolError

KEPT_LIMIT = 64 << 20
"""Characters, with what Python needs for each piece, that a converter keeps of one answer."""
_PIECE_COST = 64

CallKind = Literal["function", "custom", "local_shell"]


class Usage(Struct, frozen=True):
    """Token counts. `input` is without what was read from the cache or written to it."""

    input: int = 0
    cache_read: int = 0
    cache_written: int = 0
    output: int = 0
    thinking: int = 0
    """Of the output."""

    @property
    def all_input(self) -> int:
        """All tokens that went in, as OpenAI counts them."""
        return self.input + self.cache_read + self.cache_written


class Began(Struct, frozen=True):
    """The answer has begun. `created` is Unix time in seconds, 0 if the provider does not say it."""

    id: str
    model: str
    created: int = 0


class Said(Struct, frozen=True):
    """A piece of text."""

    text: str
    refusal: bool = False


class Thought(Struct, frozen=True):
    """A piece of reasoning."""

    text: str


class Sealed(Struct, frozen=True):
    """A piece of reasoning has ended, with what its provider needs to know it again."""

    seal: Seal


class SaidAll(Struct, frozen=True):
    """A text has ended; another one may begin."""


class CallBegan(Struct, frozen=True):
    """A call of a tool begins."""

    id: str
    name: str
    kind: CallKind = "function"
    namespace: str = ""


class CallSaid(Struct, frozen=True):
    """A piece of the call's arguments: JSON text, or free input of a custom tool."""

    text: str


class CallEnded(Struct, frozen=True):
    """The call is whole."""


class Ended(Struct, frozen=True):
    """The answer is whole."""

    reason: StopReason
    usage: Usage
    stop_sequence: str | None = None


class Failed(Struct, frozen=True):
    """The provider failed. `kind` is Anthropic's word for it, `code` OpenAI's."""

    status: int
    kind: str
    code: str
    message: str


class Silent(Struct, frozen=True):
    """The provider is alive."""


Piece = Began | Said | Thought | Sealed | SaidAll | CallBegan | CallSaid | CallEnded | Ended | Failed | Silent


class Reader(Protocol):
    """Frames of one streamed answer to pieces. Raises `ProtocolError` for what cannot be read."""

    def frame(self, raw: bytes) -> Sequence[Piece]:
        """Take one frame."""

    def close(self) -> Sequence[Piece]:
        """The stream ended; an answer without its end stays without."""

    def notes(self) -> list[Violation]:
        """What was dropped since the last call."""


class Writer(Protocol):
    """Pieces of one answer to frames."""

    def write(self, piece: Piece) -> None:
        """Write a piece."""

    def take(self) -> list[bytes]:
        """The frames written since the last call."""

    def notes(self) -> list[Violation]:
        """What was dropped since the last call."""


class Joined:
    """Pieces of one text that are kept until they are needed whole. Raises `ProtocolError` past the bound."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._size = 0

    def add(self, text: str) -> None:
        """Keep a piece."""
        self._size += len(text) + _PIECE_COST
        if self._size > KEPT_LIMIT:
            raise ProtocolError("The provider sent more than 64 MiB in one answer.")
        self._pieces.append(text)

    def take(self) -> str:
        """The whole text; none of it is kept."""
        text, self._pieces, self._size = "".join(self._pieces), [], 0
        return text

    def __bool__(self) -> bool:
        return bool(self._pieces)
