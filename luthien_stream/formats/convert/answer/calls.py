"""Calls in order: providers may write pieces of several calls in turn, clients take one after the other."""

from __future__ import annotations

from collections.abc import Iterator

from luthien_stream.formats.convert.answer.pieces import (
    KEPT_LIMIT,
    CallBegan,
    CallEnded,
    CallSaid,
    Joined,
    Piece,
)
from luthien_stream.formats.errors import ProtocolError
from luthien_stream.formats.json import parse

_CALL_COST = 1024


class _Call:
    """A call while it is streamed."""

    def __init__(self, began: CallBegan, provider_id: str) -> None:
        self.began = began
        self.provider_id = provider_id
        self.arguments = Joined()
        """All of them, so that their end can be seen."""
        self.waiting = Joined()
        """What came while another call was open."""
        self.over = False


class CallOrder:
    """Lets the pieces of one call through as they come, and keeps those of others until that one is whole.

    A call is whole when the provider says so, or when another begins and its arguments are a JSON object.
    """

    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}
        self._queue: list[_Call] = []
        self._size = 0

    def __bool__(self) -> bool:
        return bool(self._queue)

    def begin(self, key: int, began: CallBegan) -> Iterator[Piece]:
        """A call begins; `key` is its number in the answer."""
        call = _Call(began, began.id)
        self._grow(_CALL_COST)
        self._calls[key] = call
        self._queue.append(call)
        if len(self._queue) == 1:
            yield began
        else:
            yield from self._advance()

    def is_another(self, key: int, id: str) -> bool:
        """True if a piece with this number and id begins a call."""
        call = self._calls.get(key)
        return call is None or bool(id and call.provider_id and id != call.provider_id)

    def add(self, key: int, text: str) -> tuple[Piece, ...]:
        """A piece of a call's arguments."""
        call = self._calls[key]
        if not text:
            return ()
        if call not in self._queue:
            raise ProtocolError("The provider went on with a tool call after its end.")
        self._grow(len(text))
        call.arguments.add(text)
        if call is self._queue[0]:
            return (CallSaid(text),)
        call.waiting.add(text)
        return ()

    def said(self, key: int) -> bool:
        """True if a call has arguments already."""
        return bool(self._calls[key].arguments)

    def end(self, key: int) -> Iterator[Piece]:
        """The provider says that a call is whole."""
        self._calls[key].over = True
        yield from self._advance()

    def end_all(self) -> Iterator[Piece]:
        """All calls are whole."""
        for call in self._queue:
            call.over = True
        yield from self._advance()

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > KEPT_LIMIT:
            raise ProtocolError("The provider sent more than 64 MiB of tool calls in one answer.")

    def _advance(self) -> Iterator[Piece]:
        """End the calls at the front that are whole, and begin the next."""
        while self._queue:
            first = self._queue[0]
            if not first.over and (len(self._queue) == 1 or not _is_object(first.arguments)):
                return
            yield CallEnded()
            del self._queue[0]
            if self._queue:
                following = self._queue[0]
                yield following.began
                if text := following.waiting.take():
                    yield CallSaid(text)


def _is_object(arguments: Joined) -> bool:
    text = arguments.take()
    if text:
        arguments.add(text)
    try:
        return isinstance(parse(text.encode("utf-8", "surrogatepass")), dict)
    except ValueError:
        return False
