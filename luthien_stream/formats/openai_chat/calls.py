"""Tool calls put together from their pieces, which may interleave."""

from __future__ import annotations

from typing import Any

from luthien_stream.events.answer import Part, ToolCall, ToolKind
from luthien_stream.formats.errors import ProtocolError
from luthien_stream.formats.json import parse
from luthien_stream.formats.openai_chat.wire import FORMAT, Custom, Delta, Function, ToolDelta


class _Call:
    """One call while it is streamed."""

    def __init__(self, kind: ToolKind, start: dict[str, Any]) -> None:
        self.kind = kind
        self.start = start
        self.id = ""
        self.name = ""
        self.pieces: list[str] = []

    def add(self, id: str | None, said: Function | Custom | None) -> None:
        self.id = self.id or id or ""
        if said is None:
            return
        self.name = self.name or said.name or ""
        self.pieces.append((said.arguments if isinstance(said, Function) else said.input) or "")


class Calls:
    """The calls of one answer."""

    def __init__(self) -> None:
        self._open: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self.count = 0
        """Calls begun so far."""

    def __bool__(self) -> bool:
        return bool(self._open)

    def add(self, delta: Delta, data: bytes) -> None:
        """Take the pieces of a chunk; `data` is the chunk itself, for what its calls say beside."""
        for position, piece in enumerate(delta.tool_calls or ()):
            index = piece.index if piece.index is not None else position
            call = self._by_index.get(index)
            if call is None or (piece.id and call.id and piece.id != call.id):
                call = self._begin(_kind(piece), _raw_delta(data)["tool_calls"][position])
                self._by_index[index] = call
            call.add(piece.id, piece.custom if call.kind == "custom" else piece.function)
        if delta.function_call is not None:
            call = next((call for call in self._open if call.kind == "legacy"), None)
            call = call or self._begin("legacy", {})
            call.add(None, delta.function_call)

    def take(self) -> list[ToolCall]:
        """All calls, whole. Raises `ProtocolError` for one without a name."""
        calls, self._open = self._open, []
        self._by_index = {}
        whole = []
        for position, call in enumerate(calls, self.count - len(calls)):
            if not call.name:
                raise ProtocolError("The provider sent a tool call without a name.")
            part = Part(FORMAT, "tool", position, call.start)
            whole.append(ToolCall(call.id, call.name, "".join(call.pieces), part, call.kind))
        return whole

    def _begin(self, kind: ToolKind, start: dict[str, Any]) -> _Call:
        call = _Call(kind, start)
        self._open.append(call)
        self.count += 1
        return call


def _kind(piece: ToolDelta) -> ToolKind:
    return "custom" if piece.type == "custom" or piece.custom is not None else "function"


def _raw_delta(data: bytes) -> dict[str, Any]:
    delta: dict[str, Any] = parse(data)["choices"][0]["delta"]
    return delta
