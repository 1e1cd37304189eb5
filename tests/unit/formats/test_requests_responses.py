"""Requests for responses: items of many kinds, one view; edits keep every other byte; what cannot be read is named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthien_stream.formats.errors import EditError, RequestError
from tests.unit.formats.drive import RESPONSES
from tests.unit.formats.test_requests import part, seen, wild

BODY = b"""{ "model": "gpt-x", "temperature": 0.10, "store": false, "stream": true,
 "instructions": "Be good.", "max_output_tokens": 50, "metadata": {"n": 12345678901234567890, "t": "\\u2602"},
 "tools": [{"type": "function", "name": "Bash", "description": "d", "parameters": {"x": 1.0}, "strict": true},
  {"type": "custom", "name": "sql"}, {"type": "local_shell"},
  {"type": "namespace", "name": "space", "tools": [{"type": "function", "name": "Deep", "parameters": {}}]}],
 "tool_choice": {"type": "function", "name": "Bash"}, "parallel_tool_calls": true,
 "input": [
  {"role": "developer", "content": "Be brief."},
  {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "List it."},
   {"type": "input_image", "image_url": "u"}, {"type": "input_file", "file_id": "f"}]},
  {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "x"},
  {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [
   {"type": "output_text", "text": "Yes.", "annotations": [], "n": 1.50}, {"type": "refusal", "refusal": "No."}]},
  {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "Bash", "arguments": "{\\"command\\": \\"ls\\"}"},
  {"type": "custom_tool_call", "call_id": "c2", "name": "sql", "input": "SELECT 1"},
  {"type": "local_shell_call", "id": "l1", "call_id": "c3", "action": {"type": "exec",  "command": ["ls"], "n": 1.0}},
  {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
  {"type": "function_call_output", "call_id": "c1", "output": "a.txt"},
  {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "1 row"},
   {"type": "input_image", "image_url": "v"}]},
  {"type": "local_shell_call_output", "id": "c3", "output": "b.txt"},
  {"type": "shell_call_output", "call_id": "c9", "output": [{"stdout": "out", "stderr": "err", "outcome": {}}]},
  {"type": "item_reference", "id": "msg_0"},
  {"role": "user", "content": "And?"}
 ], "x_unknown": {"a":  [1,2]} }"""


def plain(**fields: Any) -> bytes:
    """A small request."""
    return json.dumps({"model": "m", **fields}).encode()


def test_an_unedited_request_is_the_same_object() -> None:
    """Reading all of a request, or setting what it has, does not change its bytes."""
    request = RESPONSES.request(BODY)
    assert request.messages
    same = request.set_model(request.model).set("stream", True)
    for one in request.parts():
        same = same.replace(one, one.text) if one.kind in ("text", "tool_result", "tool_call") else same
    assert same.body is BODY
    assert not same.changed


def test_every_item_has_a_part() -> None:
    """In order, with the names of the tools that results answer."""
    request = RESPONSES.request(BODY)
    assert (request.model, request.streamed, request.max_tokens, request.choices) == ("gpt-x", True, 50, 1)
    assert seen(request) == [
        ("system", "text", "Be good.", ""),
        ("developer", "text", "Be brief.", ""),
        ("user", "text", "List it.", ""),
        ("user", "image", "", ""),
        ("user", "other", "", "input_file"),
        ("assistant", "thinking", "hm", ""),
        ("assistant", "text", "Yes.", ""),
        ("assistant", "text", "No.", ""),
        ("assistant", "tool_call", '{"command": "ls"}', "Bash"),
        ("assistant", "tool_call", "SELECT 1", "sql"),
        ("assistant", "tool_call", '{"type":"exec","command":["ls"],"n":1.0}', "local_shell"),
        ("assistant", "other", "", "web_search_call"),
        ("tool", "tool_result", "a.txt", "Bash"),
        ("tool", "tool_result", "1 row", "sql"),
        ("tool", "image", "", "sql"),
        ("tool", "tool_result", "b.txt", "local_shell"),
        ("tool", "tool_result", "out", ""),
        ("tool", "tool_result", "err", ""),
        ("user", "other", "", "item_reference"),
        ("user", "text", "And?", ""),
    ]
    assert [one.new for one in request.parts()] == [False] * 12 + [True] * 8


def test_the_chat_view() -> None:
    """Calls belong to the assistant's message before them; each result is a message."""
    request = RESPONSES.request(BODY)
    system, developer, user, assistant, *results, last = request.messages
    assert system == {"role": "system", "content": "Be good."}
    assert developer == {"role": "developer", "content": "Be brief."}
    assert user["content"][:2] == [
        {"type": "text", "text": "List it."},
        {"type": "image_url", "image_url": {"url": "u"}},
    ]
    assert assistant["content"] == "Yes.\nNo."
    assert [call[call["type"]]["name"] for call in assistant["tool_calls"]] == ["Bash", "sql", "local_shell"]
    assert [(result["tool_call_id"], result["content"]) for result in results] == [
        ("c1", "a.txt"),
        ("c2", "1 row"),
        ("c3", "b.txt"),
        ("c9", "out\nerr"),
    ]
    assert last == {"role": "user", "content": "And?"}
    function = {"name": "Bash", "description": "d", "parameters": {"x": 1.0}, "strict": True}
    assert request.tools[0] == {"type": "function", "function": function}
    assert [tool["type"] for tool in request.tools] == ["function", "custom", "local_shell", "namespace"]


@pytest.mark.parametrize("said", [{}, {"input": None}, {"input": []}, {"previous_response_id": "resp_1"}])
def test_there_may_be_no_input(said: dict[str, Any]) -> None:
    """The history may be the provider's, or a prompt of theirs."""
    request = RESPONSES.request(plain(**said))
    assert (list(request.parts()), list(request.messages)) == ([], [])
    added = request.add_user("a").add_user("b").add_system("c")
    assert [one.text for one in added.parts()] == ["c", "a", "b"]


def test_a_bare_text_is_the_users_message() -> None:
    """It is seen, replaced and added to."""
    request = RESPONSES.request(plain(input="hi"))
    assert seen(request) == [("user", "text", "hi", "")]
    assert request.messages == [{"role": "user", "content": "hi"}]
    assert request.replace(request.parts()[0], "ho").get("input") == "ho"
    assert [one.text for one in request.add_user("b").parts()] == ["hi", "b"]
    with pytest.raises(EditError, match="only message"):
        request.drop(request.parts()[0])
    listed = RESPONSES.request(plain(input=[{"role": "user", "content": "a"}]))
    with pytest.raises(EditError, match="only message"):
        listed.drop(listed.parts()[0])


def test_an_edit_keeps_all_other_bytes() -> None:
    """Numbers, escapes, spaces inside values, order and unknown fields stay as they were."""
    request = RESPONSES.request(BODY)
    body = request.replace(part(request, "text", "assistant"), "Never.").set_model("gpt-y").body
    for kept in (
        b'"temperature":0.10',
        b'{"n": 12345678901234567890, "t": "\\u2602"}',
        b'{"a":  [1,2]}',
        b'{"type": "exec",  "command": ["ls"], "n": 1.0}',
        b'{"type": "output_text", "text": "Yes.", "annotations": [], "n": 1.50}',
        b'"encrypted_content": "x"',
    ):
        assert kept in body
    before, after = json.loads(BODY), json.loads(body)
    assert list(before) == list(after)
    before["model"], before["input"][3]["content"][1]["refusal"] = "gpt-y", "Never."
    assert before == after


def test_arguments_are_replaced_as_each_kind_spells_them() -> None:
    """Text with JSON in it, free text, or JSON of its own."""
    request = RESPONSES.request(BODY)
    function, custom, shell = (one for one in request.parts() if one.kind == "tool_call")
    assert request.replace(function, '{"a": 1}').get("input")[4]["arguments"] == '{"a": 1}'
    assert request.replace(custom, "SELECT 2").get("input")[5]["input"] == "SELECT 2"
    assert b'"action":{"a": 1.0}' in request.replace(shell, '{"a": 1.0}').body
    for one in (function, shell):
        with pytest.raises(EditError, match="JSON"):
            request.replace(one, "{")


def test_an_instruction_goes_where_the_others_are() -> None:
    """Into the field, or behind the messages that instruct."""
    assert RESPONSES.request(BODY).add_system("Really.").get("instructions") == "Be good.\n\nReally."
    listed = RESPONSES.request(plain(input=[{"role": "developer", "content": "a"}, {"role": "user", "content": "b"}]))
    assert listed.add_system("c").get("input")[1] == {"role": "developer", "content": "c"}
    assert RESPONSES.request(plain(input="a")).add_system("c").get("instructions") == "c"


def test_a_tool_is_taken_away_with_the_choice_of_it() -> None:
    """By name, by type, out of a namespace; with the last one its settings go."""
    request = RESPONSES.request(BODY)
    less = request.drop_tool("Bash")
    assert [tool.get("name") for tool in less.get("tools")] == ["sql", None, "space"]
    assert less.get("tool_choice") is None
    assert request.drop_tool("Deep").get("tools")[3]["tools"] == []
    assert request.drop_tool("Nothing").body is BODY
    none = less.drop_tool("sql").drop_tool("local_shell").drop_tool("space")
    assert (none.get("tools"), none.get("parallel_tool_calls")) == (None, None)
    tools = [{"type": "function", "name": "a"}, {"type": "function", "name": "b"}]
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": tools}
    request = RESPONSES.request(plain(input="x", tools=tools, tool_choice=allowed)).drop_tool("a")
    assert request.get("tool_choice")["tools"] == tools[1:]


def test_what_the_provider_would_refuse_is_not_done() -> None:
    """A result, a call that has one, and reasoning stay; other parts go, with their item if nothing else is in it."""
    request = RESPONSES.request(BODY)
    for kind in ("tool_result", "thinking"):
        with pytest.raises(EditError):
            request.drop(part(request, kind))
    with pytest.raises(EditError, match="has a result"):
        request.drop(next(one for one in request.parts() if one.kind == "tool_call"))
    assert len(request.drop(request.parts()[-1]).get("input")) == 13
    assert len(request.drop(part(request, "text", "assistant")).get("input")[3]["content"]) == 1
    assert request.drop(request.parts()[0]).get("instructions") is None
    assert request.set_max_tokens(9).get("max_output_tokens") == 9


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"input": 3}, "input"),
        ({"input": [3]}, "input[0]"),
        ({"input": [{}]}, "input[0]"),
        ({"input": [{"type": 3}]}, "input[0]"),
        ({"input": [{"role": "user", "content": 3}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": ["a"]}]}, "input[0].content"),
        ({"input": [{"type": "function_call_output", "output": ["a"]}]}, "input[0].output"),
        ({"instructions": 3}, "instructions"),
        ({"stream": "yes"}, "stream"),
        ({"tools": {}}, "tools"),
        ({"max_output_tokens": "9"}, "max_output_tokens"),
        ({"previous_response_id": 3}, "previous_response_id"),
    ],
    ids=str,
)
def test_a_bad_request_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    """The error says which field is at fault."""
    with pytest.raises(RequestError) as caught:
        RESPONSES.request(plain(**fields))
    assert caught.value.param == param
    assert param in str(caught.value)


def test_an_input_given_twice_is_refused() -> None:
    """Which one counts differs between parsers."""
    with pytest.raises(RequestError, match="more than once"):
        RESPONSES.request(b'{"model":"m","input":"a","input":"b"}')


TYPES = [
    "message",
    "reasoning",
    "function_call",
    "custom_tool_call",
    "shell_call",
    "computer_call",
    "x_output",
    "other",
]
FIELDS = ["role", "content", "arguments", "input", "action", "actions", "output", "summary", "call_id", "id", "name"]
odd_items = st.tuples(st.sampled_from(TYPES), st.dictionaries(st.sampled_from(FIELDS), wild, max_size=4))


@given(st.lists(odd_items, max_size=3), wild, wild)
def test_odd_requests_are_read_or_refused(found: list[Any], instructions: Any, tools: Any) -> None:
    """Whatever a client sends, reading it gives parts or a typed error, and it passes unedited."""
    said = [{"type": type, **fields} for type, fields in found]
    body = plain(input=said, instructions=instructions, tools=tools)
    try:
        request = RESPONSES.request(body)
    except RequestError:
        return
    assert request.parts() is not None
    assert request.messages is not None
    assert request.tools is not None
    assert request.drop_tool("a").body is not None
    assert request.add_system("a").add_user("b").changed
    assert request.body is body
