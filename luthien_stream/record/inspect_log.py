"""Logs of Inspect (`.eval`, or the older `.json`) as recorded calls: a model call is a call, a sample a session.

A `.eval` file is a zip archive with one JSON file a sample (`samples/ID_epoch_N.json`) and its header (`header.json`).
A model call is an event `model` with `input`, `output` and `timestamp`; texts over some size stand once under
`attachments`, named `attachment://HASH`. (inspect.aisi.org.uk, eval logs.)
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from luthien_stream.errors import LuthienError
from luthien_stream.record.lanes import Record
from luthien_stream.record.made import call_id, made_record
from luthien_stream.record.transcripts import BEGINNING_US, TURN_US

MOST_BYTES = 1 << 30
"""Of one file of an archive, unpacked."""
_ATTACHED = "attachment://"


class BadLog(LuthienError):
    """This is no log of Inspect, or a part of it cannot be read."""


def is_log(value: Any) -> bool:
    """Whether a JSON value looks like a log of Inspect."""
    return isinstance(value, dict) and "eval" in value and "samples" in value


def from_archive(data: bytes, name: str) -> Iterator[Record]:
    """Yield the calls of a `.eval` file. Raises `BadLog`."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        infos = [info for info in archive.infolist() if info.filename.startswith("samples/")]
        header = _parsed(archive, "header.json") if "header.json" in archive.namelist() else {}
        for number, info in enumerate(sorted(infos, key=lambda one: one.filename)):
            if info.file_size > MOST_BYTES:
                raise BadLog(f"{info.filename} has more than {MOST_BYTES >> 20} MiB")
            yield from _sample(_parsed(archive, info.filename), number, name, header)
    except (zipfile.BadZipFile, NotImplementedError, OSError) as error:
        raise BadLog(f"{name} is no .eval archive: {error}") from error


def from_json(log: Mapping[str, Any], name: str) -> Iterator[Record]:
    """Yield the calls of a log in JSON. Raises `BadLog`."""
    for number, sample in enumerate(log.get("samples") or []):
        yield from _sample(sample, number, name, log)


def _parsed(archive: zipfile.ZipFile, name: str) -> Any:
    try:
        return msgspec.json.decode(archive.read(name))
    except msgspec.MsgspecError as error:
        raise BadLog(f"{name} in the archive is no JSON: {error}") from error


def _sample(sample: Mapping[str, Any], number: int, name: str, log: Mapping[str, Any]) -> Iterator[Record]:
    attached: Mapping[str, str] = sample.get("attachments") or {}
    task = str(log.get("eval", {}).get("task", "")) or name
    session = f"{task}/{sample.get('id', number)}/{sample.get('epoch', 1)}"
    about = {key: sample[key] for key in ("id", "epoch", "target", "scores", "metadata") if sample.get(key)}
    calls = [event for event in sample.get("events") or [] if event.get("event") == "model" and event.get("output")]
    if not calls:
        calls = list(_of_messages(sample, log))
    for turn, event in enumerate(calls):
        yield _call(event, attached, session, name, turn, {"inspect": about} if turn == 0 else {})


def _of_messages(sample: Mapping[str, Any], log: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A sample without events still has its conversation."""
    messages = sample.get("messages") or []
    model = str(log.get("eval", {}).get("model", "unknown"))
    for at, message in enumerate(messages):
        if message.get("role") == "assistant":
            output = {"model": model, "choices": [{"message": message, "stop_reason": "stop"}]}
            yield {"model": model, "input": messages[:at], "output": output}


def _call(
    event: Mapping[str, Any],
    attached: Mapping[str, str],
    session: str,
    name: str,
    turn: int,
    extra: dict[str, Any],
) -> Record:
    output = event["output"]
    model = str(output.get("model") or event.get("model") or "unknown")
    time = _time(event.get("timestamp"), BEGINNING_US + turn * TURN_US)
    messages = [_message(one, attached) for one in event.get("input") or []]
    body: dict[str, Any] = {"model": model, "messages": messages}
    if event.get("tools"):
        body["tools"] = [_tool(tool) for tool in event["tools"]]
    choices = [_choice(one, attached, index) for index, one in enumerate(output.get("choices") or [])]
    usage = output.get("usage") or {}
    answer = {
        "id": "chatcmpl-imported",
        "object": "chat.completion",
        "created": time // 1_000_000,
        "model": model,
        "choices": choices[:1],
        "usage": {
            "prompt_tokens": usage.get("input_tokens", 0),
            "completion_tokens": usage.get("output_tokens", 0),
            "total_tokens": usage.get("total_tokens", 0),
        },
    }
    return made_record(
        call_id(time, name, session, turn),
        time,
        "openai_chat",
        msgspec.json.encode(body),
        [msgspec.json.encode(answer)],
        model=model,
        session=session,
        streamed=False,
        extra=extra,
    )


def _message(message: Mapping[str, Any], attached: Mapping[str, str]) -> dict[str, Any]:
    made: dict[str, Any] = {"role": message.get("role", "user"), "content": _content(message.get("content"), attached)}
    if message.get("tool_calls"):
        made["tool_calls"] = [_tool_call(one, attached) for one in message["tool_calls"]]
    if message.get("tool_call_id"):
        made["tool_call_id"] = message["tool_call_id"]
    return made


def _choice(choice: Mapping[str, Any], attached: Mapping[str, str], index: int) -> dict[str, Any]:
    message = _message(choice.get("message") or {}, attached)
    reason = {"max_tokens": "length", "content_filter": "content_filter", "tool_calls": "tool_calls"}
    finish = "tool_calls" if message.get("tool_calls") else reason.get(str(choice.get("stop_reason")), "stop")
    return {"index": index, "message": message, "finish_reason": finish}


def _tool_call(call: Mapping[str, Any], attached: Mapping[str, str]) -> dict[str, Any]:
    arguments = call.get("arguments", {})
    text = arguments if isinstance(arguments, str) else msgspec.json.encode(_filled(arguments, attached)).decode()
    return {
        "id": call.get("id", ""),
        "type": "function",
        "function": {"name": call.get("function", ""), "arguments": text},
    }


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    known = {key: tool[key] for key in ("name", "description", "parameters") if key in tool}
    return {"type": "function", "function": known}


def _content(content: Any, attached: Mapping[str, str]) -> Any:
    if isinstance(content, str):
        return _text(content, attached)
    parts: Sequence[Mapping[str, Any]] = content or []
    return "".join(_text(str(part.get("text", "")), attached) for part in parts if part.get("type") == "text")


def _text(text: str, attached: Mapping[str, str]) -> str:
    return attached.get(text.removeprefix(_ATTACHED), text) if text.startswith(_ATTACHED) else text


def _filled(value: Any, attached: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _text(value, attached)
    if isinstance(value, dict):
        return {key: _filled(one, attached) for key, one in value.items()}
    return [_filled(one, attached) for one in value] if isinstance(value, list) else value


def _time(text: Any, otherwise: int) -> int:
    try:
        return int(datetime.fromisoformat(str(text)).timestamp() * 1_000_000)
    except ValueError:
        return otherwise
