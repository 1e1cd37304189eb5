"""Calls of tools that went to the provider as functions, made what the client knows them as."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from luthien_stream.formats.convert.answer.pieces import CallBegan, CallEnded, CallSaid, Joined, Piece
from luthien_stream.formats.convert.request.conversation import Tool
from luthien_stream.formats.convert.request.tools import called
from luthien_stream.formats.json import parse


class OwnTools:
    """Gives calls the client's names. The input of a custom tool comes whole, others piece by piece."""

    def __init__(self, tools: Sequence[Tool], provider: str) -> None:
        names = {called(tool, provider): tool for tool in tools}
        self._tools = {name: tool for name, tool in names.items() if tool.kind != "function" or tool.name != name}
        self._call: CallBegan | None = None
        self._arguments = Joined()

    def __bool__(self) -> bool:
        return bool(self._tools)

    def restored(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """The pieces, as the client knows them."""
        for piece in pieces:
            if isinstance(piece, CallBegan):
                yield self._begun(piece)
            elif self._call is not None and isinstance(piece, CallSaid):
                self._arguments.add(piece.text)
            elif self._call is not None and isinstance(piece, CallEnded):
                self._call = None
                yield CallSaid(_input(self._arguments.take()))
                yield piece
            else:
                yield piece

    def _begun(self, call: CallBegan) -> CallBegan:
        tool = self._tools.get(call.name)
        if tool is None:
            return call
        if call.kind != "function":
            return CallBegan(call.id, tool.name, call.kind)
        began = CallBegan(call.id, tool.name, tool.kind, tool.namespace)
        self._call = began if tool.kind == "custom" else None
        return began


def _input(arguments: str) -> str:
    """The free input in a function's arguments; all of them where a model did not keep to the form."""
    try:
        found = parse(arguments.encode("utf-8", "surrogatepass"))
    except ValueError:
        return arguments
    said = found.get("input") if isinstance(found, dict) else None
    return said if isinstance(said, str) else arguments
