"""Conversations in OpenAI form as recorded calls: a turn of the assistant is a call, all before it its request.

What a transcript says beside its messages is kept with the first call, in `extra` of its request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from luthien_stream.errors import LuthienError
from luthien_stream.record.lanes import Record
from luthien_stream.record.made import call_id, made_record

BEGINNING_US = 1_735_689_600_000_000
"""When transcripts without a time are said to begin: 1 January 2025."""
TURN_US = 5_000_000
"""Between two turns whose times nobody knows."""
BETWEEN_US = 3_600_000_000
"""Between two transcripts."""


class BadTranscript(LuthienError):
    """This is no conversation in OpenAI form: an object with `messages`, each with a `role`."""


def is_transcript(value: Any) -> bool:
    """Whether a JSON value looks like a conversation in OpenAI form."""
    messages = value.get("messages") if isinstance(value, dict) else None
    return isinstance(messages, list) and all(isinstance(one, dict) and "role" in one for one in messages)


def records_of(transcript: Any, number: int, name: str) -> Iterator[Record]:
    """Yield the calls of the conversation that is the `number`th in the source `name`. Raises `BadTranscript`."""
    if not is_transcript(transcript):
        raise BadTranscript("`messages` must be a list of messages, each with a `role`")
    messages: Sequence[Mapping[str, Any]] = transcript["messages"]
    model = str(transcript.get("model") or "unknown")
    id = transcript.get("id", transcript.get("task_id", ""))
    session = str(transcript.get("session") or "-".join(str(one) for one in (name, number, id) if one != ""))
    begun = BEGINNING_US + number * BETWEEN_US
    extra = {"transcript": {key: value for key, value in transcript.items() if key not in ("messages", "tools")}}
    tools = {"tools": transcript["tools"]} if transcript.get("tools") else {}
    turns = [at for at, message in enumerate(messages) if message["role"] == "assistant"]
    for turn, at in enumerate(turns):
        time = begun + turn * TURN_US
        body = msgspec.json.encode({"model": model, "messages": messages[:at], **tools})
        yield made_record(
            call_id(time, name, number, at, session),
            time,
            "openai_chat",
            body,
            [_answer(messages[at], model)],
            model=model,
            session=session,
            streamed=False,
            extra=extra if turn == 0 else None,
        )


def _answer(message: Mapping[str, Any], model: str) -> bytes:
    finish = "tool_calls" if message.get("tool_calls") else "function_call" if message.get("function_call") else "stop"
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    head = {
        "id": "chatcmpl-imported",
        "object": "chat.completion",
        "created": BEGINNING_US // 1_000_000,
        "model": model,
    }
    return msgspec.json.encode({**head, "choices": [choice]})
