"""Every policy over every stream: what leaves is well-formed, and the vendors' clients read it."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from luthien_stream.formats.openai_responses.items import TOOLS, joined
from tests.unit.formats.drive import MESSAGES, POLICIES, RESPONSES, STREAMS, checked, through, understood
from tests.unit.formats.sdks import Judges

ODD = {
    "chat: role in every chunk",
    "chat: finish twice",
    "chat: finish with each tool",
}
"""Streams that break the rules as they come."""
UNREAD = {
    "anthropic: error",
    "chat: error",
    "chat: custom tool",
    "chat: empty data",
    "chat: length",
    "chat: filtered",
    "chat: named event",
    "chat: unknown chunk",
    "responses: error",
    "responses: failed",
    "responses: length",
    "responses: filtered",
    "responses: no repeats",
    "responses: unknown first",
    "responses: unknown content",
}
"""Streams that the vendor's client does not take as they come."""
READ = ("noop", "capitals", "no texts", "no tools", "text first", "held to part end", "denied", "other reason")
"""The policies that the vendors' clients judge: they take their time."""


@pytest.mark.parametrize("name", STREAMS)
def test_what_leaves_is_well_formed(name: str) -> None:
    """The checker finds nothing that the provider did not do itself."""
    lens, frames = STREAMS[name]
    assert bool(checked(lens, frames)) == (name in ODD)
    if name not in ODD:
        found = {policy: checked(lens, through(lens, frames, make).frames) for policy, make in POLICIES.items()}
        assert found == {policy: [] for policy in POLICIES}


def said_by(meaning: list[Any]) -> str:
    """All text that is no refusal."""
    return joined(said[1] for said in meaning if said[0] == "Text")


@pytest.mark.parametrize("policy", READ)
@pytest.mark.parametrize("name", sorted(set(STREAMS) - UNREAD))
def test_clients_read_what_leaves(name: str, policy: str, judges: Judges) -> None:
    """The vendor's client puts a message together, with no empty text in it and one role."""
    lens, frames = STREAMS[name]
    run = through(lens, frames, POLICIES[policy])
    if lens is MESSAGES:
        message = judges.anthropic_stream(run.stream)
        assert all(block.text for block in message.content if block.type == "text")
        called = any(block.type == "tool_use" for block in message.content)
    elif lens is RESPONSES:
        if policy == "other reason":
            assert judges.responses_events(run.stream)[-1].response.incomplete_details.reason == "max_output_tokens"
            return
        response = judges.responses_stream(run.stream)
        called = any(item.type in TOOLS for item in response.output)
        assert response.output_text == said_by(understood(lens, run))
    else:
        if policy == "other reason":
            with pytest.raises(openai.LengthFinishReasonError):
                judges.chat_stream(run.stream)
            return
        choice = judges.chat_stream(run.stream).choices[0]
        called = bool(choice.message.tool_calls or choice.message.function_call)
        if name not in ODD and name != "chat: no role":
            assert choice.message.role == "assistant"
    assert called == any(said[0] == "ToolCall" for said in understood(lens, run))


@pytest.mark.parametrize("name", STREAMS)
def test_the_provider_keeps_the_account(name: str) -> None:
    """Token counts that the client sees are the provider's, whatever policies did."""
    lens, frames = STREAMS[name]
    seen = {policy: lens.usage_of(through(lens, frames, make).frames) for policy, make in POLICIES.items()}
    assert seen == dict.fromkeys(POLICIES, lens.usage_of(frames))
