"""Streamed answers as OpenAI's `/v1/responses` sends them, by name."""

from __future__ import annotations

import json
from typing import Any

Json = dict[str, Any]
Event = tuple[str, Json]
"""Type and fields of an event, before it has its number."""

HEAD: Json = {
    "id": "resp_01",
    "object": "response",
    "created_at": 1761263640,
    "status": "in_progress",
    "error": None,
    "incomplete_details": None,
    "model": "gpt-x",
    "output": [],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": None,
}
USAGE: Json = {
    "input_tokens": 25,
    "input_tokens_details": {"cached_tokens": 7},
    "output_tokens": 15,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 40,
}
KEEPALIVE: Event = ("keepalive", {})
LOGPROBS = [{"token": "a", "logprob": -0.10, "bytes": [97], "top_logprobs": []}]


def sse(type: str, **fields: Any) -> bytes:
    """A frame as the provider writes it."""
    text = json.dumps({"type": type, **fields}, separators=(",", ":"), ensure_ascii=False)
    return f"event: {type}\ndata: {text}\n\n".encode()


def numbered(events: list[Event]) -> list[bytes]:
    """Frames with their numbers."""
    return [sse(type, sequence_number=number, **fields) for number, (type, fields) in enumerate(events)]


def about(index: int, type: str, **fields: Any) -> Event:
    """An event of an item."""
    return f"response.{type}", {"output_index": index, **fields}


def item(index: int, whole: Json, begun: Json, *between: Event) -> list[Event]:
    """An item from its beginning to its end."""
    added = {**whole, **({"status": "in_progress"} if "status" in whole else {}), **begun}
    return [about(index, "output_item.added", item=added), *between, about(index, "output_item.done", item=whole)]


def content(index: int, at: int, *pieces: str, refusal: bool = False, logprobs: Any = ()) -> list[Event]:
    """A content of a message."""
    place = {"item_id": f"msg_{index}", "content_index": at}
    text, field = "".join(pieces), "refusal" if refusal else "text"
    kind = "refusal" if refusal else "output_text"
    more: Json = {} if refusal else {"logprobs": list(logprobs)}
    return [
        about(index, "content_part.added", **place, part=said_in(kind, "")),
        *[about(index, f"{kind}.delta", **place, delta=piece, **more, obfuscation="xY") for piece in pieces],
        about(index, f"{kind}.done", **place, **{field: text}, **more),
        about(index, "content_part.done", **place, part=said_in(kind, text, list(logprobs))),
    ]


def said_in(kind: str, text: str, logprobs: Any = ()) -> Json:
    """A content."""
    if kind == "refusal":
        return {"type": kind, "refusal": text}
    return {"type": kind, "annotations": [], "logprobs": list(logprobs), "text": text}


def message(index: int, *contents: list[Event]) -> list[Event]:
    """A message of these contents."""
    done = [event["part"] for one in contents for type, event in one if type == "response.content_part.done"]
    whole = {"id": f"msg_{index}", "type": "message", "status": "completed", "content": done, "role": "assistant"}
    return item(index, whole, {"content": []}, *[event for one in contents for event in one])


def text(index: int, *pieces: str, **more: Any) -> list[Event]:
    """A message of one text."""
    return message(index, content(index, 0, *pieces, **more))


def reasoning(index: int, *summaries: tuple[str, ...]) -> list[Event]:
    """A signed reasoning with its summaries."""
    id = f"rs_{index}"
    between: list[Event] = []
    for at, pieces in enumerate(summaries):
        place, joined = {"item_id": id, "summary_index": at}, "".join(pieces)
        between += [
            about(index, "reasoning_summary_part.added", **place, part={"type": "summary_text", "text": ""}),
            *[about(index, "reasoning_summary_text.delta", **place, delta=piece) for piece in pieces],
            about(index, "reasoning_summary_text.done", **place, text=joined),
            about(index, "reasoning_summary_part.done", **place, part={"type": "summary_text", "text": joined}),
        ]
    said = [{"type": "summary_text", "text": "".join(pieces)} for pieces in summaries]
    whole = {"id": id, "type": "reasoning", "encrypted_content": "c2ln", "summary": said}
    return item(index, whole, {"summary": [], "encrypted_content": "YmVn"}, *between)


def function(index: int, id: str, name: str, *pieces: str) -> list[Event]:
    """A function call."""
    place = {"item_id": f"fc_{index}"}
    whole = {"id": f"fc_{index}", "type": "function_call", "status": "completed", "arguments": "".join(pieces)}
    return item(
        index,
        {**whole, "call_id": id, "name": name},
        {"arguments": ""},
        *[about(index, "function_call_arguments.delta", **place, delta=piece) for piece in pieces],
        about(index, "function_call_arguments.done", **place, arguments="".join(pieces)),
    )


def custom(index: int, id: str, name: str, *pieces: str) -> list[Event]:
    """A call of a tool with free input."""
    place = {"item_id": f"ctc_{index}"}
    whole = {"id": f"ctc_{index}", "type": "custom_tool_call", "status": "completed", "input": "".join(pieces)}
    return item(
        index,
        {**whole, "call_id": id, "name": name},
        {"input": ""},
        *[about(index, "custom_tool_call_input.delta", **place, delta=piece) for piece in pieces],
        about(index, "custom_tool_call_input.done", **place, input="".join(pieces)),
    )


def shell(index: int, id: str, command: str) -> list[Event]:
    """A call of the shell tool."""
    whole = {"id": f"sh_{index}", "type": "shell_call", "status": "completed", "call_id": id}
    return item(
        index,
        {**whole, "action": {"commands": [command], "timeout_ms": None}},
        {"action": {"commands": []}},
        about(index, "shell_call_command.added", command_index=0, command=""),
        *[about(index, "shell_call_command.delta", command_index=0, delta=letter) for letter in command],
        about(index, "shell_call_command.done", command_index=0, command=command),
    )


def other(index: int, type: str, **fields: Any) -> list[Event]:
    """An item of a kind that is none of the others."""
    return item(
        index, {"id": f"x_{index}", "type": type, "status": "completed", **fields}, {}, about(index, f"{type}.x")
    )


def patch(index: int, id: str) -> list[Event]:
    """A call of the patch tool."""
    operation = {"type": "update_file", "path": "a.txt", "diff": "-a\n+b"}
    whole = {"id": f"apc_{index}", "type": "apply_patch_call", "status": "completed", "call_id": id}
    return item(index, {**whole, "operation": operation}, {"operation": {**operation, "diff": ""}})


def annotation(index: int, at: int = 0) -> Event:
    """An annotation of a text."""
    found = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}
    place = {"item_id": f"msg_{index}", "content_index": at}
    return about(index, "output_text.annotation.added", **place, annotation_index=0, annotation=found)


def annotated(index: int, *pieces: str) -> list[Event]:
    """A message of one text with an annotation."""
    events = text(index, *pieces)
    found = annotation(index)
    for _, event in events:
        for said in (event.get("part"), *(event.get("item", {}).get("content") or ())):
            if said is not None and said.get("text"):
                said["annotations"] = [found[1]["annotation"]]
    at = len(events) - 3
    return [*events[:at], found, *events[at:]]


def answer(
    *groups: list[Event], status: str = "completed", reason: str | None = None, repeat: bool = True, **more: Any
) -> list[bytes]:
    """A whole stream."""
    events: list[Event] = [("response.created", {"response": HEAD}), ("response.in_progress", {"response": HEAD})]
    events += [event for group in groups for event in group]
    output = [event["item"] for type, event in events if type == "response.output_item.done"]
    details = {"reason": reason} if reason else None
    response = {**HEAD, "status": status, "output": output if repeat else [], "incomplete_details": details}
    events.append((f"response.{status}", {"response": {**response, "usage": USAGE, **more}}))
    return numbered(events)


def spread(events: list[Event], between: Event) -> list[Event]:
    """The same with another event between any two."""
    return [one for event in events for one in (event, between)]


UNKNOWN: Event = ("response.new_thing", {"a": 1})
BASH = ("call_1", "Bash", '{"command": "r', 'm -rf /"}')
READ = ("call_2", "Read", '{"path": "a"}')
SEARCH: Json = {"action": {"type": "search", "query": "q", "sequence_number": 7}}
SCENARIOS: dict[str, list[bytes]] = {
    "text": answer(text(0, "Hel", "lo ", "wörld\u2028!")),
    "two texts": answer(text(0, "a", "b"), [KEEPALIVE], text(1, "c")),
    "two contents": answer(message(0, content(0, 0, "a", "b"), content(0, 1, "c"))),
    "tool": answer(text(0, "I run it."), function(1, *BASH)),
    "only a tool": answer(function(0, *BASH)),
    "two tools": answer(text(0, "ok"), function(1, *BASH), function(2, *READ)),
    "tool without arguments": answer(function(0, "call_1", "Now", "{}")),
    "custom tool": answer(custom(0, "call_1", "sql", "DROP ", "TABLE a")),
    "shell": answer(text(0, "ok"), shell(1, "call_1", "ls")),
    "local shell": answer(
        item(
            0,
            {
                "id": "lsh_0",
                "type": "local_shell_call",
                "status": "completed",
                "call_id": "call_1",
                "action": {"type": "exec", "command": ["ls"], "env": {}},
            },
            {},
        )
    ),
    "patch": answer(patch(0, "call_1")),
    "computer": answer(
        item(
            0,
            {
                "id": "cu_0",
                "type": "computer_call",
                "status": "completed",
                "call_id": "call_1",
                "action": {"type": "click", "x": 1, "y": 2, "button": "left"},
                "pending_safety_checks": [],
            },
            {},
        )
    ),
    "approval": answer(
        item(
            0,
            {"id": "mcpr_0", "type": "mcp_approval_request", "arguments": "{}", "name": "Read", "server_label": "s"},
            {},
        )
    ),
    "reasoning": answer(reasoning(0, ("hm", " so"), ("then",)), text(1, "Yes", ".")),
    "hidden reasoning": answer(reasoning(0), text(1, "a")),
    "reasoning and tool": answer(reasoning(0, ("hm",)), function(1, *BASH)),
    "reasoned text": answer(
        item(
            0,
            {"id": "rs_0", "type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
            {"content": []},
            about(0, "reasoning_text.delta", item_id="rs_0", content_index=0, delta="hm"),
            about(0, "reasoning_text.done", item_id="rs_0", content_index=0, text="hm"),
        ),
        text(1, "a"),
    ),
    "interleaved": answer(
        reasoning(0, ("a",)), other(1, "web_search_call", **SEARCH), reasoning(2, ("b",)), text(3, "found", " it")
    ),
    "refusal": answer(text(0, "I can", "not.", refusal=True)),
    "text and refusal": answer(message(0, content(0, 0, "a"), content(0, 1, "no", refusal=True))),
    "annotations": answer(annotated(0, "a", "b")),
    "logprobs": answer(text(0, "a", "b", logprobs=LOGPROBS)),
    "empty deltas": answer(text(0, "", "a", "", "b", "")),
    "empty text": answer(text(0), text(1, "a")),
    "keepalives everywhere": answer(
        [KEEPALIVE], spread([*text(0, "a", "b"), *function(1, *BASH), *reasoning(2, ("c",))], KEEPALIVE)
    ),
    "unknown events": answer([UNKNOWN], text(0, "a", "b")[:3], [UNKNOWN], text(0, "a", "b")[3:], [UNKNOWN]),
    "unknown events everywhere": answer(
        spread(
            [*text(0, "a", "b"), *function(1, *BASH), *reasoning(2, ("c",)), *other(3, "web_search_call", **SEARCH)],
            UNKNOWN,
        )
    ),
    "unknown first": [sse("codex.rate_limits", plan="x"), *answer(text(0, "a"))],
    "unknown content": answer(
        message(
            0,
            content(0, 0, "a"),
            [
                about(0, "content_part.added", item_id="msg_0", content_index=1, part={"type": "output_audio"}),
                about(
                    0,
                    "content_part.done",
                    item_id="msg_0",
                    content_index=1,
                    part={"type": "output_audio", "data": "x"},
                ),
            ],
        )
    ),
    "queued": answer([("response.queued", {"response": {**HEAD, "status": "queued"}})], text(0, "a")),
    "length": answer(text(0, "a"), status="incomplete", reason="max_output_tokens"),
    "filtered": answer(text(0, "a"), status="incomplete", reason="content_filter"),
    "nothing": answer(),
    "no repeats": answer(text(0, "a"), function(1, *BASH), repeat=False),
    "error": [*answer(text(0, "a", "b"))[:6], sse("error", code="server_error", message="no", sequence_number=6)],
    "failed": answer(text(0, "a"), status="failed", error={"code": "server_error", "message": "no"}, usage=None),
    "comments": [b": hello\n\n", *answer(text(0, "a"))[:5], b": x\n\n", *answer(text(0, "a"))[5:], b": y\n\n"],
    "done": [*answer(text(0, "a")), b"data: [DONE]\n\n"],
    "carriage returns": [raw.replace(b"\n", b"\r\n") for raw in answer(text(0, "a", "b"), function(1, *BASH))],
    "no numbers": [
        b"data: %b\n\n"
        % json.dumps({k: v for k, v in json.loads(raw.split(b"data: ")[1]).items() if k != "sequence_number"}).encode()
        for raw in answer(text(0, "a", "b"), function(1, *BASH))
    ],
    "positions left out": [
        raw.replace(b'"output_index":1', b'"output_index":3') for raw in answer(text(0, "a"), function(1, *BASH))
    ],
    "lone surrogate": [
        raw.replace(b'"delta":"a"', b'"delta":"a\\ud83d"').replace(b'"text":"ab"', b'"text":"a\\ud83db"')
        for raw in answer(text(0, "a", "b"))
    ],
    "cut character": [
        raw.replace(b'"delta":"a"', b'"delta":"\\ud83d"')
        .replace(b'"delta":"b"', b'"delta":"\\ude00"')
        .replace(b'"text":"ab"', '"text":"😀"'.encode())
        for raw in answer(text(0, "a", "b"))
    ],
}
SLOPPY: dict[str, list[bytes]] = {
    "never streamed": answer([event for event in text(0, "a") if "delta" not in event[0]], function(1, *BASH)),
    "only items": answer(text(0, "a")[:1] + text(0, "a")[-1:]),
    "no contents announced": answer([event for event in text(0, "a", "b") if "content_part" not in event[0]]),
    "other words in the end": [raw.replace(b'"text":"ab"', b'"text":"abc"') for raw in answer(text(0, "a", "b"))],
}
"""What imitators send, and what leaves in another spelling if need be."""
CUT = {
    "cut": SCENARIOS["two texts"][:-3],
    "cut in a tool": SCENARIOS["tool"][:-4],
    "cut before the end": SCENARIOS["text"][:-1],
}
