"""Anything at all into the decoder of responses: its typed error and nothing else, and nothing without bound."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthien_stream.core.lens import Violation
from luthien_stream.core.sse import Splitter, data_of
from luthien_stream.events.answer import ALL, End, Kinds, Text, ToolCall
from luthien_stream.formats import cell
from luthien_stream.formats.errors import FrameError, ProtocolError
from luthien_stream.formats.openai_responses import message as decoding
from luthien_stream.formats.openai_responses.wire import renumbered
from tests.unit.formats.drive import POLICIES, RESPONSES, body_through, checked, each_text, meaning, through
from tests.unit.formats.scenarios_responses import (
    HEAD,
    SCENARIOS,
    answer,
    content,
    function,
    message,
    numbered,
    other,
    sse,
    text,
)

SEES: list[Kinds] = [ALL, frozenset({Text}), frozenset({ToolCall}), frozenset()]
TYPES = sorted(
    {
        "response.created",
        "response.in_progress",
        "response.completed",
        "response.incomplete",
        "response.failed",
        "response.output_item.added",
        "response.output_item.done",
        "response.content_part.added",
        "response.content_part.done",
        "response.output_text.delta",
        "response.output_text.done",
        "response.refusal.delta",
        "response.refusal.done",
        "response.output_text.annotation.added",
        "response.reasoning_summary_text.delta",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.shell_call_command.delta",
        "response.audio.delta",
        "keepalive",
        "error",
        "",
    }
)
ITEMS = ["message", "reasoning", "function_call", "custom_tool_call", "shell_call", "web_search_call", "new"]
words = st.sampled_from(["", "a", "ab", "b", "\ud83d", "x" * 50])
contents = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["output_text", "refusal", "new"])}, optional={"text": words, "refusal": words}
    ),
    max_size=2,
)
items = st.fixed_dictionaries(
    {"type": st.sampled_from(ITEMS)},
    optional={
        "id": words,
        "name": st.sampled_from(["Bash", ""]),
        "call_id": words,
        "arguments": words,
        "input": words,
        "content": contents,
        "summary": st.lists(st.fixed_dictionaries({"text": words}), max_size=2),
        "action": st.none() | st.fixed_dictionaries({"commands": st.lists(words, max_size=2)}),
    },
)
responses = st.fixed_dictionaries(
    {}, optional={"id": words, "output": st.lists(items, max_size=2), "usage": st.none(), "error": st.none()}
)
numbers = st.integers(-1, 2)
events = st.fixed_dictionaries(
    {"type": st.sampled_from(TYPES)},
    optional={
        "output_index": numbers,
        "content_index": numbers,
        "sequence_number": st.none() | numbers,
        "item": items,
        "part": contents.map(lambda found: (found or [{}])[0]),
        "response": responses,
        "delta": words | numbers,
        "text": words,
        "refusal": words,
        "arguments": words,
        "item_id": words,
        "message": words,
    },
)
frames = events.map(lambda event: b"data: %b\n\n" % json.dumps(event).encode())


def readable(found: list[bytes], sees: Kinds) -> bool:
    """False if the decoder refuses the stream; if it does not, the framer has no reason to."""
    decoder = RESPONSES.decoder(sees)
    try:
        for raw in found:
            decoder.frame(raw)
        decoder.close()
    except ProtocolError:
        return False
    return True


def sound(found: list[bytes]) -> list[str]:
    """What is wrong with frames of our own making; what the provider did itself does not count."""
    return [rule for rule in checked(RESPONSES, found) if rule in ("after_end", "second_start")]


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=40), max_size=6), st.sampled_from(SEES))
def test_bytes_are_read_or_refused(pieces: list[bytes], sees: Kinds) -> None:
    """Whatever comes out of a socket."""
    splitter = Splitter()
    found = [raw for piece in pieces for raw in splitter.feed(piece)]
    for raw in found:
        for violation in RESPONSES.checker().frame(raw):
            assert isinstance(violation, Violation)
    try:
        run = through(RESPONSES, found, sees=sees, rest=splitter.rest())
    except ProtocolError:
        return
    assert b"".join(found).startswith(run.stream) or isinstance(run.events[-1], End)


@settings(max_examples=500)
@given(st.lists(frames, max_size=8), st.sampled_from(sorted(POLICIES)), st.sampled_from(SEES))
def test_events_in_any_order_are_read_or_refused(found: list[bytes], policy: str, sees: Kinds) -> None:
    """Each event alone may be right: items that never began, contents that end twice, two ends."""
    found = [sse("response.created", response=HEAD), *found]
    if not readable(found, sees):
        return
    try:
        run = through(RESPONSES, found, POLICIES[policy], sees)
    except FrameError:
        return
    assert sound(run.frames) == []


@settings(max_examples=300)
@given(st.lists(frames, max_size=6))
def test_what_policies_did_not_pass_does_not_leave(found: list[bytes]) -> None:
    """No repeat, of whatever event, carries a text round a policy that changes all texts."""
    begun = [*answer(text(0, "a"))[:-1], *found]
    if not readable(begun, ALL):
        return
    try:
        run = through(RESPONSES, begun, each_text(lambda piece: "#" * len(piece)))
    except FrameError:
        return
    try:
        out = through(RESPONSES, run.frames)
    except (ProtocolError, FrameError):
        return
    texts = [one[1] for one in meaning(out.events) if one[0] in ("Text", "Refusal")]
    assert set("".join(texts)) <= {"#"}


@settings(max_examples=300)
@given(st.recursive(st.none() | numbers | words | items | responses, lambda inner: st.lists(inner, max_size=3)))
def test_bodies_are_read_or_refused(found: Any) -> None:
    """An unstreamed answer may be any JSON."""
    for value in (found, {"output": found}, {"output": [found]}):
        raw = json.dumps(value).encode()
        for policy in ("noop", "capitals", "denied", "text first", "own end"):
            try:
                body_through(RESPONSES, raw, POLICIES[policy])
            except (ProtocolError, FrameError):
                break


@pytest.mark.parametrize(
    "found",
    [
        [*answer(text(0, "a"))[:2], answer(text(0, "a"))[4]],
        [*answer(text(0, "a"))[:3], answer(text(0, "a"))[4].replace(b'"output_index":0', b'"output_index":1')],
        [*answer(text(0, "a"))[:3], *answer(text(0, "a"))[2:]],
        [*answer(text(0, "a"))[:5], answer(text(0, "a"))[4].replace(b'"content_index":0', b'"content_index":1')],
        [*answer(text(0, "a"))[:6], answer(text(0, "a"))[4]],
        [*answer(text(0, "a"))[:5], answer(text(0, "a"))[-1]],
        [answer()[0], answer()[0]],
        [*answer(), answer()[-1]],
        [*answer(), answer()[1]],
        [answer()[-1]],
        answer(text(0, "a"))[2:],
        [answer()[0], answer(text(0, "a"))[-1]],
        numbered([("response.created", {"response": {**HEAD, "output": [{"type": "message"}]}})]),
        [sse("response.created")],
        answer([(kind, {**event, "output_index": 0}) for kind, event in [*text(0, "a"), *text(1, "b")]]),
        answer(message(0, content(0, 0, "a")[2:], content(0, 1, "b"))),
        answer(message(0, [one for one in content(0, 0, "a") if "delta" not in one[0]], content(0, 1, "b"))),
        answer(message(0, content(0, 0, "a"), [one for one in content(0, 1, "b") if "delta" not in one[0]])),
        [
            raw.replace(b'"type":"function_call",', b"") if b"output_item.done" in raw else raw
            for raw in answer(function(0, "c", "Bash", "{}"))
        ],
        answer(function(0, "c", "Bash", "{}")[:1] + other(0, "web_search_call")[1:]),
        answer(other(0, "web_search_call")[:1] + function(0, "c", "Bash", "{}")[-1:]),
    ],
    ids=range(21),
)
def test_the_providers_grammar_is_kept(found: list[bytes]) -> None:
    """What stands outside its content, item or response is the provider's failure."""
    with pytest.raises(ProtocolError):
        through(RESPONSES, found)


def test_a_call_without_a_name_is_refused() -> None:
    """No gate could decide about it."""
    with pytest.raises(ProtocolError, match="without a name"):
        through(RESPONSES, answer(function(0, "c", "", "{}")))


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call, a text or an answer without end fails, not the worker."""
    monkeypatch.setattr(cell, "GATHER_LIMIT", 10_000)
    monkeypatch.setattr(decoding, "GATHER_LIMIT", 10_000)
    pieces = ["x" * 100] * 200
    with pytest.raises(ProtocolError, match="one block"):
        through(RESPONSES, answer(function(0, "c", "Write", *pieces)))
    with pytest.raises(ProtocolError, match="one answer"):
        through(RESPONSES, answer(text(0, *pieces)))
    with pytest.raises(ProtocolError, match="one answer"):
        through(RESPONSES, answer(*[text(index, "x") for index in range(100)]))
    with pytest.raises(ProtocolError, match="one block"):
        through(RESPONSES, [*SCENARIOS["text"][:4], *[b": x\n\n"] * 500])
    begun = sse("codex.rate_limits", plan="x")
    with pytest.raises(FrameError, match="256 pieces"):
        through(RESPONSES, [begun] * 300, lambda: lambda event: [Text("a"), event])


@given(st.binary(max_size=30), numbers, numbers)
def test_numbers_are_patched_or_the_frame_is_spelled_anew(junk: bytes, number: int, index: int) -> None:
    """Whatever else the frame has, and wherever: the numbers are right, and nothing else changes."""
    value = junk.decode("latin-1")
    nested, more = {"output_index": 5, "said": value}, '"output_index":4'
    raw = sse("x", nested=nested, output_index=4, sequence_number=3, more=more)
    new = renumbered(raw, {"output_index": index, "sequence_number": number})
    known = {"type": "x", "nested": nested, "output_index": index, "sequence_number": number, "more": more}
    assert json.loads(data_of(new) or b"") == known
