"""OpenAI's unstreamed chat answers: one cell with all events, written again as it came or rebuilt field by field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from luthien_stream.core.lens import Violation
from luthien_stream.events.answer import Cell, End, Event, Opaque, Part, PartEnd, Text, Thinking, ToolCall
from luthien_stream.formats.cell import gathered, readable
from luthien_stream.formats.errors import ProtocolError
from luthien_stream.formats.framing import Notes, check_arguments, is_ours, made
from luthien_stream.formats.json import dump, edit, fields, items, parse_as
from luthien_stream.formats.marks import EMPTY
from luthien_stream.formats.openai_chat.source import LOOSE, Source
from luthien_stream.formats.openai_chat.wire import (
    CARRIERS,
    FORMAT,
    REASONING,
    REASONS,
    REPEATS,
    Function,
    ToolDelta,
    raw_reason,
    whole_head,
)
from luthien_stream.formats.repair import repaired


class _Message(Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolDelta] | None = None
    function_call: Function | None = None


class _Choice(Struct):
    message: _Message
    finish_reason: str | None = None


class _Body(Struct):
    choices: list[_Choice]
    usage: dict[str, Any] | None = None


_BODY = msgspec.json.Decoder(_Body)
_PATH = ("choices", 0, "message")
_NOTHING = (b"null", b"[]", b"{}", b'""')
"""Values that say nothing."""


class BodyDecoder(Source):
    """One body to events. Raises `ProtocolError` where it is no answer, or several."""

    def __init__(self) -> None:
        super().__init__()
        self.body = b""
        self.message: dict[str, Raw] = {}
        """The message's fields, unparsed."""

    def frame(self, raw: bytes) -> Sequence[bytes | Event]:
        """Take the body; return all its events."""
        readable(raw)
        try:
            body = parse_as(_BODY, raw)
            if len(body.choices) != 1:
                raise ProtocolError(f"The provider sent {len(body.choices)} choices: policies see one answer only.")
            self.head = {name: value for name, value in fields(raw).items() if name not in ("choices", "usage")}
            self.message = fields(fields(items(fields(raw)["choices"])[0])["message"])
        except ValueError as error:
            raise ProtocolError(f"The provider's answer is no chat completion: {error}.") from None
        self.body, self.usage, self.role = raw, body.usage, True
        choice = body.choices[0]
        self.over = REASONS.get(choice.finish_reason or "", "stop")
        end = End(self.over, choice.finish_reason, self.usage, part=LOOSE)
        placed = gathered([raw], [*self._texts(choice.message), *self._opaque(), *self._calls(choice.message), end])
        src = placed[-1].src
        self.ending = src if isinstance(src, Cell) else None
        return placed

    def close(self, rest: bytes = b"") -> Sequence[bytes | Event]:
        """The body has ended; without one the answer is cut."""
        if self.over:
            return ()
        self.over = "cut"
        return [End("cut", part=LOOSE)]

    def _texts(self, message: _Message) -> list[Event]:
        thinking, text, refusal = (Part(FORMAT, kind, i) for i, kind in enumerate(("thinking", "text", "refusal")))
        events: list[Event] = []
        if thought := message.reasoning_content or message.reasoning:
            events += [Thinking(thought, thinking), PartEnd(thinking)]
        if message.content:
            events += [Text(message.content, text), PartEnd(text)]
        if message.refusal:
            events += [Text(message.refusal, refusal, True), PartEnd(refusal)]
        return events

    def _opaque(self) -> list[Event]:
        others = [name for name, raw in self.message.items() if name not in CARRIERS and bytes(raw) not in _NOTHING]
        return [Opaque(name, LOOSE) for name in others if name != REPEATS]

    def _calls(self, message: _Message) -> list[Event]:
        calls: list[Event] = []
        raws = items(self.message["tool_calls"]) if message.tool_calls else []
        for index, call in enumerate(message.tool_calls or ()):
            part = Part(FORMAT, "tool", index, raws[index])
            said = call.custom if call.custom is not None else call.function
            if said is None or not said.name:
                raise ProtocolError("The provider sent a tool call without a name.")
            custom = not isinstance(said, Function)
            text = said.arguments if isinstance(said, Function) else said.input
            calls.append(ToolCall(call.id or "", said.name, text or "", part, "custom" if custom else "function"))
        if (legacy := message.function_call) is not None:
            part = Part(FORMAT, "tool", 0, self.message["function_call"])
            calls.append(ToolCall("", legacy.name or "", legacy.arguments or "", part, "legacy"))
        self.calls = len(calls)
        return calls


class BodyFramer:
    """Writes one body: the provider's own if all its events came through untouched and in order."""

    def __init__(self, decoder: BodyDecoder) -> None:
        self._decoder = decoder
        self._events: list[Event] = []
        self._out: list[bytes] = []
        self._notes = Notes()
        self._end: End | None = None

    def write(self, event: Event) -> None:
        """Take what a policy chain put out."""
        if self._end is not None:
            self._notes.add("after_end", f"{type(event).__name__} after the end was dropped.")
            return
        if not is_ours(event, FORMAT):
            event = made(event)
        if isinstance(event, ToolCall) and (event.part is None or event.edited):
            check_arguments(event)
        if isinstance(event, End):
            self._end = event
        if not isinstance(event, PartEnd):
            self._events.append(event)

    def mute(self, raw: bytes) -> None:
        """A body has no mute frames."""

    def flush(self) -> None:
        """The chain waits: a body is written at its end."""

    def finish(self) -> None:
        """Nothing more will be written: the body is whole now."""
        if self._end is None and self._decoder.over in ("cut", "error"):
            return
        if self._end is None or self._end.reason not in ("cut", "error"):
            self._out.append(self._decoder.body if self._untouched() else self._rebuilt())

    def take(self) -> list[bytes]:
        """The body, once it is finished: the very same object if nothing changed."""
        out, self._out = self._out, []
        return out

    def notes(self) -> Sequence[Violation]:
        """What was dropped since the last call."""
        return self._notes.take()

    def _untouched(self) -> bool:
        cell = self._decoder.ending
        return (
            cell is not None
            and len(self._events) == cell.events
            and all(e.src is cell and e.pos == i and not e.edited for i, e in enumerate(self._events))
        )

    def _rebuilt(self) -> bytes:
        calls = [event for event in self._events if isinstance(event, ToolCall)]
        decoder = self._decoder
        reason = repaired(self._end or End("tool_calls" if calls else "stop"), len(calls), decoder.calls)
        body = decoder.body or dump(
            {**whole_head(decoder.head), "object": "chat.completion", "choices": [{"index": 0, "message": {}}]}
        )
        body = edit(body, _PATH, self._message(calls))
        if any(event.edited or event.src is None for event in self._events if isinstance(event, Text)):
            body = edit(body, ("choices", 0, "logprobs"), None)
        if reason != decoder.over:
            legacy = bool(calls) and calls[-1].kind == "legacy"
            body = edit(body, ("choices", 0, "finish_reason"), raw_reason(reason, legacy))
        if decoder.switched and decoder.usage:
            body = edit(body, ("usage",), decoder.usage)
        return body

    def _message(self, calls: Sequence[ToolCall]) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", **self._decoder.message}
        texts = [event for event in self._events if isinstance(event, Text)]
        self._say(message, ("content",), [event for event in texts if not event.refusal])
        self._say(message, ("refusal",), [event for event in texts if event.refusal])
        self._say(message, REASONING, [event for event in self._events if isinstance(event, Thinking)])
        kept = {event.kind for event in self._events if isinstance(event, Opaque)}
        for name, raw in self._decoder.message.items():
            if name not in CARRIERS and name != REPEATS and name not in kept and bytes(raw) not in _NOTHING:
                message.pop(name, None)
        if "annotations" in message and any(event.edited for event in texts):
            message["annotations"] = []
        if not (calls or _says(message)) and (_says(self._decoder.message) or self._decoder.calls):
            message["content"] = EMPTY
        _put(message, "tool_calls", [_call(call) for call in calls if call.kind != "legacy"])
        _put(message, "function_call", next((_call(call) for call in calls if call.kind == "legacy"), None))
        return message

    def _say(self, message: dict[str, Any], names: Sequence[str], events: Sequence[Text | Thinking]) -> None:
        """Set a text of the message, in the fields that had it; spelled as it was if nothing changed."""
        had = [name for name in names if name in self._decoder.message and _is_text(self._decoder.message[name])]
        if len(events) == 1 and events[0].src is not None and not events[0].edited:
            return
        text = "".join(event.text for event in events)
        if names is REASONING:
            message.pop(REPEATS, None)
        for name in had or ((names[0],) if text else ()):
            message[name] = text or None


def _is_text(raw: Raw) -> bool:
    return bytes(raw) not in (b"null", b'""')


def _says(message: Mapping[str, Any]) -> bool:
    """True if a message has text in it."""
    said = [message[name] for name in ("content", "refusal") if name in message]
    return any(_is_text(value) if isinstance(value, Raw) else bool(value) for value in said)


def _put(message: dict[str, Any], name: str, value: Any) -> None:
    if value:
        message[name] = value
    else:
        message.pop(name, None)


def _call(call: ToolCall) -> Any:
    start = call.part.start if call.part is not None else None
    kind, said = ("custom", "input") if call.kind == "custom" else ("function", "arguments")
    if call.kind == "legacy":
        plain = {"name": call.name, "arguments": call.arguments}
        return start if start is not None and not call.edited else plain
    if start is None:
        return {"id": call.id, "type": kind, kind: {"name": call.name, said: call.arguments}}
    return Raw(edit(start, (kind, said), call.arguments)) if call.edited else start
