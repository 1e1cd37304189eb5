"""Files of earlier releases in the form of this one: each version has a converter to the next.

Version 0 is what `luthien-stream show --json` prints: one object a call, both lanes and all events that are no chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import chain
from typing import Any

import msgspec

from luthien_stream.errors import LuthienError
from luthien_stream.record.version import KIND, VERSION

Lines = Iterator[dict[str, Any]]


class UnknownVersion(LuthienError):
    """The file is of a newer release, or no file of recorded calls."""


def converted(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Return a file's lines in the form of this release. Raises `UnknownVersion`."""
    rest = iter(lines)
    first = next((line for line in rest if line.strip()), b"")
    version = _version(first)
    if version == VERSION:
        return chain([first], rest)
    if version > VERSION:
        raise UnknownVersion(
            f"The file has version {version} and this release reads up to {VERSION}: install a newer luthien-stream"
        )
    forms: Lines = (msgspec.json.decode(line) for line in chain([first], rest) if line.strip())
    for number in range(version, VERSION):
        forms = _CONVERTERS[number](forms)
    return (msgspec.json.encode(form) for form in forms)


def _version(line: bytes) -> int:
    try:
        form = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise UnknownVersion(
            f"This is no file of recorded calls: its first line is no JSON object ({error})"
        ) from error
    if form.get("type") == KIND and isinstance(form.get("version"), int):
        return int(form["version"])
    if {"call_id", "lanes", "events"} <= form.keys():
        return 0
    raise UnknownVersion("This is no file of recorded calls: its first line says nothing of a version")


def _from_0(forms: Lines) -> Lines:
    yield {"type": KIND, "version": 1, "release": "0.1", "masked": False}
    calls = events = 0
    for form in forms:
        calls += 1
        yield {"type": "call", "call_id": form["call_id"]}
        for event in _events_of(form):
            events += 1
            yield event
    yield {"type": "end", "calls": calls, "events": events}


def _events_of(form: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Events and frames, in the order of their times; the frames of a lane are its speaker's chunks."""
    events = [dict(event) for event in form["events"]]
    edge = next((e["source"] for e in events if e["type"] == "request.received"), "edge:unknown")
    final = next((e["source"] for e in events if e["data"].get("lane") == "final" and "sequence" in e), "")
    found = events + _frames(form, "original", edge)
    if final.startswith("stage:"):
        found += _frames(form, "final", final)
    found.sort(key=lambda event: (_time(event), int(event.get("sequence", 0))))
    for number, event in enumerate(found):
        yield {**event, "entryid": str(number)}


def _frames(form: Mapping[str, Any], lane: str, src: str) -> list[dict[str, Any]]:
    kind = "chunk.received" if lane == "original" else "chunk.released"
    made = []
    for frame in form["lanes"].get(lane, {}).get("frames", []):
        if frame["by"] == "edge":
            continue
        data: dict[str, Any] = {"frame": frame["frame"]}
        if not form.get("streamed", True):
            data["kind"] = "body"
        made.append(
            {
                "specversion": "1.0",
                "source": src,
                "type": kind,
                "time": frame["time"],
                "sequence": str(frame["n"]),
                "correlationid": form["call_id"],
                "data": data,
            }
        )
    return made


def _time(event: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(event["time"]).timestamp() if "time" in event else 0.0


_CONVERTERS: Mapping[int, Callable[[Lines], Lines]] = {0: _from_0}
"""From this version to the next."""
