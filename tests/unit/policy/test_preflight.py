"""Which calls are no turns of a conversation."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from luthien_stream.formats import LENSES
from luthien_stream.policy.preflight import is_preflight

HELLO = [{"role": "user", "content": "Hello"}]
TITLE = {"type": "object", "properties": {"isNewTopic": {"type": "boolean"}, "title": {"type": "string"}}}
OTHER = {"type": "object", "properties": {"summary": {"type": "string"}}}
TALK = [*HELLO, {"role": "assistant", "content": "Hi."}, *HELLO]
TOOLS = [{"name": "Bash", "input_schema": {"type": "object"}}]


def asked(form: str, **fields: Any) -> bool:
    limit: dict[str, Any] = (
        {"max_output_tokens": 32000, "input": HELLO} if form == "openai_responses" else {"messages": HELLO}
    )
    if form == "anthropic_messages":
        limit["max_tokens"] = 32000
    return is_preflight(LENSES[form].request(msgspec.json.encode({"model": "m", **limit, **fields})))


def schema(form: str, schema: Any) -> dict[str, Any]:
    match form:
        case "anthropic_messages":
            return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
        case "openai_chat":
            return {"response_format": {"type": "json_schema", "json_schema": {"name": "t", "schema": schema}}}
    return {"text": {"format": {"type": "json_schema", "name": "t", "schema": schema}}}


@pytest.mark.parametrize("form", LENSES)
def test_titles_are_told_by_their_schema(form: str) -> None:
    """In every format; another schema in a call with room for more is a turn."""
    assert asked(form, **schema(form, TITLE))
    assert not asked(form, **schema(form, OTHER))
    assert not asked(form)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_tokens": 1}, True),
        ({"max_tokens": 1, "tools": TOOLS, "messages": TALK}, True),
        ({"max_tokens": 1, "messages": [{"role": "user", "content": "quota"}]}, True),
        ({"max_tokens": 2}, False),
        ({"max_tokens": 256, "tools": [], **schema("anthropic_messages", OTHER)}, True),
        ({"max_tokens": 257, "tools": [], **schema("anthropic_messages", OTHER)}, False),
        ({**schema("anthropic_messages", TITLE), "tools": TOOLS}, False),
        ({**schema("anthropic_messages", TITLE), "messages": TALK}, False),
        ({"system": "You name sessions: output only a title."}, True),
        ({"system": "You name sessions: output only a title.", "tools": TOOLS}, False),
        ({"system": "You are a coding agent. " + "x" * 200 + " title"}, False),
        ({"output_config": {"format": "text"}}, False),
        ({"output_config": 1}, False),
    ],
)
def test_structure(fields: dict[str, Any], expected: bool) -> None:
    """Limits, tools, history and schema."""
    assert asked("anthropic_messages", **fields) == expected
