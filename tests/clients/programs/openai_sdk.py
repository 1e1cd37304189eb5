"""The OpenAI SDK for Python, of any version; its address and key come from the environment."""

from __future__ import annotations

from typing import Any

import openai
from reporting import WEATHER, bytes_of, main

client = openai.OpenAI(max_retries=0, timeout=100)
patient = openai.OpenAI(timeout=100)
HELLO = [{"role": "user", "content": "Hello there"}]


def tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": "Does it.", "parameters": WEATHER}}


def asked(model: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": HELLO, **more}


def chat(model: str, **more: Any) -> Any:
    return client.chat.completions.create(**asked(model, **more))


def streamed(model: str, **more: Any) -> dict[str, Any]:
    """The SDK's own accumulator, and the chunks as they came."""
    with client.chat.completions.stream(**asked(model, stream_options={"include_usage": True}, **more)) as stream:
        events = [event.type for event in stream]
        return {"events": events, "final": stream.get_final_completion()}


def two_turns(model: str, name: str, *, stream: bool) -> Any:
    """The answer goes back verbatim, with a result for each of its calls."""
    tools = {"tools": [tool(name)]}
    first = streamed(model, **tools)["final"] if stream else chat(model, **tools)
    said = first.choices[0].message.model_dump(exclude_none=True)
    said.pop("parsed", None)
    for call in said.get("tool_calls", ()):
        call["function"].pop("parsed_arguments", None)
    results = [{"role": "tool", "tool_call_id": c["id"], "content": "sunny"} for c in said.get("tool_calls", ())]
    history = [*HELLO, said, *(results or [{"role": "user", "content": "And now?"}])]
    more = {**tools, "messages": history}
    return {"final": [first, streamed(model, **more)["final"] if stream else chat(model, **more)]}


def models() -> Any:
    return {"listed": [model.id for model in client.models.list() if not model.id.startswith("demo/")]}


def embeddings() -> Any:
    return {"final": client.embeddings.create(model="text-embedding-3-small", input=["Hello", "there"])}


def raw(model: str) -> Any:
    with client.chat.completions.with_streaming_response.create(**asked(model, stream=True)) as response:
        return bytes_of(response)


def responses_text() -> Any:
    return {"final": client.responses.create(model="text-8", input="Hello there", store=False)}


def responses_streamed(model: str, **more: Any) -> dict[str, Any]:
    given = {"model": model, "input": "Hello there", "store": False, **more}
    with client.responses.stream(**given) as stream:
        events = [event.type for event in stream]
        return {"events": events, "final": stream.get_final_response()}


def responses_two_turns(model: str, name: str) -> Any:
    tools = [{"type": "function", "name": name, "description": "Does it.", "parameters": WEATHER, "strict": False}]
    first = responses_streamed(model, tools=tools)["final"]
    items = [item.model_dump(exclude_none=True) for item in first.output]
    for item in items:
        item.pop("parsed_arguments", None)
        for part in item.get("content", ()):
            part.pop("parsed", None)
    results = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": "sunny"}
        for item in items
        if item["type"] == "function_call"
    ]
    history = [{"role": "user", "content": "Hello there"}, *items]
    history += results or [{"role": "user", "content": "And now?"}]
    return {"final": [first, responses_streamed(model, tools=tools, input=history)["final"]]}


def responses_held() -> Any:
    """A conversation that the provider holds: go on, look at it, delete it."""
    first = client.responses.create(model="echo", input="Hello there")
    second = client.responses.create(model="echo", input="And now?", previous_response_id=first.id)
    again = client.responses.retrieve(second.id)
    client.responses.delete(second.id)
    try:
        client.responses.retrieve(second.id)
        gone = False
    except openai.NotFoundError:
        gone = True
    return {"text": [first.output_text, second.output_text, again.output_text], "gone": gone}


main(
    {
        "text": lambda: {"final": chat("text-8")},
        "streamed text": lambda: streamed("text-8"),
        "unicode": lambda: streamed("unicode"),
        "tools": lambda: two_turns("tools", "get_weather", stream=False),
        "streamed tools": lambda: two_turns("tools", "get_weather", stream=True),
        "parallel tools": lambda: two_turns("parallel-tools-3", "get_weather", stream=True),
        "denied tools": lambda: two_turns("tools", "delete_files", stream=False),
        "streamed denied tools": lambda: two_turns("tools", "delete_files", stream=True),
        "error 400": lambda: chat("error-400"),
        "error 401": lambda: chat("error-401"),
        "error 429": lambda: chat("error-429"),
        "error 503": lambda: streamed("error-503"),
        "error in the stream": lambda: streamed("error-frame-5"),
        "retry after 503": lambda: {"final": patient.chat.completions.create(**asked("flaky-503"))},
        "retry after 429": lambda: {"final": patient.chat.completions.create(**asked("flaky-429"))},
        "cut stream": lambda: streamed("break-5"),
        "silence": lambda: streamed("silent-12"),
        "a minute of silence": lambda: streamed("silent-66"),
        "models": models,
        "embeddings": embeddings,
        "bytes": lambda: raw("text-20"),
        "bytes of unicode": lambda: raw("unicode+bytes"),
        "responses text": responses_text,
        "responses streamed text": lambda: responses_streamed("text-8"),
        "responses thinking": lambda: responses_streamed("thinking-8"),
        "responses tools": lambda: responses_two_turns("tools", "get_weather"),
        "responses denied tools": lambda: responses_two_turns("tools", "delete_files"),
        "responses error 503": lambda: responses_streamed("error-503"),
        "responses cut stream": lambda: responses_streamed("break-5"),
        "responses silence": lambda: responses_streamed("silent-12"),
        "held responses": responses_held,
    }
)
