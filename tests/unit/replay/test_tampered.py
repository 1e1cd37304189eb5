"""Whatever is taken from a recorded call or changed in it: verification says so, and breaks at nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from luthien_stream.events.log import Terminal
from luthien_stream.policy.catalogue import find
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.record.lanes import Record
from luthien_stream.replay.again import Candidate, compare
from luthien_stream.replay.installed import Installed
from luthien_stream.replay.verify import verify
from tests.unit.replay.calls import TOOLS, recorded

SHOUTING = Candidate(Pipeline.of(find("all_caps")()))
Taken = Iterator[tuple[str, Record]]


def copy_of(record: Record) -> Record:
    """A record whose parts can be taken away."""
    chunks = {src: dict(lane) for src, lane in record.chunks.items()}
    return replace(record, events=list(record.events), chunks=chunks, bodies=dict(record.bodies))


def without_one(record: Record) -> Taken:
    """The record without one row, each in turn."""
    for place, stored in enumerate(record.events):
        made = copy_of(record)
        del made.events[place]
        yield f"{type(stored.event).__name__} {stored.n} of {stored.src}", made
    for src, lane in record.chunks.items():
        for n in lane:
            made = copy_of(record)
            del made.chunks[src][n]
            yield f"chunk {n} of {src}", made
    for ref in record.bodies:
        made = copy_of(record)
        del made.bodies[ref]
        yield f"body {ref}", made


def with_one_changed(record: Record) -> Taken:
    """The record with a byte changed in what a stage released, or in a body, each in turn."""
    for src, lane in record.chunks.items():
        for n, chunk in lane.items():
            if src.startswith("stage:") and chunk.frame:
                made = copy_of(record)
                made.chunks[src][n] = replace(chunk, frame=chunk.frame.replace(b'"', b"'", 1))
                yield f"chunk {n} of {src}", made
    for ref, body in record.bodies.items():
        made = copy_of(record)
        made.bodies[ref] = body.replace(b'"', b"'", 1)
        yield f"body {ref}", made


@pytest.mark.parametrize("taken", [without_one, with_one_changed])
@pytest.mark.parametrize("name", ["noop", "all_caps", "shell_guard"])
@pytest.mark.parametrize("format", ["openai_chat", "anthropic_messages"])
def test_nothing_is_taken_or_changed_unnoticed(format: str, name: str, taken: Callable[[Record], Taken]) -> None:
    """The record is incomplete; that is another thing than a policy that has chance in it."""
    pipeline = Pipeline.of(find(name)())
    for what, made in taken(recorded(pipeline, TOOLS, format=format)):
        assert verify(made, Installed([pipeline])).status == "incomplete", what


@pytest.mark.parametrize("taken", [without_one, with_one_changed])
def test_another_policy_breaks_at_nothing_that_is_missing(taken: Callable[[Record], Taken]) -> None:
    """It is compared, or it is said that it cannot be."""
    for what, made in taken(recorded(Pipeline.of(find("noop")()), TOOLS)):
        assert compare(made, SHOUTING).status in ("differs", "incomplete"), what


def test_the_missing_end_of_what_a_stage_was_given_is_named() -> None:
    """And not taken for chance in a policy."""
    pipeline = Pipeline.of(find("noop")())
    record = recorded(pipeline, TOOLS)
    (end,) = [s for s in record.events if s.src == "edge:e1" and isinstance(s.event, Terminal)]
    record.events.remove(end)
    assert f"the event {end.n} of edge:e1, which ends" in verify(record, Installed([pipeline])).why


def test_a_call_without_policies_has_its_lane_looked_at_too() -> None:
    """Nobody has run it again, but a hole is a hole."""
    record = recorded(Pipeline.of(find("noop")()), TOOLS)
    (first,) = [s for s in record.events if s.src == "edge:e1" and s.n == 0]
    record.events = [s for s in record.events if s.src == "edge:e1" and s.n > 0]
    record.events.insert(0, replace(first, event=replace(first.event, slip=type(first.event.slip)())))  # type: ignore[union-attr]
    record.chunks = {"edge:e1": record.chunks["edge:e1"]}
    assert verify(record, Installed()).status == "same"
    del record.chunks["edge:e1"][4]
    assert "The event 4 of edge:e1 is missing" in verify(record, Installed()).why
