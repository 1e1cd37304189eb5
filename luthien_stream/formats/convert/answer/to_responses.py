"""An answer, written as OpenAI's response: items one after the other, each said again whole at its end."""

from __future__ import annotations

from typing import Any

from luthien_stream.core.lens import Violation
from luthien_stream.core.sse import frame_of
from luthien_stream.formats.convert.answer.message import Fold, Message
from luthien_stream.formats.convert.answer.pieces import (
    Began,
    CallBegan,
    CallEnded,
    CallSaid,
    Ended,
    Failed,
    Piece,
    Said,
    SaidAll,
    Sealed,
    Silent,
    Thought,
)
from luthien_stream.formats.convert.answer.response_items import Items, ended_response, response_head
from luthien_stream.formats.json import dump

_KEEP_ALIVE = b": keep-alive\n\n"
_DELTAS = {
    "text": "response.output_text.delta",
    "refusal": "response.refusal.delta",
    "thinking": "response.reasoning_summary_text.delta",
    "function": "response.function_call_arguments.delta",
    "custom": "response.custom_tool_call_input.delta",
}


class ResponsesWriter:
    """Pieces of one answer to frames. `echo` are the fields of the request that a response says again."""

    def __init__(self, model: str, created: int, echo: dict[str, Any]) -> None:
        self._model, self._created, self._echo = model, created, echo
        self._response: dict[str, Any] = {}
        self._frames: list[bytes] = []
        self._number = 0
        self._fold = Fold()
        self._items = Items("")
        self._open = ""  # what the open item is: text, refusal, thinking, function, custom, local_shell
        self._call = CallBegan("", "")
        self._delta = b""  # what a delta of the open item has before its text

    def write(self, piece: Piece) -> None:
        """Write a piece."""
        match piece:
            case Said() if self._open == "text" and not piece.refusal:
                self._fold.text.add(piece.text)
                self._put_delta(piece.text)
            case Said():
                self._piece("refusal" if piece.refusal else "text", piece)
            case CallSaid():
                self._fold.arguments.add(piece.text)
                self._put_delta(piece.text)
            case Thought():
                self._piece("thinking", piece)
            case Sealed():
                self._sealed(piece)
            case SaidAll() | CallEnded():
                self._shut(piece)
            case CallBegan():
                self._shut(SaidAll())
                self._call = piece
                self._fold.take(piece)
                self._enter(piece.kind)
            case Began():
                self._begin(piece)
            case Ended():
                self._end(piece)
            case Failed():
                self._fail(piece)
            case Silent():
                self._frames.append(_KEEP_ALIVE)

    def take(self) -> list[bytes]:
        """The frames written since the last call."""
        frames, self._frames = self._frames, []
        return frames

    def notes(self) -> list[Violation]:
        """Nothing is dropped here: a response has a place for every piece."""
        return []

    def _put(self, type: str, **fields: Any) -> None:
        self._frames.append(frame_of(dump({"type": type, "sequence_number": self._number, **fields}), type))
        self._number += 1

    def _put_delta(self, text: str) -> None:
        if self._delta:
            self._frames.append(b'%b%d,"delta":%b}\n\n' % (self._delta, self._number, dump(text)))
            self._number += 1

    def _begin(self, began: Began) -> None:
        if self._response:
            return
        self._response = response_head(began, self._model, self._created, self._echo)
        self._items = Items(self._response["id"])
        self._put("response.created", response=self._response)
        self._put("response.in_progress", response=self._response)

    def _piece(self, kind: str, piece: Said | Thought) -> None:
        if self._open != kind:
            self._shut(SaidAll())
            self._enter(kind)
        self._fold.take(piece)
        self._put_delta(piece.text)

    def _enter(self, kind: str) -> None:
        """Begin an item, and its part where it has one."""
        self._begin(Began("", ""))
        self._open = kind
        where: dict[str, Any] = {"item_id": self._items.id_for(kind), "output_index": self._items.count}
        item = self._items.opened(kind, self._call)
        self._put("response.output_item.added", output_index=self._items.count, item=item)
        if kind in ("text", "refusal"):
            where["content_index"] = 0
            self._put("response.content_part.added", **where, part=_part(kind, ""))
            where |= {"logprobs": []} if kind == "text" else {}
        elif kind == "thinking":
            where["summary_index"] = 0
            self._put("response.reasoning_summary_part.added", **where, part=_part(kind, ""))
        name = _DELTAS.get(kind)
        self._delta = b""
        if name is not None:
            head = dump({"type": name, **where})[:-1]
            self._delta = b'event: %b\ndata: %b,"sequence_number":' % (name.encode(), head)

    def _sealed(self, piece: Sealed) -> None:
        if self._open != "thinking" and piece.seal.data:
            self._shut(SaidAll())
            self._begin(Began("", ""))
            self._open = "sealed"
            item = self._items.opened("thinking", self._call)
            self._put("response.output_item.added", output_index=self._items.count, item=item)
        if self._open in ("thinking", "sealed"):
            self._shut(piece)

    def _shut(self, piece: Piece) -> None:
        """End the open item: what it said is said again whole."""
        kind, self._open, self._delta = self._open, "", b""
        if not kind:
            return
        for block in self._fold.take(piece):
            item = self._items.whole(block)
            where = {"item_id": item["id"], "output_index": self._items.count}
            self._repeat(kind, item, where)
            self._put("response.output_item.done", output_index=self._items.count, item=item)
            self._items.add(item)

    def _repeat(self, kind: str, item: dict[str, Any], where: dict[str, Any]) -> None:
        match kind:
            case "text" | "refusal":
                part = item["content"][0]
                text = {"text": part["text"], "logprobs": []} if kind == "text" else {"refusal": part["refusal"]}
                name = "output_text" if kind == "text" else kind
                self._put(f"response.{name}.done", **where, content_index=0, **text)
                self._put("response.content_part.done", **where, content_index=0, part=part)
            case "thinking":
                part = item["summary"][0]
                self._put("response.reasoning_summary_text.done", **where, summary_index=0, text=part["text"])
                self._put("response.reasoning_summary_part.done", **where, summary_index=0, part=part)
            case "function":
                said = {"name": item["name"], "arguments": item["arguments"]}
                self._put("response.function_call_arguments.done", **where, **said)
            case "custom":
                self._put("response.custom_tool_call_input.done", **where, input=item["input"])

    def _end(self, ended: Ended) -> None:
        self._begin(Began("", ""))
        self._shut(SaidAll())
        response = ended_response(self._response, self._items.all, ended)
        self._put(f"response.{response['status']}", response=response)

    def _fail(self, failed: Failed) -> None:
        self._begin(Began("", ""))
        error = {"code": failed.code or "server_error", "message": failed.message}
        response = {**self._response, "status": "failed", "error": error, "output": self._items.all}
        self._put("response.failed", response=response)


def write_response(message: Message, model: str, created: int, echo: dict[str, Any]) -> bytes:
    """An unstreamed answer."""
    head = response_head(message.began, model, created, echo)
    items = Items(head["id"])
    for block in message.blocks:
        items.add(items.whole(block))
    return dump(ended_response(head, items.all, message.ended))


def _part(kind: str, text: str) -> dict[str, Any]:
    if kind == "thinking":
        return {"type": "summary_text", "text": text}
    return (
        {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        if kind == "text"
        else {
            "type": "refusal",
            "refusal": text,
        }
    )
