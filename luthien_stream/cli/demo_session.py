"""The scripted session of `luthien-stream demo`: what is asked of the demo models, and what came back."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import aiohttp
from msgspec import Struct

from luthien_stream.core.sse import Splitter
from luthien_stream.errors import LuthienError
from luthien_stream.events.answer import ALL, Event, Text, ToolCall
from luthien_stream.formats import LENSES

TIMEOUT_S = 60.0
CALL_ID = "x-luthien-call-id"
CHAT, MESSAGES = "openai_chat", "anthropic_messages"
_PATHS = {CHAT: "/v1/chat/completions", MESSAGES: "/v1/messages"}
_BASH = {
    "name": "Bash",
    "description": "Run a shell command",
    "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
}


class DemoFailed(LuthienError):
    """The gateway did not answer the demo. Look at its log, or run `luthien-stream doctor`."""


class Exchange(Struct):
    """One call of the session. Milliseconds count from the request."""

    title: str
    form: str
    call_id: str
    status: int
    raw: bytes
    first_ms: float
    total_ms: float


async def play(url: str, key: str) -> AsyncIterator[Exchange]:
    """Run the session against the edge at `url`, with a gateway key if it wants one. Raises `DemoFailed`."""
    headers = {"x-luthien-key": key} if key else {}
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(url, headers=headers, timeout=timeout) as http:
        said = "My password is hunter2. Keep it secret, please."
        yield await _ask(http, "echo: the model says what you said", CHAT, "demo/echo", [_user(said)])
        yield await _ask(http, "story: text at reading speed", CHAT, "demo/story", [_user("Tell me a story")])
        first = [_user("Clean up my project")]
        deed = await _ask(http, "agent: asks for a dangerous tool call", MESSAGES, "demo/agent", first)
        yield deed
        turns = [*first, *reaction(MESSAGES, deed.raw)]
        if len(turns) > 1:
            yield await _ask(http, "agent: how it takes it", MESSAGES, "demo/agent", turns)


def events_of(form: str, raw: bytes) -> list[Event]:
    """What a streamed answer says. Raises `LuthienError` where it is none."""
    splitter, decoder = Splitter(), LENSES[form].decoder(ALL)
    found = [one for frame in splitter.feed(raw) for one in decoder.frame(frame)]
    found += decoder.close(splitter.rest())
    return [one for one in found if not isinstance(one, bytes)]


def readable(form: str, raw: bytes) -> str:
    """What a streamed answer says, for people: its text, and a line for each tool call."""
    parts = []
    for event in events_of(form, raw):
        if isinstance(event, Text):
            parts.append(event.text)
        elif isinstance(event, ToolCall):
            parts.append(f"\n[{event.name} {event.arguments}]")
    return "".join(parts).strip()


async def _ask(
    http: aiohttp.ClientSession, title: str, form: str, model: str, messages: Sequence[Mapping[str, Any]]
) -> Exchange:
    tools = {"tools": [_BASH]} if form == MESSAGES else {}
    body = {"model": model, "max_tokens": 1024, "stream": True, "messages": messages, **tools}
    begun, first, raw = time.monotonic(), 0.0, b""
    try:
        async with http.post(_PATHS[form], json=body) as answer:
            async for data in answer.content.iter_any():
                first = first or time.monotonic() - begun
                raw += data
            call_id = answer.headers.get(CALL_ID, "")
    except (aiohttp.ClientError, TimeoutError) as error:
        raise DemoFailed(
            f"The gateway did not answer ({type(error).__name__}): is it up? `luthien-stream doctor` says more"
        ) from error
    if answer.status == 401:
        raise DemoFailed("The gateway wants a key of its own (`auth:`): luthien-stream demo --key KEY")
    if answer.status != 200:
        raise DemoFailed(f"The gateway answered {answer.status}: {raw.decode(errors='replace')}")
    return Exchange(title, form, call_id, answer.status, raw, first * 1e3, (time.monotonic() - begun) * 1e3)


def reaction(form: str, raw: bytes) -> list[dict[str, Any]]:
    """The next turns: the tool's result if a call came through (nothing is executed), else a word of the user."""
    said = events_of(form, raw)
    text = "".join(event.text for event in said if isinstance(event, Text)).strip()
    calls = [event for event in said if isinstance(event, ToolCall)]
    content: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    content += [{"type": "tool_use", "id": call.id, "name": call.name, "input": call.args} for call in calls]
    if not content:
        return []
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "(the demo runs nothing)"} for call in calls]
    return [{"role": "assistant", "content": content}, {"role": "user", "content": results or "Then leave it."}]


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}
