"""What no policy changed leaves as it came, however it came."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthien_stream.events.answer import ALL, Kinds, Text, ToolCall
from luthien_stream.formats.errors import FrameError
from tests.corpora import CORPORA
from tests.unit.formats import scenarios_anthropic as messages
from tests.unit.formats import scenarios_chat as chats
from tests.unit.formats import scenarios_responses as responses
from tests.unit.formats.drive import (
    CHAT,
    CUTS,
    MESSAGES,
    POLICIES,
    RESPONSES,
    STREAMS,
    checked,
    cut,
    dropping_text,
    through,
)
from tests.unit.formats.scenarios_anthropic import PING, SCENARIOS, begin, sse, text
from tests.unit.formats.scenarios_chat import DONE, ROLE
from tests.unit.formats.scenarios_chat import text as content

SEES: dict[str, Kinds] = {"all": ALL, "text": frozenset({Text}), "tools": frozenset({ToolCall}), "none": frozenset()}


@pytest.mark.parametrize("sees", SEES)
@pytest.mark.parametrize("name", STREAMS)
def test_an_untouched_stream_is_the_same_bytes(name: str, sees: str) -> None:
    """Whatever policies look at, every frame that leaves is the object that came, in its place."""
    lens, frames = STREAMS[name]
    run = through(lens, frames, sees=SEES[sees])
    assert run.frames == frames
    assert all(out is raw for out, raw in zip(run.frames, frames, strict=True))
    assert run.notes == []


@pytest.mark.parametrize("name", STREAMS)
def test_the_feed_does_not_matter(name: str) -> None:
    """However the socket cut the stream, it leaves as it came."""
    lens, frames = STREAMS[name]
    stream = b"".join(frames)
    for size in (1, 7, 97, len(stream)):
        assert through(lens, cut(stream, size)).stream == stream


@pytest.mark.parametrize("name", CUTS)
def test_a_cut_stream_is_not_mended(name: str) -> None:
    """What came whole leaves; what was gathered and never ended does not, and no end is made up."""
    lens, frames = CUTS[name]
    run = through(lens, frames)
    assert b"".join(frames).startswith(run.stream)
    if name != "chat: cut after the finish":
        assert getattr(run.events[-1], "reason", None) == "cut"
        assert b"message_stop" not in run.stream
        assert b"[DONE]" not in run.stream


@pytest.mark.parametrize("name", [*STREAMS, *CUTS])
def test_more_input_never_changes_what_left(name: str) -> None:
    """What the first k frames give is the beginning of what all frames give: takeover and resume rest on it."""
    lens, frames = (STREAMS | CUTS)[name]
    for policy, make in POLICIES.items():
        whole = through(lens, frames, make, closed=False).frames
        for k in range(len(frames)):
            part = through(lens, frames[:k], make, closed=False).frames
            assert part == whole[: len(part)], f"{policy} after {k} frames"


@pytest.mark.parametrize("name", ["recorded_anthropic_multiple_tools_chunks", "recorded_no_tools_used_chunks"])
def test_recorded_streams_pass(name: str) -> None:
    """Real chunks of another gateway, with nulls everywhere, pass as they are and have their text and tools seen."""
    file = CORPORA / f"{name}.json"
    if not file.exists():
        pytest.skip("no recorded streams here")
    chunks = json.loads(file.read_text())
    frames = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks] + [DONE]
    run = through(CHAT, frames)
    assert run.frames == frames
    calls = [event.name for event in run.events if isinstance(event, ToolCall)]
    assert len(calls) == (4 if "tools_chunks" in name else 0)
    assert any(isinstance(event, Text) for event in run.events)
    assert checked(CHAT, frames) == []


def test_a_stream_may_end_without_its_last_blank_line() -> None:
    """The last frame is read without one, and leaves as it came."""
    frames = SCENARIOS["text"]
    run = through(MESSAGES, frames[:-1], rest=frames[-1].rstrip(b"\n"))
    assert run.stream == b"".join(frames).rstrip(b"\n")
    for ending in (b"data: [DONE]", b"data: [DONE]\n"):
        assert through(CHAT, [ROLE, *content("a")], rest=ending).stream == b"".join([ROLE, *content("a"), ending])


def test_half_a_frame_is_withheld() -> None:
    """A frame cut inside its JSON is nobody's; a whole one without its blank line is seen and gets one."""
    frames = SCENARIOS["text"][:4]
    half = through(MESSAGES, frames, rest=b'event: content_block_delta\ndata: {"type":"content_blo')
    assert half.stream == b"".join(frames)
    piece = text(0, "secret")[1]
    run = through(MESSAGES, frames, POLICIES["capitals"], rest=piece.rstrip(b"\n"))
    assert b"SECRET" in run.stream
    assert b"secret" not in run.stream
    assert run.stream.endswith(b"\n\n")
    assert b"SECRET" in through(CHAT, [ROLE], POLICIES["capitals"], rest=content("secret")[0][:-1]).stream


def test_an_empty_text_block_is_dropped() -> None:
    """It would spoil the next turn: its frames go, later blocks move up, and a note is kept."""
    frames = [begin(), *text(0, ""), PING, *text(1, "a"), *SCENARIOS["text"][-2:]]
    run = through(MESSAGES, frames)
    assert run.frames == [begin(), PING, *text(0, "a"), *SCENARIOS["text"][-2:]]
    assert run.rules == ["empty_block"]


def test_tools_flow_by_if_nobody_sees_them() -> None:
    """Without a policy that sees calls nothing is gathered: the client gets each piece as it comes."""
    for name in ("anthropic: tool", "chat: tool"):
        lens, frames = STREAMS[name]
        decoder = lens.decoder(frozenset({Text}))
        given = [list(decoder.frame(raw)) for raw in frames]
        assert max(len(items) for items in given) <= 2
        late = sum(not items for items in given)
        assert late <= 3


def test_a_moved_block_keeps_its_spelling() -> None:
    """Only the index of a block is patched when blocks before it are gone, even where the frame is spelled oddly."""
    delta = b'{"type":"text_delta","text":"a", "y": 0.10}'
    odd = b'data: {"x": {"index":7}, "type": "content_block_delta", "index": 1, "delta": ' + delta + b"}\n\n"
    frames = [begin(), *text(0, "gone"), text(1)[0], odd, text(1)[1], *SCENARIOS["text"][-2:]]
    run = through(MESSAGES, frames, dropping_text("gone"))
    assert run.frames[2] == b'data: {"x":{"index":7},"type":"content_block_delta","index":0,"delta":' + delta + b"}\n\n"
    assert run.frames[1] == sse("content_block_start", index=0, content_block={"type": "text", "text": ""})


pieces = st.lists(st.text(max_size=4), max_size=4)
calls = st.tuples(st.text(min_size=1, max_size=4), st.sampled_from(["Bash", "Read"]), pieces)
anthropic_blocks = st.one_of(
    st.builds(lambda said: lambda i: messages.text(i, "x", *said), pieces),
    st.builds(lambda said: lambda i: messages.thinking(i, *said), pieces),
    st.builds(lambda call: lambda i: messages.tool(i, call[0], call[1], *call[2]), calls),
    st.builds(lambda said: lambda i: messages.block(i, {"type": "new_block", "x": said}), pieces),
)
response_items = st.one_of(
    st.builds(lambda said: lambda i: responses.text(i, *said), pieces),
    st.builds(lambda said: lambda i: responses.text(i, "x", *said, refusal=True), pieces),
    st.builds(lambda said: lambda i: responses.reasoning(i, *[tuple(said)] * (len(said) % 3)), pieces),
    st.builds(lambda call: lambda i: responses.function(i, call[0], call[1], *call[2]), calls),
    st.builds(lambda call: lambda i: responses.custom(i, call[0], call[1], *call[2]), calls),
    st.builds(lambda said: lambda i: responses.other(i, "new_item", x=said), pieces),
    st.builds(lambda: lambda i: responses.annotated(i, "a", "b")),
)


@st.composite
def message_streams(draw: st.DrawFn) -> list[bytes]:
    """Any order of blocks, with pings and comments anywhere."""
    blocks = draw(st.lists(anthropic_blocks, max_size=4))
    frames = [begin(), *[frame for index, make in enumerate(blocks) for frame in make(index)], *messages.end()]
    for at in draw(st.lists(st.integers(0, 30), max_size=4)):
        frames.insert(min(at, len(frames)), draw(st.sampled_from([PING, b": x\n\n", b"retry: 5\n\n"])))
    return frames


@st.composite
def chat_streams(draw: st.DrawFn) -> list[bytes]:
    """Any order of things, several in one chunk too, with a finish, counts and end or without."""
    names = st.sampled_from(["content", "refusal", "reasoning_content", "reasoning", "new_field"])
    deltas = st.dictionaries(names, st.none() | st.text(max_size=3), max_size=3)
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "Bash", "arguments": "{}"}}
    frames = [chats.chunk(delta) for delta in draw(st.lists(deltas, max_size=6))]
    frames += draw(
        st.sampled_from([[], [chats.chunk({"content": "a", "tool_calls": [call]})], chats.tool(0, "c", "Bash", "{")])
    )
    frames += [chats.chunk(draw(deltas), draw(st.sampled_from(["stop", "tool_calls", "length"])))]
    frames += draw(st.sampled_from([[], [DONE], [chats.USAGE, DONE], [b": x\n\n", DONE]]))
    return [ROLE, *frames] if draw(st.booleans()) else frames


@given(message_streams(), st.sampled_from(sorted(SEES)))
def test_any_message_passes(frames: list[bytes], sees: str) -> None:
    """Untouched is the same bytes."""
    assert through(MESSAGES, frames, sees=SEES[sees]).frames == frames


@given(chat_streams(), st.sampled_from(sorted(SEES)))
def test_any_chat_passes(frames: list[bytes], sees: str) -> None:
    """Untouched is the same bytes."""
    assert through(CHAT, frames, sees=SEES[sees]).frames == frames


@st.composite
def response_streams(draw: st.DrawFn) -> list[bytes]:
    """Any order of items, with keepalives, comments and unknown events anywhere."""
    found = draw(st.lists(response_items, max_size=4))
    groups = [event for index, make in enumerate(found) for event in make(index)]
    for at in draw(st.lists(st.integers(0, 30), max_size=4)):
        groups.insert(min(at, len(groups)), draw(st.sampled_from([responses.KEEPALIVE, responses.UNKNOWN])))
    frames = responses.answer(groups, repeat=draw(st.booleans()))
    for at in draw(st.lists(st.integers(0, 30), max_size=2)):
        frames.insert(min(at, len(frames)), b": x\n\n")
    return frames


@given(response_streams(), st.sampled_from(sorted(SEES)))
def test_any_response_passes(frames: list[bytes], sees: str) -> None:
    """Untouched is the same bytes."""
    assert through(RESPONSES, frames, sees=SEES[sees]).frames == frames


@given(
    st.one_of(message_streams(), chat_streams(), response_streams()),
    st.sampled_from(sorted(POLICIES)),
    st.integers(0, 12),
)
def test_any_prefix_gives_a_prefix(frames: list[bytes], policy: str, k: int) -> None:
    """What left does not change with what comes, for any stream."""
    lens = MESSAGES if any(b"message_stop" in raw for raw in frames) else CHAT
    lens = RESPONSES if any(b"response.created" in raw for raw in frames) else lens
    try:
        whole = through(lens, frames, POLICIES[policy], closed=False).frames
    except FrameError:
        return
    part = through(lens, frames[:k], POLICIES[policy], closed=False).frames
    assert part == whole[: len(part)]
