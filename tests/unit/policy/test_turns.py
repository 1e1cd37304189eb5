"""A conversation as turns: the same from every format."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from luthien_stream.formats import LENSES
from luthien_stream.policy import End, Text, ToolCall
from luthien_stream.policy.turns import ToolResult, Turn, turns_of

ARGUMENTS = '{"command":"ls"}'
CHAT: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "List it."},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "Bash", "arguments": ARGUMENTS}},
                {"id": "2", "type": "function", "function": {"name": "Bash", "arguments": ARGUMENTS}},
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": "a.txt"},
        {"role": "tool", "tool_call_id": "2", "content": "b.txt"},
        {"role": "user", "content": "And now?"},
    ]
}
MESSAGES: dict[str, Any] = {
    "max_tokens": 9,
    "system": "Be brief.",
    "messages": [
        {"role": "user", "content": "List it."},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "1", "name": "Bash", "input": {"command": "ls"}},
                {"type": "tool_use", "id": "2", "name": "Bash", "input": {"command": "ls"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "1", "content": "a.txt"},
                {"type": "tool_result", "tool_use_id": "2", "content": [{"type": "text", "text": "b.txt"}]},
                {"type": "text", "text": "And now?"},
            ],
        },
    ],
}
RESPONSES: dict[str, Any] = {
    "instructions": "Be brief.",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "List it."}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
        {"type": "function_call", "call_id": "1", "name": "Bash", "arguments": ARGUMENTS},
        {"type": "function_call", "call_id": "2", "name": "Bash", "arguments": ARGUMENTS},
        {"type": "function_call_output", "call_id": "1", "output": "a.txt"},
        {"type": "function_call_output", "call_id": "2", "output": "b.txt"},
        {"role": "user", "content": "And now?"},
    ],
}
BODIES = {"openai_chat": CHAT, "anthropic_messages": MESSAGES, "openai_responses": RESPONSES}


def turns(form: str, **fields: Any) -> tuple[Turn, ...]:
    body = {"model": "m", **BODIES[form], **fields}
    return turns_of(LENSES[form].request(msgspec.json.encode(body)))


@pytest.mark.parametrize("form", LENSES)
def test_turns_are_the_same_from_every_format(form: str) -> None:
    """A turn begins with what came in; results carry the name of their tool; only the last turn is new."""
    calls = (ToolCall("1", "Bash", ARGUMENTS), ToolCall("2", "Bash", ARGUMENTS))
    results = (ToolResult("1", "Bash", "a.txt"), ToolResult("2", "Bash", "b.txt"))
    assert turns(form) == (
        Turn(user=("List it.",), text="I look.", tool_calls=calls),
        Turn(user=("And now?",), tool_results=results, new=True),
    )


def test_a_first_request_is_one_new_turn() -> None:
    """Also as a bare text."""
    assert turns("openai_responses", input="Hello") == (Turn(user=("Hello",), new=True),)


def test_a_result_in_pieces_is_one() -> None:
    """Joined by line ends."""
    pieces = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    said = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": pieces}]}
    (turn,) = turns("anthropic_messages", messages=[said])
    assert turn.tool_results == (ToolResult("1", "", "a\nb"),)


def test_an_answer_belongs_to_the_last_turn() -> None:
    """What a monitor is shown."""
    call = ToolCall("3", "Bash", "{}")
    answered = turns("openai_chat")[-1].answered([Text("I "), Text("see."), call, End("tool_calls")])
    assert (answered.user, answered.text, answered.tool_calls) == (("And now?",), "I see.", (call,))
