"""What policies do to Anthropic's streams: where inserted, edited and dropped things go."""

from __future__ import annotations

import json
from typing import Any

import pytest

from luthien_stream.core.sse import data_of
from luthien_stream.events.answer import End, Event, Kinds, Opaque, PartEnd, Text, Thinking, ToolCall
from luthien_stream.formats.errors import FrameError
from tests.unit.formats.drive import (
    CUTS,
    MESSAGES,
    POLICIES,
    Policy,
    checked,
    denying,
    dropping,
    dropping_text,
    each_text,
    first,
    held_to_end,
    last,
    stopping,
    through,
)
from tests.unit.formats.scenarios_anthropic import BASH, PING, SCENARIOS, begin, citation, delta, end, text, tool


def blocks(frames: list[bytes]) -> list[tuple[str, str]]:
    """Kind and text of the blocks in a stream."""
    found: list[tuple[str, str]] = []
    for raw in frames:
        event = json.loads(data_of(raw) or b"{}")
        if event.get("type") == "content_block_start":
            found.append((event["content_block"]["type"], ""))
            assert event["index"] == len(found) - 1
        if event.get("type") == "content_block_delta":
            said = event["delta"]
            piece = said.get("text") or said.get("thinking") or said.get("partial_json") or ""
            found[-1] = (found[-1][0], found[-1][1] + piece)
    return found


def stop_reason(frames: list[bytes]) -> Any:
    """The stop reason of a stream."""
    events = [json.loads(data_of(raw) or b"{}") for raw in frames]
    return next(event["delta"]["stop_reason"] for event in events if event.get("type") == "message_delta")


def test_an_edit_changes_one_field() -> None:
    """Unknown fields, order and all neighbours stay as they were."""
    odd = (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","x":0.10,"index":0,'
        b'"delta":{"text":"a","type":"text_delta","y":1.0}}\n\n'
    )
    frames = [begin(), text(0)[0], odd, text(0)[1], *end()]
    run = through(MESSAGES, frames, each_text(str.upper))
    assert run.frames == [*frames[:2], odd.replace(b'"text":"a"', b'"text":"A"'), *frames[3:]]


def test_text_before_the_answer_goes_on_in_its_block() -> None:
    """The provider's text continues the block that a policy began, and keeps its frames."""
    frames = SCENARIOS["text"]
    run = through(MESSAGES, frames, first("Note: "))
    assert blocks(run.frames) == [("text", "Note: Hello wörld\u2028!")]
    assert run.frames[4:] == frames[3:]


def test_text_waits_for_thinking() -> None:
    """Nothing comes before the thinking that the provider begins with."""
    run = through(MESSAGES, SCENARIOS["thinking"], first("Note: "))
    assert blocks(run.frames) == [("thinking", "hm so"), ("text", "Note: Yes.")]
    run = through(MESSAGES, SCENARIOS["hidden thinking"], first("Note: "))
    assert blocks(run.frames) == [("thinking", ""), ("redacted_thinking", ""), ("text", "Note: a")]
    run = through(MESSAGES, SCENARIOS["thinking and tool"], first("Note: "))
    assert [kind for kind, _ in blocks(run.frames)] == ["thinking", "text", "tool_use"]


def test_text_waits_for_thinking_that_is_dropped() -> None:
    """If the thinking goes, the text is written where it would have ended."""
    drop, insert = dropping(Thinking)(), first("Note: ")()

    def policy(event: Event) -> list[Event]:
        return [out for kept in insert(event) for out in drop(kept)]

    assert blocks(through(MESSAGES, SCENARIOS["thinking"], lambda: policy).frames) == [("text", "Note: Yes.")]


def test_text_after_a_call_is_dropped_and_noted() -> None:
    """The provider would refuse it in the next turn."""
    run = through(MESSAGES, SCENARIOS["tool"], last("Done."))
    assert run.frames == SCENARIOS["tool"]
    assert run.rules == ["unplaced"]
    assert through(MESSAGES, SCENARIOS["text"], last("Done.")).rules == []


def test_a_denied_call_becomes_text() -> None:
    """The explanation stands before the calls that are left; none left means the turn is over."""
    run = through(MESSAGES, SCENARIOS["tool"], denying("Bash"))
    assert blocks(run.frames) == [("text", "I run it."), ("text", "Bash is not allowed.")]
    assert stop_reason(run.frames) == "end_turn"
    run = through(MESSAGES, SCENARIOS["two tools"], denying("Bash"))
    assert blocks(run.frames)[1:] == [("text", "Bash is not allowed."), ("tool_use", '{"path": "a"}')]
    assert run.frames[-2:] == SCENARIOS["two tools"][-2:]
    run = through(MESSAGES, SCENARIOS["two tools"], denying("Read"))
    assert [kind for kind, _ in blocks(run.frames)] == ["text", "tool_use"]
    assert run.rules == ["unplaced"]


def test_a_dropped_block_moves_the_others_up() -> None:
    """Only indices are patched; pings and all else stay the same objects."""
    frames = [begin(), *text(0, "gone"), PING, *tool(1, *BASH), *end("tool_use")]
    run = through(MESSAGES, frames, dropping_text("gone"))
    assert run.frames == [begin(), PING, *tool(0, *BASH), *end("tool_use")]
    assert run.frames[1] is PING


def test_edited_arguments_are_one_piece() -> None:
    """The call keeps id, name and unknown fields of its start."""
    run = through(MESSAGES, SCENARIOS["tool"], POLICIES["safe arguments"])
    assert blocks(run.frames)[1] == ("tool_use", '{"safe":true}')
    assert run.frames[4] == SCENARIOS["tool"][4]


def test_calls_made_by_policies() -> None:
    """A new call is well-formed and makes the stop reason fit."""
    call = ToolCall("tu_9", "Look", '{"at":1}')
    run = through(MESSAGES, SCENARIOS["text"], lambda: lambda e: [call, e] if isinstance(e, End) else [e])
    assert blocks(run.frames)[1] == ("tool_use", '{"at":1}')
    assert stop_reason(run.frames) == "tool_use"


@pytest.mark.parametrize("bad", ["", "{", "[1]", "3"])
def test_arguments_that_no_client_can_read_are_refused(bad: str) -> None:
    """A call made by a policy must have a JSON object for its arguments."""
    with pytest.raises(FrameError, match="JSON object"):
        through(MESSAGES, SCENARIOS["tool"], lambda: lambda e: [ToolCall("a", "Look", bad)])


def test_signed_thinking_is_all_or_nothing() -> None:
    """An edit, or a part of a part, is a failure of the policy; the whole part may go."""
    shout = lambda: lambda e: [e.with_text("x")] if isinstance(e, Thinking) else [e]  # noqa: E731
    with pytest.raises(FrameError, match="cannot be edited"):
        through(MESSAGES, SCENARIOS["thinking"], shout)

    def without(position: int) -> Policy:
        seen: list[Event] = []

        def policy(event: Event) -> list[Event]:
            if not isinstance(event, Thinking):
                return [event]
            seen.append(event)
            return [] if len(seen) == position else [event]

        return policy

    for position in (1, 2, 3):
        policy = without(position)
        with pytest.raises(FrameError, match="whole part"):
            through(MESSAGES, SCENARIOS["thinking"], lambda policy=policy: policy)  # type: ignore[misc]
    run = through(MESSAGES, SCENARIOS["thinking"], dropping(Thinking))
    assert blocks(run.frames) == [("text", "Yes.")]


def test_thinking_of_a_policy_is_dropped() -> None:
    """It has no signature: the next turn would be refused."""
    run = through(MESSAGES, SCENARIOS["text"], lambda: lambda e: [Thinking("hm"), e])
    assert run.frames == SCENARIOS["text"]
    assert set(run.rules) == {"unsigned"}


def test_a_citation_without_its_text_is_dropped() -> None:
    """A block of citations only would be an empty text, which no next turn may hold, and nor may an empty answer."""
    run = through(MESSAGES, SCENARIOS["citation first"], dropping(Text))
    assert blocks(run.frames) == [("text", "(no answer)")]
    frames = [begin(), text(0)[0], citation(0), text(0, "a")[1], delta(0, "text_delta", text="b"), text(0)[1], *end()]
    run = through(MESSAGES, frames, dropping_text("a"))
    assert blocks(run.frames) == [("text", "b")]
    assert citation(0) in run.frames


def test_held_text_is_placed_late() -> None:
    """Text that is held over other blocks comes out as a block of its own, unless a call was written."""
    hold: list[Event] = []

    def to_the_end(event: Event) -> list[Event]:
        if isinstance(event, Text):
            hold.append(event)
            return []
        return [*hold, event] if isinstance(event, End) else [event]

    run = through(MESSAGES, SCENARIOS["thinking"], lambda: to_the_end)
    assert blocks(run.frames) == [("thinking", "hm so"), ("text", "Yes.")]
    hold.clear()
    run = through(MESSAGES, SCENARIOS["tool"], lambda: to_the_end)
    assert [kind for kind, _ in blocks(run.frames)] == ["tool_use"]
    assert "unplaced" in run.rules


def test_a_whole_turn_may_be_held() -> None:
    """What is held to the end and let go untouched is the same stream, but for pings that went before."""
    for name in ("text", "tool", "thinking", "interleaved", "citations"):
        assert sorted(through(MESSAGES, SCENARIOS[name], held_to_end).frames) == sorted(SCENARIOS[name])


@pytest.mark.parametrize("after", range(8))
@pytest.mark.parametrize("name", sorted(set(SCENARIOS) - {"error"}))
def test_a_stop_is_a_good_end(name: str, after: int) -> None:
    """A policy that ends the answer early leaves a whole one."""
    run = through(MESSAGES, SCENARIOS[name], stopping(after))
    assert checked(MESSAGES, run.frames) == []
    assert run.frames[-1].startswith(b"event: message_stop") or not run.frames


def test_an_early_end_counts_what_was_seen() -> None:
    """Token counts are the provider's so far."""
    decoder = MESSAGES.decoder(frozenset({Text}))
    framer = MESSAGES.framer(decoder)
    for raw in SCENARIOS["text"][:3]:
        for item in decoder.frame(raw):
            assert isinstance(item, bytes)
            framer.mute(item)
    framer.write(Text("Stopped."))
    framer.finish()
    frames = framer.take()
    assert MESSAGES.usage_of(frames) == {"input_tokens": 25, "cache_read_input_tokens": 7, "output_tokens": 1}
    assert stop_reason(frames) == "end_turn"


def test_a_call_that_flows_by_is_never_broken_into() -> None:
    """Text that a policy writes while an unseen block flows waits for its end; a stop inside a call says so."""
    sees: Kinds = frozenset({Opaque, Text})
    decoder = MESSAGES.decoder(sees)
    framer = MESSAGES.framer(decoder)
    for raw in SCENARIOS["only a tool"][:3]:
        for item in decoder.frame(raw):
            assert isinstance(item, bytes)
            framer.mute(item)
    framer.write(Text("in between"))
    framer.finish()
    frames = framer.take()
    assert checked(MESSAGES, frames) == []
    assert stop_reason(frames) == "max_tokens"
    assert [note.rule for note in framer.notes()] == ["unplaced"]


def test_a_cut_answer_has_no_end() -> None:
    """Whatever policies say, an answer that broke off is not made to look whole."""
    _, frames = CUTS["anthropic: cut"]
    for policy in POLICIES.values():
        out = through(MESSAGES, frames, policy).stream
        if policy not in (POLICIES["own end"], POLICIES["other reason"]):
            assert b"message_stop" not in out


def test_an_error_leaves_as_it_came() -> None:
    """Held text goes before it; nothing comes behind."""
    frames = SCENARIOS["error"]
    run = through(MESSAGES, frames, POLICIES["held to part end"])
    assert run.frames[-1] is frames[-1]
    assert b"AB" in run.stream


def test_nothing_follows_the_end() -> None:
    """What a policy writes after it is dropped and noted."""
    run = through(MESSAGES, SCENARIOS["text"], lambda: lambda e: [e, Text("more")] if isinstance(e, End) else [e])
    assert run.frames == SCENARIOS["text"]
    assert run.rules == ["after_end"]


def test_ends_of_parts_do_no_harm() -> None:
    """A policy may drop them, double them, or pass those of a dropped part."""
    twice = through(MESSAGES, SCENARIOS["two texts"], lambda: lambda e: [e, e] if isinstance(e, PartEnd) else [e])
    assert twice.frames == SCENARIOS["two texts"]
    none = through(MESSAGES, SCENARIOS["two texts"], dropping(PartEnd))
    assert blocks(none.frames) == [("text", "ab"), ("text", "c")]
    assert checked(MESSAGES, none.frames) == []


def test_waiting_text_is_bounded() -> None:
    """A policy that writes without end while the model thinks fails; the worker does not."""
    with pytest.raises(FrameError, match="1 MiB"):
        through(MESSAGES, SCENARIOS["thinking"], lambda: lambda e: [*[Text("x" * 1000)] * 2000, e])


@pytest.mark.parametrize("lone", ["\ud83d", "a\udc00"])
def test_lone_surrogates_are_escaped(lone: str) -> None:
    """A text that UTF-8 cannot carry leaves in escapes."""
    run = through(MESSAGES, SCENARIOS["text"], each_text(lambda _: lone))
    assert json.dumps(lone)[1:-1].encode() in run.stream
    assert blocks(run.frames) == [("text", lone * 3)]
