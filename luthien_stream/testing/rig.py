"""Policies over a provider's bytes without a bus: a call's log is made up, and the program run over it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from luthien_stream.core.program import Program, Want
from luthien_stream.events.log import (
    AnyEvent,
    ChunkReceived,
    ChunkReleased,
    Known,
    RequestReceived,
    ResponseCompleted,
    ResponseStarted,
    Slip,
)
from luthien_stream.formats import LENSES
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.policy.program import PolicyProgram

START = 1_760_000_000_000_000
"""When made-up calls begin, microseconds; each of their events comes a millisecond later."""
Effects = Callable[[Want], Any]


def request_body(streamed: bool = True, **fields: Any) -> bytes:
    """A small request that every format can read."""
    said = [{"role": "user", "content": "Hello"}]
    asked = {"model": "m", "max_tokens": 1000, "messages": said, "input": said, "stream": streamed}
    return msgspec.json.encode({**asked, **fields})


def call_log(
    format: str, chunks: Sequence[bytes], *, streamed: bool = True, request: bytes = b"", status: int = 200
) -> list[AnyEvent]:
    """The inputs of one call, in order: request, status, chunks, and the end of the original lane."""
    body = request or request_body(streamed)
    events: list[Known] = [
        RequestReceived(call="c1", edge="e1", slip=Slip(), format=format, path="/", body=body, streamed=streamed),
        ResponseStarted(call="c1", status=status, streamed=streamed),
        *(ChunkReceived(call="c1", frame=raw, kind="frame" if streamed else "body") for raw in chunks),
        ResponseCompleted(call="c1", lane="original"),
    ]
    for number, event in enumerate(events):
        event.n, event.time = number, START + number * 1000
    return [*events]


def program(pipeline: Pipeline) -> PolicyProgram:
    """A fresh program over all formats."""
    return PolicyProgram(pipeline, LENSES)


def drive(program: Program, inputs: Iterable[AnyEvent], effects: Effects | None = None) -> list[AnyEvent]:
    """Feed and advance event by event, each effect decided as soon as it is wanted; return all outputs."""
    out: list[AnyEvent] = []
    for event in inputs:
        program.feed(event)
        out += program.advance()
        out += perform(program, effects)
    return out


def perform(program: Program, effects: Effects | None) -> list[AnyEvent]:
    """Decide all effects that the program wants, and those that it wants then."""
    out: list[AnyEvent] = []
    while effects is not None and (wants := program.wants()):
        for want in wants:
            program.decide(want.key, effects(want))
        out += program.advance()
    return out


def frames(outputs: Iterable[AnyEvent]) -> list[bytes]:
    """The frames among a lane's events."""
    return [event.frame for event in outputs if isinstance(event, ChunkReleased)]
