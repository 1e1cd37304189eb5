"""Recorded calls run again: the same comes out, what was changed is named, and other policies are told apart."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from luthien_stream import replay
from luthien_stream.policy import Context, Event, Events, Policy, Request, Text
from luthien_stream.policy.catalogue import find
from luthien_stream.policy.pipeline import Bound, Pipeline
from luthien_stream.record.lanes import Record
from luthien_stream.replay.again import Candidate, Options, compare
from luthien_stream.replay.blame import delivered_changes
from luthien_stream.replay.chunking import Chunking
from luthien_stream.replay.installed import Installed
from luthien_stream.replay.verify import verify
from tests.unit.replay.calls import TOOLS, recorded

FORMATS = ("anthropic_messages", "openai_chat", "openai_responses")


class Dice(Policy):
    """Has a source of chance of its own."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Say a number that nobody can say again."""
        async for event in events:
            yield event.with_text(f"{event.text}{random.random()}") if isinstance(event, Text) else event


class Clocked(Policy):
    """Waits for what another process keeps."""

    async def request(self, request: Request, ctx: Context) -> Request:
        """Count the calls."""
        return request.add_system(f"call {await ctx.kv.add('calls')}")


def shouting() -> Pipeline:
    """A pipeline that changes every text."""
    return Pipeline((Bound("all_caps", find("all_caps")(), version="1"),))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", ["noop", "all_caps", "shell_guard", "secret_redact"])
def test_what_was_recorded_comes_out_again(format: str, name: str) -> None:
    """In every format, untouched, changed and denied."""
    pipeline = Pipeline.of(find(name)())
    made = verify(recorded(pipeline, TOOLS, format=format), Installed([pipeline]))
    assert (made.status, made.why) == ("same", "")


def test_effects_come_from_the_record() -> None:
    """And what was asked for is the same."""
    pipeline = Pipeline.of(Clocked())
    record = recorded(pipeline, effects=lambda want: 7)
    assert verify(record, Installed([pipeline])).status == "same"
    record.events = [s for s in record.events if type(s.event).__name__ != "EffectRecorded"]
    made = verify(record, Installed([pipeline]))
    assert made.status == "missing_effect"
    assert "0/request/0 (kv)" in made.why


def test_a_version_that_is_not_here_is_said_by_name() -> None:
    """With the digests, recorded and installed."""
    record = recorded(shouting())
    other = Pipeline((Bound("all_caps", find("all_caps")(), version="2"),))
    made = verify(record, Installed([other]))
    assert made.status == "not_installed"
    assert "all_caps 1" in made.why


def test_hidden_chance_is_nondeterminism() -> None:
    """Whether its own record is verified or it is tried on another's."""
    dice = Pipeline.of(Dice())
    assert verify(recorded(dice), Installed([dice])).status == "nondeterministic"
    assert compare(recorded(shouting()), Candidate(dice)).status == "nondeterministic"


def stage_of(record: Record) -> str:
    """The source of the stage's lane."""
    return next(src for src in record.chunks if src.startswith("stage:"))


def test_a_changed_byte_is_named() -> None:
    """In what the stage wrote itself."""
    pipeline = shouting()
    record = recorded(pipeline)
    lane = record.chunks[stage_of(record)]
    lane[5] = replace(lane[5], frame=lane[5].frame.replace(b"BROWN", b"BROWX"))
    made = verify(record, Installed([pipeline]))
    assert (made.status, made.at) == ("incomplete", 5)
    assert "ordinal 5 was changed" in made.why


def test_a_changed_input_is_named() -> None:
    """What was released as it came is stored once: the digest of the lane tells."""
    pipeline = Pipeline.of(find("noop")())
    record = recorded(pipeline)
    chunk = record.chunks["edge:e1"][4]
    record.chunks["edge:e1"][4] = replace(chunk, frame=chunk.frame.replace(b"quick", b"quack"))
    made = verify(record, Installed([pipeline]))
    assert made.status == "incomplete"
    assert "what the stage was given was changed" in made.why


@pytest.mark.parametrize("src", ["edge", "stage"])
def test_a_missing_row_is_named(src: str) -> None:
    """In either lane."""
    pipeline = shouting()
    record = recorded(pipeline)
    name = stage_of(record) if src == "stage" else "edge:e1"
    del record.chunks[name][6]
    made = verify(record, Installed([pipeline]))
    assert made.status == "incomplete"
    assert f"The event 6 of {name} is missing" in made.why


def test_a_swapped_pair_is_named() -> None:
    """Both ordinals."""
    pipeline = shouting()
    record = recorded(pipeline)
    lane = record.chunks[stage_of(record)]
    lane[5], lane[8] = replace(lane[5], frame=lane[8].frame), replace(lane[8], frame=lane[5].frame)
    made = verify(record, Installed([pipeline]))
    assert made.status == "incomplete"
    assert "ordinal 5 and 8 are swapped" in made.why


def test_another_policy_is_compared() -> None:
    """With the changes, and who made them."""
    made = replay(recorded(Pipeline.of(find("noop")()), TOOLS), find("shell_guard")())
    assert (made.status, made.recorded.verdict, made.candidate.verdict) == ("differs", "allow", "deny")
    assert [(change.what, change.by) for change in made.changes] == [
        ("text", "shell_guard"),
        ("tool_removed", "shell_guard"),
    ]
    assert replay(recorded(shouting()), find("all_caps")()).status == "same"


def test_what_is_not_on_record_fails_unless_told_otherwise() -> None:
    """Never reused for another question."""
    record = recorded(Pipeline.of(find("noop")()))
    candidate = Candidate(Pipeline.of(Clocked()))
    assert compare(record, candidate).status == "missing_effect"
    assert compare(record, candidate, Options(given={"kv": 3})).status == "differs"
    skipped = compare(record, candidate, Options(on_miss="skip"))
    assert skipped.candidate.verdict == "failed"
    assert skipped.notes


def test_a_session_ends_where_it_goes_another_way() -> None:
    """Calls after it are not compared."""
    noop = Pipeline.of(find("noop")())
    calls = [recorded(noop, session="s", number=number) for number in range(3)]
    assert [one.status for one in replay(calls, find("all_caps")())] == ["differs", "not_compared", "not_compared"]
    assert [one.status for one in replay(calls, find("noop")())] == ["same"] * 3


@pytest.mark.parametrize("how", ["whole", "random:1", "random:2"])
@pytest.mark.parametrize("format", FORMATS)
def test_another_cut_means_the_same(how: str, format: str) -> None:
    """What is said does not depend on how it was cut."""
    record = recorded(Pipeline.of(find("noop")()), TOOLS, format=format)
    cut = Options(cut=Chunking.read(how).apply)
    made = compare(record, Candidate(Pipeline.of(find("shell_guard")())), cut)
    whole = compare(record, Candidate(Pipeline.of(find("shell_guard")())))
    assert made.candidate.said.text == whole.candidate.said.text
    assert made.candidate.verdict == "deny"


def test_a_difference_is_put_down_to_its_policy() -> None:
    """Two policies of one stage, each of which changed something."""
    bound = tuple(Bound(name, find(name)(), version="1") for name in ("shell_guard", "all_caps"))
    pipeline = Pipeline(bound)
    record = recorded(pipeline, TOOLS)
    blamed = {change.what: change.by for change in delivered_changes(record, Installed([pipeline]))}
    assert blamed == {"text": "shell_guard, all_caps", "tool_removed": "shell_guard"}
