"""One line of `tail`: what happened, in words. Pure: events in, text out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import msgspec
from msgspec import Struct, field

from luthien_stream.cli.plain import SHORT_ID, clock, preview, size
from luthien_stream.events import log
from luthien_stream.events.json_form import to_json
from luthien_stream.events.pack import type_of
from luthien_stream.record.filter import All, Facts, Filter, fields_of, matches
from luthien_stream.record.speech import Listener, one_line
from luthien_stream.tail.facts import Knowledge
from luthien_stream.tail.reading import Seen

CALLS_KEPT = 20_000
"""Calls whose model and session are remembered."""
_COLOURS = {"request": "36", "response": "32", "verdict": "33", "policy": "31", "protocol": "31", "call": "35"}
_RED = ("response.failed", "response.aborted", "request.refused", "event.dead_lettered")


class Wanted(Struct, frozen=True):
    """Which events to show; empty means any. `types` are globs."""

    call: str = ""
    session: str = ""
    model: str = ""
    types: tuple[str, ...] = ()
    filter: Filter = All(())

    @property
    def needs_request(self) -> bool:
        """Whether it takes the call's first event to decide."""
        return bool(self.session or self.model or fields_of(self.filter) - {"call", "type"})


class Known(Struct):
    """What is known of a call from its first event, and the ears on its lanes."""

    model: str = ""
    session: str = ""
    format: str = ""
    listeners: dict[str, Listener] = field(default_factory=dict)
    facts: Facts = field(default_factory=Facts)


class Line:
    """Turns events to lines, and remembers of each call what its first event said."""

    def __init__(self, wanted: Wanted, *, colour: bool = False) -> None:
        self._wanted, self._colour = wanted, colour
        self._calls: OrderedDict[str, Known] = OrderedDict()
        self._knowledge = Knowledge() if wanted.filter != All(()) else None

    def learn(self, seen: Seen) -> Known:
        """Take note of an event, shown or not."""
        event = seen.event
        if isinstance(event, log.RequestReceived):
            self._calls[event.call] = Known(event.model, event.session, event.format)
            if len(self._calls) > CALLS_KEPT:
                self._calls.popitem(last=False)
        known = self._calls.get(event.call, Known())
        if self._knowledge is not None:
            known.facts = self._knowledge.learn(event)
        return known

    def wants(self, seen: Seen, known: Known) -> bool:
        """Whether the event is to be shown. Flow control is only on demand."""
        wanted, kind = self._wanted, type_of(seen.event)
        types = any(fnmatchcase(kind, glob) for glob in wanted.types) if wanted.types else kind != "chunk.seen"
        return (
            types
            and seen.event.call.startswith(wanted.call)
            and wanted.session in ("", known.session)
            and fnmatchcase(known.model, wanted.model or "*")
            and (self._knowledge is None or matches(wanted.filter, known.facts) is True)
        )

    def text(self, seen: Seen, known: Known) -> str:
        """Return the line."""
        kind = type_of(seen.event)
        said = preview(_about(seen, known), 120)
        call = f"{seen.event.call[:SHORT_ID]:<{SHORT_ID}}"
        return f"{clock(seen.time)}  {call}  {self._painted(f'{kind:<18}', kind)}  {known.model:<16}  {said}".rstrip()

    def _painted(self, text: str, kind: str) -> str:
        colour = "31" if kind in _RED else _COLOURS.get(kind.partition(".")[0], "")
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour and colour else text


def _about(seen: Seen, known: Known) -> str:
    event = seen.event
    if isinstance(event, log.ChunkReceived | log.ChunkReleased):
        return _heard(event, seen.src, known)
    words = _WORDS.get(type(event))
    if words is not None:
        return words(event)
    fields = to_json(event, seen.src)["data"]
    return msgspec.json.encode(fields).decode() if fields else ""


def _heard(event: log.ChunkReceived | log.ChunkReleased, src: str, known: Known) -> str:
    """What the frame says; its size if it says nothing, or if the call's beginning was not seen."""
    if known.format and src not in known.listeners:
        known.listeners[src] = Listener(known.format, whole=event.kind == "body")
    listener = known.listeners.get(src)
    said = one_line(listener.hear(event.frame)) if listener else ""
    return f"{_mark(event)}{said or size(len(event.frame))}"


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
