"""Answers of a provider of another format: streamed or not, cut anywhere, the client's SDK understands the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from luthien_stream.formats import LENSES
from tests.unit.formats import scenarios_anthropic, scenarios_chat
from tests.unit.formats.bodies import completion_of, message_of
from tests.unit.formats.convert.judge import ConvertJudges
from tests.unit.formats.convert.pairs import ANTHROPIC, CHAT, FORMATS, RESPONSES, begun, streamed
from tests.unit.formats.convert.scenarios_responses import ANSWERS
from tests.unit.formats.drive import checked, cut

BROKEN = {"error", "lone surrogate", "no finish", "custom tool", "legacy call", "same index"}
"""Scenarios without a whole answer, without a body of the same meaning, or with calls that were not offered."""
BESIDE = {"unknown chunk", "named event", "content after a tool", "two kinds"}
"""Scenarios that a body cannot tell in the same order."""
STREAMS: dict[tuple[str, str], list[bytes]] = {
    **{(ANTHROPIC, name): frames for name, frames in scenarios_anthropic.SCENARIOS.items() if name not in BROKEN},
    **{(CHAT, name): frames for name, frames in scenarios_chat.SCENARIOS.items() if name not in BROKEN},
    **{(RESPONSES, name): frames for name, (frames, _) in ANSWERS.items()},
}
BODIES: dict[tuple[str, str], bytes] = {
    (provider, name): message_of(frames) if provider == ANTHROPIC else completion_of(frames)
    for (provider, name), frames in STREAMS.items()
    if provider != RESPONSES and name not in BESIDE
} | {(RESPONSES, name): json.dumps(body).encode() for name, (_, body) in ANSWERS.items()}
WAYS = [(client, provider, name) for provider, name in STREAMS for client in FORMATS if client != provider]


@pytest.mark.parametrize(("client", "provider", "name"), WAYS)
def test_stream_and_body_say_the_same(client: str, provider: str, name: str, convert_judges: ConvertJudges) -> None:
    """To the client's own SDK; and the checker finds nothing wrong with the frames."""
    frames = streamed(
        begun(client, provider, stream_options={"include_usage": True} if client == CHAT else None),
        STREAMS[provider, name],
    )
    found = convert_judges.stream(client, b"".join(frames))
    if client in LENSES:
        assert checked(LENSES[client], frames) == []
    if (provider, name) in BODIES:
        body = begun(client, provider).body(BODIES[provider, name])
        assert convert_judges.body(client, body) == found


@pytest.mark.parametrize("size", [1, 7])
@pytest.mark.parametrize(("client", "provider", "name"), WAYS)
def test_it_does_not_matter_how_a_stream_is_cut(client: str, provider: str, name: str, size: int) -> None:
    """The frames are the same bytes."""
    whole = STREAMS[provider, name]
    assert streamed(begun(client, provider), cut(b"".join(whole), size)) == streamed(begun(client, provider), whole)


PLAIN: list[tuple[str, str, str, str, Any]] = [
    (provider, client, name, field, expected)
    for provider, name, field, by_client in (
        (ANTHROPIC, "length", "reason", {CHAT: "length", RESPONSES: "max_output_tokens"}),
        (ANTHROPIC, "refusal", "reason", {CHAT: "content_filter", RESPONSES: "content_filter"}),
        (ANTHROPIC, "stop sequence", "reason", {CHAT: "stop", RESPONSES: "completed"}),
        (ANTHROPIC, "tool", "reason", {CHAT: "tool_calls", RESPONSES: "completed"}),
        (ANTHROPIC, "text", "usage", {CHAT: (25, 7, 15), RESPONSES: (25, 7, 15)}),
        (CHAT, "length", "reason", {ANTHROPIC: "max_tokens", RESPONSES: "max_output_tokens"}),
        (CHAT, "filtered", "reason", {ANTHROPIC: "refusal", RESPONSES: "content_filter"}),
        (CHAT, "refusal", "reason", {ANTHROPIC: "refusal", RESPONSES: "completed"}),
        (CHAT, "stop with a tool", "reason", {ANTHROPIC: "tool_use", RESPONSES: "completed"}),
        (CHAT, "tool_calls without a tool", "reason", {ANTHROPIC: "end_turn", RESPONSES: "completed"}),
        (CHAT, "usage", "usage", {ANTHROPIC: (9, 0, 5), RESPONSES: (9, 0, 5)}),
        (RESPONSES, "length", "reason", {ANTHROPIC: "max_tokens", CHAT: "length"}),
        (RESPONSES, "filtered", "reason", {ANTHROPIC: "refusal", CHAT: "content_filter"}),
        (RESPONSES, "refusal", "reason", {ANTHROPIC: "refusal", CHAT: "stop"}),
        (RESPONSES, "tool", "reason", {ANTHROPIC: "tool_use", CHAT: "tool_calls"}),
        (RESPONSES, "text", "usage", {ANTHROPIC: (25, 7, 15), CHAT: (25, 7, 15)}),
    )
    for client, expected in by_client.items()
]


@pytest.mark.parametrize(("provider", "client", "name", "field", "expected"), PLAIN)
def test_reasons_and_counts_have_their_counterparts(
    provider: str, client: str, name: str, field: str, expected: Any, convert_judges: ConvertJudges
) -> None:
    """Anthropic counts cached input apart, OpenAI as part of the input."""
    conversion = begun(client, provider, stream_options={"include_usage": True} if client == CHAT else None)
    found = convert_judges.stream(client, b"".join(streamed(conversion, STREAMS[provider, name])))
    assert found[field] == expected


CALLS = [
    ("tool", [("Bash", {"command": "rm -rf /"})]),
    ("two tools", [("Bash", {"command": "rm -rf /"}), ("Read", {"path": "a"})]),
    ("interleaved tools", [("Bash", {"command": "rm -rf /"}), ("Read", {"path": "a"})]),
]


@pytest.mark.parametrize(("name", "calls"), CALLS)
@pytest.mark.parametrize(("client", "provider"), sorted({way[:2] for way in WAYS}))
def test_calls_come_whole_and_in_order(
    client: str, provider: str, name: str, calls: list[Any], convert_judges: ConvertJudges
) -> None:
    """Also where the provider wrote their pieces in turn; which only chat can."""
    frames = STREAMS.get((provider, name))
    if frames is None:
        assert name == "interleaved tools"
        return
    found = convert_judges.stream(client, b"".join(streamed(begun(client, provider), frames)))
    assert [(name, arguments) for _, name, arguments in found["calls"]] == calls


@pytest.mark.parametrize(("client", "provider"), sorted({way[:2] for way in WAYS}))
def test_arguments_come_piece_by_piece(client: str, provider: str) -> None:
    """A long call is not held back until it is whole."""
    transcoder = begun(client, provider).stream()
    pieces = [len(transcoder.frame(raw)) for raw in STREAMS[provider, "only a tool"]]
    assert len([count for count in pieces if count]) > 3
