"""Streamed answers as OpenAI and its many imitators send them, by name."""

from __future__ import annotations

import json
from typing import Any

DONE = b"data: [DONE]\n\n"
HEAD = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1761263640,
    "model": "gpt-x",
    "service_tier": "default",
}


def sse(fields: dict[str, Any]) -> bytes:
    """A frame as the provider writes it."""
    return b"data: " + json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"


def chunk(delta: dict[str, Any], finish: str | None = None, logprobs: Any = None, **more: Any) -> bytes:
    """A frame with one choice."""
    choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
    return sse({**HEAD, "choices": [choice], "obfuscation": "xY", **more})


ROLE = chunk({"role": "assistant", "content": "", "refusal": None})
USAGE = sse({**HEAD, "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}})


def text(*pieces: str) -> list[bytes]:
    """Content."""
    return [chunk({"content": piece}) for piece in pieces]


def call(index: int, **fields: Any) -> dict[str, Any]:
    """A piece of a tool call."""
    return {"tool_calls": [{"index": index, **fields}]}


def tool(index: int, id: str, name: str, *pieces: str) -> list[bytes]:
    """A tool call."""
    first = call(index, id=id, type="function", function={"name": name, "arguments": ""})
    return [chunk(first), *[chunk(call(index, function={"arguments": piece})) for piece in pieces]]


def end(finish: str = "stop", *behind: bytes) -> list[bytes]:
    """The end of an answer."""
    return [chunk({}, finish), *behind, DONE]


LOGPROBS = {"content": [{"token": "a", "logprob": -0.10, "bytes": [97]}]}
BASH = ("call_1", "Bash", '{"command": "r', 'm -rf /"}')
READ = ("call_2", "Read", '{"path": "a"}')
WHOLE = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "Bash", "arguments": '{"command":"ls"}'}}
SCENARIOS: dict[str, list[bytes]] = {
    "text": [ROLE, *text("Hel", "lo ", "wörld\u2028!"), *end()],
    "usage": [ROLE, *text("a", "b"), *end("stop", USAGE)],
    "usage in each chunk": [ROLE, chunk({"content": "a"}, usage={"total_tokens": 1}), *end("stop", USAGE)],
    "tool": [ROLE, *text("I run it."), *tool(0, *BASH), *end("tool_calls")],
    "only a tool": [ROLE, *tool(0, *BASH), *end("tool_calls", USAGE)],
    "two tools": [ROLE, *text("ok"), *tool(0, *BASH), *tool(1, *READ), *end("tool_calls")],
    "interleaved tools": [
        ROLE,
        *[f for two in zip(tool(0, *BASH), tool(1, *READ, ""), strict=True) for f in two],
        *end("tool_calls"),
    ],
    "custom tool": [
        ROLE,
        chunk(call(0, id="c", type="custom", custom={"name": "sql", "input": ""})),
        chunk(call(0, custom={"input": "DROP TABLE a"})),
        *end("tool_calls"),
    ],
    "legacy call": [
        ROLE,
        chunk({"function_call": {"name": "Bash", "arguments": ""}}),
        chunk({"function_call": {"arguments": "{}"}}),
        *end("function_call"),
    ],
    "reasoning": [
        ROLE,
        chunk({"reasoning_content": "hm"}),
        chunk({"content": None, "reasoning_content": " so"}),
        *text("Yes", "."),
        *end(),
    ],
    "reasoning details": [
        ROLE,
        chunk({"reasoning": "hm", "reasoning_details": [{"text": "hm"}], "content": ""}),
        *text("Yes"),
        *end(),
    ],
    "refusal": [ROLE, chunk({"refusal": "I can"}), chunk({"refusal": "not."}), *end()],
    "one chunk": [chunk({"role": "assistant", "content": "all"}, "stop"), DONE],
    "one chunk with a tool": [
        chunk({"role": "assistant", "content": "so", "tool_calls": [WHOLE]}, "tool_calls"),
        USAGE,
        DONE,
    ],
    "content with the finish": [ROLE, *text("a"), chunk({"content": "b"}, "stop"), USAGE, DONE],
    "content with a tool": [ROLE, *text("a"), chunk({"content": "b", "tool_calls": [WHOLE]}), *end("tool_calls")],
    "content after a tool": [ROLE, chunk({"tool_calls": [WHOLE]}), *text("then"), *end("tool_calls")],
    "content while tools come": [ROLE, chunk({"content": "", "tool_calls": [WHOLE]}), *end("tool_calls")],
    "two kinds": [ROLE, chunk({"content": "a", "reasoning_content": "b"}), *text("c"), *end()],
    "role with content": [chunk({"role": "assistant", "content": "a"}), *text("b"), *end()],
    "role in every chunk": [
        *[chunk({"role": "assistant", "content": p}) for p in ("", "a", "b")],
        chunk({"role": "assistant"}, "stop"),
        DONE,
    ],
    "no role": [*text("a", "b"), *end()],
    "no done": [ROLE, *text("a"), chunk({}, "stop")],
    "no finish": [ROLE, *text("a"), DONE],
    "azure": [
        sse({"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": []}),
        ROLE,
        *text("a"),
        *end(),
    ],
    "comments": [
        b": PROCESSING\n\n",
        ROLE,
        b": x\n\n",
        *text("a"),
        *tool(0, *BASH)[:2],
        b": y\n\n",
        *tool(0, *BASH)[2:],
        *end("tool_calls"),
    ],
    "empty data": [ROLE, b"data: \n\n", *text("a"), *end()],
    "logprobs": [ROLE, chunk({"content": "a"}, logprobs=LOGPROBS), chunk({"content": "b"}, logprobs=LOGPROBS), *end()],
    "unknown fields": [
        ROLE,
        chunk({"content": "a", "annotations": [{"index": 1}]}),
        chunk({"audio": {"id": "x"}}),
        chunk({"images": [1]}),
        *end(),
    ],
    "nulls": [
        ROLE,
        chunk({"content": "a", "audio": None, "provider_specific_fields": None, "x": None, "tool_calls": None}),
        *end(),
    ],
    "unknown chunk": [ROLE, sse({"type": "note", "text": "x"}), *text("a"), *end()],
    "named event": [ROLE, b"event: note\n" + sse({"x": 1}), *text("a"), *end()],
    "finish twice": [ROLE, *text("a"), chunk({}, "stop"), chunk({}, "stop"), chunk({"content": ""}), DONE],
    "finish with each tool": [
        ROLE,
        chunk({"tool_calls": [WHOLE]}, "tool_calls"),
        chunk({"tool_calls": [{**WHOLE, "index": 1, "id": "c2"}]}, "tool_calls"),
        DONE,
    ],
    "same index": [
        ROLE,
        chunk({"tool_calls": [WHOLE]}),
        chunk({"tool_calls": [{**WHOLE, "id": "call_9"}]}),
        *end("tool_calls"),
    ],
    "length": [ROLE, *text("a"), *end("length")],
    "filtered": [ROLE, *text("a"), *end("content_filter")],
    "odd reason": [ROLE, *text("a"), *end("eos")],
    "nothing": [ROLE, *end()],
    "stop with a tool": [ROLE, *tool(0, *BASH), *end("stop")],
    "tool_calls without a tool": [ROLE, *text("a"), *end("tool_calls")],
    "error": [ROLE, *text("a"), sse({"error": {"message": "Overloaded", "type": "server_error", "code": 502}})],
    "carriage returns": [
        f.replace(b"\n", b"\r\n") for f in [ROLE, *text("a", "b"), *tool(0, *BASH), *end("tool_calls", USAGE)]
    ],
    "spaced": [
        b'data: {"choices": [{"delta": {"role": "assistant", "content": "\\u2602"}, "index": 0, "x": 0.10}], '
        b'"id": "a", "created": 20, "model": "m", "object": "chat.completion.chunk"}\n\n',
        b'data:{"choices": [{"delta": {"content": "b"}, "index": 0}], "id": "a", "created": 20, "model": "m"}\n\n',
        *end(),
    ],
    "lone surrogate": [
        ROLE,
        b'data: {"choices":[{"index":0,"delta":{"content":"a\\ud83d"},"finish_reason":null}]}\n\n',
        *text("b"),
        *end(),
    ],
}
CUT = {
    "cut": SCENARIOS["text"][:-3],
    "cut in a tool": SCENARIOS["tool"][:-3],
    "cut after the finish": SCENARIOS["usage"][:-2],
}
