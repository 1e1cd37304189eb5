"""What the fake provider will say is known before it is asked."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from luthien_stream.testing import scenarios
from luthien_stream.testing.scenarios import SCENARIOS, STAMP, Wish, parse, stream, text_of, wish_of
from luthien_stream.upstream.script import fragments, words

FORMATS = ("anthropic_messages", "openai_chat", "openai_responses")
STYLES = ("", "+crlf", "+spaced", "+odd", "+crlf+odd")


def deltas(frames: tuple[bytes, ...]) -> list[Any]:
    """The parsed data fields of frames."""
    lines = re.findall(rb"^data: ?(\{.*\})\r?$", b"".join(frames), re.MULTILINE)
    return [msgspec.json.decode(line) for line in lines]


def said(form: str, frames: tuple[bytes, ...]) -> str:
    """All text of a streamed answer."""
    if form == "anthropic_messages":
        return "".join(one.get("delta", {}).get("text", "") for one in deltas(frames))
    if form == "openai_responses":
        return "".join(one["delta"] for one in deltas(frames) if one["type"] == "response.output_text.delta")
    return "".join(choice["delta"].get("content") or "" for one in deltas(frames) for choice in one["choices"])


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("model", ["text-7", "unicode", "thinking-2", "tools", "echo", "long-3"])
def test_a_style_changes_bytes_but_not_the_text(form: str, style: str, model: str) -> None:
    """Whatever the style, the answer says the same."""
    wish = Wish(said="one  two\nthree")
    frames = stream(form, model + style, wish)
    assert said(form, frames) == text_of(model, wish)
    assert all(frame.endswith((b"\n\n", b"\r\n\r\n")) for frame in frames)


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_request_gives_the_same_bytes(form: str) -> None:
    """Identifiers and times are made from the request alone."""
    stream.cache_clear()
    first = stream(form, "text-3", Wish("a"))
    stream.cache_clear()
    assert stream(form, "text-3", Wish("a")) == first
    assert stream(form, "text-3", Wish("b")) != first


def test_model_names_are_taken_apart() -> None:
    """Scenario, number, rate and styles stand in the name; what is in front of a slash is somebody else's."""
    assert parse("fake/parallel-tools-3") == scenarios.Scenario("parallel-tools", 3)
    assert parse("text-50@20.5+timed+crlf") == scenarios.Scenario("text", 50, 20.5, ("timed", "crlf"))
    assert parse("echo").count == SCENARIOS["echo"]


@pytest.mark.parametrize("model", ["gpt-5", "text-5+purple", "", "text--5", "texts"])
def test_other_names_are_refused(model: str) -> None:
    """A mistyped scenario is an error, never some answer."""
    with pytest.raises(ValueError, match="there are"):
        parse(model)


@pytest.mark.parametrize("form", FORMATS)
def test_timed_answers_have_a_stamp_in_every_piece(form: str) -> None:
    """The provider writes its clock over the stamps, one a piece of text; what repeats the text has them again."""
    times = 5 if form == "openai_responses" else 1
    assert b"".join(stream(form, "text-9+timed")).count(STAMP) == 9 * times


def test_the_wish_is_read_from_every_format() -> None:
    """The last user text counts, and a tool result only while nothing was said after it."""
    chat = {"messages": [{"role": "user", "content": "a"}, {"role": "tool", "tool_call_id": "1", "content": "r"}]}
    assert wish_of(chat) == Wish(said="a", tool_result="r", usage=False)
    result = {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "r"}]}
    messages = [{"role": "user", "content": [{"type": "text", "text": "a"}]}, {"role": "user", "content": [result]}]
    assert wish_of({"messages": messages, "tools": [{"name": "Bash"}]}) == Wish("a", "r", "Bash", usage=False)
    call = {"type": "function_call", "call_id": "1", "name": "Bash", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "1", "output": "r"}
    said = [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}, call, output]
    assert wish_of({"input": said, "tools": [{"name": "Bash"}]}) == Wish("a", "r", "Bash", usage=False)
    assert wish_of({"input": "a"}) == Wish("a", usage=False)
    messages.append({"role": "user", "content": "b"})
    assert wish_of({"messages": messages}).tool_result == ""


@pytest.mark.parametrize("text", ["", " ", "a", "a b", "  a  b ", "a\n\nb\n", "日本 語"])
def test_words_are_the_whole_text(text: str) -> None:
    """Cutting loses nothing."""
    assert "".join(words(text)) == text
    assert "".join(fragments(text, 2)) == text
