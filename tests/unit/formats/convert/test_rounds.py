"""The second turn: what a client was given comes back verbatim, and reaches its provider in the shape that it needs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.formats.bodies import completion_of, message_of
from tests.unit.formats.convert.pairs import ANTHROPIC, CHAT, HELLO, PAIRS, RESPONSES, begun, model_for, sent
from tests.unit.formats.convert.scenarios_responses import BASH, call, reasoning, text, whole
from tests.unit.formats.scenarios_anthropic import begin, block, end, thinking, tool
from tests.unit.formats.scenarios_chat import call as chat_call
from tests.unit.formats.scenarios_chat import chunk

_CALL: Any = {"id": "call_1", "type": "function", "function": {"name": "Bash", "arguments": '{"command": "ls"}'}}
_BASH = ("tu_1", "Bash", '{"command": "ls"}')
_REDACTED = block(1, {"type": "redacted_thinking", "data": "xx"})
ADAPTIVE = {"type": "adaptive", "display": "summarized"}
ANSWERS: dict[str, bytes] = {
    ANTHROPIC: message_of([begin(), *thinking(0, "hm ", "so"), *_REDACTED, *tool(2, *_BASH), *end("tool_use")]),
    CHAT: completion_of([chunk({"reasoning_content": "hm so"}), chunk(chat_call(0, **_CALL), "tool_calls")]),
    RESPONSES: json.dumps(whole(reasoning(0, "hm so"), text(1, "I look."), call(2, *BASH))[1]).encode(),
}
"""An answer that thinks and makes a call, by the provider's format."""


def history(client: str, answer: dict[str, Any]) -> tuple[list[Any], str]:
    """What a client of this format sends again of an answer, and the id of the call in it."""
    if client == ANTHROPIC:
        id = next(block["id"] for block in answer["content"] if block["type"] == "tool_use")
        return [{"role": "assistant", "content": answer["content"]}], id
    if client == CHAT:
        message = answer["choices"][0]["message"]
        return [message], message["tool_calls"][0]["id"]
    id = next(item["call_id"] for item in answer["output"] if item["type"] == "function_call")
    return answer["output"], id


def second(client: str, answer: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The request of the next turn, with the result of the call."""
    said, id = history(client, answer)
    if client == ANTHROPIC:
        result: Any = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "ok"}]}
        return {**HELLO[client], "messages": [{"role": "user", "content": "Hi"}, *said, result], **more}
    if client == CHAT:
        result = {"role": "tool", "tool_call_id": id, "content": "ok"}
        return {"model": "m", "messages": [{"role": "user", "content": "Hi"}, *said, result], **more}
    result = {"type": "function_call_output", "call_id": id, "output": "ok"}
    return {"model": "m", "input": [{"role": "user", "content": "Hi"}, *said, result], **more}


def thoughts(provider: str, request: dict[str, Any]) -> Any:
    """The reasoning in a provider's request."""
    if provider == ANTHROPIC:
        blocks = [block for message in request["messages"] for block in message["content"]]
        return [block for block in blocks if "thinking" in block["type"]]
    if provider == CHAT:
        return [message["reasoning_content"] for message in request["messages"] if "reasoning_content" in message]
    return [item for item in request["input"] if item["type"] == "reasoning"]


OWN: dict[str, Any] = {
    ANTHROPIC: [
        {"type": "thinking", "thinking": "hm so", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xx"},
    ],
    CHAT: ["hm so"],
    RESPONSES: [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm so"}], "encrypted_content": "enc"}
    ],
}


@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_reasoning_comes_back_to_its_provider(client: str, provider: str) -> None:
    """With its signature, before the call that it led to, and the call with its result under the same id."""
    answer = json.loads(begun(client, provider).body(ANSWERS[provider]))
    request = sent(client, provider, second(client, answer))
    assert thoughts(provider, request) == OWN[provider]
    text = json.dumps(request)
    assert text.count("tu_1" if provider == ANTHROPIC else "call_1") == 2
    assert "luthien" not in text


@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_reasoning_does_not_go_to_others(client: str, provider: str) -> None:
    """They would refuse what they did not sign; a model that is asked anew thinks for itself."""
    other = next(format for format in (ANTHROPIC, CHAT, RESPONSES) if format not in (client, provider))
    answer = json.loads(begun(client, provider).body(ANSWERS[provider]))
    request = sent(client, other, second(client, answer))
    assert thoughts(other, request) == []
    assert "luthien/" not in json.dumps(request)


@pytest.mark.parametrize("client", [CHAT, RESPONSES])
def test_without_the_thoughts_anthropic_is_asked_for_none(client: str) -> None:
    """A client that lost them can go on: Anthropic refuses thinking where results come back without their thoughts."""
    asked = {"reasoning_effort": "high"} if client == CHAT else {"reasoning": {"effort": "high"}}
    answer = json.loads(begun(client, ANTHROPIC).body(ANSWERS[ANTHROPIC]))
    assert sent(client, ANTHROPIC, second(client, answer, **asked))["thinking"] == ADAPTIVE
    if client == CHAT:
        del answer["choices"][0]["message"]["thinking_blocks"]
    else:
        answer["output"] = [item for item in answer["output"] if item["type"] != "reasoning"]
    request = sent(client, ANTHROPIC, second(client, answer, **asked))
    assert "thinking" not in request
    assert request["output_config"] == {"effort": "high"}


def test_later_steps_of_a_turn_may_come_without_thoughts() -> None:
    """A model that thinks once and calls twice is still asked to think."""
    answer = json.loads(begun(CHAT, ANTHROPIC).body(ANSWERS[ANTHROPIC]))
    request = second(CHAT, answer, reasoning_effort="high")
    step: Any = [{"role": "assistant", "content": None, "tool_calls": [_CALL]}]
    step += [{"role": "tool", "tool_call_id": "call_1", "content": "ok"}]
    request["messages"] += step
    assert sent(CHAT, ANTHROPIC, request)["thinking"] == ADAPTIVE
    request["messages"] += [{"role": "assistant", "content": "Done."}, {"role": "user", "content": "Again."}, *step]
    assert "thinking" not in sent(CHAT, ANTHROPIC, request)


EFFORTS: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    ("low", ADAPTIVE, "claude-opus-4-6", {"output_config": {"effort": "low"}}),
    ("minimal", ADAPTIVE, "claude-opus-5-5", {"output_config": {"effort": "low"}}),
    ("xhigh", ADAPTIVE, "claude-newest", {"output_config": {"effort": "xhigh"}}),
    ("medium", {"type": "enabled", "budget_tokens": 8192}, "claude-sonnet-4-5-20250929", {}),
    ("high", {"type": "enabled", "budget_tokens": 16_000}, "claude-sonnet-4-20250514", {}),
    ("low", {"type": "enabled", "budget_tokens": 2048}, "some-other-model", {}),
    ("none", {"type": "disabled"}, "claude-opus-5-5", {}),
]


@pytest.mark.parametrize(("effort", "thinking", "model", "more"), EFFORTS)
def test_an_effort_is_a_budget_for_older_models(effort: str, thinking: Any, model: str, more: Any) -> None:
    """The newer ones choose their own; no budget is more than half of the answer's bound."""
    request = {**HELLO[CHAT], "reasoning_effort": effort, "max_tokens": 32_000}
    found = sent(CHAT, ANTHROPIC, request, model)
    assert found["thinking"] == thinking
    assert {name: found[name] for name in found if name == "output_config"} == more


@pytest.mark.parametrize(
    ("budget", "level"), [(1024, "low"), (2048, "low"), (2049, "medium"), (8192, "medium"), (31_999, "high")]
)
@pytest.mark.parametrize("provider", [CHAT, RESPONSES])
def test_a_budget_is_an_effort(provider: str, budget: int, level: str) -> None:
    """And a model that never thinks is not asked to."""
    request = {**HELLO[ANTHROPIC], "thinking": {"type": "enabled", "budget_tokens": budget}}
    found = sent(ANTHROPIC, provider, request)
    assert (found.get("reasoning_effort") or found["reasoning"]["effort"]) == level
    plain = sent(ANTHROPIC, provider, request, "gpt-4o-2024-08-06")
    assert {"reasoning", "reasoning_effort", "include"} & set(plain) == set()


def test_litellm_as_a_chat_provider_gets_its_signatures_back() -> None:
    """A chat server that signs in `thinking_blocks` finds them there again."""
    signed = {"type": "thinking", "thinking": "hm", "signature": "sig="}
    hidden = {"type": "redacted_thinking", "data": "xx"}
    message = {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [_CALL]}
    choice = {"index": 0, "message": {**message, "thinking_blocks": [signed, hidden]}, "finish_reason": "tool_calls"}
    body = json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode()
    for client in (ANTHROPIC, RESPONSES):
        answer = json.loads(begun(client, CHAT).body(body))
        returned = sent(client, CHAT, second(client, answer))["messages"][1]
        assert returned["thinking_blocks"] == [signed, hidden]
        assert returned["reasoning_content"] == "hm"


@pytest.mark.parametrize("id", ["call_1", "toolu_01AbC-9", "functions.Bash:0", "a" * 80, "ü", "x__thought__a+/="])
@pytest.mark.parametrize(("client", "provider"), [pair for pair in PAIRS if pair[0] != ANTHROPIC])
def test_any_id_links_a_call_to_its_result(client: str, provider: str, id: str) -> None:
    """It stays as it is where the provider takes it; else it is the same other one in both places."""
    call = {"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    item = {"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"}
    answer = {"choices": [{"message": message}]} if client == CHAT else {"output": [item]}
    request = sent(client, provider, second(client, answer), model_for(provider))
    texts = json.dumps(request, ensure_ascii=False)
    ids = {
        ANTHROPIC: lambda: (
            request["messages"][1]["content"][0]["id"],
            request["messages"][2]["content"][0]["tool_use_id"],
        ),
        CHAT: lambda: (request["messages"][1]["tool_calls"][0]["id"], request["messages"][2]["tool_call_id"]),
        RESPONSES: lambda: (request["input"][1]["call_id"], request["input"][2]["call_id"]),
    }[provider]()
    assert ids[0] == ids[1]
    if id in ("call_1", "toolu_01AbC-9") or provider == CHAT:
        assert texts.count(id) == 2


def test_thoughts_come_first_for_anthropic() -> None:
    """Whatever a policy said before them: they began the answer."""
    answer = json.loads(begun(RESPONSES, ANTHROPIC).body(ANSWERS[ANTHROPIC]))
    note = {"type": "output_text", "text": "Note: ", "annotations": []}
    answer["output"].insert(0, {"type": "message", "role": "assistant", "id": "msg_luthien_0", "content": [note]})
    request = sent(RESPONSES, ANTHROPIC, second(RESPONSES, answer))
    kinds = [block["type"] for block in request["messages"][1]["content"]]
    assert kinds == ["thinking", "redacted_thinking", "text", "tool_use"]
