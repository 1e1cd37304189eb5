"""Answers that policies ask for: they come as they are spoken, pass the policies before, and may fail in any way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from luthien_stream.events.log import (
    AnyEvent,
    ChunkReceived,
    PolicyFailed,
    ProtocolViolated,
    ResponseCompleted,
    ResponseFailed,
    SampleRequested,
    VerdictReached,
)
from luthien_stream.formats import LENSES
from luthien_stream.policy import (
    Context,
    EffectFailed,
    End,
    Event,
    Events,
    Opaque,
    Policy,
    Request,
    Text,
    Thinking,
    ToolCall,
    run,
)
from luthien_stream.policy.pipeline import Bound, Pipeline
from luthien_stream.policy.sampling import GO_ON
from luthien_stream.testing.laws import CORPUS, laws
from luthien_stream.testing.rig import call_log, drive, frames, perform, program, reply, request_body
from luthien_stream.upstream.render import BODIES, STREAMS
from luthien_stream.upstream.script import Answer, Call, Say, Think, Usage, fragments, words

FORMS = pytest.mark.parametrize("form", list(LENSES))
OWN = Answer("m", (Say(words("The first model says this.")),), usage=Usage(10, 20, 0))
OTHER = Answer("big", (Say(words("and the other says that.")),), usage=Usage(100, 200, 0))
THOUGHT = Answer("big", (Think(words("Let me see."), "c2ln"), Say(words("Here.")), Call("c9", "Bash", fragments("{}"))))


class Switches(Policy):
    """Lets another model go on behind the first text."""

    needs = frozenset({"sample"})

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        async for event in events:
            yield event
            if isinstance(event, Text):
                break
        async for event in ctx.sample("big"):
            yield event


class Replaces(Policy):
    """Reads the whole answer, then gives another one."""

    needs = frozenset({"sample"})
    hold = "turn"
    n: int = 1

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        await events.collect()
        drawn = ctx.sample("big", n=self.n)
        for answer in await ctx.gather(*(one.collect() for one in drawn.draws)):
            texts = [event.text for event in answer if isinstance(event, Text)]
            ctx.verdict("score", "".join(texts))
        for event in answer:
            yield event


class Caps(Policy):
    """Shouts, and judges each answer as a whole."""

    judges: bool = False

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        async for event in events:
            if isinstance(event, End) and self.judges:
                ctx.verdict("score", score=await ctx._effect("judge", ctx.now))
            yield event.with_text(event.text.upper()) if isinstance(event, Text) else event


def other(asked: SampleRequested) -> list[AnyEvent]:
    return reply(asked, OTHER)


def said(form: str, outputs: list[AnyEvent], streamed: bool = True) -> str:
    lens = LENSES[form]
    decoder = lens.decoder(frozenset({Text})) if streamed else lens.body_decoder()
    items = [item for raw in frames(outputs) for item in decoder.frame(raw)]
    return "".join(item.text for item in items if isinstance(item, Text))


@FORMS
@pytest.mark.parametrize("streamed", [True, False])
def test_another_model_goes_on(form: str, streamed: bool) -> None:
    """The turn is whole, asks for what was said to be continued, and the bill is the other model's."""
    chunks = STREAMS[form](OWN, True) if streamed else [BODIES[form](OWN)]
    log = call_log(form, chunks, streamed=streamed)
    outputs = drive(program(Pipeline.of(Switches())), log, samples=other)
    (asked,) = [event for event in outputs if isinstance(event, SampleRequested)]
    begun = "The " if streamed else "The first model says this."
    body = msgspec.json.decode(asked.body)
    assert (asked.why, asked.format, body["model"], body["stream"]) == ("sample", form, "big", streamed)
    turns = body["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert (turns[1]["content"], turns[2]["content"]) == (begun.rstrip(), GO_ON)
    assert said(form, outputs, streamed) == begun + "and the other says that."
    end = outputs[-1]
    assert isinstance(end, ResponseCompleted)
    assert end.usage == LENSES[form].usage_of(STREAMS[form](OTHER, True))
    assert [v for raw in frames(outputs) for v in LENSES[form].checker().frame(raw)] == [] or streamed
    assert LENSES[form].usage_of(frames(outputs)) == end.usage or not streamed


@FORMS
def test_what_is_drawn_comes_while_it_is_spoken(form: str) -> None:
    """Each frame of the other answer leaves before the next one comes."""
    made = program(Pipeline.of(Switches()))
    outputs = drive(made, call_log(form, STREAMS[form](OWN, True)))
    (asked,) = [event for event in outputs if isinstance(event, SampleRequested)]
    seen: list[str] = []
    for event in reply(asked, OTHER):
        made.feed(event, f"sample:{asked.key}")
        outputs += made.advance()
        seen.append(said(form, outputs))
    growing = sorted(set(seen), key=len)
    assert len(growing) > 4
    assert seen == sorted(seen, key=len)
    assert made.over


@FORMS
def test_a_replaced_answer_carries_the_other_bill(form: str) -> None:
    """The provider's own end was there already; it is made anew, with the counts of what is delivered."""
    for streamed in (True, False):
        chunks = STREAMS[form](OWN, True) if streamed else [BODIES[form](OWN)]
        outputs = drive(program(Pipeline.of(Replaces())), call_log(form, chunks, streamed=streamed), samples=other)
        assert said(form, outputs, streamed) == "and the other says that."
        counts = msgspec.json.encode(LENSES[form].usage_of(STREAMS[form](OTHER, True)))
        found = outputs[-1].usage  # type: ignore[union-attr]
        assert msgspec.json.encode(found) == counts
        assert counts.strip(b"{}").split(b",")[-1] in b"".join(frames(outputs)).replace(b" ", b"")


def test_an_unchanged_request_needs_no_body() -> None:
    """The edge has the released one; in the request phase it does not."""

    class Early(Policy):
        async def request(self, request: Request, ctx: Context) -> Request:
            (event, *_) = await ctx.sample("big").collect()
            return request.set("said", getattr(event, "text", ""))

    log = call_log("openai_chat", STREAMS["openai_chat"](OWN, True))
    outputs = drive(program(Pipeline.of(Replaces())), log, samples=other)
    (asked,) = [event for event in outputs if isinstance(event, SampleRequested)]
    assert (asked.body, asked.model, asked.deadline) == (b"", "big", log[-2].time + 600_000_000)
    early = drive(program(Pipeline.of(Early())), log[:1], samples=other)
    assert isinstance(early[0], SampleRequested)
    assert msgspec.json.decode(early[0].body) == {**msgspec.json.decode(request_body()), "model": "big"}
    assert msgspec.json.decode(early[1].body)["said"] == "and "  # type: ignore[union-attr]


def test_draws_pass_the_policies_before() -> None:
    """Fresh ones, whose effects have keys of their own; those behind see what is delivered only."""
    wanted: list[str] = []

    def judge(want: Any) -> float:
        wanted.append(want.key)
        return 0.5

    pipeline = Pipeline.of([Caps(judges=True), Replaces(n=2), Caps()])
    log = call_log("openai_chat", STREAMS["openai_chat"](OWN, True))
    outputs = drive(program(pipeline), log, judge, other)
    assert wanted == ["0/response/0", "1/response/0/0/response/0", "1/response/1/0/response/0"]
    verdicts = [(v.policy, v.reason, v.score) for v in outputs if isinstance(v, VerdictReached)]
    assert verdicts == [
        ("caps", "", 0.5),
        ("caps", "", 0.5),
        ("caps", "", 0.5),
        ("replaces", "AND THE OTHER SAYS THAT.", None),
        ("replaces", "AND THE OTHER SAYS THAT.", None),
    ]
    assert said("openai_chat", outputs) == "AND THE OTHER SAYS THAT."


@FORMS
def test_what_belongs_to_the_other_answer_alone_is_dropped(form: str) -> None:
    """Thinking without its signature's model means nothing; tool calls are made anew."""
    log = call_log(form, STREAMS[form](OWN, True))
    outputs = drive(program(Pipeline.of(Switches())), log, samples=lambda asked: reply(asked, THOUGHT))
    decoder = LENSES[form].decoder(frozenset({Text, Thinking, ToolCall, End}))
    items = [item for raw in frames(outputs) for item in decoder.frame(raw)]
    events = [item for item in [*items, *decoder.close()] if not isinstance(item, bytes)]
    assert not [event for event in events if isinstance(event, Thinking) and event.text]
    assert [call.name for call in events if isinstance(call, ToolCall)] == ["Bash"]
    assert events[-1].reason == "tool_calls"  # type: ignore[union-attr]


def test_what_cannot_be_delivered_is_on_record() -> None:
    """Server-side tools of another answer have no place in this one."""
    came = [Opaque("web_search_call"), Text("x"), End("stop")]
    transcript = run(Replaces(), [Text("a")], request=_request(), samples=lambda asked: came)
    assert transcript.text == "x"
    log = call_log("anthropic_messages", STREAMS["anthropic_messages"](OWN, True))
    block = b'event: content_block_%b\ndata: {"type":"content_block_%b","index":0%b}\n\n'
    start = block % (
        b"start",
        b"start",
        b',"content_block":{"type":"server_tool_use","id":"s","input":{}}',
    )
    answer = STREAMS["anthropic_messages"](Answer("big", ()), True)
    odd = [answer[0], start, block % (b"stop", b"stop", b""), *answer[1:]]
    outputs = drive(
        program(Pipeline.of(Replaces())), log, samples=lambda asked: call_log("anthropic_messages", odd)[1:]
    )
    (note,) = [event for event in outputs if isinstance(event, ProtocolViolated)]
    assert (note.rule, note.by, "server_tool_use" in note.message) == ("foreign", "sample", True)


def _request() -> Request:
    return LENSES["openai_chat"].request(request_body())


GARBAGE = ChunkReceived(call="c", frame=b"data: {]\n\n")
TIMEOUT = {"error": "timeout", "message": "No answer within 5 s", "after": 3}
BROKEN: list[tuple[str, Any]] = [
    ("timeout", lambda asked: [TIMEOUT]),
    ("timeout", lambda asked: [*other(asked)[:5], TIMEOUT]),
    ("provider_error", lambda asked: reply(asked, OTHER, status=429)),
    ("cut", lambda asked: [*other(asked)[:5], other(asked)[-1]]),
    (
        "provider_error",
        lambda asked: [other(asked)[0], GARBAGE, other(asked)[-1]],
    ),
    ("unreachable", lambda asked: [ResponseFailed(call="c", lane="original", error="unreachable", message="refused")]),
    ("provider_error", lambda asked: [ResponseCompleted(call="c", lane="original")]),
]


@FORMS
@pytest.mark.parametrize(("error", "answer"), BROKEN)
def test_an_answer_that_fails_raises_where_it_is_read(form: str, error: str, answer: Any) -> None:
    """Nothing is made up in its place: who does not catch it has failed."""

    class Catches(Policy):
        needs = frozenset({"sample"})
        hold = "turn"

        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            mine = await events.collect()
            try:
                await ctx.sample("big").collect()
            except EffectFailed as failure:
                ctx.verdict("score", failure.facts["error"])
            for event in mine:
                yield event

    log = call_log(form, STREAMS[form](OWN, True))
    outputs = drive(program(Pipeline.of(Switches())), log, samples=answer)
    assert [event.error for event in outputs if isinstance(event, PolicyFailed)] == ["EffectFailed"]
    assert isinstance(outputs[-1], ResponseFailed)
    caught = drive(program(Pipeline.of(Catches())), log, samples=answer)
    assert [event.reason for event in caught if isinstance(event, VerdictReached)] == [error]
    assert said(form, caught) == "The first model says this."


def test_samples_hold_to_the_laws() -> None:
    """Through policies with judges of their own, read by turns or whole, killed anywhere, half arrived or late."""
    pipeline = Pipeline((Bound("caps", Caps(True)), Bound("switch", Replaces(n=2)), Bound("after", Caps(True))))
    laws(pipeline, CORPUS[:2], effects=lambda want: len(want.key), samples=other)
    laws(Replaces(n=2), [OWN, CORPUS[4]], samples=lambda asked: [*other(asked)[:2], TIMEOUT])
    laws(Replaces(), [OWN], samples=lambda asked: reply(asked, THOUGHT))


def test_a_policy_that_goes_on_has_to_say_that_it_samples() -> None:
    """What it puts out is kept for that only where it says so; and nothing follows a tool call."""

    class Forgets(Switches):
        needs = frozenset()

    class Late(Policy):
        needs = frozenset({"sample"})

        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            async for event in events:
                if not isinstance(event, End):
                    yield event
            async for event in ctx.sample("big"):
                yield event

    (failure,) = run(Forgets(), [Text("a")], request=_request()).failures
    assert 'needs = frozenset({"sample"})' in failure.message
    (failure,) = run(Late(), [ToolCall("1", "Bash", "{}"), End("tool_calls")], request=_request()).failures
    assert "behind a tool call" in failure.message


def test_answers_have_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """In bytes, and in how many are open."""
    monkeypatch.setattr("luthien_stream.policy.draws.HOLD_LIMIT", 500)
    log = call_log("openai_chat", STREAMS["openai_chat"](OWN, True))
    outputs = drive(program(Pipeline.of(Replaces())), log, samples=other)
    (failure,) = [event for event in outputs if isinstance(event, PolicyFailed)]
    assert "too_large" in failure.message
    wide = run(Replaces(n=65), [Text("a")], request=_request(), samples=lambda asked: "x")
    assert [failure.error for failure in wide.failures] == ["TooManyEffects"]
    assert perform(program(Pipeline.of(Caps())), None) == []
