"""Answers, policies and logs that the tests of the program share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from luthien_stream.core.stagecall import StageCall
from luthien_stream.events.log import (
    AnyEvent,
)
from luthien_stream.formats import LENSES
from luthien_stream.policy import Context, Event, Events, Policy, Refuse, Request, Text
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.testing.rig import call_log, program
from luthien_stream.upstream.render import BODIES, STREAMS
from luthien_stream.upstream.script import Answer, Call, Say, Think, fragments, words

TEXT = Answer("m", (Say(words("Hello to the whole world.")),))
TOOLS = Answer("m", (Say(words("I look.")), Call("call_1", "Bash", fragments('{"command":"ls"}'))), "tool_calls")
THOUGHT = Answer("m", (Think(words("Let me see."), "c2lnbmVk"), Say(words("Here."))))


class Noop(Policy):
    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        async for event in events:
            yield event


class Fails(Policy):
    """Raises when it is given the text with this number."""

    at: int

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        count = 0
        async for event in events:
            count += isinstance(event, Text)
            if count > self.at:
                raise ValueError("broken")
            yield event


class Bounds(Policy):
    async def request(self, request: Request, ctx: Context) -> Request:
        return request.set_max_tokens(7)


class Refuses(Policy):
    async def request(self, request: Request, ctx: Context) -> Request:
        raise Refuse("Not here.", reason="rule 1")


def stream(form: str, answer: Answer = TEXT) -> list[AnyEvent]:
    return call_log(form, STREAMS[form](answer, True))


def body(form: str, answer: Answer = TEXT) -> list[AnyEvent]:
    return call_log(form, [BODIES[form](answer)], streamed=False)


def released(policies: Policy | Sequence[Policy], log: Sequence[AnyEvent]) -> list[AnyEvent]:
    """What the stage releases; a `StageCall` checks that it is a lane."""
    call = StageCall("c1", program(Pipeline.of(policies)))
    for event in log:
        call.feed("edge:e1", event, 1)
    return call.outputs


def types(events: Sequence[AnyEvent]) -> list[str]:
    """Names of events in order, chunks in a row once."""
    names = [type(event).__name__ for event in events]
    return [name for name, before in zip(names, ["", *names], strict=False) if name != before or "Chunk" not in name]


FORMS = pytest.mark.parametrize("form", list(LENSES))
BEGUN = {"anthropic_messages": 6, "openai_chat": 6, "openai_responses": 8}
"""Inputs until the second piece of an answer is there."""
ANSWERS = pytest.mark.parametrize("answer", [TEXT, TOOLS, THOUGHT], ids=["text", "tools", "thought"])
