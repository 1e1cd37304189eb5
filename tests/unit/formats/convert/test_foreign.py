"""Reasoning that a provider has not made does not reach it; all else stays as it is spelled."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from luthien_stream.formats.convert.foreign import without_foreign
from luthien_stream.formats.convert.seal import Seal, tagged

OWN = {"type": "thinking", "thinking": "mine", "signature": "EqQB"}
SIGNED = tagged(Seal("openai_responses", "gAAA"), "anthropic_messages")
FOREIGN = {"type": "thinking", "thinking": "theirs", "signature": SIGNED}
REDACTED = {"type": "redacted_thinking", "data": tagged(Seal("openai_chat", "x", True), "anthropic_messages")}
TEXT = {"type": "text", "text": f"I quote {SIGNED}"}
USER = {"role": "user", "content": "hello"}


def messages(*blocks: Any) -> bytes:
    """A body whose second message has these blocks."""
    return json.dumps({"x": 1.0, "messages": [USER, {"role": "assistant", "content": blocks}, USER]}).encode()


@pytest.mark.parametrize(
    "body", [messages(OWN, TEXT), messages(TEXT), b"luthien/ no JSON", b'{"messages": "luthien/"}']
)
def test_what_has_none_is_the_same_object(body: bytes) -> None:
    """Also where a text speaks of such a thing."""
    assert without_foreign(body) is body


def test_blocks_go_and_their_message_if_it_has_nothing_else() -> None:
    """In the format of Anthropic's messages."""
    assert json.loads(without_foreign(messages(FOREIGN, REDACTED, OWN, TEXT)))["messages"][1]["content"] == [OWN, TEXT]
    assert json.loads(without_foreign(messages(FOREIGN, REDACTED)))["messages"] == [USER, USER]
    assert b'"x":1.0' in without_foreign(messages(FOREIGN, TEXT)).replace(b" ", b"")


def test_items_of_responses_and_blocks_of_chat_go_too() -> None:
    """Where these formats keep them."""
    sealed = tagged(Seal("anthropic_messages", "EqQB"), "openai_responses")
    items = [{"type": "reasoning", "summary": [], "encrypted_content": one} for one in ("own", sealed)]
    body = json.dumps({"input": [USER, *items]}).encode()
    assert json.loads(without_foreign(body))["input"] == [USER, items[0]]
    chat = {"role": "assistant", "content": "hi", "thinking_blocks": [OWN, FOREIGN]}
    body = json.dumps({"messages": [USER, chat]}).encode()
    assert json.loads(without_foreign(body))["messages"][1]["thinking_blocks"] == [OWN]


def test_slashes_may_be_escaped() -> None:
    """As some clients write all JSON."""
    body = messages(FOREIGN, TEXT).replace(b"/", b"\\/")
    assert json.loads(without_foreign(body))["messages"][1]["content"] == [TEXT]


def test_a_long_history_is_read_once() -> None:
    """Not once for each block: an edge has other calls to serve."""
    body = messages(*[FOREIGN] * 20_000, TEXT)
    began = time.process_time()
    assert json.loads(without_foreign(body))["messages"][1]["content"] == [TEXT]
    assert time.process_time() - began < 5
