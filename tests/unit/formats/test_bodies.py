"""Unstreamed answers: the same bytes if nothing changed, the same meaning as a stream if something did."""

from __future__ import annotations

import json
from typing import Any

import pytest

from luthien_stream.core.lens import Lens
from luthien_stream.events.answer import Opaque, Text, Thinking
from luthien_stream.formats.errors import FrameError, ProtocolError
from tests.unit.formats.bodies import completion_of, message_of, response_of
from tests.unit.formats.drive import (
    CHAT,
    MESSAGES,
    POLICIES,
    RESPONSES,
    STREAMS,
    body_through,
    denying,
    dropping,
    each_text,
    first,
    meaning,
    through,
    understood,
)
from tests.unit.formats.sdks import Judges

NO_BODY = {
    "anthropic: error",
    "anthropic: lone surrogate",
    "chat: error",
    "chat: unknown chunk",
    "chat: named event",
    "chat: no finish",
    "chat: same index",
    "chat: lone surrogate",
    "responses: error",
    "responses: failed",
    "responses: lone surrogate",
    "responses: cut character",
}
"""Streams that have no body of the same meaning."""
BODY_OF = {MESSAGES.name: message_of, CHAT.name: completion_of, RESPONSES.name: response_of}
BODIES: dict[str, tuple[Lens, list[bytes], bytes]] = {
    name: (lens, frames, BODY_OF[lens.name](frames)) for name, (lens, frames) in STREAMS.items() if name not in NO_BODY
}
PIECEWISE = {"split texts", "new texts"}
"""Policies that act differently on a text in one piece."""
LOGPROBS = {"content": [{"token": "secret", "logprob": -0.10}]}


@pytest.mark.parametrize("name", BODIES)
def test_an_untouched_body_is_the_same_object(name: str) -> None:
    """A body that no policy changed leaves as it came."""
    lens, _, body = BODIES[name]
    assert [frame is body for frame in body_through(lens, body).frames] == [True]
    assert [frame is body for frame in body_through(lens, body, dropping()).frames] == [True]


@pytest.mark.parametrize("name", BODIES)
def test_a_body_says_what_the_stream_says(name: str) -> None:
    """The same policy over the same answer gives the client the same, streamed or not."""
    lens, frames, body = BODIES[name]
    for policy in sorted(set(POLICIES) - PIECEWISE):
        stream = understood(lens, through(lens, frames, POLICIES[policy]))
        out = b"".join(body_through(lens, body, POLICIES[policy]).frames)
        assert _plain(meaning(body_through(lens, out).events)) == _plain(stream), policy


def _plain(said: list[Any]) -> list[Any]:
    """Without what bodies and streams order or count in their own ways."""
    kept = [item for item in said if item[0] not in ("Opaque", "End") and item[1]]
    kinds = ("Thinking", "Text", "Refusal")
    texts = ["".join(item[1] for item in kept if item[0] == kind) for kind in kinds]
    return [*texts, [item for item in kept if item[0] == "ToolCall"], [item[1] for item in said if item[0] == "End"]]


@pytest.mark.parametrize("name", sorted(set(BODIES) - {"chat: custom tool"}))
def test_clients_read_bodies(name: str, judges: Judges) -> None:
    """The vendor's client reads what leaves."""
    lens, _, body = BODIES[name]
    for policy in ("noop", "capitals", "no tools", "denied", "text first", "no texts"):
        (out,) = body_through(lens, body, POLICIES[policy]).frames
        if lens is MESSAGES:
            assert all(block.text for block in judges.anthropic_body(out).content if block.type == "text")
        elif lens is RESPONSES:
            assert judges.responses_body(out).output_text == "".join(
                said[1] for said in meaning(body_through(lens, out).events) if said[0] == "Text"
            )
        else:
            assert judges.chat_body(out).choices[0].message.role == "assistant"


def test_untouched_blocks_keep_their_spelling() -> None:
    """An edit of one block leaves every other block, number and escape as it was written."""
    body = (
        b'{"id": "m", "type": "message", "role": "assistant", "x": 0.10,\n "content": ['
        b'{"type": "text", "text": "\\u2602 a", "n": 1.0}, '
        b'{"type":"tool_use","id":"t","name":"Bash","input":{"a": 1.50}},'
        b'{"type":"tool_use","id":"u","name":"Read","input":{"b": 2e1}}], '
        b'"stop_reason": "tool_use", "usage": {"output_tokens": 3}}'
    )
    (out,) = body_through(MESSAGES, body, denying("Read")).frames
    assert b'"x":0.10' in out
    assert b'{"type": "text", "text": "\\u2602 a", "n": 1.0}' in out
    assert b'{"type":"tool_use","id":"t","name":"Bash","input":{"a": 1.50}}' in out
    assert b"Read" not in out
    assert json.loads(out)["stop_reason"] == "tool_use"


def test_an_empty_text_block_of_a_body_is_dropped() -> None:
    """It would spoil the next turn."""
    text = {"type": "text", "text": "a"}
    body = json.dumps({"id": "m", "content": [{"type": "text", "text": ""}, text], "stop_reason": "end_turn"}).encode()
    run = body_through(MESSAGES, body)
    assert json.loads(run.frames[0])["content"] == [text]
    assert run.rules == ["empty_block"]


def test_edited_text_leaves_no_trace() -> None:
    """What repeats an edited text (log probabilities, annotations, citations) goes with it."""
    message = {"role": "assistant", "content": "secret", "annotations": [{"quote": "secret"}], "audio": {"id": "a"}}
    choice = {"index": 0, "message": message, "logprobs": LOGPROBS, "finish_reason": "stop"}
    (out,) = body_through(CHAT, json.dumps({"id": "c", "choices": [choice]}).encode(), each_text(str.upper)).frames
    assert b"secret" not in out
    assert json.loads(out)["choices"][0]["message"]["audio"] == {"id": "a"}
    block = {"type": "text", "text": "secret", "citations": [{"cited_text": "secret"}]}
    body = json.dumps({"id": "m", "content": [block], "stop_reason": "end_turn"}).encode()
    (out,) = body_through(MESSAGES, body, each_text(str.upper)).frames
    assert json.loads(out)["content"] == [{"type": "text", "text": "SECRET"}]


def test_carriers_of_a_message_can_be_dropped() -> None:
    """Reasoning, its repeats and unknown fields go when their events do."""
    message = {
        "content": "a",
        "reasoning": "b",
        "reasoning_details": [{"text": "b"}],
        "images": [1],
        "role": "assistant",
    }
    body = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
    (out,) = body_through(CHAT, body, dropping(Thinking, Opaque)).frames
    assert json.loads(out)["choices"][0]["message"] == {"content": "a", "reasoning": None, "role": "assistant"}


def test_text_before_thinking_waits_in_a_body_too() -> None:
    """A note stands behind the thinking and goes on in the text that follows."""
    content = [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "Yes"}]
    body = json.dumps({"id": "m", "content": content, "stop_reason": "end_turn"}).encode()
    (out,) = body_through(MESSAGES, body, first("Note: ")).frames
    assert json.loads(out)["content"] == [content[0], {"type": "text", "text": "Note: Yes"}]


def test_signed_thinking_of_a_body_cannot_be_edited() -> None:
    """An edit is a failure of the policy."""
    body = json.dumps({"id": "m", "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}]}).encode()
    with pytest.raises(FrameError, match="whole part"):
        body_through(MESSAGES, body, lambda: lambda e: [e.with_text("x")] if isinstance(e, Thinking) else [e])


def test_a_body_that_never_came_is_cut() -> None:
    """Without a body nothing is made up."""
    for lens in (MESSAGES, CHAT, RESPONSES):
        decoder = lens.body_decoder()
        framer = lens.body_framer(decoder)
        (end,) = decoder.close()
        assert getattr(end, "reason", None) == "cut"
        framer.write(Text("a"))
        framer.finish()
        assert framer.take() == []


@pytest.mark.parametrize("lens", [MESSAGES, CHAT, RESPONSES], ids=["anthropic", "chat", "responses"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"error": {"message": "no"}}',
        b'{"content": 3}',
        b'{"content": [3]}',
        b'{"choices": 3}',
        b'{"output": 3}',
        b'{"output": [3]}',
        b'{"output": [{"type": "message", "content": 3}]}',
        b'{"output": [{"type": "message", "content": [3]}]}',
        b'{"output": [{"type": "function_call", "arguments": "{}"}]}',
        b'{"choices": []}',
        b'{"choices": [{"index": 0}]}',
        b'{"choices": [{"message": {"content": "a"}}, {"message": {"content": "b"}}]}',
        b'{"choices": [{"message": {"content": [{"text": "a"}]}}]}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
    ids=lambda body: str(body[:40]),
)
def test_a_body_that_cannot_be_read_is_refused(lens: Lens, body: bytes) -> None:
    """What cannot be shown to policies is a typed error."""
    with pytest.raises(ProtocolError):
        lens.body_decoder().frame(body)


def test_fields_that_say_nothing_stay_beside_an_edit() -> None:
    """A client may look for an empty list; what was said about the old text goes."""
    shout = each_text(str.upper)
    for cited in ([], [{"type": "url_citation", "start_index": 0}]):
        message = {"role": "assistant", "content": "a", "annotations": cited, "audio": None, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        body = json.dumps({"id": "c", "object": "chat.completion", "choices": [choice]}).encode()
        (made,) = body_through(CHAT, body, shout).frames
        assert json.loads(made)["choices"][0]["message"] == {**message, "content": "A", "annotations": []}
