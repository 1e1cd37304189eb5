"""Tools that only OpenAI has: functions to others, and what they were to the client."""

from __future__ import annotations

import json
from typing import Any

import pytest

from luthien_stream.formats.convert import Conversion
from tests.unit.formats.convert.pairs import ANTHROPIC, CHAT, HELLO, RESPONSES, begun, data_of_frames, sent, streamed
from tests.unit.formats.convert.scenarios_responses import call as function
from tests.unit.formats.convert.scenarios_responses import custom, whole
from tests.unit.formats.scenarios_anthropic import begin, end, tool
from tests.unit.formats.scenarios_chat import DONE, call, chunk

PATCH = "*** Begin Patch\n+\u00fc\n"
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}
TOOLS: list[Any] = [
    {"type": "custom", "name": "apply_patch", "description": "Patches.", "format": GRAMMAR},
    {"type": "local_shell"},
    {
        "type": "namespace",
        "name": "agents",
        "description": "Agents.",
        "tools": [{"type": "function", "name": "spawn", "description": "Spawns.", "parameters": {"type": "object"}}],
    },
]
CALLS = {
    "apply_patch": json.dumps({"input": PATCH}),
    "local_shell": '{"command":["ls","-l"],"timeout_ms":5}',
    "agents__spawn": '{"a":1}',
}


def answer(provider: str) -> list[bytes]:
    """An answer that calls all of them."""
    if provider == ANTHROPIC:
        blocks = [tool(at, f"t{at}", name, text[:5], text[5:]) for at, (name, text) in enumerate(CALLS.items())]
        return [begin(), *[frame for block in blocks for frame in block], *end("tool_use")]
    frames = [
        chunk(call(at, id=f"t{at}", type="function", function={"name": name, "arguments": text}))
        for at, (name, text) in enumerate(CALLS.items())
    ]
    return [*frames, chunk({}, "tool_calls"), DONE]


@pytest.mark.parametrize("provider", [ANTHROPIC, CHAT])
def test_they_are_offered_as_functions(provider: str) -> None:
    """With one argument for free input, and the grammar in words."""
    offered = sent(RESPONSES, provider, {**HELLO[RESPONSES], "tools": TOOLS})["tools"]
    functions = [tool.get("function", tool) for tool in offered]
    assert [function["name"] for function in functions] == list(CALLS)
    schemas = [function.get("parameters") or function["input_schema"] for function in functions]
    assert [schema.get("required") for schema in schemas] == [["input"], ["command"], None]
    assert "start: /.+/" in functions[0]["description"]
    assert functions[2]["description"] == "Agents.\n\nSpawns."


@pytest.mark.parametrize("provider", [ANTHROPIC, CHAT])
def test_the_client_gets_its_own_calls(provider: str) -> None:
    """Under their own types, in a stream as in a body, with the deltas that belong to them."""
    frames = data_of_frames(streamed(begun(RESPONSES, provider, tools=TOOLS), answer(provider)))
    items = frames[-1]["response"]["output"]
    assert [frame["item"] for frame in frames if frame["type"] == "response.output_item.done"] == items
    assert [item["type"] for item in items] == ["custom_tool_call", "local_shell_call", "function_call"]
    assert items[0]["input"] == PATCH
    assert items[1]["action"] == {"type": "exec", "env": {}, "command": ["ls", "-l"], "timeout_ms": 5}
    assert (items[2]["namespace"], items[2]["name"], items[2]["arguments"]) == ("agents", "spawn", '{"a":1}')
    inputs = [frame["delta"] for frame in frames if frame["type"] == "response.custom_tool_call_input.delta"]
    assert "".join(inputs) == PATCH


@pytest.mark.parametrize("provider", [ANTHROPIC, CHAT])
def test_their_results_come_back_as_those_of_functions(provider: str) -> None:
    """The next turn has what the provider itself said, and the results."""
    output = data_of_frames(streamed(begun(RESPONSES, provider, tools=TOOLS), answer(provider)))[-1]["response"][
        "output"
    ]
    kinds = ["custom_tool_call_output", "local_shell_call_output", "function_call_output"]
    results = [{"type": kind, "call_id": f"t{at}", "output": "ok"} for at, kind in enumerate(kinds)]
    request = {"model": "m", "input": [{"role": "user", "content": "a"}, *output, *results], "tools": TOOLS}
    messages = sent(RESPONSES, provider, request)["messages"]
    if provider == ANTHROPIC:
        calls = [(block["name"], block["input"]) for block in messages[1]["content"]]
        given = [block["tool_use_id"] for block in messages[2]["content"]]
    else:
        said = [call["function"] for call in messages[1]["tool_calls"]]
        calls = [(call["name"], json.loads(call["arguments"])) for call in said]
        given = [message["tool_call_id"] for message in messages[2:]]
    expected = {name: json.loads(text) for name, text in CALLS.items()}
    expected["local_shell"]["env"] = {}
    assert dict(calls) == expected
    assert given == ["t0", "t1", "t2"]


@pytest.mark.parametrize("written", ['"just text"', "no JSON", '{"other": 1}'])
def test_a_model_that_keeps_not_to_the_form_is_passed_on(written: str) -> None:
    """The tool sees what the model wrote, and says what is wrong with it."""
    frames = [
        chunk(call(0, id="t", type="function", function={"name": "apply_patch", "arguments": written}), "tool_calls"),
        DONE,
    ]
    output = data_of_frames(streamed(begun(RESPONSES, CHAT, tools=TOOLS), frames))[-1]["response"]["output"]
    assert output[0]["input"] == written


def test_free_input_stays_free_between_openais_formats() -> None:
    """Responses have the words that chat has for it."""
    format = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /.+/"}}
    tools = [{"type": "custom", "custom": {"name": "apply_patch", "format": format}}]
    call = {"id": "t", "type": "custom", "custom": {"name": "apply_patch", "input": PATCH}}
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "t", "content": "ok"},
    ]
    request = {"model": "m", "messages": messages, "tools": tools}
    conversion = Conversion(CHAT, RESPONSES)
    found = json.loads(conversion.request(json.dumps(request).encode(), "m"))
    assert found["tools"] == [{"type": "custom", "name": "apply_patch", "format": GRAMMAR}]
    assert [item["type"] for item in found["input"]][1:] == ["custom_tool_call", "custom_tool_call_output"]
    frames, body = whole(custom(0, "t", "apply_patch", PATCH[:4], PATCH[4:]))
    pieces = [chunk["choices"][0]["delta"] for chunk in data_of_frames(streamed(conversion, frames))]
    said = [piece["tool_calls"][0]["custom"]["input"] for piece in pieces if piece.get("tool_calls")]
    assert "".join(said) == PATCH
    assert json.loads(conversion.body(json.dumps(body).encode()))["choices"][0]["message"]["tool_calls"] == [call]


LATE: dict[str, Any] = {"name": "late", "input_schema": {"type": "object"}, "defer_loading": True}


@pytest.mark.parametrize("provider", [CHAT, RESPONSES])
def test_tools_that_come_and_go_are_those_in_force_at_the_end(provider: str) -> None:
    """Claude Code defers tools, and adds and removes them in turns of the system."""
    reference = {"type": "tool_reference", "name": "late"}
    added = {"role": "system", "content": [{"type": "tool_addition", "tool": reference}, {"type": "text", "text": "x"}]}
    removed = {"role": "system", "content": [{"type": "tool_removal", "tool": {**reference, "name": "early"}}]}
    early = {"name": "early", "input_schema": {"type": "object"}}
    user = {"role": "user", "content": "a"}

    def names(*later: Any) -> list[str]:
        request = {"model": "m", "max_tokens": 9, "messages": [user, *later], "tools": [early, LATE]}
        return [tool.get("function", tool)["name"] for tool in sent(ANTHROPIC, provider, request).get("tools", [])]

    assert names() == ["early"]
    assert names(added) == ["early", "late"]
    assert names(added, removed) == ["late"]
    assert names(removed) == []
    found = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "tool_reference", "tool_name": "late"}]}
    assert names({"role": "user", "content": [found]}) == ["early", "late"]


@pytest.mark.parametrize("provider", [CHAT, RESPONSES])
def test_a_turn_of_the_system_may_count_for_one_turn(provider: str) -> None:
    """Its effort is the last one said, its text passes when the user speaks again."""
    passing = {"role": "system", "content": "Now.", "clear_at": "next_user_message", "output_config": {"effort": "low"}}
    user = {"role": "user", "content": "a"}
    request = {**HELLO[ANTHROPIC], "messages": [user, passing], "output_config": {"effort": "max"}}
    found = sent(ANTHROPIC, provider, request)
    assert "Now." in json.dumps(found)
    assert "low" in (found.get("reasoning_effort"), found.get("reasoning", {}).get("effort"))
    later = sent(ANTHROPIC, provider, {**request, "messages": [user, passing, user]})
    assert "Now." not in json.dumps(later)


LONG = "mcp__server__" + "x" * 80


@pytest.mark.parametrize("name", [LONG, "files.read", "\u00fc"])
@pytest.mark.parametrize(("client", "provider"), [(ANTHROPIC, CHAT), (ANTHROPIC, RESPONSES), (CHAT, ANTHROPIC)])
def test_a_name_that_the_provider_takes_not_is_another_one_there(client: str, provider: str, name: str) -> None:
    """The same one in tools, choices and earlier calls; the client sees its own."""
    if client == ANTHROPIC:
        tools: Any = [{"name": name, "input_schema": {"type": "object"}}]
        more = {"tools": tools, "tool_choice": {"type": "tool", "name": name}}
    else:
        tools = [{"type": "function", "function": {"name": name}}]
        more = {"tools": tools, "tool_choice": {"type": "function", "function": {"name": name}}}
    conversion = Conversion(client, provider)
    found = json.loads(conversion.request(json.dumps({**HELLO[client], **more}).encode(), "m"))
    tool_ = found["tools"][0].get("function", found["tools"][0])
    choice = found["tool_choice"].get("function", found["tool_choice"])
    theirs = tool_["name"]
    assert choice["name"] == theirs
    assert len(theirs) <= 64 or (provider == ANTHROPIC and theirs == name)
    assert theirs.replace("_", "").isalnum()
    frames = {
        ANTHROPIC: [begin(), *tool(0, "t", theirs, "{}"), *end("tool_use")],
        CHAT: [
            chunk(call(0, id="t", type="function", function={"name": theirs, "arguments": "{}"}), "tool_calls"),
            DONE,
        ],
        RESPONSES: whole(function(0, "t", theirs, "{}"))[0],
    }[provider]
    assert json.dumps(name) in json.dumps(data_of_frames(streamed(conversion, frames)))


def test_anthropic_knows_the_tools_of_earlier_calls() -> None:
    """It refuses calls of tools that it does not know; none of them is offered."""
    calls = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    messages = [{"role": "assistant", "tool_calls": calls}, {"role": "tool", "tool_call_id": "a", "content": "ok"}]
    found = sent(CHAT, ANTHROPIC, {"model": "m", "messages": messages})
    assert found["tools"] == [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]
    assert found["tool_choice"] == {"type": "none"}


def test_a_call_without_an_id_gets_one() -> None:
    """Some servers give none; the client could not say which call a result belongs to."""
    said = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    frames = [chunk(call(0, **said)), chunk(call(1, **said), "tool_calls"), DONE]
    found = data_of_frames(streamed(begun(ANTHROPIC, CHAT), frames))
    ids = [frame["content_block"]["id"] for frame in found if frame["type"] == "content_block_start"]
    message = {"role": "assistant", "content": None, "tool_calls": [said, said]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    body = begun(ANTHROPIC, CHAT).body(json.dumps({"id": "chatcmpl-1", "choices": [choice]}).encode())
    assert ids == [block["id"] for block in json.loads(body)["content"]] == ["call_chatcmpl-1_0", "call_chatcmpl-1_1"]
