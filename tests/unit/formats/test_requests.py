"""Requests: what cannot be read is refused by name, what is not edited stays byte for byte."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthien_stream.core.lens import Lens, Request, RequestPart
from luthien_stream.formats.errors import EditError, RequestError
from tests.unit.formats.drive import CHAT, MESSAGES

LENSES = pytest.mark.parametrize("lens", [MESSAGES, CHAT], ids=["anthropic", "chat"])
TOOL = {"type": "function", "function": {"name": "Bash", "parameters": {"type": "object"}, "strict": True}}
CALL = {"id": "c1", "type": "function", "function": {"name": "Bash", "arguments": '{"command": "ls"}'}}
ANTHROPIC = b"""{ "model": "claude-x", "temperature": 0.10,
 "metadata": {"user_id":"\\u2602", "n": 12345678901234567890},
 "max_tokens": 100, "stream": true,
 "system": [{"type": "text", "text": "Be good.", "cache_control": {"type": "ephemeral"}}],
 "tools": [{"name": "Bash", "description": "d", "input_schema": {"x": 1.0}}, {"name": "Read", "input_schema": {}}],
 "tool_choice": {"type": "tool", "name": "Bash"},
 "messages": [
  {"role": "user", "content": "List it."},
  {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "s"},
    {"type": "text", "text": "Yes."},
    {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls", "n": 1.50}}]},
  {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [
    {"type": "text", "text": "a.txt"},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}}]},
    {"type": "text", "text": "And?"}, {"type": "document", "source": {"type": "text", "data": "doc"}}]}
 ], "x_unknown": {"a":  [1,2]} }"""
CHATTING = json.dumps(
    {
        "model": "gpt-x",
        "max_tokens": 50,
        "stream_options": {"include_usage": True},
        "stream": True,
        "tools": [TOOL],
        "tool_choice": "auto",
        "messages": [
            {"role": "developer", "content": "Be good."},
            {
                "role": "user",
                "content": [{"type": "text", "text": "List it."}, {"type": "image_url", "image_url": {"url": "u"}}],
            },
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": "a.txt"},
            {"role": "user", "content": "And?"},
        ],
    }
).encode()
BODIES = {"anthropic": (MESSAGES, ANTHROPIC), "chat": (CHAT, CHATTING)}


def seen(request: Request) -> list[tuple[str, str, str, str]]:
    """What a policy sees of the parts."""
    return [(part.role, part.kind, part.text, part.name) for part in request.parts()]


def part(request: Request, kind: str, role: str = "") -> RequestPart:
    """The last part of a kind."""
    return [p for p in request.parts() if p.kind == kind and role in ("", p.role)][-1]


@pytest.mark.parametrize("name", BODIES)
def test_an_unedited_request_is_the_same_object(name: str) -> None:
    """Reading all of a request, or setting what it has, does not change its bytes."""
    lens, body = BODIES[name]
    request = lens.request(body)
    assert request.parts()
    assert request.messages
    assert request.tools
    same = request.set_model(request.model).set("stream", True)
    for part in request.parts():
        same = same.replace(part, part.text) if part.kind in ("text", "tool_result") else same
    assert same.body is body
    assert not same.changed


def test_the_view_of_an_anthropic_request() -> None:
    """Everything in it has a part, in order."""
    request = MESSAGES.request(ANTHROPIC)
    assert (request.model, request.streamed, request.max_tokens, request.choices) == ("claude-x", True, 100, 1)
    assert seen(request) == [
        ("system", "text", "Be good.", ""),
        ("user", "text", "List it.", ""),
        ("assistant", "thinking", "hm", ""),
        ("assistant", "text", "Yes.", ""),
        ("assistant", "tool_call", '{"command":"ls","n":1.5}', "Bash"),
        ("user", "tool_result", "a.txt", "Bash"),
        ("user", "image", "", "Bash"),
        ("user", "text", "And?", ""),
        ("user", "other", "doc", ""),
    ]
    assert [p.new for p in request.parts()] == [False] * 5 + [True] * 4
    assert request.get("x_unknown") == {"a": [1, 2]}
    assert request.get("nothing") is None


def test_the_chat_view_of_an_anthropic_request() -> None:
    """Policies read one shape, whatever the wire."""
    request = MESSAGES.request(ANTHROPIC)
    system, user, assistant, tool, last = request.messages
    assert system == {"role": "system", "content": "Be good."}
    assert user == {"role": "user", "content": "List it."}
    assert assistant["content"] == "Yes."
    assert assistant["tool_calls"][0]["function"]["name"] == "Bash"
    assert tool == {"role": "tool", "tool_call_id": "t1", "content": "a.txt"}
    assert last["content"][0] == {"type": "text", "text": "And?"}
    assert request.tools[0]["function"] == {"name": "Bash", "description": "d", "parameters": {"x": 1.0}}


def test_the_view_of_a_chat_request() -> None:
    """Everything in it has a part, in order."""
    request = CHAT.request(CHATTING)
    assert (request.model, request.streamed, request.max_tokens, request.choices) == ("gpt-x", True, 50, 1)
    assert seen(request) == [
        ("developer", "text", "Be good.", ""),
        ("user", "text", "List it.", ""),
        ("user", "image", "", ""),
        ("assistant", "tool_call", '{"command": "ls"}', "Bash"),
        ("tool", "tool_result", "a.txt", "Bash"),
        ("user", "text", "And?", ""),
    ]
    assert [p.new for p in request.parts()] == [False] * 4 + [True] * 2


def test_an_edit_keeps_all_other_bytes() -> None:
    """Numbers, escapes, spaces inside values, order and unknown fields stay as they were."""
    request = MESSAGES.request(ANTHROPIC)
    body = request.replace(part(request, "tool_result"), "b.txt").set_model("claude-y").body
    for kept in (
        b'"temperature":0.10',
        b'{"user_id":"\\u2602", "n": 12345678901234567890}',
        b'{"a":  [1,2]}',
        b'{"command": "ls", "n": 1.50}',
        b'{"type": "thinking", "thinking": "hm", "signature": "s"}',
        b'[{"name": "Bash", "description": "d", "input_schema": {"x": 1.0}}',
    ):
        assert kept in body
    before, after = json.loads(ANTHROPIC), json.loads(body)
    assert list(before) == list(after)
    before["model"] = "claude-y"
    before["messages"][2]["content"][0]["content"][0]["text"] = "b.txt"
    assert before == after


def test_edits_are_new_requests() -> None:
    """The request that is edited stays as it is."""
    request = MESSAGES.request(ANTHROPIC)
    edited = request.set_max_tokens(7).set("top_k", 3)
    assert (request.max_tokens, edited.max_tokens, edited.get("top_k")) == (100, 7, 3)
    assert edited.changed
    assert request.body is ANTHROPIC


@LENSES
def test_many_parts_are_replaced_at_once(lens: Lens) -> None:
    """The bytes are those of one edit after the other; an edit that changes nothing is none."""
    said = [{"role": role, "content": text} for role, text in (("user", "a"), ("assistant", "b"), ("user", "c"))]
    body = json.dumps({"x": [1.50, 2], "model": "m", "max_tokens": 9, "messages": said, "input": said}, indent=1)
    request = lens.request(body.encode())
    first, second, third = request.parts()
    at_once = request.replace_all([(first, "A"), (second, "b"), (third, "C")])
    assert at_once.body == request.replace(first, "A").replace(third, "C").body
    assert [part.text for part in at_once.parts()] == ["A", "b", "C"]
    assert request.replace_all([(first, "a")]) is request
    with pytest.raises(EditError, match="latest request"):
        at_once.replace_all([(first, "B")])


def test_an_instruction_goes_behind_the_cached_ones() -> None:
    """A new instruction never moves what the provider has cached."""
    added = MESSAGES.request(ANTHROPIC).add_system("Really.").get("system")
    assert [block["text"] for block in added] == ["Be good.", "Really."]
    assert (
        MESSAGES.request(b'{"model":"m","messages":[{"role":"user","content":"a"}]}').add_system("b").get("system")
        == "b"
    )
    text = MESSAGES.request(b'{"model":"m","system":"a","messages":[{"role":"user","content":"a"}]}').add_system("b")
    assert text.get("system") == "a\n\nb"
    chat = CHAT.request(CHATTING).add_system("Really.")
    assert chat.messages[1] == {"role": "developer", "content": "Really."}
    plain = CHAT.request(b'{"model":"m","messages":[{"role":"user","content":"a"}]}').add_system("b")
    assert plain.messages[0] == {"role": "system", "content": "b"}


def test_a_users_text_goes_last() -> None:
    """It joins the user's last turn where one turn follows another only in pairs."""
    assert MESSAGES.request(ANTHROPIC).add_user("Now.").parts()[-1].text == "Now."
    text = MESSAGES.request(b'{"model":"m","messages":[{"role":"user","content":"a"}]}').add_user("b")
    assert [p.text for p in text.parts()] == ["a", "b"]
    assert len(text.get("messages")) == 1
    turn = MESSAGES.request(b'{"model":"m","messages":[{"role":"assistant","content":"a"}]}').add_user("b")
    assert turn.get("messages")[1] == {"role": "user", "content": "b"}
    assert CHAT.request(CHATTING).add_user("Now.").messages[-1] == {"role": "user", "content": "Now."}


def test_a_tool_is_taken_away_with_the_choice_of_it() -> None:
    """What is left is what the provider takes."""
    request = MESSAGES.request(ANTHROPIC).drop_tool("Bash")
    assert [tool["name"] for tool in request.get("tools")] == ["Read"]
    assert request.get("tool_choice") is None
    chat = CHAT.request(CHATTING).drop_tool("Bash")
    assert (chat.get("tools"), chat.get("tool_choice")) == (None, None)
    assert CHAT.request(CHATTING).drop_tool("Nothing").body is CHATTING


def test_parts_can_be_dropped() -> None:
    """A part goes, and its message if nothing else is in it."""
    request = MESSAGES.request(ANTHROPIC)
    assert "And?" not in [p.text for p in request.drop(part(request, "text")).parts()]
    assert request.drop(part(request, "text", "system")).get("system") is None
    assert len(request.drop(request.parts()[1]).get("messages")) == 2
    chat = CHAT.request(CHATTING)
    assert len(chat.drop(part(chat, "text")).messages) == 4
    assert chat.drop(part(chat, "image")).messages[1]["content"] == [{"type": "text", "text": "List it."}]
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "tool_calls": [CALL]}],
    }
    chat = CHAT.request(json.dumps(body).encode())
    assert chat.drop(part(chat, "tool_call")).messages[1] == {"role": "assistant", "content": "b"}
    assert chat.drop(part(chat, "text", "assistant")).messages[1] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [CALL],
    }


@pytest.mark.parametrize("name", BODIES)
def test_what_the_provider_would_refuse_is_not_done(name: str) -> None:
    """A result, a call that has one, signed thinking, the only message, and parts of another request stay."""
    lens, body = BODIES[name]
    request = lens.request(body)
    kinds = ["tool_result", "tool_call"] + (["thinking"] if name == "anthropic" else [])
    for kind in kinds:
        with pytest.raises(EditError):
            request.drop(part(request, kind))
    with pytest.raises(EditError, match="another text"):
        request.replace(part(request, "image"), "x")
    with pytest.raises(EditError, match="JSON"):
        request.replace(part(request, "tool_call"), "{")
    with pytest.raises(EditError, match="latest"):
        request.add_user("x").drop(part(request, "text")).drop(part(request, "text"))
    only = lens.request(b'{"model":"m","messages":[{"role":"user","content":"a"}]}')
    with pytest.raises(EditError, match="only message"):
        only.drop(only.parts()[0])


def test_arguments_of_a_call_can_be_replaced() -> None:
    """In each format as that spells them."""
    request = MESSAGES.request(ANTHROPIC)
    assert b'"input":{"a": 1.0}' in request.replace(part(request, "tool_call"), '{"a": 1.0}').body
    chat = CHAT.request(CHATTING)
    arguments = chat.replace(part(chat, "tool_call"), '{"a": 1.0}').messages[2]["tool_calls"][0]["function"][
        "arguments"
    ]
    assert arguments == '{"a": 1.0}'


def test_the_limit_is_set_where_the_client_has_it() -> None:
    """Old and new names of the bound are told apart."""
    assert CHAT.request(CHATTING).set_max_tokens(3).get("max_tokens") == 3
    new = CHAT.request(b'{"model":"m","messages":[{"role":"user","content":"a"}]}').set_max_tokens(3)
    assert (new.get("max_completion_tokens"), new.max_tokens) == (3, 3)


BAD: list[tuple[bytes, str]] = [
    (b"", ""),
    (b"{", ""),
    (b"[]", ""),
    (b"null", ""),
    (b"\xff", ""),
    (b"[" * 100_000, ""),
    (b"{}", "model"),
    (b'{"model": 3, "messages": []}', "model"),
    (b'{"model": "", "messages": []}', "model"),
    (b'{"model": "m"}', "messages"),
    (b'{"model": "m", "messages": null}', "messages"),
    (b'{"model": "m", "messages": "hi"}', "messages"),
    (b'{"model": "m", "messages": []}', "messages"),
    (b'{"model": "m", "messages": [3]}', "messages[0]"),
    (b'{"model": "m", "messages": [{"content": "a"}]}', "messages[0]"),
    (b'{"model": "m", "messages": [{"role": "user", "content": 3}]}', "messages[0].content"),
    (b'{"model": "m", "messages": [{"role": "user", "content": ["a"]}]}', "messages[0].content"),
    (b'{"model": "m", "stream": "yes", "messages": [{"role": "user", "content": "a"}]}', "stream"),
    (b'{"model": "m", "tools": {}, "messages": [{"role": "user", "content": "a"}]}', "tools"),
    (b'{"model": "m", "max_tokens": "9", "messages": [{"role": "user", "content": "a"}]}', "max_tokens"),
    (b'{"model": "m", "max_tokens": true, "messages": [{"role": "user", "content": "a"}]}', "max_tokens"),
    (
        b'{"model":"m","messages":[{"role":"user","content":"a"}],"messages":[{"role":"user","content":"b"}]}',
        "messages",
    ),
    (b'{"model":"m","messages":[{"role":"user","content":"a"}],"mod\\u0065l":"other"}', "model"),
]


@LENSES
@pytest.mark.parametrize(("body", "param"), BAD, ids=lambda value: str(value)[:60])
def test_a_bad_request_is_refused_by_name(lens: Lens, body: bytes, param: str) -> None:
    """The error says which field is at fault."""
    with pytest.raises(RequestError) as caught:
        lens.request(body)
    assert caught.value.param == param
    assert param in str(caught.value)
    assert caught.value.status == 400


@pytest.mark.parametrize("calls", [b"true", b"{}", b'"a"', b"0", b'["a"]', b"[null]"])
def test_tool_calls_that_cannot_be_shown_are_refused(calls: bytes) -> None:
    """A chat message whose calls are no array of objects is refused by name: policies could not read them."""
    body = b'{"model":"m","messages":[{"role":"assistant","tool_calls":%s}]}' % calls
    with pytest.raises(RequestError) as caught:
        CHAT.request(body)
    assert caught.value.param == "messages[0].tool_calls"


def test_lone_surrogates_pass() -> None:
    """A body that only lenient parsers read is shown, passes unedited, and can be edited."""
    body = b'{"model":"m","messages":[{"role":"user","content":"a\\ud83d"},{"role":"user","content":"b"}]}'
    for lens in (MESSAGES, CHAT):
        request = lens.request(body)
        assert request.body is body
        assert request.parts()[0].text == "a\ud83d"
        edited = request.replace(request.parts()[1], "c").set_model("x").body
        assert b"a\\ud83d" in edited
        assert json.loads(edited)["messages"][1]["content"] == "c"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [
    "model",
    "messages",
    "system",
    "tools",
    "stream",
    "max_tokens",
    "n",
    "role",
    "content",
    "type",
    "text",
    "tool_calls",
]
wild = st.recursive(
    json_values | st.sampled_from(["tool_use", "text", "tool_result", "user", "assistant"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=15,
)


@LENSES
@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), wild, max_size=4), max_size=3), wild, wild)
def test_odd_requests_are_read_or_refused(lens: Lens, messages: list[Any], system: Any, tools: Any) -> None:
    """Whatever a client sends, reading it gives parts or a typed error, and it passes unedited."""
    turns = [{"role": "user", **message} for message in messages]
    body = json.dumps({"model": "m", "messages": turns, "system": system, "tools": tools}).encode()
    try:
        request = lens.request(body)
    except RequestError:
        return
    assert request.parts() is not None
    assert request.messages is not None
    assert request.tools is not None
    assert request.drop_tool("a").body is not None
    assert request.add_system("a").add_user("b").changed
    assert request.body is body
