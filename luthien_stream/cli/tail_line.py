"""One line of `tail`: what happened, in words. Pure: events in, text out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec

from luthien_stream.cli.plain import SHORT_ID, clock, preview, size
from luthien_stream.events import log
from luthien_stream.events.json_form import to_json
from luthien_stream.events.pack import type_of
from luthien_stream.record.filter import Facts
from luthien_stream.record.speech import Listener, one_line
from luthien_stream.tail.facts import CALLS_KEPT
from luthien_stream.tail.reading import Seen

_COLOURS = {"request": "36", "response": "32", "verdict": "33", "policy": "31", "protocol": "31", "call": "35"}
_RED = ("response.failed", "response.aborted", "request.refused", "event.dead_lettered")


class Line:
    """Turns events to lines. It listens to the lanes of the latest calls, for a frame may say half a word."""

    def __init__(self, *, colour: bool = False) -> None:
        self._colour = colour
        self._listeners: OrderedDict[str, dict[str, Listener]] = OrderedDict()

    def text(self, seen: Seen, facts: Facts) -> str:
        """Return the line."""
        kind = type_of(seen.event)
        said = preview(self._about(seen, facts), 120)
        call, model = f"{seen.event.call[:SHORT_ID]:<{SHORT_ID}}", "".join(facts.model or ())
        return f"{clock(seen.time)}  {call}  {self._painted(f'{kind:<18}', kind)}  {model:<16}  {said}".rstrip()

    def _about(self, seen: Seen, facts: Facts) -> str:
        event = seen.event
        if isinstance(event, log.ChunkReceived | log.ChunkReleased):
            return f"{_mark(event)}{self._heard(event, seen.src, facts)}"
        words = _WORDS.get(type(event))
        if words is not None:
            return words(event)
        fields = to_json(event, seen.src)["data"]
        return msgspec.json.encode(fields).decode() if fields else ""

    def _heard(self, event: log.ChunkReceived | log.ChunkReleased, src: str, facts: Facts) -> str:
        """What the frame says; its size if it says nothing, or if the call's beginning was not seen."""
        if not facts.format:
            return size(len(event.frame))
        lanes = self._listeners.setdefault(event.call, {})
        if src not in lanes:
            lanes[src] = Listener(facts.format[0], whole=event.kind == "body")
        if len(self._listeners) > CALLS_KEPT:
            self._listeners.popitem(last=False)
        return one_line(lanes[src].hear(event.frame)) or size(len(event.frame))

    def _painted(self, text: str, kind: str) -> str:
        colour = "31" if kind in _RED else _COLOURS.get(kind.partition(".")[0], "")
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour and colour else text


def _mark(event: log.ChunkReceived | log.ChunkReleased) -> str:
    return "≠ " if isinstance(event, log.ChunkReleased) and event.of < 0 else ""


def _join(*words: Any) -> str:
    return "  ".join(str(word) for word in words if word not in ("", None, 0))


_WORDS: dict[type, Callable[[Any], str]] = {
    log.RequestReceived: lambda e: _join(
        e.path, size(e.body_size or len(e.body)), e.session and f"session {e.session}", e.client
    ),
    log.RequestReleased: lambda e: "changed" if e.changed else "",
    log.RequestRefused: lambda e: _join(e.policy, e.reason or e.shown),
    log.ResponseStarted: lambda e: _join(e.status, e.provider, e.model),
    log.FrameInjected: lambda e: _join(e.why, size(len(e.frame))),
    log.ResponseDelivered: lambda e: _join(e.left, size(e.bytes)),
    log.ResponseCompleted: lambda e: _join(e.lane, e.reason, e.usage and msgspec.json.encode(e.usage).decode()),
    log.ResponseFailed: lambda e: _join(e.lane, e.error, e.status, e.message),
    log.ResponseAborted: lambda e: _join(e.lane, e.reason, e.by and f"by {e.by}"),
    log.CallHeld: lambda e: _join(e.subject.get("policy"), e.subject.get("tool"), e.subject.get("arguments")),
    log.ApprovalDecided: lambda e: _join(e.decision, e.by and f"by {e.by}"),
    log.SampleRequested: lambda e: _join(e.policy, e.why, e.model),
    log.StopRequested: lambda e: _join(f"by {e.by}", e.reason),
    log.VerdictReached: lambda e: _join(e.policy, e.kind, e.score, e.about, e.reason or e.shown),
    log.PolicyFailed: lambda e: _join(e.policy, e.error, e.message, f"went {e.went}"),
    log.ProtocolViolated: lambda e: _join(e.by, e.rule, e.message),
}
