"""What policies leave of an answer is something that its provider takes back, if need be with a mark for our edge."""

from __future__ import annotations

import json
from typing import Any

import pytest

from luthien_stream.core.lens import Lens
from luthien_stream.events.answer import End, Event, Opaque, Text, Thinking, ToolCall
from luthien_stream.formats import LENSES
from luthien_stream.formats.convert import Conversion
from luthien_stream.formats.errors import FrameError, ProtocolError, RequestError
from luthien_stream.formats.marks import CUT, EMPTY
from tests.unit.formats.bodies import completion_of, message_of, response_of
from tests.unit.formats.convert.pairs import HELLO, PAIRS
from tests.unit.formats.drive import (
    CHAT,
    MESSAGES,
    RESPONSES,
    MakePolicy,
    Policy,
    Run,
    body_through,
    checked,
    dropping,
    each_text,
    first,
    stopping,
    through,
)
from tests.unit.formats.scenarios_anthropic import SCENARIOS as FROM_ANTHROPIC
from tests.unit.formats.scenarios_anthropic import begin, block, delta, end, text, thinking, tool
from tests.unit.formats.scenarios_chat import SCENARIOS as FROM_CHAT
from tests.unit.formats.scenarios_responses import SCENARIOS as FROM_RESPONSES
from tests.unit.formats.scenarios_responses import answer, function, reasoning
from tests.unit.formats.scenarios_responses import text as message

Json = dict[str, Any]
CALL = ToolCall("call_own", "Bash", "{}")
USE = block(0, {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}})
RESULT = block(1, {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []})
SEARCHED = [begin(), *USE, *RESULT, *text(2, "Found."), *end()]


def blocks(run: Run) -> list[Json]:
    """The content of the message that a stream is, which is well-formed."""
    assert checked(MESSAGES, run.frames) == []
    content: list[Json] = json.loads(message_of(run.frames))["content"]
    return content


def output(run: Run) -> list[Json]:
    """The output of the response that a stream is, which is well-formed."""
    assert checked(RESPONSES, run.frames) == []
    items: list[Json] = json.loads(response_of(run.frames))["output"]
    return items


def adding(event: Event, before: type) -> MakePolicy:
    """Put something before the first event of a kind."""

    def make() -> Policy:
        done: list[bool] = []

        def policy(given: Event) -> list[Event]:
            fresh = isinstance(given, before) and not done
            done.extend([True] * fresh)
            return [event, given] if fresh else [given]

        return policy

    return make


@pytest.mark.parametrize("policy", [dropping(Text, ToolCall), each_text(lambda text: "")])
def test_an_emptied_answer_says_so(policy: MakePolicy) -> None:
    """Neither vendor takes a message without content."""
    for frames in (FROM_ANTHROPIC["text"], FROM_ANTHROPIC["thinking"]):
        assert blocks(through(MESSAGES, frames, policy))[-1] == {"type": "text", "text": EMPTY}
        body = json.loads(body_through(MESSAGES, message_of(frames), policy).frames[0])
        assert body["content"][-1] == {"type": "text", "text": EMPTY}
    for frames in (FROM_CHAT["text"], FROM_CHAT["reasoning"], FROM_CHAT["refusal"]):
        run = through(CHAT, frames, policy)
        assert checked(CHAT, run.frames) == []
        for body in (completion_of(run.frames), body_through(CHAT, completion_of(frames), policy).frames[0]):
            assert json.loads(body)["choices"][0]["message"]["content"] == EMPTY


@pytest.mark.parametrize(("lens", "frames"), [(MESSAGES, FROM_ANTHROPIC["nothing"]), (CHAT, FROM_CHAT["nothing"])])
def test_an_answer_that_was_empty_stays_so(lens: Lens, frames: list[bytes]) -> None:
    """It is the provider's own."""
    assert through(lens, frames).frames == frames


def test_an_answer_of_thoughts_alone_is_the_providers_own() -> None:
    """Where it ran out of tokens; but not where a policy took the rest."""
    frames = [begin(), *thinking(0, "hm"), *end("max_tokens")]
    assert through(MESSAGES, frames).frames == frames
    assert blocks(through(MESSAGES, FROM_ANTHROPIC["thinking and tool"], dropping(ToolCall)))[-1]["text"] == EMPTY
    items = output(through(RESPONSES, FROM_RESPONSES["reasoning and tool"], dropping(ToolCall)))
    assert [item["type"] for item in items] == ["reasoning", "message"]
    frames = answer(reasoning(0, ("hm",)), status="incomplete", reason="max_output_tokens")
    assert through(RESPONSES, frames).frames == frames


def test_a_text_of_blanks_is_given_something_to_read() -> None:
    """Anthropic refuses white space alone; its own it may have back."""
    frames = [begin(), *text(0, "a", "b"), *end()]
    (said,) = blocks(through(MESSAGES, frames, each_text(lambda text: " \n")))
    assert said["text"].strip() == EMPTY
    (whole,) = json.loads(body_through(MESSAGES, message_of(frames), each_text(lambda text: " \n")).frames[0])[
        "content"
    ]
    assert whole["text"].strip() == EMPTY
    own = [begin(), *text(0, "\n\n"), *tool(1, "t", "Bash", "{}"), *end("tool_use")]
    assert through(MESSAGES, own).frames == own


def test_thinking_that_was_cut_is_marked_and_taken_out_again() -> None:
    """It never got its signature, and no provider would take it back."""
    content = blocks(through(MESSAGES, FROM_ANTHROPIC["thinking"], stopping(1)))
    assert content[0] == {"type": "thinking", "thinking": "hm", "signature": CUT}
    said = {"role": "assistant", "content": content}
    body = json.dumps({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "a"}, said]}).encode()
    assert json.loads(MESSAGES.mended(body))["messages"][1]["content"] == content[1:]
    items = output(through(RESPONSES, FROM_RESPONSES["reasoning"], stopping(1)))
    assert items[0]["encrypted_content"] == CUT
    body = json.dumps({"model": "m", "input": items}).encode()
    assert json.loads(RESPONSES.mended(body))["input"] == items[1:]


def test_whole_thinking_keeps_its_signature_where_a_policy_stops_behind_it() -> None:
    """It is the provider's own."""
    content = blocks(through(MESSAGES, FROM_ANTHROPIC["thinking"], stopping(3)))
    assert content[0]["signature"] == "sig"


def test_a_call_whose_thinking_was_dropped_asks_for_none() -> None:
    """Anthropic, told to think, wants a turn that it goes on with to begin with its thoughts."""
    content = blocks(through(MESSAGES, FROM_ANTHROPIC["thinking and tool"], dropping(Thinking)))
    (use,) = content
    assert use["id"].startswith("tu_1_luthien_")
    whole = body_through(MESSAGES, message_of(FROM_ANTHROPIC["thinking and tool"]), dropping(Thinking))
    assert json.loads(whole.frames[0])["content"][0]["id"] == use["id"]
    flowing = through(MESSAGES, FROM_ANTHROPIC["thinking and tool"], dropping(Thinking), frozenset({Thinking}))
    assert blocks(flowing)[0]["id"] == use["id"]
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use["id"], "content": "ok"}]}
    asked = {
        "model": "m",
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": content}, result],
        "thinking": {"type": "enabled", "budget_tokens": 2048},
        "context_management": {"edits": [{"type": "clear_thinking_20251015"}, {"type": "clear_tool_uses_20250919"}]},
    }
    mended = json.loads(MESSAGES.mended(json.dumps(asked).encode()))
    assert "thinking" not in mended
    assert mended["context_management"] == {"edits": [{"type": "clear_tool_uses_20250919"}]}
    adaptive = json.dumps({**asked, "thinking": {"type": "adaptive"}}).encode()
    assert MESSAGES.mended(adaptive) is adaptive


def test_calls_keep_their_ids_where_the_thinking_stays() -> None:
    """Or where there was none."""
    for name in ("thinking and tool", "tool", "two tools"):
        assert through(MESSAGES, FROM_ANTHROPIC[name]).frames == FROM_ANTHROPIC[name]
        run = through(MESSAGES, FROM_ANTHROPIC[name], dropping(Text))
        assert b"luthien" not in run.stream


@pytest.mark.parametrize(("drop", "kinds"), [("server_tool_use", []), ("web_search_tool_result", ["error"])])
def test_a_servers_call_and_its_result_go_together(drop: str, kinds: list[str]) -> None:
    """A result alone is dropped; a call alone gets the result that the provider reports its own failures by."""
    policy = lambda: lambda event: [] if isinstance(event, Opaque) and event.kind == drop else [event]  # noqa: E731
    run = through(MESSAGES, SEARCHED, policy)
    whole = json.loads(body_through(MESSAGES, message_of(SEARCHED), policy).frames[0])["content"]
    for content in (blocks(run), whole):
        kept = [one["type"] for one in content if one["type"] != "text"]
        assert kept == ["server_tool_use", "web_search_tool_result"] * len(kinds)
        assert [one["content"]["type"] for one in content if one["type"].endswith("result")] == [
            "web_search_tool_result_error" for _ in kinds
        ]


def test_a_servers_call_is_answered_where_a_policy_stops() -> None:
    """And nothing stands between the two, whoever sees them."""
    content = blocks(through(MESSAGES, SEARCHED, stopping(1)))
    assert [one["type"] for one in content] == ["server_tool_use", "web_search_tool_result", "text"]
    content = blocks(through(MESSAGES, SEARCHED, adding(Text("(between)"), Opaque)))
    assert [one["type"] for one in content] == ["text", "server_tool_use", "web_search_tool_result", "text"]
    content = blocks(through(MESSAGES, SEARCHED, dropping(Text), frozenset({Text, End})))
    assert [one["type"] for one in content] == ["server_tool_use", "web_search_tool_result"]
    paused = [begin(), *USE, *end("pause_turn")]
    assert through(MESSAGES, paused).frames == paused


def test_a_call_of_a_policy_waits_for_what_must_come_before() -> None:
    """Thinking and text stay; calls stay in the order that they were made in."""
    content = blocks(through(MESSAGES, FROM_ANTHROPIC["thinking and tool"], adding(CALL, Thinking)))
    assert [one.get("id", one["type"]) for one in content] == ["thinking", "call_own", "tu_1"]
    content = blocks(through(MESSAGES, FROM_ANTHROPIC["text"], adding(CALL, Text)))
    assert [one["type"] for one in content] == ["text", "tool_use"]


def test_the_calls_that_wait_are_bounded() -> None:
    """A policy that makes them without end fails."""
    framer = MESSAGES.framer(MESSAGES.decoder(frozenset()))
    for _ in range(256):
        framer.write(CALL)
    with pytest.raises(FrameError, match="256 tool calls"):
        framer.write(CALL)


def test_an_item_without_its_reasoning_has_an_id_of_our_own() -> None:
    """Under its own id, OpenAI would miss the reasoning."""
    frames = answer(reasoning(0, ("hm",)), message(1, "Yes."), function(2, "call_1", "Bash", "{}"))
    streamed = output(through(RESPONSES, frames, dropping(Thinking)))
    whole = json.loads(body_through(RESPONSES, response_of(frames), dropping(Thinking)).frames[0])["output"]
    flowing = output(through(RESPONSES, frames, dropping(Thinking), frozenset({Thinking})))
    for items in (streamed, whole, flowing):
        assert [item["id"] for item in items] == ["msg_luthien_01_00", "fc_luthien_01_01"]
        assert [item["type"] for item in items] == ["message", "function_call"]


@pytest.mark.parametrize(
    ("policy", "ids"),
    [
        (dropping(Text), ["fc_luthien_01_01"]),
        (dropping(Text, ToolCall), ["msg_luthien_01_01"]),
        (adding(Text("Hm. "), Text), ["msg_luthien_01_01", None, None]),
        (first("Note: "), ["msg_luthien_01_00", "rs_0", "msg_1", "fc_2"]),
    ],
)
def test_reasoning_that_lost_its_item_is_taken_out_of_the_next_request(
    policy: MakePolicy, ids: list[str | None]
) -> None:
    """And the ids by which it would be missed; where it kept it, nothing is."""
    frames = answer(reasoning(0, ("hm",)), message(1, "Yes."), function(2, "call_1", "Bash", "{}"))
    items = output(through(RESPONSES, frames, policy))
    done: Json = {"type": "function_call_output", "call_id": "call_1", "output": "ok"}
    body = json.dumps({"model": "m", "input": [{"role": "user", "content": "a"}, *items, done]}).encode()
    assert [item.get("id") for item in json.loads(RESPONSES.mended(body))["input"][1:-1]] == ids


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","messages":[{"role":"user","content":"hi"}],"input":[]}',
        b'{"model":"m","messages":[{"role":"user","content":"luthien/cut"}],"input":"_luthien_0"}',
        b'{"messages":[{"role":"assistant","content":"_luthien_"}],"input":[3,"luthien/cut"]}',
        b'{"messages":["luthien/cut"],"input":{"a":"luthien/cut"}}',
        b'["luthien/cut"]',
        b"luthien/cut \xff",
    ],
)
@pytest.mark.parametrize("lens", LENSES.values(), ids=LENSES)
def test_a_request_without_marks_is_left_alone(lens: Lens, body: bytes) -> None:
    """The very same object, also where it is no request at all."""
    assert lens.mended(body) is body


@pytest.mark.parametrize("lens", LENSES.values(), ids=LENSES)
def test_bytes_that_are_no_text_are_refused(lens: Lens) -> None:
    """Also in a field that nobody reads: what reads it later would fail without a type."""
    with pytest.raises(ProtocolError, match="UTF-8"):
        lens.decoder(frozenset()).frame(b'data: {"type":"x","y":"\xff"}\n\n')
    with pytest.raises(ProtocolError, match="UTF-8"):
        lens.body_decoder().frame(b'{"x":"\xff"}')
    with pytest.raises(RequestError):
        lens.request(b'{"model":"m","x":"\xff","messages":[],"input":[]}')


@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_nor_are_they_converted(client: str, provider: str) -> None:
    """Streamed and not."""
    conversion = Conversion(client, provider)
    conversion.request(json.dumps(HELLO[client]).encode(), "m")
    with pytest.raises(ProtocolError, match="UTF-8"):
        conversion.stream().frame(b'data: {"x":"\xff"}\n\n')
    with pytest.raises(ProtocolError, match="UTF-8"):
        conversion.body(b'{"x":"\xff"}')


def test_a_citation_is_no_text_to_read() -> None:
    """What a policy left of a cited text that it blanked is filled in too."""
    citation = delta(0, "citations_delta", citation={"type": "char_location", "cited_text": "x"})
    frames = [begin(), *text(0, "a")[:-1], citation, text(0)[-1], *end()]
    (said,) = blocks(through(MESSAGES, frames, each_text(lambda text: " ")))
    assert said["text"].strip() == EMPTY
