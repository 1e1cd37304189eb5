"""Streamed responses as OpenAI sends them, by name."""

from __future__ import annotations

from typing import Any

from tests.unit.formats.convert.pairs import sse

USAGE = {
    "input_tokens": 32,
    "input_tokens_details": {"cached_tokens": 7, "cache_write_tokens": 0},
    "output_tokens": 15,
    "output_tokens_details": {"reasoning_tokens": 4},
    "total_tokens": 47,
}
Item = tuple[dict[str, Any], list[bytes]]


def text(index: int, *pieces: str) -> Item:
    """A message, and its frames."""
    part = {"type": "output_text", "text": "".join(pieces), "annotations": []}
    item = {"id": f"msg_{index}", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    where = {"item_id": item["id"], "output_index": index, "content_index": 0}
    deltas = [sse("response.output_text.delta", **where, delta=piece) for piece in pieces]
    opened = sse("response.content_part.added", **where, part={**part, "text": ""})
    done = sse("response.output_text.done", **where, text=part["text"])
    closed = sse("response.content_part.done", **where, part=part)
    return item, _item(index, item, {"content": []}, opened, *deltas, done, closed)


def refusal(index: int, *pieces: str) -> Item:
    """A message that refuses."""
    part = {"type": "refusal", "refusal": "".join(pieces)}
    item = {"id": f"msg_{index}", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    where = {"item_id": item["id"], "output_index": index, "content_index": 0}
    deltas = [sse("response.refusal.delta", **where, delta=piece) for piece in pieces]
    return item, _item(index, item, {"content": []}, *deltas)


def reasoning(index: int, *summaries: str, encrypted: str = "enc") -> Item:
    """Reasoning, with its summaries."""
    summary = [{"type": "summary_text", "text": piece} for piece in summaries]
    item = {"id": f"rs_{index}", "type": "reasoning", "summary": summary, "encrypted_content": encrypted}
    frames = []
    for number, piece in enumerate(summaries):
        where = {"item_id": item["id"], "output_index": index, "summary_index": number}
        frames.append(sse("response.reasoning_summary_part.added", **where, part={"type": "summary_text", "text": ""}))
        frames.append(sse("response.reasoning_summary_text.delta", **where, delta=piece))
        frames.append(sse("response.reasoning_summary_text.done", **where, text=piece))
    return item, _item(index, item, {"summary": []}, *frames)


def call(index: int, id: str, name: str, *pieces: str) -> Item:
    """A call of a function."""
    said = {"call_id": id, "name": name, "arguments": "".join(pieces)}
    item = {"id": f"fc_{index}", "type": "function_call", "status": "completed", **said}
    where = {"item_id": item["id"], "output_index": index}
    deltas = [sse("response.function_call_arguments.delta", **where, delta=piece) for piece in pieces]
    done = sse("response.function_call_arguments.done", **where, arguments=said["arguments"])
    return item, _item(index, item, {"arguments": ""}, *deltas, done)


def custom(index: int, id: str, name: str, *pieces: str) -> Item:
    """A call with free input."""
    said = {"call_id": id, "name": name, "input": "".join(pieces)}
    item = {"id": f"ctc_{index}", "type": "custom_tool_call", "status": "completed", **said}
    where = {"item_id": item["id"], "output_index": index}
    deltas = [sse("response.custom_tool_call_input.delta", **where, delta=piece) for piece in pieces]
    return item, _item(index, item, {"input": ""}, *deltas)


def searched(index: int) -> Item:
    """A search that the provider made by itself."""
    item = {"id": f"ws_{index}", "type": "web_search_call", "status": "completed", "action": {"type": "search"}}
    return item, _item(index, item, {}, sse("response.web_search_call.searching", output_index=index))


def _item(index: int, item: dict[str, Any], empty: dict[str, Any], *frames: bytes) -> list[bytes]:
    added = sse("response.output_item.added", output_index=index, item={**item, **empty, "status": "in_progress"})
    return [added, *frames, sse("response.output_item.done", output_index=index, item=item)]


def whole(*items: Item, reason: str = "") -> tuple[list[bytes], dict[str, Any]]:
    """A response as a stream, and as a body."""
    head = {"id": "resp_01", "object": "response", "created_at": 1_764_000_000, "model": "gpt-5-2025-08-07"}
    begun = {**head, "status": "in_progress", "output": [], "usage": None}
    output = [item for item, _ in items]
    status = "incomplete" if reason else "completed"
    details = {"reason": reason} if reason else None
    body = {**head, "status": status, "incomplete_details": details, "output": output, "usage": USAGE}
    frames = [sse("response.created", response=begun), sse("response.in_progress", response=begun)]
    frames += [frame for _, made in items for frame in made]
    return [*frames, sse(f"response.{status}", response=body)], body


BASH = ("call_1", "Bash", "", '{"command": "r', 'm -rf /"}')
ANSWERS: dict[str, tuple[list[bytes], dict[str, Any]]] = {
    "text": whole(text(0, "Hel", "lo ", "wörld\u2028!")),
    "two texts": whole(text(0, "a", "b"), text(1, "c")),
    "tool": whole(text(0, "I run it."), call(1, *BASH)),
    "only a tool": whole(call(0, *BASH)),
    "two tools": whole(text(0, "ok"), call(1, *BASH), call(2, "call_2", "Read", '{"path": "a"}')),
    "tool without arguments": whole(call(0, "call_1", "Now", "{}")),
    "reasoning": whole(reasoning(0, "hm", "so"), text(1, "Yes.")),
    "reasoning and tool": whole(reasoning(0, "hm"), call(1, *BASH)),
    "hidden reasoning": whole(reasoning(0), text(1, "a")),
    "plain reasoning": whole(reasoning(0, "hm", encrypted=""), text(1, "a")),
    "refusal": whole(refusal(0, "I can", "not.")),
    "length": whole(text(0, "a"), reason="max_output_tokens"),
    "filtered": whole(text(0, "a"), reason="content_filter"),
    "searched": whole(searched(0), text(1, "found it")),
    "nothing": whole(),
}
