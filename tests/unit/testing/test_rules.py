"""The vendors' rules: what they refuse of a request, one by one, in whose words, and that good ones are taken."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest

from luthien_stream.testing.provider import FakeProvider
from luthien_stream.testing.rules import refused
from luthien_stream.testing.rules.issued import Issued
from tests.integration.turns.answers import ANSWERS, ANTHROPIC, CHAT, FORMATS, RESPONSES, tools
from tests.unit.formats.convert.rich import RICH
from tests.unit.formats.scenarios_anthropic import begin, block, end
from tests.unit.formats.scenarios_responses import answer, function, reasoning, text

HI: Any = {"role": "user", "content": "Hi"}
Json = dict[str, Any]


def said(*content: Json, role: str = "assistant") -> Json:
    return {"role": role, "content": list(content)}


def words(text: str = "Yes.") -> Json:
    return {"type": "text", "text": text}


def use(id: str = "tu_1", **more: Any) -> Json:
    return {"type": "tool_use", "id": id, "name": "f", "input": {}, **more}


def result(id: str = "tu_1", **more: Any) -> Json:
    return {"type": "tool_result", "tool_use_id": id, "content": "ok", **more}


def thought(text: str = "hm", signature: str = "sig") -> Json:
    return {"type": "thinking", "thinking": text, "signature": signature}


def searched(id: str = "srv_1") -> list[Json]:
    use = {"type": "server_tool_use", "id": id, "name": "web_search", "input": {}}
    return [use, {"type": "web_search_tool_result", "tool_use_id": id, "content": []}]


def messages(*turns: Json, **more: Any) -> Json:
    return {"model": "m", "max_tokens": 2048, "messages": list(turns), **more}


THINKS = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
ISSUED = [
    [
        begin(),
        *block(0, thought("", ""), ("thinking_delta", {"thinking": "hm"}), ("signature_delta", {"signature": "sig"})),
        *block(1, {"type": "redacted_thinking", "data": "xx"}),
        *end(),
    ]
]
GOOD: list[Json] = [
    messages(HI),
    messages(HI, HI, said(words()), HI),
    messages(HI, said(words(), use(), use("tu_2")), said(result("tu_2"), result(), words(), role="user")),
    messages(HI, said(thought(), words(), use()), said(result(), role="user"), **THINKS),
    messages(HI, said(thought(), {"type": "redacted_thinking", "data": "xx"}, use()), said(result(), role="user")),
    messages(HI, said(*searched(), words()), HI),
    messages(HI, said(searched()[0])),
    messages(HI, said(words("Half a"))),
]
BAD: list[tuple[Json, str]] = [
    (messages(said(words()), HI), 'first message must use the "user" role'),
    (messages(HI, said(), HI), "messages.1: all messages must have non-empty content"),
    (messages(HI, said(words("")), HI), "text content blocks must be non-empty"),
    (messages(HI, said(words(" \n")), HI), "must contain non-whitespace text"),
    (messages(HI, said(words("Half a "))), "cannot end with trailing whitespace"),
    (messages(HI, said(use())), "`tool_use` ids were found without `tool_result` blocks"),
    (messages(HI, said(use()), HI), "`tool_use` ids were found without `tool_result` blocks immediately after: tu_1"),
    (messages(HI, said(use()), said(words(), result(), role="user")), "messages.2: `tool_use` ids were found without"),
    (messages(HI, said(use(), words()), said(result(), role="user")), "`tool_use` ids were found without"),
    (messages(HI, said(words()), said(result(), role="user")), "messages.2.content.0: unexpected `tool_use_id`"),
    (messages(HI, said(use()), said(result(), result(), role="user")), "each tool_use must have a single result"),
    (messages(HI, said(use(), use()), said(result(), role="user")), "`tool_use` ids must be unique"),
    (messages(HI, said(use("a.b")), said(result("a.b"), role="user")), "messages.1.content.0.tool_use.id: String"),
    (messages(HI, said(use(input="{}")), said(result(), role="user")), "tool_use.input: Input should be a valid dict"),
    (messages(HI, said(use(extra=1)), said(result(), role="user")), "tool_use.extra: Extra inputs are not permitted"),
    (messages(HI, said(thought("hm!"), words()), HI), "Invalid `signature` in `thinking` block"),
    (messages(HI, said(thought(signature="")), HI), "Invalid `signature` in `thinking` block"),
    (messages(HI, said({"type": "redacted_thinking", "data": "y"}), HI), "Invalid `data` in `redacted_thinking`"),
    (
        messages(HI, said(words(), thought(), words()), HI),
        "Expected `thinking` or `redacted_thinking`, but found `text`",
    ),
    (messages(HI, said(thought()), HI), "The final block in an assistant message cannot be `thinking`"),
    (messages(HI, said(use()), said(result(), role="user"), **THINKS), "Expected `thinking` or `redacted_thinking`"),
    (messages(HI, said(searched()[0], words()), HI), "was found without a corresponding tool result block"),
    (messages(HI, said(searched()[0], words(), searched()[1]), HI), "was found without a corresponding tool result"),
    (messages(HI, said(searched()[1], words()), HI), "must have a corresponding `server_tool_use` block"),
    (messages(HI, said({"type": "x"}), HI), "messages.1.content.0: Input tag 'x'"),
    (messages(HI, said(result()), HI), "`tool_result` blocks can not be in `assistant` messages"),
    (messages(HI, thinking={"type": "enabled", "budget_tokens": 2048}), "`max_tokens` must be greater than"),
    (messages(HI, thinking={"type": "enabled", "budget_tokens": 10}), "greater than or equal to 1024"),
    (messages(HI, tools=tools(ANTHROPIC, ("f", "f"))), "Tool names must be unique"),
    (messages(HI, tools=tools(ANTHROPIC, ("a b",))), "tools.0.custom.name"),
    (messages(said(*[{**words(), "cache_control": {"type": "ephemeral"}}] * 5, role="user")), "A maximum of 4 blocks"),
]


@pytest.mark.parametrize("request_", GOOD, ids=range(len(GOOD)))
def test_anthropic_takes_good_conversations(request_: Json) -> None:
    """And its own words again."""
    assert refused(ANTHROPIC, request_, ISSUED) is None


@pytest.mark.parametrize(("request_", "message"), BAD, ids=[message[:40] for _, message in BAD])
def test_anthropic_refuses(request_: Json, message: str) -> None:
    """By the path of what is wrong."""
    assert message in str(refused(ANTHROPIC, request_, ISSUED))


def call(id: str = "call_1", arguments: Any = "{}", name: str = "f") -> Json:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def called(*calls: Json, **more: Any) -> Json:
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **more}


def done(id: str = "call_1") -> Json:
    return {"role": "tool", "tool_call_id": id, "content": "ok"}


BAD_CHATS: list[tuple[Json, str]] = [
    (messages(HI, {"role": "assistant", "content": None}, HI), "expected a string, got null"),
    (messages(HI, {"role": "assistant", "content": ""}, HI), "'messages[1].content': empty"),
    (messages(HI, called(content="So."), HI), "'messages[1].tool_calls': empty array"),
    (messages(HI, called(call()), HI), "did not have response messages: call_1"),
    (messages(HI, called(call(), call("call_2")), done(), HI), "did not have response messages: call_2"),
    (messages(HI, called(call()), HI, done()), "did not have response messages: call_1"),
    (messages(HI, done()), "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'"),
    (messages(HI, called(call()), done(), done()), "Duplicate value for 'tool_call_id'"),
    (messages(HI, called(call(), call()), done()), "Duplicate value for 'tool_call_id'"),
    (messages(HI, called(call(arguments={})), done()), "expected a string, but got dict"),
    (messages(HI, called(call(arguments='{"a":')), done()), "arguments': the string is no JSON object"),
    (messages(HI, called(call("x" * 41)), done("x" * 41)), "string too long"),
    (messages(HI, called(call(name="a b")), done()), "does not match pattern"),
    (messages(HI, {"role": "robot", "content": "x"}), "Invalid value: 'robot'"),
    (messages(HI, said({"type": "image_url"})), "Invalid value: 'image_url'"),
    (messages(HI, tools=[]), "'tools': empty array"),
]


@pytest.mark.parametrize(("request_", "message"), BAD_CHATS, ids=[message[:40] for _, message in BAD_CHATS])
def test_openai_refuses_in_chat(request_: Json, message: str) -> None:
    """By the path of what is wrong."""
    assert message in str(refused(CHAT, request_, ()))


def test_openai_takes_good_chats() -> None:
    """Several calls, a refusal, and a text after the results."""
    refusal = {"role": "assistant", "content": None, "refusal": "No."}
    good = messages(HI, called(call(), call("call_2")), done("call_2"), done(), refusal, HI, called(call()), done())
    assert refused(CHAT, good, ()) is None


GIVEN = [answer(reasoning(0, ("hm",)), function(1, "call_1", "f", "{}"), text(2, "So."))]
RS, FC, MSG = json.loads(GIVEN[0][-1].split(b"data: ")[1])["response"]["output"]
FCO: Json = {"type": "function_call_output", "call_id": "call_1", "output": "ok"}
BAD_ITEMS: list[tuple[list[Json], str]] = [
    ([HI, FCO], "No tool call found for function call output with call_id call_1"),
    ([HI, RS, FC], "No tool output found for function call call_1"),
    ([HI, RS, FC, FCO, FCO], "Duplicate output found"),
    ([HI, RS, HI], "'reasoning' was provided without its required following item"),
    ([HI, RS], "'reasoning' was provided without its required following item"),
    ([HI, RS, {**MSG, "id": "msg_other"}, FC, FCO], "'reasoning' was provided without its required following item"),
    ([HI, FC, FCO], "'function_call' was provided without its required 'reasoning' item: 'rs_0'"),
    ([HI, MSG], "'message' was provided without its required 'reasoning' item: 'rs_0'"),
    ([HI, {**RS, "encrypted_content": "x"}, FC, FCO], "could not be verified"),
    ([HI, {"id": "rs_9", "type": "reasoning", "summary": []}, FC, FCO], "Item with id 'rs_9' not found"),
    ([HI, RS, FC, FCO, MSG, MSG], "Duplicate item found with id msg_2"),
    ([HI, RS, {**FC, "id": "call_1"}, FCO], "Expected an ID that begins with 'fc'"),
    ([HI, RS, {**FC, "parsed_arguments": {}}, FCO], "Unknown parameter: 'input[2].parsed_arguments'"),
    ([HI, RS, {**FC, "arguments": {}}, FCO], "expected a string"),
    ([HI, {"type": "x"}], "Invalid value: 'x'"),
    ([{"role": "assistant", "content": [{"type": "input_text", "text": "a"}]}], "Invalid value: 'input_text'"),
]


@pytest.mark.parametrize(("items", "message"), BAD_ITEMS, ids=[message[:40] for _, message in BAD_ITEMS])
def test_openai_refuses_items(items: list[Json], message: str) -> None:
    """By what they lack."""
    assert message in str(refused(RESPONSES, {"model": "m", "input": items}, GIVEN))


@pytest.mark.parametrize(
    "items",
    [
        [HI, RS, FC, MSG, FCO],
        [HI, RS, FC, FCO, MSG, HI],
        [HI, {**FC, "id": None}, FCO],
        [HI, {"role": "assistant", "content": "a"}, HI],
    ],
    ids=range(4),
)
def test_openai_takes_good_items(items: list[Json]) -> None:
    """Its own again, and those that have no ids."""
    assert refused(RESPONSES, {"model": "m", "input": items}, GIVEN) is None


@pytest.mark.parametrize("form", FORMATS)
def test_what_clients_send_is_taken(form: str) -> None:
    """The rich requests of the conversion's tests, where they hold nothing that only a real vendor can have signed."""
    found = refused(form, RICH[form], ())
    assert found is None or "signature" in str(found) or "verified" in str(found), found


async def test_a_refusal_is_an_error_of_the_vendors() -> None:
    """In its shape."""
    async with FakeProvider(rules=True) as provider, aiohttp.ClientSession() as http:
        bad = messages(HI, said(use()), HI, stream=True)
        async with http.post(f"{provider.url}/v1/messages", json={**bad, "model": "text-3"}) as got:
            assert got.status == 400
            assert (await got.json())["error"]["type"] == "invalid_request_error"
        async with http.post(
            f"{provider.url}/v1/responses", json={"model": "text-3", "input": [HI, {"type": "x"}]}
        ) as got:
            error = (await got.json())["error"]
            assert (got.status, error["param"], error["code"]) == (400, "input[1].type", "invalid_value")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", ANSWERS)
def test_a_provider_knows_its_own_words(kind: str, form: str) -> None:
    """Streamed and not it has issued the same."""
    if form in ANSWERS[kind]:
        streamed, whole = Issued(), Issued()
        streamed.learn(form, ANSWERS[kind][form].stream)
        whole.learn(form, [ANSWERS[kind][form].body])
        assert vars(streamed) == vars(whole)
