"""A scripted `Answer` as OpenAI's `/v1/responses` would send it: numbered events that say everything several times."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from zlib import crc32

import msgspec

from luthien_stream.upstream.script import Answer, Call, Say, Think

Json = dict[str, Any]
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def responses_stream(answer: Answer, usage: bool = True) -> list[bytes]:
    """Return the frames of a streamed `/v1/responses` answer; `usage` is ignored, the format always has it."""
    begun = {"response": _response(answer, "in_progress", [])}
    events: list[tuple[str, Json]] = [("response.created", begun), ("response.in_progress", begun)]
    for index, piece in enumerate(answer.pieces):
        events += _item_events(answer, index, piece)
    whole = _whole(answer)
    events.append((f"response.{whole['status']}", {"response": whole}))
    return [_frame(type, number, fields) for number, (type, fields) in enumerate(events)]


def responses_body(answer: Answer) -> bytes:
    """Return the body of an unstreamed `/v1/responses` answer, indented as the vendor does."""
    return msgspec.json.format(msgspec.json.encode(_whole(answer)), indent=2)


def _frame(type: str, number: int, fields: Json) -> bytes:
    raw = msgspec.json.encode({"type": type, "sequence_number": number, **fields})
    return b"event: %b\ndata: %b\n\n" % (type.encode(), raw)


def _whole(answer: Answer) -> Json:
    output = [_item(answer, index, piece) for index, piece in enumerate(answer.pieces)]
    return _response(answer, "incomplete" if answer.stop in _INCOMPLETE else "completed", output)


def _response(answer: Answer, status: str, output: list[Json]) -> Json:
    reason = _INCOMPLETE.get(answer.stop)
    return {
        "id": f"resp_{answer.key:0>48}",
        "object": "response",
        "created_at": answer.created,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": reason} if status == "incomplete" else None,
        "instructions": None,
        "max_output_tokens": None,
        "model": answer.model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None if status == "in_progress" else _usage(answer),
        "user": None,
        "metadata": {},
    }


def _usage(answer: Answer) -> Json:
    usage = answer.usage
    return {
        "input_tokens": usage.input + usage.cached,
        "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.input + usage.cached + usage.output,
    }


def _item(answer: Answer, index: int, piece: Say | Think | Call) -> Json:
    key = f"{answer.key:0>40}{index:02d}"
    if isinstance(piece, Say):
        content = [_text("".join(piece.texts))]
        return {"id": f"msg_{key}", "type": "message", "status": "completed", "content": content, "role": "assistant"}
    if isinstance(piece, Think):
        summary = [{"type": "summary_text", "text": "".join(piece.texts)}]
        return {"id": f"rs_{key}", "type": "reasoning", "encrypted_content": piece.signature, "summary": summary}
    arguments = "".join(piece.fragments)
    call = {"arguments": arguments, "call_id": piece.id, "name": piece.name}
    return {"id": f"fc_{key}", "type": "function_call", "status": "completed", **call}


def _text(text: str) -> Json:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _item_events(answer: Answer, index: int, piece: Say | Think | Call) -> Iterator[tuple[str, Json]]:
    whole = _item(answer, index, piece)
    begun = {**whole, **({"status": "in_progress"} if "status" in whole else {})}
    place = {"item_id": whole["id"], "output_index": index}
    if isinstance(piece, Say):
        begun["content"], between = [], _text_events(answer, index, place, piece)
    elif isinstance(piece, Think):
        begun["summary"], between = [], _summary_events(answer, index, place, piece)
    else:
        begun["arguments"], between = "", _argument_events(answer, index, place, piece)
    yield "response.output_item.added", {"output_index": index, "item": begun}
    yield from between
    yield "response.output_item.done", {"output_index": index, "item": whole}


def _text_events(answer: Answer, index: int, place: Json, piece: Say) -> Iterator[tuple[str, Json]]:
    place, text = {**place, "content_index": 0}, "".join(piece.texts)
    yield "response.content_part.added", {**place, "part": _text("")}
    for number, one in enumerate(piece.texts):
        noise = _noise(answer, index, number)
        yield "response.output_text.delta", {**place, "delta": one, "logprobs": [], "obfuscation": noise}
    yield "response.output_text.done", {**place, "text": text, "logprobs": []}
    yield "response.content_part.done", {**place, "part": _text(text)}


def _summary_events(answer: Answer, index: int, place: Json, piece: Think) -> Iterator[tuple[str, Json]]:
    place, text = {**place, "summary_index": 0}, "".join(piece.texts)
    yield "response.reasoning_summary_part.added", {**place, "part": {"type": "summary_text", "text": ""}}
    for number, one in enumerate(piece.texts):
        noise = _noise(answer, index, number)
        yield "response.reasoning_summary_text.delta", {**place, "delta": one, "obfuscation": noise}
    yield "response.reasoning_summary_text.done", {**place, "text": text}
    yield "response.reasoning_summary_part.done", {**place, "part": {"type": "summary_text", "text": text}}


def _argument_events(answer: Answer, index: int, place: Json, piece: Call) -> Iterator[tuple[str, Json]]:
    for number, one in enumerate(piece.fragments):
        noise = _noise(answer, index, number)
        yield "response.function_call_arguments.delta", {**place, "delta": one, "obfuscation": noise}
    yield "response.function_call_arguments.done", {**place, "arguments": "".join(piece.fragments)}


def _noise(answer: Answer, index: int, number: int) -> str:
    return f"{crc32(f'{answer.key}/{index}/{number}'.encode()):x}"
