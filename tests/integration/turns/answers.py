"""What the provider says in first turns, in each format's own bytes, streamed and not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from luthien_stream.testing.recorded import Recorded
from tests.unit.formats import scenarios_anthropic as messages
from tests.unit.formats import scenarios_chat as chat
from tests.unit.formats import scenarios_responses as responses
from tests.unit.formats.bodies import completion_of, message_of, response_of

ANTHROPIC, CHAT, RESPONSES = "anthropic_messages", "openai_chat", "openai_responses"
FORMATS = (ANTHROPIC, CHAT, RESPONSES)
CALLS = [
    ("call_a1", "Bash", '{"command": "ls', ' -l /tmp"}'),
    ("call_b2", "Read", '{"path": "no', 'tes.txt"}'),
    ("call_c3", "Grep", '{"pattern": "x"}'),
]
TOOLS = tuple(name for _, name, *_ in CALLS)
FOUND = {
    "type": "web_search_result",
    "url": "https://example.com/a",
    "title": "A",
    "encrypted_content": "ZW5jcnlwdGVk",
    "page_age": None,
}
CITATION = {
    "type": "web_search_result_location",
    "cited_text": "as found",
    "url": "https://example.com/a",
    "title": "A",
    "encrypted_index": "aW5kZXg=",
}


def _thought(index: int, *pieces: str) -> list[bytes]:
    """Thinking whose signature fits no other."""
    deltas = [("thinking_delta", {"thinking": piece}) for piece in pieces]
    signature = ("signature_delta", {"signature": f"c2ln{index}{''.join(pieces).encode().hex()}"})
    return messages.block(index, {"type": "thinking", "thinking": "", "signature": ""}, *deltas, signature)


def _searched(index: int) -> list[bytes]:
    """A server's tool at work."""
    use = {"type": "server_tool_use", "id": f"srvtoolu_{index}", "name": "web_search", "input": {}}
    result = {"type": "web_search_tool_result", "tool_use_id": f"srvtoolu_{index}", "content": [FOUND]}
    query = ("input_json_delta", {"partial_json": '{"query": "a"}'})
    return [*messages.block(index, use, query), *messages.block(index + 1, result)]


def _cited(index: int, *pieces: str) -> list[bytes]:
    """Text with a citation."""
    deltas = [("text_delta", {"text": piece}) for piece in pieces]
    start = {"type": "text", "text": "", "citations": []}
    return messages.block(index, start, ("citations_delta", {"citation": CITATION}), *deltas)


def _message(*blocks: list[bytes], reason: str = "end_turn") -> list[bytes]:
    return [messages.begin(), messages.PING, *[raw for block in blocks for raw in block], *messages.end(reason)]


def _tool_message(*blocks: list[bytes]) -> list[bytes]:
    calls = [messages.tool(len(blocks) + at, *call) for at, call in enumerate(CALLS)]
    return _message(*blocks, *calls, reason="tool_use")


def _chat(*chunks: bytes, finish: str = "stop") -> list[bytes]:
    return [chat.ROLE, *chunks, *chat.end(finish, chat.USAGE)]


def _tool_chat(*chunks: bytes) -> list[bytes]:
    calls = [raw for at, call in enumerate(CALLS) for raw in chat.tool(at, *call)]
    return _chat(*chunks, *calls, finish="tool_calls")


def _tool_response(*items: list[responses.Event]) -> list[bytes]:
    return responses.answer(*items, *[responses.function(len(items) + at, *call) for at, call in enumerate(CALLS)])


def _search(index: int) -> list[responses.Event]:
    action = {"type": "search", "query": "a"}
    return responses.item(index, {"id": f"ws_{index}", "type": "web_search_call", "status": "completed"}, {}, (
        "response.web_search_call.searching", {"output_index": index, "item_id": f"ws_{index}", "action": action},
    ))  # fmt: skip


_REDACTED = {"type": "redacted_thinking", "data": "aGlkZGVu"}
_HMS = [chat.chunk({"reasoning_content": piece}) for piece in ("Let me ", "think.")]
_FRAMES: dict[str, dict[str, list[bytes]]] = {
    "text": {
        ANTHROPIC: _message(messages.text(0, "Hello ", "there, ", "friend.")),
        CHAT: _chat(*chat.text("Hello ", "there, ", "friend.")),
        RESPONSES: responses.answer(responses.text(0, "Hello ", "there, ", "friend.")),
    },
    "two texts": {
        ANTHROPIC: _message(messages.text(0, "One.", " Two."), messages.text(1, "Three.")),
        RESPONSES: responses.answer(responses.text(0, "One.", " Two."), responses.text(1, "Three.")),
    },
    "tools": {
        ANTHROPIC: _tool_message(messages.text(0, "I look ", "that up.")),
        CHAT: _tool_chat(*chat.text("I look ", "that up.")),
        RESPONSES: _tool_response(responses.text(0, "I look ", "that up.")),
    },
    "only tools": {ANTHROPIC: _tool_message(), CHAT: _tool_chat(), RESPONSES: _tool_response()},
    "thinking": {
        ANTHROPIC: _message(_thought(0, "Let me ", "think."), messages.text(1, "Yes", ".")),
        CHAT: _chat(*_HMS, *chat.text("Yes", ".")),
        RESPONSES: responses.answer(responses.reasoning(0, ("Let me ", "think.")), responses.text(1, "Yes", ".")),
    },
    "thinking and tools": {
        ANTHROPIC: _tool_message(_thought(0, "Let me ", "think."), messages.text(1, "I look ", "that up.")),
        CHAT: _tool_chat(*_HMS, *chat.text("I look ", "that up.")),
        RESPONSES: _tool_response(
            responses.reasoning(0, ("Let me ", "think.")), responses.text(1, "I look ", "that up.")
        ),
    },
    "thinking, then tools": {
        ANTHROPIC: _tool_message(_thought(0, "Let me ", "think."), messages.block(1, _REDACTED)),
        CHAT: _tool_chat(*_HMS),
        RESPONSES: _tool_response(responses.reasoning(0, ("Let me ", "think."))),
    },
    "interleaved": {
        ANTHROPIC: _message(_thought(0, "First."), _searched(1), _thought(3, "Then."), _cited(4, "Found ", "it.")),
        RESPONSES: responses.answer(
            responses.reasoning(0, ("First.",)),
            _search(1),
            responses.reasoning(2, ("Then.",)),
            responses.annotated(3, "Found ", "it."),
        ),
    },
    "searched": {
        ANTHROPIC: _message(messages.text(0, "I search."), _searched(1), _cited(3, "Found ", "it.")),
        RESPONSES: responses.answer(
            responses.text(0, "I search."), _search(1), responses.annotated(2, "Found ", "it.")
        ),
    },
    "refusal": {
        ANTHROPIC: _message(messages.text(0, "I can", "not."), reason="refusal"),
        CHAT: _chat(chat.chunk({"refusal": "I can"}), chat.chunk({"refusal": "not."})),
        RESPONSES: responses.answer(responses.text(0, "I can", "not.", refusal=True)),
    },
    "length": {
        ANTHROPIC: _message(messages.text(0, "And so ", "on"), reason="max_tokens"),
        CHAT: _chat(*chat.text("And so ", "on"), finish="length"),
        RESPONSES: responses.answer(
            responses.text(0, "And so ", "on"), status="incomplete", reason="max_output_tokens"
        ),
    },
}
_BODY_OF: dict[str, Callable[[list[bytes]], bytes]] = {
    ANTHROPIC: message_of,
    CHAT: completion_of,
    RESPONSES: response_of,
}
ANSWERS: dict[str, dict[str, Recorded]] = {
    kind: {form: Recorded(tuple(frames), _BODY_OF[form](frames)) for form, frames in forms.items()}
    for kind, forms in _FRAMES.items()
}
"""What is said, to the formats that can say it, to their bytes."""


def tools(form: str, names: Sequence[str] = TOOLS) -> list[dict[str, Any]]:
    """Tools in the format's own words."""
    schema = {"type": "object", "properties": {}}
    if form == ANTHROPIC:
        return [{"name": name, "description": "", "input_schema": schema} for name in names]
    functions = [{"name": name, "description": "", "parameters": schema} for name in names]
    if form == RESPONSES:
        return [{"type": "function", **function} for function in functions]
    return [{"type": "function", "function": function} for function in functions]
