"""Recorded calls as lines of JSON, versioned: the form of files that `export` writes and that tests keep.

A head line; for each call a line of its own, the bodies that no call before had, and its events in CloudEvents form; at
the end a line with counts, so that a file that was cut off is noticed. Both ways go line by line.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from luthien_stream import __version__
from luthien_stream.errors import LuthienError, PackError
from luthien_stream.events.json_form import BASE64, from_json, to_json
from luthien_stream.events.log import AnyEvent, ChunkReceived, ChunkReleased
from luthien_stream.record.converters import converted
from luthien_stream.record.lanes import Record, StoredChunk, StoredEvent
from luthien_stream.record.version import KIND, VERSION


class BadFile(LuthienError):
    """This is no file of recorded calls, or a part of it is missing."""


def dump(records: Iterable[Record]) -> Iterator[bytes]:
    """Return calls as lines, each with its newline."""
    masked: bool | None = None
    calls = events = 0
    known: set[str] = set()
    for record in records:
        if masked is None:
            masked = record.masked
            yield _line(_head(masked))
        calls += 1
        yield _line(_call(record))
        for ref in sorted(record.bodies.keys() - known):
            yield _line({"type": "body", "ref": ref, "body": _text(record.bodies[ref])})
        known |= record.bodies.keys()
        for entry, src, event in _events(record):
            events += 1
            yield _line(to_json(event, src, str(entry)))
    if masked is None:
        yield _line(_head(masked=False))
    yield _line({"type": "end", "calls": calls, "events": events})


def read(lines: Iterable[bytes]) -> Iterator[Record]:
    """Yield the calls of a file, of this version or an older one. Raises `BadFile` that names the line."""
    yield from _Reading().read(converted(lines))


class _Reading:
    def __init__(self) -> None:
        self._bodies: dict[str, bytes] = {}
        self._masked = False
        self._record: Record | None = None
        self._calls = self._events = 0

    def read(self, lines: Iterable[bytes]) -> Iterator[Record]:
        ended = False
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                form = msgspec.json.decode(line, type=dict[str, Any])
                if form.get("type") == "call":
                    yield from self._close()
                ended = self._take(form)
            except (msgspec.MsgspecError, PackError, KeyError, TypeError, ValueError) as error:
                raise BadFile(f"line {number} cannot be read: {error}") from error
        yield from self._close()
        if not ended:
            raise BadFile("the file was cut off: its last line, with the counts, is missing")

    def _take(self, form: Mapping[str, Any]) -> bool:
        """Take a line; True for the last one."""
        match form.get("type"):
            case "body":
                self._bodies[form["ref"]] = _bytes(form["body"])
            case "call":
                self._open(form)
            case "end":
                counts = (form["calls"], form["events"])
                found = (self._calls + (self._record is not None), self._events)
                if counts != found:
                    raise BadFile(f"the file has {found} calls and events, and says that it has {counts}")
                return True
            case kind if kind == KIND:
                self._masked = bool(form["masked"])
            case _:
                self._event(form)
        return False

    def _open(self, form: Mapping[str, Any]) -> None:
        self._record = Record(form["call_id"], [], {}, label=form.get("label", ""), masked=self._masked)
        self._record.pipelines = form.get("pipelines", {})
        policies: Mapping[str, Any] = form.get("policies", {})
        self._record.policies = {key: [(name, version) for name, version in named] for key, named in policies.items()}

    def _event(self, form: Mapping[str, Any]) -> None:
        record = self._record
        if record is None:
            raise BadFile("an event stands before any call")
        src, event = from_json(form)
        self._events += 1
        entry = int(form.get("entryid", 0))
        if isinstance(event, ChunkReceived | ChunkReleased):
            origin = event.of if isinstance(event, ChunkReleased) else None
            chunk = StoredChunk(event.n, event.time, event.kind, event.frame, origin, entry)
            record.chunks.setdefault(src, {})[event.n] = chunk
            return
        record.events.append(StoredEvent(src, event.n, entry, event))
        ref = getattr(event, "body_ref", "")
        if ref in self._bodies:
            record.bodies[ref] = self._bodies[ref]

    def _close(self) -> Iterator[Record]:
        if self._record is not None:
            self._calls += 1
            yield self._record
            self._record = None


def _head(masked: bool) -> dict[str, Any]:
    return {"type": KIND, "version": VERSION, "release": __version__, "masked": masked}


def _call(record: Record) -> dict[str, Any]:
    named = {"pipelines": record.pipelines, "policies": record.policies, "label": record.label}
    return {"type": "call", "call_id": record.call_id, **{name: value for name, value in named.items() if value}}


def _events(record: Record) -> Iterator[tuple[int, str, AnyEvent]]:
    """All events in the order of the log; a chunk that was released as it came has no bytes of its own."""
    found: list[tuple[int, str, AnyEvent]] = [(s.entry, s.src, s.event) for s in record.events]
    for src, chunks in record.chunks.items():
        found += [(chunk.entry, src, _chunk(record.call_id, chunk)) for chunk in chunks.values()]
    return iter(sorted(found, key=lambda one: (one[0], one[1], one[2].n)))


def _chunk(call: str, chunk: StoredChunk) -> AnyEvent:
    if chunk.origin is None:
        return ChunkReceived(call=call, n=chunk.n, time=chunk.time, frame=chunk.frame, kind=chunk.kind)
    return ChunkReleased(call=call, n=chunk.n, time=chunk.time, frame=chunk.frame, kind=chunk.kind, of=chunk.origin)


def _line(value: Any) -> bytes:
    return msgspec.json.encode(value) + b"\n"


def _text(body: bytes) -> Any:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return {BASE64: b64encode(body).decode()}


def _bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else b64decode(value[BASE64], validate=True)
