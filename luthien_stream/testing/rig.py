"""Policies over a provider's bytes without a bus: a call's log is made up, and the program run over it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from luthien_stream.core.program import SAMPLE, Program, Want
from luthien_stream.events.log import (
    AnyEvent,
    ChunkReceived,
    ChunkReleased,
    Known,
    RequestReceived,
    ResponseCompleted,
    ResponseStarted,
    SampleRequested,
    Slip,
)
from luthien_stream.formats import LENSES
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.policy.program import PolicyProgram
from luthien_stream.upstream.render import BODIES, STREAMS
from luthien_stream.upstream.script import Answer, Say

START = 1_760_000_000_000_000
"""When made-up calls begin, microseconds; each of their events comes a millisecond later."""
Effects = Callable[[Want], Any]
Samples = Callable[[SampleRequested], Iterable[AnyEvent | dict[str, Any]]]
"""Makes the inputs of an answer that a policy has asked for; a recorded failure ends them."""


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


def drive(
    program: Program, inputs: Iterable[AnyEvent], effects: Effects | None = None, samples: Samples | None = None
) -> list[AnyEvent]:
    """Feed and advance event by event, each effect decided as soon as it is wanted; return all outputs."""
    out: list[AnyEvent] = []
    for event in inputs:
        program.feed(event)
        out += program.advance()
        perform(program, effects, samples, out)
    return out


def perform(
    program: Program, effects: Effects | None, samples: Samples | None = None, out: list[AnyEvent] | None = None
) -> list[AnyEvent]:
    """Decide all effects that the program wants, and those that it wants then; `out` is what it has put out so far."""
    lane: list[AnyEvent] = [] if out is None else out
    answered: set[str] = set()
    while (effects or samples) and (wants := program.wants()):
        for want in wants:
            if want.kind == "sample" and samples is not None:
                assert want.key not in answered, f"the answer under {want.key} has no end"
                answered.add(want.key)
                for one in samples(requested(lane, want.key)):
                    give(program, want.key, one)
            elif effects is not None:
                program.decide(want.key, effects(want))
        lane += program.advance()
    return lane


def requested(lane: Iterable[AnyEvent], key: str) -> SampleRequested:
    """What a program asked for under this key."""
    return next(event for event in lane if isinstance(event, SampleRequested) and event.key == key)


def give(program: Program, key: str, one: AnyEvent | dict[str, Any]) -> None:
    """Feed an input of the answer that was asked for under `key`, or decide that it is too late."""
    if isinstance(one, dict):
        program.decide(key, one)
    else:
        program.feed(one, f"{SAMPLE}{key}")


def reply(requested: SampleRequested, answer: Answer | str, status: int = 200) -> list[AnyEvent]:
    """What the edge writes for an answer: streamed where the request says so. A judge gets a body."""
    said = Answer("m", (Say((answer,)),)) if isinstance(answer, str) else answer
    whole = b'"stream":true' not in requested.body.replace(b" ", b"") if requested.body else False
    chunks = [BODIES[requested.format](said)] if whole else STREAMS[requested.format](said, True)
    return call_log(requested.format, chunks, streamed=not whole, status=status)[1:]


def frames(outputs: Iterable[AnyEvent]) -> list[bytes]:
    """The frames among a lane's events."""
    return [event.frame for event in outputs if isinstance(event, ChunkReleased)]
