"""The Anthropic SDK for Python, of any version; its address and key come from the environment."""

from __future__ import annotations

from typing import Any

import anthropic
from reporting import WEATHER, bytes_of, main

client = anthropic.Anthropic(max_retries=0, timeout=100)
patient = anthropic.Anthropic(timeout=100)
HELLO = [{"role": "user", "content": "Hello there"}]


def tool(name: str) -> dict[str, Any]:
    return {"name": name, "description": "Does it.", "input_schema": WEATHER}


def asked(model: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "max_tokens": 1000, "messages": HELLO, **more}


def text() -> Any:
    return {"final": client.messages.create(**asked("text-8"))}


def streamed(model: str, **more: Any) -> dict[str, Any]:
    with client.messages.stream(**asked(model, **more)) as stream:
        events = [event.type for event in stream]
        return {"events": events, "final": stream.get_final_message()}


def two_turns(model: str, name: str, *, stream: bool) -> Any:
    """The answer goes back verbatim, with a result for each of its calls."""
    given = {"tools": [tool(name)]}
    first = streamed(model, **given)["final"] if stream else client.messages.create(**asked(model, **given))
    blocks = [block.model_dump(exclude_none=True) for block in first.content]
    for block in blocks:
        for extra in ("parsed_output", "caller"):
            block.pop(extra, None)
    results = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": "sunny"}
        for block in blocks
        if block["type"] == "tool_use"
    ]
    next_turn = {"role": "user", "content": results or "And now?"}
    history = [*HELLO, {"role": "assistant", "content": blocks}, next_turn]
    more = {**given, "messages": history}
    second = streamed(model, **more)["final"] if stream else client.messages.create(**asked(model, **more))
    return {"final": [first, second]}


def models() -> Any:
    listed = [model.id for model in client.models.list(limit=1000)]
    return {"listed": [name for name in listed if not name.startswith("demo/")]}


def raw() -> Any:
    with client.messages.with_streaming_response.create(**asked("text-20", stream=True)) as response:
        return bytes_of(response)


def raw_unicode() -> Any:
    with client.messages.with_streaming_response.create(**asked("unicode+bytes", stream=True)) as response:
        return bytes_of(response)


def tool_runner() -> Any:
    """The SDK's own loop; the newest keeps the history at the provider unless that refuses."""

    @anthropic.beta_tool
    def get_weather(city: str, unit: str = "", command: str = "") -> str:
        """Tell the weather."""
        return f"sunny in {city}"

    runner = client.beta.messages.tool_runner(**asked("tools", tools=[get_weather]))
    return {"final": [block.model_dump(exclude_none=True) for block in runner.until_done().content]}


main(
    {
        "text": text,
        "streamed text": lambda: streamed("text-8"),
        "unicode": lambda: streamed("unicode"),
        "thinking": lambda: streamed("thinking-8"),
        "thinking, then a turn": lambda: two_turns("thinking-8", "get_weather", stream=True),
        "tools": lambda: two_turns("tools", "get_weather", stream=False),
        "streamed tools": lambda: two_turns("tools", "get_weather", stream=True),
        "parallel tools": lambda: two_turns("parallel-tools-3", "get_weather", stream=True),
        "denied tools": lambda: two_turns("tools", "delete_files", stream=False),
        "streamed denied tools": lambda: two_turns("tools", "delete_files", stream=True),
        "tool runner": tool_runner,
        "error 400": lambda: client.messages.create(**asked("error-400")),
        "error 401": lambda: client.messages.create(**asked("error-401")),
        "error 429": lambda: client.messages.create(**asked("error-429")),
        "error 503": lambda: client.messages.create(**asked("error-503")),
        "error 529": lambda: streamed("error-529"),
        "error in the stream": lambda: streamed("error-frame-5"),
        "retry after 529": lambda: {"final": patient.messages.create(**asked("flaky-529"))},
        "retry after 503": lambda: {"final": patient.messages.create(**asked("flaky-503"))},
        "retry after 429": lambda: {"final": patient.messages.create(**asked("flaky-429"))},
        "cut stream": lambda: streamed("break-5"),
        "silence": lambda: streamed("silent-12"),
        "a minute of silence": lambda: streamed("silent-66"),
        "count tokens": lambda: client.messages.count_tokens(model="text-5", messages=HELLO),
        "models": models,
        "bytes": raw,
        "bytes of unicode": raw_unicode,
    }
)
