"""A whole answer, folded from its pieces: what an unstreamed body is written from."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from luthien_stream.formats.convert.answer.pieces import (
    Began,
    CallBegan,
    CallEnded,
    CallKind,
    CallSaid,
    Ended,
    Joined,
    Piece,
    Said,
    SaidAll,
    Sealed,
    Thought,
)
from luthien_stream.formats.convert.seal import Seal
from luthien_stream.formats.errors import ProtocolError


class Spoken(Struct, frozen=True):
    """A text."""

    text: str
    refusal: bool = False


class Thinking(Struct, frozen=True):
    """A piece of reasoning."""

    text: str
    seal: Seal


class Call(Struct, frozen=True):
    """A call of a tool."""

    id: str
    name: str
    arguments: str
    kind: CallKind = "function"
    namespace: str = ""


Block = Spoken | Thinking | Call


class Message(Struct, frozen=True):
    """An answer."""

    began: Began
    blocks: tuple[Block, ...]
    ended: Ended


class Fold:
    """Pieces to blocks, one at a time."""

    def __init__(self) -> None:
        self.text = Joined()
        """What the open text says so far; a writer that knows that it goes on may add to it."""
        self._refusal = False
        self._thought = Joined()
        self._call: CallBegan | None = None
        self.arguments = Joined()
        """What the open call says so far, likewise."""

    def take(self, piece: Piece) -> Iterable[Block]:
        """Take a piece; return the blocks that are whole now."""
        match piece:
            case Said():
                ended = self._spoken() if piece.refusal != self._refusal else ()
                self._refusal = piece.refusal
                self.text.add(piece.text)
                return ended
            case Thought():
                self._thought.add(piece.text)
                return self._spoken()
            case Sealed():
                text = self._thought.take()
                return (*self._spoken(), *((Thinking(text, piece.seal),) if text or piece.seal.data else ()))
            case CallSaid():
                self.arguments.add(piece.text)
            case CallBegan():
                self._call = piece
                return self._spoken()
            case CallEnded() if self._call is not None:
                call, self._call = self._call, None
                return (Call(call.id, call.name, self.arguments.take(), call.kind, call.namespace),)
            case SaidAll() | Ended():
                return self._spoken()
        return ()

    def _spoken(self) -> tuple[Block, ...]:
        text = self.text.take()
        return (Spoken(text, self._refusal),) if text else ()


def folded(pieces: Iterable[Piece]) -> Message:
    """The answer that pieces make. Raises `ProtocolError` where it has no end."""
    began, ended, blocks, fold = Began("", ""), None, list[Block](), Fold()
    for piece in pieces:
        blocks += fold.take(piece)
        if isinstance(piece, Began):
            began = piece
        elif isinstance(piece, Ended):
            ended = piece
    if ended is None:
        raise ProtocolError("The provider's answer has no end.")
    return Message(began, tuple(blocks), ended)
