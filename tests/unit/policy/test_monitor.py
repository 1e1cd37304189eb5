"""Monitors score what is over, and change nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from luthien_stream.formats import LENSES
from luthien_stream.policy import Context, EffectFailed, End, Event, Monitor, Score, Text, ToolCall, Turn, monitor, run
from luthien_stream.policy.monitor import Scored
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.testing.laws import CORPUS, laws
from luthien_stream.testing.rig import call_log, drive, frames, program
from luthien_stream.upstream.render import STREAMS

CAME: list[Event] = [Text("I "), Text("look."), ToolCall("1", "Bash", "{}"), ToolCall("2", "Read", "{}"), End()]


@monitor(every="turn")
async def length(turn: Turn, ctx: Context) -> Score:
    """By the length of what was said."""
    return Score(len(turn.text) / 100, ", ".join(call.name for call in turn.tool_calls))


@monitor(every="tool_call")
async def reads(turn: Turn, ctx: Context) -> float:
    """By the tool."""
    (call,) = turn.tool_calls
    return 0 if call.name == "Read" else 0.5


def test_a_monitor_is_a_policy_that_runs_beside() -> None:
    """It has a name and takes no configuration."""
    assert isinstance(length, Monitor)
    assert (type(length).__name__, length.beside) == ("length", True)


def test_turns_are_scored_when_they_are_over() -> None:
    """One score a turn; the events are the very ones that came."""
    transcript = run(length, CAME)
    assert all(one is other for one, other in zip(transcript.events, CAME, strict=True))
    assert [(v.kind, v.score, v.reason, v.about) for v in transcript.verdicts] == [("score", 0.07, "Bash, Read", "")]


def test_tool_calls_are_scored_one_by_one() -> None:
    """Each by its id; an answer without any has no score."""
    assert [(v.score, v.about) for v in run(reads, CAME).verdicts] == [(0.5, "1"), (0.0, "2")]
    assert run(reads, [Text("Hi.")]).verdicts == []


def test_a_monitor_may_have_nothing_to_say() -> None:
    """A turn that it leaves out has no score, not even an unscored one."""

    class Calls(Monitor):
        def is_scored(self, turn: Turn) -> bool:
            return bool(turn.tool_calls)

        async def score(self, turn: Turn, ctx: Context) -> float:
            return 0.5

    assert run(Calls(), [Text("Hi.")]).verdicts == []
    assert [verdict.score for verdict in run(Calls(), CAME).verdicts] == [0.5]


def test_a_monitor_sees_what_was_asked() -> None:
    """The turn begins with the user's texts."""

    @monitor()
    async def echoes(turn: Turn, ctx: Context) -> Score:
        return Score(1, turn.user[0])

    asked = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
    request = LENSES["openai_chat"].request(msgspec.json.encode(asked))
    assert run(echoes, CAME, request=request).verdicts[0].reason == "Hello"


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [(None, "unscored"), (EffectFailed("judge failed: timeout"), "unscored: judge failed: timeout")],
)
def test_what_cannot_be_scored_is_unscored(outcome: Any, reason: str) -> None:
    """On record as that, never as 0; the monitor has not failed."""

    @monitor()
    async def unsure(turn: Turn, ctx: Context) -> Scored:
        if isinstance(outcome, Exception):
            raise outcome
        return None

    transcript = run(unsure, CAME)
    assert [(v.kind, v.score, v.reason) for v in transcript.verdicts] == [("score", None, reason)]
    assert transcript.failures == []


@pytest.mark.parametrize("outcome", [float("nan"), 1.5, -0.1, "high"])
def test_what_is_no_score_is_a_failure(outcome: Any) -> None:
    """Not a number, out of range, or a word."""

    @monitor()
    async def wrong(turn: Turn, ctx: Context) -> Any:
        return outcome

    assert [failure.error for failure in run(wrong, CAME).failures] == ["ValueError"]


@pytest.mark.parametrize("form", LENSES)
def test_every_byte_leaves_as_it_came(form: str) -> None:
    """In all formats."""
    for answer in CORPUS:
        sent = STREAMS[form](answer, True)
        assert frames(drive(program(Pipeline.of([length, reads])), call_log(form, sent))) == list(sent)


def test_laws() -> None:
    """It holds to the laws of all policies."""
    laws([length, reads])
