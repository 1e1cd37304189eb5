"""`noop` changes nothing."""

from __future__ import annotations

import pytest

from luthien_stream.events.log import ChunkReceived
from luthien_stream.formats import LENSES
from luthien_stream.policy import End, Event, Opaque, PartEnd, Text, Thinking, ToolCall, run
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.testing.laws import CORPUS, laws
from luthien_stream.testing.rig import call_log, drive, frames, program
from luthien_stream.upstream.render import STREAMS
from tests.unit.workers.configured import made


def test_every_event_passes() -> None:
    """The very same objects come out."""
    came: list[Event] = [Thinking("hm"), PartEnd(), Text("a"), Opaque("x"), ToolCall("1", "t", "{}"), End("tool_calls")]
    left = run(made("noop"), came).events
    assert all(a is b for a, b in zip(came, left, strict=True))


@pytest.mark.parametrize("form", list(LENSES))
def test_every_byte_passes(form: str) -> None:
    """Streams leave as they came, frame by frame."""
    for answer in CORPUS:
        log = call_log(form, STREAMS[form](answer, True))
        came = [event.frame for event in log if isinstance(event, ChunkReceived)]
        assert frames(drive(program(Pipeline.of(made("noop"))), log)) == came


def test_laws() -> None:
    """It holds to the laws of all policies."""
    laws(made("noop"))
