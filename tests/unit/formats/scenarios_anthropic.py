"""Streamed answers as Anthropic sends them, by name."""

from __future__ import annotations

import json
from typing import Any


def sse(type: str, **fields: Any) -> bytes:
    """A frame as the provider writes it."""
    text = json.dumps({"type": type, **fields}, separators=(",", ":"), ensure_ascii=False)
    return f"event: {type}\ndata: {text}\n\n".encode()


PING = b'event: ping\ndata: {"type": "ping"}\n\n'


def begin(**more: Any) -> bytes:
    """The frame that begins a message."""
    usage = {"input_tokens": 25, "cache_read_input_tokens": 7, "output_tokens": 1}
    message = {"id": "msg_01", "type": "message", "role": "assistant", "model": "claude-x", "content": []}
    return sse("message_start", message={**message, "stop_reason": None, "stop_sequence": None, "usage": usage, **more})


def end(reason: str = "end_turn", **more: Any) -> list[bytes]:
    """The frames that end a message."""
    delta = {"stop_reason": reason, "stop_sequence": None, **more}
    return [sse("message_delta", delta=delta, usage={"output_tokens": 15}), sse("message_stop")]


def delta(index: int, type: str, **fields: Any) -> bytes:
    """A delta of a block."""
    return sse("content_block_delta", index=index, delta={"type": type, **fields})


def block(index: int, start: dict[str, Any], *deltas: tuple[str, dict[str, Any]]) -> list[bytes]:
    """A whole block."""
    frames = [sse("content_block_start", index=index, content_block=start)]
    frames += [delta(index, type, **fields) for type, fields in deltas]
    return [*frames, sse("content_block_stop", index=index)]


def text(index: int, *pieces: str) -> list[bytes]:
    """A block of text."""
    return block(index, {"type": "text", "text": ""}, *[("text_delta", {"text": piece}) for piece in pieces])


def thinking(index: int, *pieces: str) -> list[bytes]:
    """A signed block of thinking."""
    deltas = [("thinking_delta", {"thinking": piece}) for piece in pieces]
    return block(
        index, {"type": "thinking", "thinking": "", "signature": ""}, *deltas, ("signature_delta", {"signature": "sig"})
    )


def tool(index: int, id: str, name: str, *pieces: str) -> list[bytes]:
    """A tool call."""
    start = {"type": "tool_use", "id": id, "name": name, "input": {}}
    return block(index, start, *[("input_json_delta", {"partial_json": piece}) for piece in pieces])


def citation(index: int) -> bytes:
    """A citation in a block of text."""
    return delta(index, "citations_delta", citation={"type": "char_location", "cited_text": "x", "index": 3})


FOUND = {"index": 9, "type": "web_search_result", "url": "u", "title": "t", "encrypted_content": "x", "page_age": None}
BASH = ("tu_1", "Bash", "", '{"command": "r', 'm -rf /"}')
SCENARIOS: dict[str, list[bytes]] = {
    "text": [begin(), PING, *text(0, "Hel", "lo ", "wörld\u2028!"), *end()],
    "two texts": [begin(), *text(0, "a", "b"), PING, *text(1, "c"), *end()],
    "tool": [begin(), *text(0, "I run it."), *tool(1, *BASH), *end("tool_use")],
    "only a tool": [begin(), *tool(0, *BASH), *end("tool_use")],
    "two tools": [
        begin(),
        *text(0, "ok"),
        *tool(1, *BASH),
        *tool(2, "tu_2", "Read", '{"path": "a"}'),
        *end("tool_use"),
    ],
    "tool without arguments": [begin(), *tool(0, "tu_1", "Now"), *end("tool_use")],
    "thinking": [begin(), *thinking(0, "hm", " so"), *text(1, "Yes", "."), *end()],
    "thinking and tool": [begin(), *thinking(0, "hm"), *tool(1, *BASH), *end("tool_use")],
    "hidden thinking": [
        begin(),
        *thinking(0),
        *block(1, {"type": "redacted_thinking", "data": "xx"}),
        *text(2, "a"),
        *end(),
    ],
    "empty thinking": [
        begin(),
        *block(0, {"type": "thinking", "thinking": "", "signature": ""}),
        *text(1, "a"),
        *end(),
    ],
    "interleaved": [
        begin(),
        *thinking(0, "a"),
        *block(
            1,
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
            ("input_json_delta", {"partial_json": "{}"}),
        ),
        *block(
            2,
            {
                "type": "web_search_tool_result",
                "tool_use_id": "s",
                "content": [FOUND],
            },
        ),
        *thinking(3, "b"),
        *text(4, "found", " it"),
        *end(),
    ],
    "citations": [begin(), *text(0, "a", "b")[:-1], citation(0), sse("content_block_stop", index=0), *end()],
    "citation first": [begin(), text(0)[0], citation(0), *text(0, "a")[1:], *end()],
    "pings everywhere": [
        PING,
        begin(),
        *[f for frame in [*text(0, "a", "b"), *tool(1, *BASH)] for f in (frame, PING)],
        *end("tool_use"),
    ],
    "text in the start": [
        begin(),
        *block(0, {"type": "text", "text": "early"}, ("text_delta", {"text": " late"})),
        *end(),
    ],
    "empty deltas": [begin(), *text(0, "", "a", "", "b", ""), *end()],
    "unknown events": [
        begin(),
        sse("new_thing", a=1),
        *text(0, "a")[:2],
        sse("new_thing", a=2),
        sse("content_block_stop", index=0),
        *end(),
    ],
    "length": [begin(), *text(0, "a"), *end("max_tokens")],
    "refusal": [begin(), *text(0, "a"), *end("refusal")],
    "stop sequence": [begin(), *text(0, "a"), *end("stop_sequence", stop_sequence="\n")],
    "nothing": [begin(), *end()],
    "error": [
        begin(),
        *text(0, "a", "b")[:-1],
        sse("error", error={"type": "overloaded_error", "message": "Overloaded"}),
    ],
    "comments": [b": hello\n\n", begin(), *text(0, "a"), b": still here\n\n", *end()],
    "carriage returns": [
        f.replace(b"\n", b"\r\n") for f in [begin(), *text(0, "a", "b"), *tool(1, *BASH), *end("tool_use")]
    ],
    "spaced": [
        b'event: message_start\ndata: {"type": "message_start", "message": {"id": "m", "role": "assistant", '
        b'"content": [], "usage": {"input_tokens": 1, "output_tokens": 1}, "x": 0.10}}\n\n',
        b"event: content_block_start\n"
        b'data: {"index": 0, "type": "content_block_start", "content_block": {"type": "text", "text": ""}}\n\n',
        b'event: content_block_delta\ndata: {"delta": {"type": "text_delta", "text": "\\u2602 a"}, '
        b'"index": 0, "type": "content_block_delta"}\n\n',
        b'data: {"type": "content_block_stop", "index": 0}\n\n',
        *end(),
    ],
    "lone surrogate": [
        begin(),
        text(0)[0],
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"text_delta","text":"a\\ud83d"}}\n\n',
        *text(0, "b")[1:],
        *end(),
    ],
}
CUT = {
    "cut": SCENARIOS["two texts"][:-3],
    "cut in a tool": SCENARIOS["tool"][:-4],
    "cut before the end": SCENARIOS["text"][:-1],
}
