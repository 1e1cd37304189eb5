"""What policies do to chat streams: chunks that say one thing, one role, calls in order, a finish that fits."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from luthien_stream.core.sse import data_of
from luthien_stream.events.answer import End, Event, Kinds, Opaque, Text, Thinking, ToolCall
from luthien_stream.formats.errors import FrameError, ProtocolError
from tests.unit.formats.drive import (
    CHAT,
    CUTS,
    POLICIES,
    checked,
    denying,
    dropping,
    dropping_text,
    each_text,
    first,
    last,
    meaning,
    stopping,
    through,
)
from tests.unit.formats.scenarios_chat import (
    DONE,
    HEAD,
    LOGPROBS,
    READ,
    ROLE,
    SCENARIOS,
    USAGE,
    WHOLE,
    chunk,
    end,
    text,
    tool,
)


def loads(frames: list[bytes]) -> list[dict[str, Any]]:
    """The chunks of a stream."""
    found = [data_of(raw) for raw in frames]
    return [json.loads(data) for data in found if data and data != b"[DONE]"]


def deltas(frames: list[bytes]) -> list[dict[str, Any]]:
    """The deltas of a stream."""
    return [choice["delta"] for chunk in loads(frames) for choice in chunk.get("choices", ())]


def finish(frames: list[bytes]) -> list[str]:
    """All finish reasons of a stream."""
    said = [choice.get("finish_reason") for chunk in loads(frames) for choice in chunk.get("choices", ())]
    return [reason for reason in said if reason]


def test_an_edit_leaves_no_trace_of_the_old_text() -> None:
    """Log probabilities and padding repeat the text: they go; all other fields stay as they are spelled."""
    choice = b'{"index":0,"delta":{"content":"a"},"logprobs":{"content":[1.0]},"finish_reason":null}'
    raw = b'data: {"id":"x","t":0.10,"choices":[' + choice + b'],"obfuscation":"zz"}\n\n'
    run = through(CHAT, [ROLE, raw, *end()], each_text(str.upper))
    expected = raw.replace(b'"a"', b'"A"').replace(b'{"content":[1.0]}', b"null").replace(b',"obfuscation":"zz"', b"")
    assert run.frames == [ROLE, expected, *end()]


def test_edited_and_untouched_chunks_mix() -> None:
    """Only what changed is made anew."""
    frames = [ROLE, *text("a", "b", "c"), *end("stop", USAGE)]
    run = through(CHAT, frames, each_text(lambda piece: piece.replace("b", "B")))
    assert [a is b for a, b in zip(run.frames, frames, strict=True)] == [True, True, False, True, True, True, True]


def test_made_chunks_have_the_answers_identity() -> None:
    """Clients tell answers apart by id, model and time."""
    made = loads(through(CHAT, SCENARIOS["text"], last("!")).frames)[-2]
    assert {name: made[name] for name in HEAD} == HEAD
    assert made["choices"][0]["delta"] == {"content": "!"}


@pytest.mark.parametrize("name", ["one chunk", "role with content", "one chunk with a tool"])
@pytest.mark.parametrize("policy", ["text first", "no texts", "capitals", "denied", "noop", "split texts", "no tools"])
def test_the_role_is_said_once(name: str, policy: str) -> None:
    """The first chunk that is written says it, whatever became of the one that had it."""
    said = deltas(through(CHAT, SCENARIOS[name], POLICIES[policy]).frames)
    assert ["role" in delta for delta in said] == [True] + [False] * (len(said) - 1)


def test_a_chunk_with_several_things_is_taken_apart() -> None:
    """If one of them changes, each gets a chunk of its own."""
    run = through(CHAT, SCENARIOS["two kinds"], dropping_text("a"))
    assert deltas(run.frames)[1:] == [{"reasoning_content": "b"}, {"content": "c"}, {}]
    run = through(CHAT, SCENARIOS["one chunk with a tool"], denying("Bash"))
    assert deltas(run.frames) == [{"role": "assistant", "content": "so"}, {"content": "Bash is not allowed."}, {}]
    assert finish(run.frames) == ["stop"]
    assert run.frames[-2:] == [USAGE, DONE]


def test_a_denied_call_becomes_text() -> None:
    """None left means the turn is over; those left are numbered from 0, with all their fields."""
    run = through(CHAT, SCENARIOS["tool"], denying("Bash"))
    assert finish(run.frames) == ["stop"]
    assert b"tool_calls" not in run.stream
    run = through(CHAT, SCENARIOS["two tools"], denying("Bash"))
    call = deltas(run.frames)[3]["tool_calls"]
    function = {"name": "Read", "arguments": READ[2]}
    assert call == [{"index": 0, "id": "call_2", "type": "function", "function": function}]
    assert finish(run.frames) == ["tool_calls"]
    run = through(CHAT, SCENARIOS["legacy call"], denying("Bash"))
    assert finish(run.frames) == ["stop"]
    assert b"function_call" not in run.stream


def test_unknown_fields_of_a_call_stay() -> None:
    """What providers hang on calls (signatures of thoughts) survives an edit of its arguments."""
    extra = {"google": {"thought_signature": "s"}}
    call = chunk({"tool_calls": [{**WHOLE, "extra_content": extra}]})
    run = through(CHAT, [ROLE, call, *end("tool_calls")], POLICIES["safe arguments"])
    made = deltas(run.frames)[1]["tool_calls"][0]
    assert made["extra_content"] == extra
    assert made["function"] == {"name": "Bash", "arguments": '{"safe":true}'}


def test_a_call_made_by_a_policy() -> None:
    """It comes first or last with an index of its own, and makes the finish fit."""
    call = ToolCall("c9", "Look", "{}")
    run = through(CHAT, SCENARIOS["text"], lambda: lambda e: [call, e] if isinstance(e, End) else [e])
    assert finish(run.frames) == ["tool_calls"]
    run = through(CHAT, SCENARIOS["tool"], lambda: lambda e: [call, e] if isinstance(e, ToolCall) else [e])
    indices = [(piece["index"], piece["id"]) for delta in deltas(run.frames) for piece in delta.get("tool_calls", ())]
    assert indices == [(0, "c9"), (1, "call_1")]
    with pytest.raises(FrameError, match="JSON object"):
        through(CHAT, SCENARIOS["tool"], lambda: lambda e: [ToolCall("a", "Look", "{")])


def test_custom_calls_carry_free_text() -> None:
    """Their input need not be JSON."""
    other = lambda: lambda e: [e.with_args("SELECT 1")] if isinstance(e, ToolCall) else [e]  # noqa: E731
    run = through(CHAT, SCENARIOS["custom tool"], other)
    assert deltas(run.frames)[1]["tool_calls"][0]["custom"] == {"name": "sql", "input": "SELECT 1"}


def test_reasoning_may_be_edited() -> None:
    """It is not signed here; what repeats it goes."""
    shout = lambda: lambda e: [e.with_text("HM")] if isinstance(e, Thinking) else [e]  # noqa: E731
    run = through(CHAT, SCENARIOS["reasoning details"], shout)
    assert deltas(run.frames)[1] == {"reasoning": "HM", "content": ""}
    run = through(CHAT, SCENARIOS["text"], lambda: lambda e: [Thinking("why"), e] if isinstance(e, Text) else [e])
    assert deltas(run.frames)[1] == {"reasoning_content": "why"}


def test_a_refusal_stays_one() -> None:
    """Its text is edited in its own field."""
    run = through(CHAT, SCENARIOS["refusal"], each_text(str.upper))
    assert deltas(run.frames)[1:3] == [{"refusal": "I CAN"}, {"refusal": "NOT."}]


def test_unknown_fields_can_be_dropped() -> None:
    """They are events of their own, even beside a text."""
    run = through(CHAT, SCENARIOS["unknown fields"], dropping(Opaque))
    assert deltas(run.frames)[1:] == [{"content": "a"}, {}]
    run = through(CHAT, SCENARIOS["unknown fields"], dropping(Text))
    kept: list[Any] = [{"annotations": [{"index": 1}]}, {"audio": {"id": "x"}}, {"images": [1]}]
    assert deltas(run.frames)[1:] == [*kept, {"content": "(no answer)"}, {}]


def test_a_half_given_cell_leaves_when_the_chain_waits() -> None:
    """What is complete does not wait for what a policy holds."""
    decoder = CHAT.decoder(frozenset({Text, ToolCall}))
    framer = CHAT.framer(decoder)
    given = [item for raw in SCENARIOS["two tools"] for item in decoder.frame(raw)]
    calls = [item for item in given if isinstance(item, ToolCall)]
    framer.write(calls[0])
    assert framer.take() == []
    framer.flush()
    assert deltas(framer.take())[0]["tool_calls"][0]["index"] == 0
    framer.write(calls[1])
    assert deltas(framer.take())[0]["tool_calls"][0]["index"] == 1


def test_calls_that_nobody_sees_survive_the_edit_of_their_chunk() -> None:
    """A call that flows by in one chunk with a text is framed apart from it."""
    sees: Kinds = frozenset({Text})
    run = through(CHAT, SCENARIOS["content with a tool"], each_text(str.upper), sees)
    calls = [said for said in meaning(through(CHAT, run.frames).events) if said[0] == "ToolCall"]
    assert calls == [("ToolCall", "Bash", {"command": "ls"}, "function")]
    assert finish(run.frames) == ["tool_calls"]
    run = through(CHAT, SCENARIOS["one chunk with a tool"], dropping(Text), sees)
    assert [said[0] for said in meaning(through(CHAT, run.frames).events)] == ["ToolCall", "End"]


def test_a_second_choice_is_refused_where_policies_look() -> None:
    """It was not asked for and would walk round them; with no policy it passes."""
    other = b'data: {"choices":[{"index":1,"delta":{"content":"x"},"finish_reason":null}]}\n\n'

    with pytest.raises(ProtocolError, match="second choice"):
        through(CHAT, [ROLE, other, *end()])
    assert through(CHAT, [ROLE, other, *end()], sees=frozenset()).frames == [ROLE, other, *end()]


def test_text_first_and_a_log_of_probabilities() -> None:
    """An untouched chunk keeps its log probabilities behind an inserted one."""
    run = through(CHAT, [ROLE, chunk({"content": "a"}, logprobs=LOGPROBS), *end()], first("Note: "))
    assert [choice["choices"][0]["logprobs"] for choice in loads(run.frames)] == [None, None, LOGPROBS, None]


@pytest.mark.parametrize("after", range(6))
@pytest.mark.parametrize("name", sorted(set(SCENARIOS) - {"error", "role in every chunk", "no finish"}))
def test_a_stop_is_a_good_end(name: str, after: int) -> None:
    """A policy that ends the answer early leaves a whole one."""
    run = through(CHAT, SCENARIOS[name], stopping(after))
    if name not in ("finish twice", "finish with each tool"):
        assert checked(CHAT, run.frames) == []
    assert finish(run.frames)
    assert run.frames[-1] == DONE or name in ("no done", "carriage returns")


def test_a_cut_answer_has_no_end() -> None:
    """Whatever policies say, an answer that broke off is not made to look whole."""
    for name in ("chat: cut", "chat: cut in a tool"):
        for policy in POLICIES.values():
            out = through(CHAT, CUTS[name][1], policy).stream
            if policy not in (POLICIES["own end"], POLICIES["other reason"]):
                assert b"[DONE]" not in out


def test_nothing_follows_the_end() -> None:
    """What a policy writes after it is dropped and noted."""
    run = through(CHAT, SCENARIOS["text"], lambda: lambda e: [e, Text("more")] if isinstance(e, End) else [e])
    assert run.frames == SCENARIOS["text"]
    assert run.rules == ["after_end"]


def test_an_error_of_a_policy_is_an_error_of_the_stream() -> None:
    """A policy may end an answer as failed."""

    def policy(event: Event) -> list[Event]:
        return [End("error", error="no more")] if isinstance(event, Text) else []

    assert b'"message":"no more"' in through(CHAT, SCENARIOS["text"], lambda: policy).frames[-1]


def test_events_of_another_answer_are_made_anew() -> None:
    """Their bytes mean nothing here; their text does."""
    foreign: list[Event] = through(CHAT, [ROLE, *text("x")], closed=False).events
    moved = [event for event in foreign if isinstance(event, Text)]
    part = replace(moved[0].part, origin=1) if moved[0].part else None
    stranger = replace(moved[0], part=part)
    run = through(CHAT, SCENARIOS["text"], lambda: lambda e: [stranger, e] if isinstance(e, End) else [e])
    assert deltas(run.frames)[-2] == {"content": "x"}


def test_tools_may_interleave() -> None:
    """Pieces of two calls are put together by their index."""
    calls = [e for e in through(CHAT, SCENARIOS["interleaved tools"]).events if isinstance(e, ToolCall)]
    assert [(call.name, call.arguments) for call in calls] == [("Bash", '{"command": "rm -rf /"}'), ("Read", READ[2])]
    with_extra = [ROLE, *tool(0, "a", "A", "{}"), *tool(1, "b", "B", "{}"), *end("tool_calls")]
    assert len([e for e in through(CHAT, with_extra).events if isinstance(e, ToolCall)]) == 2
