"""`match`: a policy that does not match a call takes no part in it, and a gate is narrowed to its tools."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from luthien_stream.config.model import Globs, Match
from luthien_stream.core.lens import Request
from luthien_stream.events.log import RequestReleased, VerdictReached
from luthien_stream.policy import Context, Deny, Event, Events, Policy, Text, ToolCall, ToolGate, Verdict
from luthien_stream.policy.context import CallFacts
from luthien_stream.policy.matching import fits
from luthien_stream.policy.pipeline import Bound, Pipeline
from luthien_stream.policy.run import run
from luthien_stream.testing.rig import call_log, drive, frames, program, request_body
from luthien_stream.upstream.render import STREAMS
from luthien_stream.upstream.script import Answer, Say, words


class Draws(Policy):
    """Puts a number of its own before each text, and bounds the request."""

    async def request(self, request: Request, ctx: Context) -> Request:
        return request.set_max_tokens(7)

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        number = ctx.random.randrange(1000)
        async for event in events:
            yield event.with_text(f"{number} {event.text}") if isinstance(event, Text) else event


class DeniesAll(ToolGate):
    async def check(self, call: ToolCall, ctx: Context) -> Verdict:
        return Deny("no")


@pytest.mark.parametrize(
    ("globs", "text", "fit"),
    [
        ("*", "", True),
        ("?*", "", False),
        ("gpt-*", "gpt-5", True),
        ("gpt-*", "GPT-5", False),
        (("a", "b*"), "bc", True),
        ((), "a", False),
    ],
)
def test_one_of_the_globs_must_fit(globs: Globs, text: str, fit: bool) -> None:
    """In upper and lower case as written; what a call does not have is empty."""
    assert fits(globs, text) is fit


def pipeline(first: Match) -> Pipeline:
    return Pipeline((Bound("first", Draws(), match=first), Bound("second", Draws())))


def released(made: Pipeline) -> tuple[list[bytes], bool]:
    """Frames, and whether the request was changed, of a call of user `ann` with the model `m`."""
    log = call_log("openai_chat", STREAMS["openai_chat"](Answer("m", (Say(words("Hello.")),)), True))
    log[0].model, log[0].user = "m", "ann"  # type: ignore[union-attr]
    out = drive(program(made), log)
    return frames(out), next(event.changed for event in out if isinstance(event, RequestReleased))


def test_a_policy_that_does_not_match_takes_no_part_and_keeps_its_place() -> None:
    """The one behind it draws the same numbers as ever."""
    both, _ = released(pipeline(Match(user=("bob", "ann"))))
    second, _ = released(pipeline(Match(user="bob")))
    alone, _ = released(Pipeline((Bound("second", Draws()),)))
    assert len({b"".join(each) for each in (both, second, alone)}) == 3
    said = b"".join(both).split(b'"content":"')[2].split()
    assert said[0] in b"".join(second)


def test_a_call_that_no_policy_matches_leaves_as_it_came() -> None:
    """Request and answer."""
    none = Pipeline((Bound("first", Draws(), match=Match(model="gpt-*")),))
    came = STREAMS["openai_chat"](Answer("m", (Say(words("Hello.")),)), True)
    log = call_log("openai_chat", came)
    out = drive(program(none), log)
    assert next(event.changed for event in out if isinstance(event, RequestReleased)) is False
    assert none.narrowed(CallFacts(model="m")).phases == ()


def test_a_gate_is_narrowed_to_its_tools() -> None:
    """Another tool's call passes untouched and without a verdict."""
    gate = Pipeline((Bound("gate", DeniesAll(), match=Match(tool=("Bash", "sh*"))),))
    calls = [ToolCall("1", "Bash", "{}"), ToolCall("2", "Read", "{}"), ToolCall("3", "shell", "{}")]
    found = run(gate, calls)
    assert [call.name for call in found.tool_calls] == ["Read"]
    assert [verdict.about for verdict in found.verdicts] == ["Bash", "shell"] or len(found.verdicts) == 2
    assert all(isinstance(verdict, VerdictReached) for verdict in found.verdicts)


def test_the_version_of_a_pipeline_depends_on_what_its_policies_match() -> None:
    """Another rule is another stage."""
    assert pipeline(Match()).version != pipeline(Match(model="a")).version
    assert request_body()
