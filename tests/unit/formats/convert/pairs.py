"""Clients and providers of different formats, and the shortest ways through a conversion."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from luthien_stream.formats.convert import Conversion

ANTHROPIC, CHAT, RESPONSES = "anthropic_messages", "openai_chat", "openai_responses"
FORMATS = (ANTHROPIC, CHAT, RESPONSES)
PAIRS = [(client, provider) for client in FORMATS for provider in FORMATS if client != provider]
CLAUDE, GPT = "claude-opus-5-5", "gpt-5"
HELLO: dict[str, dict[str, Any]] = {
    ANTHROPIC: {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "Hi"}]},
    CHAT: {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
    RESPONSES: {"model": "m", "input": "Hi"},
}
"""The shortest request of each format."""


def model_for(provider: str) -> str:
    """A model that a provider of this format has."""
    return CLAUDE if provider == ANTHROPIC else GPT


def sent(client: str, provider: str, request: Any, model: str = "") -> Any:
    """What the provider is sent for a request."""
    body = Conversion(client, provider).request(json.dumps(request).encode(), model or model_for(provider))
    return json.loads(body)


def begun(client: str, provider: str, **more: Any) -> Conversion:
    """A conversion whose request has been made."""
    conversion = Conversion(client, provider, created=1_700_000_000)
    conversion.request(json.dumps({**HELLO[client], **more}).encode(), model_for(provider))
    return conversion


def streamed(conversion: Conversion, frames: Sequence[bytes]) -> list[bytes]:
    """The client's frames for a provider's."""
    transcoder = conversion.stream()
    return [*[made for raw in frames for made in transcoder.frame(raw)], *transcoder.close()]


def sse(type: str, **fields: Any) -> bytes:
    """A frame as OpenAI writes it for a response, or Anthropic for a message."""
    return f"event: {type}\ndata: {json.dumps({'type': type, **fields}, separators=(',', ':'))}\n\n".encode()


def data_of_frames(frames: Sequence[bytes]) -> list[Any]:
    """The JSON in frames."""
    lines = [line for raw in frames for line in raw.split(b"\n") if line.startswith(b"data: {")]
    return [json.loads(line[6:]) for line in lines]
