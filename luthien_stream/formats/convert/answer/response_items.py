"""The items of a response, and the response around them."""

from __future__ import annotations

from typing import Any

from luthien_stream.formats.convert.answer.message import Block, Call, Spoken, Thinking
from luthien_stream.formats.convert.answer.pieces import Began, CallBegan, Ended
from luthien_stream.formats.convert.answer.usage import to_responses
from luthien_stream.formats.convert.seal import tagged
from luthien_stream.formats.json import parse

FORMAT = "openai_responses"
_PREFIXES = {"thinking": "rs", "function": "fc", "custom": "ctc", "local_shell": "lsh"}
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_PLAIN: dict[str, Any] = {
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "output": [],
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": False,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "usage": None,
    "user": None,
}
ECHOED = frozenset(_PLAIN) - {"error", "incomplete_details", "output", "usage", "store"} | {
    "prompt_cache_key",
    "safety_identifier",
    "service_tier",
}
"""Fields of a request that its response says again."""


class Items:
    """The items of one response so far."""

    def __init__(self, response: str) -> None:
        self._suffix = response.removeprefix("resp_")
        self.all: list[dict[str, Any]] = []

    @property
    def count(self) -> int:
        """The place of the next item."""
        return len(self.all)

    def add(self, item: dict[str, Any]) -> None:
        """An item is whole."""
        self.all.append(item)

    def id_for(self, kind: str) -> str:
        """The id of the item at the next place."""
        return f"{_PREFIXES.get(kind, 'msg')}_{self._suffix}_{self.count}"

    def opened(self, kind: str, call: CallBegan) -> dict[str, Any]:
        """The next item as it stands at its beginning."""
        id, status = self.id_for(kind), "in_progress"
        match kind:
            case "thinking":
                return {"id": id, "type": "reasoning", "summary": []}
            case "function" | "custom" | "local_shell":
                return {**_call(id, Call(call.id, call.name, "", call.kind, call.namespace)), "status": status}
        return {"id": id, "type": "message", "status": status, "role": "assistant", "content": []}

    def whole(self, block: Block) -> dict[str, Any]:
        """The next item as it stands at its end."""
        match block:
            case Spoken():
                part: dict[str, Any] = {"type": "refusal", "refusal": block.text}
                if not block.refusal:
                    part = {"type": "output_text", "text": block.text, "annotations": [], "logprobs": []}
                head = {"id": self.id_for("text"), "type": "message", "status": "completed"}
                return {**head, "role": "assistant", "content": [part]}
            case Thinking():
                summary = [{"type": "summary_text", "text": block.text}] if block.text else []
                item = {"id": self.id_for("thinking"), "type": "reasoning", "summary": summary}
                seal = tagged(block.seal, FORMAT)
                return {**item, "encrypted_content": seal} if seal else item
            case Call():
                return _call(self.id_for(block.kind), block)


def response_head(began: Began, model: str, created: int, echo: dict[str, Any]) -> dict[str, Any]:
    """A response as it stands at its beginning."""
    id = began.id if began.id.startswith("resp_") else f"resp_{began.id or 'luthien'}"
    head = {"id": id, "object": "response", "created_at": began.created or created, "status": "in_progress"}
    return {**head, **_PLAIN, **echo, "model": began.model or model}


def ended_response(head: dict[str, Any], items: list[dict[str, Any]], ended: Ended) -> dict[str, Any]:
    """A response as it stands at its end."""
    reason = _INCOMPLETE.get(ended.reason)
    return {
        **head,
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "output": items,
        "usage": to_responses(ended.usage),
    }


def _call(id: str, call: Call) -> dict[str, Any]:
    group = {"namespace": call.namespace} if call.namespace else {}
    match call.kind:
        case "custom":
            said = {"call_id": call.id, "name": call.name, "input": call.arguments, **group}
            return {"id": id, "type": "custom_tool_call", "status": "completed", **said}
        case "local_shell":
            action = {"type": "exec", "env": {}, **_object(call.arguments)}
            return {"id": id, "type": "local_shell_call", "call_id": call.id, "status": "completed", "action": action}
    said = {"call_id": call.id, "name": call.name, "arguments": call.arguments, **group}
    return {"id": id, "type": "function_call", "status": "completed", **said}


def _object(arguments: str) -> dict[str, Any]:
    """Arguments parsed; a shell's call that cannot be read is one without a command, which the client reports."""
    try:
        found = parse((arguments or "{}").encode("utf-8", "surrogatepass"))
    except ValueError:
        found = None
    return found if isinstance(found, dict) and "command" in found else {"command": []}
