"""A scripted `Answer` in the providers' own bytes: the frames of a streamed answer, and the body of an unstreamed one.

The bytes look like the vendors' in the details that break gateways: padding, pings, nulls, fields of no use, usage in
two places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from zlib import crc32

import msgspec

from luthien_stream.upstream.render_responses import responses_body, responses_stream
from luthien_stream.upstream.script import Answer, Call, Say, Think

Renderer = Callable[[Answer, bool], list[bytes]]
_ANTHROPIC_STOP = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_PING = b'event: ping\ndata: {"type": "ping"}\n\n'


def anthropic_stream(answer: Answer, usage: bool = True) -> list[bytes]:
    """Return the frames of a streamed `/v1/messages` answer; `usage` is ignored, the format always has it."""
    head = {**_anthropic_message(answer), "content": [], "stop_reason": None, "usage": _anthropic_usage(answer, 1)}
    frames = [_named("message_start", {"message": head})]
    for index, piece in enumerate(answer.pieces):
        start, deltas = _anthropic_block(piece)
        frames.append(_named("content_block_start", {"index": index, "content_block": start}))
        if index == 0:
            frames.append(_PING)
        frames += [_named("content_block_delta", {"index": index, "delta": one}, pad=True) for one in deltas]
        frames.append(_named("content_block_stop", {"index": index}, pad=True))
    delta = {"stop_reason": _ANTHROPIC_STOP[answer.stop], "stop_sequence": None}
    total = _anthropic_usage(answer, answer.usage.output)
    frames.append(_named("message_delta", {"delta": delta, "usage": total}))
    frames.append(_named("message_stop", {}, pad=True))
    return frames


def anthropic_body(answer: Answer) -> bytes:
    """Return the body of an unstreamed `/v1/messages` answer."""
    return msgspec.json.encode({**_anthropic_message(answer), "content": [_whole_block(p) for p in answer.pieces]})


def openai_stream(answer: Answer, usage: bool = True) -> list[bytes]:
    """Return the frames of a streamed `/v1/chat/completions` answer; `usage` is `stream_options.include_usage`."""
    head = _openai_head(answer, "chat.completion.chunk")
    last = {"usage": None} if usage else {}
    frames = []
    for number, delta in enumerate(_openai_deltas(answer)):
        chunk = {**head, "choices": [_choice(delta, None)], **last, "obfuscation": _noise(answer.key, number)}
        frames.append(_data(chunk))
    frames.append(_data({**head, "choices": [_choice({}, answer.stop)], **last}))
    if usage:
        frames.append(_data({**head, "choices": [], "usage": _openai_usage(answer)}))
    return [*frames, b"data: [DONE]\n\n"]


def openai_body(answer: Answer) -> bytes:
    """Return the body of an unstreamed `/v1/chat/completions` answer, indented as the vendor does."""
    text = "".join("".join(p.texts) for p in answer.pieces if isinstance(p, Say))
    calls = [_openai_call(p) for p in answer.pieces if isinstance(p, Call)]
    thought = "".join("".join(p.texts) for p in answer.pieces if isinstance(p, Think))
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    message |= {"reasoning_content": thought} if thought else {}
    message |= {"tool_calls": calls} if calls else {}
    message |= {"refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.stop}
    body = {**_openai_head(answer, "chat.completion"), "choices": [choice], "usage": _openai_usage(answer)}
    return msgspec.json.format(msgspec.json.encode(body), indent=2) + b"\n"


STREAMS: Mapping[str, Renderer] = {
    "anthropic_messages": anthropic_stream,
    "openai_chat": openai_stream,
    "openai_responses": responses_stream,
}
BODIES: Mapping[str, Callable[[Answer], bytes]] = {
    "anthropic_messages": anthropic_body,
    "openai_chat": openai_body,
    "openai_responses": responses_body,
}


def _named(event: str, fields: dict[str, Any], pad: bool = False) -> bytes:
    raw = msgspec.json.encode({"type": event, **fields})
    blanks = b" " * (crc32(raw) % 11) if pad else b""
    return b"event: %b\ndata: %b%b}\n\n" % (event.encode(), raw[:-1], blanks)


def _data(chunk: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % msgspec.json.encode(chunk)


def _noise(key: str, number: int) -> str:
    return f"{crc32(f'{key}/{number}'.encode()):x}"


def _anthropic_message(answer: Answer) -> dict[str, Any]:
    return {
        "model": answer.model,
        "id": f"msg_01{answer.key:0>22}",
        "type": "message",
        "role": "assistant",
        "content": None,
        "stop_reason": _ANTHROPIC_STOP[answer.stop],
        "stop_sequence": None,
        "stop_details": None,
        "usage": _anthropic_usage(answer, answer.usage.output),
    }


def _anthropic_usage(answer: Answer, output: int) -> dict[str, Any]:
    return {
        "input_tokens": answer.usage.input,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": answer.usage.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "service_tier": "standard",
        "inference_geo": "not_available",
    }


def _anthropic_block(piece: Say | Think | Call) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    if isinstance(piece, Say):
        return {"type": "text", "text": ""}, [{"type": "text_delta", "text": text} for text in piece.texts]
    if isinstance(piece, Think):
        deltas = [{"type": "thinking_delta", "thinking": text} for text in piece.texts]
        signature = {"type": "signature_delta", "signature": piece.signature}
        return {"type": "thinking", "thinking": "", "signature": ""}, [*deltas, signature]
    start = {"type": "tool_use", "id": piece.id, "name": piece.name, "input": {}, "caller": {"type": "direct"}}
    return start, [{"type": "input_json_delta", "partial_json": text} for text in piece.fragments]


def _whole_block(piece: Say | Think | Call) -> dict[str, Any]:
    if isinstance(piece, Say):
        return {"type": "text", "text": "".join(piece.texts)}
    if isinstance(piece, Think):
        return {"type": "thinking", "thinking": "".join(piece.texts), "signature": piece.signature}
    given = msgspec.json.decode("".join(piece.fragments) or "{}")
    return {"type": "tool_use", "id": piece.id, "name": piece.name, "input": given, "caller": {"type": "direct"}}


def _openai_head(answer: Answer, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{answer.key:0>24}",
        "object": kind,
        "created": answer.created,
        "model": answer.model,
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
    }


def _openai_deltas(answer: Answer) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": "", "refusal": None}
    tool = 0
    for piece in answer.pieces:
        if isinstance(piece, Call):
            first, *more = piece.fragments or ("",)
            start = {"id": piece.id, "type": "function", "function": {"name": piece.name, "arguments": first}}
            yield {"tool_calls": [{"index": tool, **start}]}
            for text in more:
                yield {"tool_calls": [{"index": tool, "function": {"arguments": text}}]}
            tool += 1
        else:
            field = "content" if isinstance(piece, Say) else "reasoning_content"
            for text in piece.texts:
                yield {field: text}


def _openai_call(piece: Call) -> dict[str, Any]:
    function = {"name": piece.name, "arguments": "".join(piece.fragments)}
    return {"id": piece.id, "type": "function", "function": function}


def _choice(delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def _openai_usage(answer: Answer) -> dict[str, Any]:
    usage = answer.usage
    return {
        "prompt_tokens": usage.input + usage.cached,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.cached + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "accepted_prediction_tokens": 0},
    }
