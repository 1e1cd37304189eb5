"""What a provider is sent: one conversation in all formats, each way."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.formats.convert.pairs import ANTHROPIC, CHAT, HELLO, PAIRS, RESPONSES, sent
from tests.unit.formats.convert.rich import PNG, RICH, SCHEMA


@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_a_conversation_is_carried_whole(client: str, provider: str) -> None:
    """Every text, call, image and setting is there, in the provider's words; OpenAI's clients have one system text."""
    expected = RICH[provider]
    if provider == ANTHROPIC:
        expected = expected | {"system": [{"type": "text", "text": "Be brief.\n\nUse tools."}]}
    assert sent(client, provider, RICH[client]) == expected


@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_a_short_request_says_no_more_than_it_did(client: str, provider: str) -> None:
    """What the client left to the provider is left to it; Anthropic's own bound is the one exception."""
    shortest: dict[str, dict[str, Any]] = {
        ANTHROPIC: {"max_tokens": 32_000, "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]},
        CHAT: {"messages": [{"role": "user", "content": "Hi"}]},
        RESPONSES: {
            "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
            "store": False,
        },
    }
    expected = shortest[provider]
    if client == ANTHROPIC:
        expected |= {"max_output_tokens" if provider == RESPONSES else "max_completion_tokens": 99}
    found = sent(client, provider, HELLO[client], "x")
    assert found == {"model": "x", **expected}


@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_there_and_back_is_the_same(client: str, provider: str) -> None:
    """A request that was carried over, and back again, is carried over to the same as before."""
    there = sent(client, provider, RICH[client])
    assert sent(client, provider, sent(provider, client, there)) == there


CHOICES: list[tuple[Any, Any, Any]] = [
    ({"type": "auto"}, "auto", "auto"),
    ({"type": "any"}, "required", "required"),
    ({"type": "none"}, "none", "none"),
    (
        {"type": "tool", "name": "f"},
        {"type": "function", "function": {"name": "f"}},
        {"type": "function", "name": "f"},
    ),
]


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: str(choice[0]["type"]))
@pytest.mark.parametrize("parallel", [True, False, None])
@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_the_choice_of_a_tool_is_carried(client: str, provider: str, choice: Any, parallel: Any) -> None:
    """With whether calls may be parallel, which Anthropic says in the choice."""
    found = sent(client, provider, HELLO[client] | _with_choice(client, choice, parallel))
    expected = _with_choice(provider, choice, parallel)
    if provider == ANTHROPIC and parallel is True:
        expected["tool_choice"].pop("disable_parallel_tool_use", None)
    assert {name: found.get(name) for name in expected} == expected


def _with_choice(format: str, choice: Any, parallel: bool | None) -> dict[str, Any]:
    schema = {"type": "object", "properties": {}}
    if format == ANTHROPIC:
        serial = {} if parallel is None or choice[0]["type"] == "none" else {"disable_parallel_tool_use": not parallel}
        tools: Any = [{"name": "f", "input_schema": schema}]
        return {"tools": tools, "tool_choice": {**choice[0], **serial}}
    function = {"name": "f", "parameters": schema}
    tools = [{"type": "function", "function": function}]
    if format == RESPONSES:
        tools = [{"type": "function", **function, "strict": False}]
    more = {} if parallel is None or choice[0]["type"] == "none" else {"parallel_tool_calls": parallel}
    return {"tools": tools, "tool_choice": choice[1 if format == CHAT else 2], **more}


@pytest.mark.parametrize("provider", [CHAT, RESPONSES])
def test_images_in_results_are_seen(provider: str) -> None:
    """Chat takes no image from a tool: it follows in the user's message."""
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "a"}, PNG[ANTHROPIC]]}
    request = HELLO[ANTHROPIC] | {"messages": [_called("t1"), {"role": "user", "content": [result]}]}
    found = sent(ANTHROPIC, provider, request)
    if provider == RESPONSES:
        assert found["input"][-1]["output"] == [{"type": "input_text", "text": "a"}, PNG[RESPONSES]]
        return
    assert found["messages"][-2] == {"role": "tool", "tool_call_id": "t1", "content": "a\n[Shown in the next message.]"}
    assert found["messages"][-1]["content"][1] == PNG[CHAT]


def _called(*ids: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "f", "input": {}} for id in ids]}


def test_results_come_before_what_the_user_says() -> None:
    """Whatever the order in the client's message: chat wants results right behind the calls."""
    result = {"type": "tool_result", "content": "r"}
    content = [{"type": "text", "text": "now"}, {**result, "tool_use_id": "a"}, {**result, "tool_use_id": "b"}]
    request = HELLO[ANTHROPIC] | {"messages": [_called("a", "b"), {"role": "user", "content": content}]}
    assert [message["role"] for message in sent(ANTHROPIC, CHAT, request)["messages"]] == [
        "assistant",
        "tool",
        "tool",
        "user",
    ]


def test_results_of_parallel_calls_are_one_message() -> None:
    """Anthropic wants them together, first, and each by its call's id."""
    calls = [{"id": id, "type": "function", "function": {"name": "f", "arguments": ""}} for id in ("a", "b:1")]
    results = [{"role": "tool", "tool_call_id": id, "content": "r"} for id in ("a", "b:1")]
    messages = [{"role": "assistant", "content": None, "tool_calls": calls}, *results, {"role": "user", "content": "x"}]
    found = sent(CHAT, ANTHROPIC, {"model": "m", "messages": messages})["messages"]
    assert [[block["type"] for block in message["content"]] for message in found] == [
        ["tool_use", "tool_use"],
        ["tool_result", "tool_result", "text"],
    ]
    assert [block["id"] for block in found[0]["content"]] == [block["tool_use_id"] for block in found[1]["content"][:2]]
    assert found[0]["content"][1]["id"].replace("_", "").isalnum()


def test_a_call_without_json_is_named() -> None:
    """Anthropic takes objects only."""
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{oops"}}
    messages = [{"role": "assistant", "tool_calls": [call]}, {"role": "user", "content": "x"}]
    with pytest.raises(Exception, match=r"messages\[0\]\.tool_calls\[0\]"):
        sent(CHAT, ANTHROPIC, {"model": "m", "messages": messages})


LATER: dict[str, Any] = {
    CHAT: {"messages": [{"role": "user", "content": "a"}, {"role": "developer", "content": "Be loud."}]},
    RESPONSES: {"input": [{"role": "user", "content": "a"}, {"role": "developer", "content": "Be loud."}]},
}


@pytest.mark.parametrize("client", LATER)
def test_a_later_word_of_the_system_keeps_its_place(client: str) -> None:
    """As a turn of the system where the model takes one, else marked in the user's."""
    block = {"type": "text", "text": "Be loud."}
    request = {"model": "m", **LATER[client]}
    assert sent(client, ANTHROPIC, request)["messages"][1] == {"role": "system", "content": [block]}
    older = sent(client, ANTHROPIC, request, "claude-opus-4-5-20251101")["messages"]
    assert older[0]["content"][1]["text"] == "<system-reminder>\nBe loud.\n</system-reminder>"
    others = sent(client, CHAT if client == RESPONSES else RESPONSES, request)
    turns = others.get("messages") or others["input"]
    assert turns[1]["role"] in ("system", "developer")


def test_the_end_user_is_told_by_a_digest_where_the_name_is_too_long() -> None:
    """Claude Code's is a JSON text; OpenAI takes 64 characters."""
    request = HELLO[ANTHROPIC] | {"metadata": {"user_id": json.dumps({"device_id": "d" * 64})}}
    digests = {sent(ANTHROPIC, provider, request)["user"] for provider in (CHAT, RESPONSES)}
    assert [len(digest) for digest in digests] == [64]


@pytest.mark.parametrize("provider", [CHAT, RESPONSES])
def test_an_open_schema_is_not_called_strict(provider: str) -> None:
    """OpenAI refuses a strict schema that has an optional field; Anthropic takes it."""
    for schema, strict in ((SCHEMA, True), ({**SCHEMA, "required": []}, False)):
        request = HELLO[ANTHROPIC] | {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
        found = sent(ANTHROPIC, provider, request)
        form = found["response_format"]["json_schema"] if provider == CHAT else found["text"]["format"]
        assert form == {"name": "answer", "schema": schema, "strict": strict} | (
            {"type": "json_schema"} if provider == RESPONSES else {}
        )


def test_a_small_bound_is_the_least_that_responses_take() -> None:
    """Claude Code asks for one token to see if it may."""
    assert sent(ANTHROPIC, RESPONSES, HELLO[ANTHROPIC] | {"max_tokens": 1})["max_output_tokens"] == 16


@pytest.mark.parametrize("client", [CHAT, RESPONSES])
def test_anthropic_is_sent_no_text_of_white_space(client: str) -> None:
    """It refuses them, and there is nothing in them."""
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": " \n"}, {"role": "user", "content": ""}]
    found = sent(client, ANTHROPIC, {"model": "m", "messages" if client == CHAT else "input": turns})
    assert found["messages"] == [{"role": "user", "content": [{"type": "text", "text": "a"}]}]
