"""Broken streams, and policies that do anything: typed errors only, and never a wrong frame of our own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthien_stream.core.lens import Lens
from luthien_stream.core.sse import data_of, frame_of
from luthien_stream.events.answer import ALL, End, Event, Kinds, PartEnd, Text, Thinking, ToolCall
from luthien_stream.formats import cell
from luthien_stream.formats.errors import FrameError, ProtocolError
from tests.unit.formats.drive import CHAT, MESSAGES, POLICIES, RESPONSES, STREAMS, Policy, checked, through
from tests.unit.formats.scenarios_anthropic import SCENARIOS, begin, delta, end, sse, text, tool
from tests.unit.formats.scenarios_chat import ROLE, chunk

SEES: list[Kinds] = [ALL, frozenset({Text}), frozenset({ToolCall}), frozenset()]
LENS = pytest.mark.parametrize("lens", [MESSAGES, CHAT, RESPONSES], ids=["anthropic", "chat", "responses"])
odd_values: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 1.5, "", "x", [], {}, [{}], {"type": "text"}, "\ud800", [[]], 10**30]
)


def changed(value: Any, path: list[int], odd: Any) -> Any:
    """JSON with one value somewhere in it replaced, or taken out."""
    if not path or not isinstance(value, dict | list) or not value:
        return odd
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = keys[path[0] % len(keys)]
    copy = value.copy()
    if len(path) == 1 and odd is None:
        del copy[key]
    else:
        copy[key] = changed(copy[key], path[1:], odd)
    return copy


@st.composite
def broken_streams(draw: st.DrawFn) -> tuple[Lens, list[bytes]]:
    """A stream with frames lost, doubled, moved, cut short, or with other values in them."""
    lens, frames = STREAMS[draw(st.sampled_from(sorted(STREAMS)))]
    frames = list(frames)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(frames) - 1))
        match draw(st.sampled_from(["lose", "double", "move", "shorten", "change", "bytes"])):
            case "lose" if len(frames) > 1:
                del frames[at]
            case "double":
                frames.insert(at, frames[at])
            case "move":
                frames.insert(draw(st.integers(0, len(frames) - 1)), frames.pop(at))
            case "shorten":
                frames[at] = frames[at][: draw(st.integers(0, len(frames[at])))].rstrip(b"\r\n") + b"\n\n"
            case "bytes":
                frames[at] = b"data: " + draw(st.binary(max_size=20).map(lambda b: b.replace(b"\n", b""))) + b"\n\n"
            case _:
                frames[at] = _changed_frame(draw, frames[at])
    return lens, frames


def _changed_frame(draw: st.DrawFn, raw: bytes) -> bytes:
    try:
        value = json.loads(data_of(raw) or b"null")
    except ValueError:
        return raw
    value = changed(value, draw(st.lists(st.integers(0, 9), min_size=1, max_size=5)), draw(odd_values))
    name = f"{value['type']}" if isinstance(value, dict) and raw.startswith(b"event") and "type" in value else ""
    return frame_of(json.dumps(value).encode(), name.replace("\ud800", ""))


@settings(max_examples=300)
@given(broken_streams(), st.sampled_from(sorted(POLICIES)), st.sampled_from(SEES))
def test_a_broken_stream_is_a_typed_error(broken: tuple[Lens, list[bytes]], policy: str, sees: Kinds) -> None:
    """Whatever a provider sends, decoder and framer raise nothing but their own errors."""
    lens, frames = broken
    try:
        run = through(lens, frames, POLICIES[policy], sees)
    except (ProtocolError, FrameError):
        return
    checked(lens, run.frames)


@settings(max_examples=150)
@given(broken_streams(), st.sampled_from(SEES))
def test_what_is_readable_passes(broken: tuple[Lens, list[bytes]], sees: Kinds) -> None:
    """A stream that is no failure leaves untouched if no policy touches it, but for what never became whole."""
    lens, frames = broken
    try:
        run = through(lens, frames, sees=sees)
    except (ProtocolError, FrameError):
        return
    if not run.notes:
        known = {id(raw) for raw in frames}
        assert all(id(raw) in known or b'"index"' in raw or _repeats(raw) for raw in run.frames)


def _repeats(raw: bytes) -> bool:
    """True for a frame that says once more what was streamed: it is made to, where it does not."""
    kind = str(json.loads(data_of(raw) or b"{}").get("type"))
    return kind.endswith(".done") or kind in ("response.completed", "response.incomplete", "response.failed")


new_events = st.one_of(
    st.builds(Text, st.text(max_size=3)),
    st.builds(Thinking, st.text(max_size=3)),
    st.builds(ToolCall, st.just("id"), st.just("Look"), st.just("{}")),
    st.builds(PartEnd),
    st.builds(End, st.sampled_from(["stop", "length", "tool_calls", "content_filter", "pause"])),
)


@st.composite
def wild_policies(draw: st.DrawFn) -> Policy:
    """Drops, edits, doubles, delays and makes events as it likes."""
    moves = draw(st.lists(st.sampled_from(["pass", "drop", "edit", "hold", "release", "double", "make"]), max_size=12))
    made = draw(st.lists(new_events, min_size=1, max_size=3))
    held: list[Event] = []
    steps = iter(moves)

    def policy(event: Event) -> list[Event]:
        match next(steps, "pass"):
            case "drop":
                return []
            case "edit":
                return [event.with_text(event.text + "!") if isinstance(event, Text) else event]
            case "hold":
                held.append(event)
                return []
            case "release":
                out = [*held, event]
                held.clear()
                return out
            case "double":
                return [event, event]
            case "make":
                return [*made, event]
        return [event]

    return policy


@settings(max_examples=300)
@given(st.sampled_from(sorted(set(STREAMS) - {"chat: role in every chunk", "chat: finish twice"})), wild_policies())
def test_no_policy_can_write_a_wrong_stream(name: str, policy: Policy) -> None:
    """What a policy puts out is placed, dropped with a note, or refused: what leaves is well-formed."""
    lens, frames = STREAMS[name]
    try:
        run = through(lens, frames, lambda: policy)
    except FrameError:
        return
    if name not in ("chat: finish with each tool",):
        assert checked(lens, run.frames) == []


@LENS
@pytest.mark.parametrize(
    "raw",
    [
        b"data: {\n\n",
        b"data: []\n\n",
        b"data: 3\n\n",
        b'data: "x"\n\n',
        b"data: null\n\n",
        b"data: \xff\xfe\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
        b": comment\rdata: {}\n\n",
        b'data: {"choices": 3, "type": 3}\n\n',
        b'data: {"choices": [3], "type": "content_block_delta", "index": "0", "output_index": "0"}\n\n',
        b'data: {"choices": [{"delta": {"content": 3}}], "type": "message_start", "message": {"content": [1]}}\n\n',
    ],
    ids=lambda raw: str(raw[:40]),
)
def test_a_frame_that_cannot_be_shown_is_refused(lens: Lens, raw: bytes) -> None:
    """It would walk round the policies; the checker reports it and does not raise."""
    with pytest.raises(ProtocolError):
        lens.decoder(ALL).frame(raw)
    lens.checker().frame(raw)


@pytest.mark.parametrize(
    "frames",
    [
        [begin(), delta(0, "text_delta", text="a")],
        [begin(), text(0)[0], delta(1, "text_delta", text="a")],
        [begin(), text(0)[0], text(1)[0]],
        [begin(), text(0)[1]],
        [begin(), begin()],
        [begin(), text(0)[0], delta(0, "thinking_delta", thinking="a")],
        [begin(), text(0)[0], *end()],
        [begin(), end()[0], *text(0, "a")],
        [begin(), *end(), *text(0, "a")],
        [*end()],
        [begin(), sse("content_block_start", index=0, content_block={"type": "tool_use"}), text(0)[1]],
    ],
    ids=range(11),
)
def test_the_providers_grammar_is_kept(frames: list[bytes]) -> None:
    """What stands outside its block or message is the provider's failure."""
    with pytest.raises(ProtocolError):
        through(MESSAGES, frames)
    assert checked(MESSAGES, frames) != [] or frames[-1] == text(0)[1]


def test_a_call_without_a_name_is_refused() -> None:
    """No gate could decide about it."""
    with pytest.raises(ProtocolError, match="without a name"):
        through(CHAT, [ROLE, chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}), chunk({}, "stop")])


def test_what_is_gathered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block without end fails the answer, not the worker."""
    monkeypatch.setattr(cell, "GATHER_LIMIT", 10_000)
    pieces = ["x" * 100] * 200
    with pytest.raises(ProtocolError, match="one block"):
        through(MESSAGES, [begin(), *tool(0, "t", "Write", *pieces), *end()])
    with pytest.raises(ProtocolError, match="one block"):
        through(MESSAGES, [begin(), text(0)[0], *[b": x\n\n"] * 500])
    with pytest.raises(ProtocolError, match="one block"):
        through(CHAT, [ROLE, *[chunk({"tool_calls": [{"index": 0, "function": {"arguments": p}}]}) for p in pieces]])
    assert through(MESSAGES, SCENARIOS["tool"]).frames == SCENARIOS["tool"]
