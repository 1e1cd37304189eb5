"""Recorded calls to test with, made by running a pipeline over a made-up log as a worker does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any

from msgspec.structs import replace

from luthien_stream.core.program import Want
from luthien_stream.core.stagecall import StageCall
from luthien_stream.events.log import AnyEvent, ChunkReceived, ChunkReleased, Hop, RequestReceived, Slip
from luthien_stream.formats import LENSES
from luthien_stream.policy.hop import HopProgram
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.record.lanes import Record, StoredChunk, StoredEvent
from luthien_stream.testing.rig import call_log
from luthien_stream.upstream.render import STREAMS
from luthien_stream.upstream.script import Answer, Call, Say, fragments, words

TALK = Answer("m", (Say(words("The quick brown fox has read the manual, twice, and it is tired now.")),))
TOOLS = Answer("m", (Say(words("I clean up.")), Call("c1", "Bash", fragments('{"command":"rm -rf /"}'))), "tool_calls")
ID = "01a21700-0000-7000-8000-00000000000{}"


def recorded(
    pipeline: Pipeline,
    answer: Answer = TALK,
    *,
    format: str = "openai_chat",
    number: int = 1,
    session: str = "",
    effects: Callable[[Want], Any] | None = None,
) -> Record:
    """A call that passed the pipeline, as the record has it."""
    id, stage = ID.format(number), pipeline.stage
    log = [replace(event, call=id) for event in call_log(format, STREAMS[format](answer, True))]
    request = log[0]
    assert isinstance(request, RequestReceived)
    request.slip = Slip(pipeline.version, (Hop(stage, 0),), f"stage:{stage}")
    request.session, request.model = session, "m"
    call = StageCall(id, HopProgram(pipeline, LENSES))
    for event in log:
        call.feed("edge:e1", replace(event), event.time)
        while effects is not None and (wants := call.wants()):
            for want in wants:
                call.decide(want, effects(want), stage, event.time)
    record = Record(id, [], {})
    record.policies[stage] = [(bound.name, bound.version) for bound in pipeline.policies]
    _store(record, "edge:e1", log)
    _store(record, f"stage:{stage}", [*call.outputs, *call.records])
    return record


def _store(record: Record, src: str, events: Iterable[AnyEvent]) -> None:
    for number, event in enumerate(events):
        entry = number * 2 + src.startswith("stage:")
        if isinstance(event, ChunkReceived | ChunkReleased):
            of = event.of if isinstance(event, ChunkReleased) else None
            frame = b"" if of is not None and of >= 0 else event.frame
            chunk = StoredChunk(event.n, event.time, event.kind, frame, of, entry)
            record.chunks.setdefault(src, {})[event.n] = chunk
            continue
        if body := getattr(event, "body", b""):
            ref = sha256(body).hexdigest()
            record.bodies[ref] = body
            event = replace(event, body=b"", body_ref=ref, body_size=len(body))
        record.events.append(StoredEvent(src, event.n, entry, event))
