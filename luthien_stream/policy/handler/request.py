"""A request as one dict in chat form, and what a hook did to that dict as edits of the request.

Edits keep the client's bytes where the hook changed nothing. In a format that is not chat's own, a change of messages
must be one that `Request` can express: other texts, messages dropped, a system or last user message added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from luthien_stream.core.lens import Request
from luthien_stream.policy.errors import BadYield
from luthien_stream.policy.handler.chunk import Shape, plain, shaped
from luthien_stream.policy.handler.wording import drop, leaves, reword

_LIMITS = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_OURS = frozenset({"system", "instructions", "messages", "input", "tools", "model", *_LIMITS})
_SYSTEM = ("system", "developer")
Json = dict[str, Any]


def fields_of(request: Request) -> Shape:
    """Show a request in chat form: its limit is `max_tokens` in every format, other fields keep their names."""
    others = msgspec.json.decode(request.body)
    fields: Json = {"model": request.model, "messages": [dict(one) for one in request.messages]}
    fields |= {name: value for name, value in others.items() if name not in _OURS}
    if request.max_tokens is not None:
        fields["max_tokens"] = request.max_tokens
    if request.tools:
        fields["tools"] = list(request.tools)
    shape: Shape = shaped(fields)
    return shape


def request_as(returned: Any, before: Mapping[str, Any], request: Request) -> Request:
    """Do to `request` what a hook did to `before`. Raises `BadYield` for what cannot be done in its format."""
    if not isinstance(returned, Mapping):
        raise BadYield(f"apply_request_policies returned a {type(returned).__name__}; return the request")
    after, was = plain(returned), plain(before)
    for name in sorted(was.keys() | after.keys()):
        if after.get(name) != was.get(name):
            request = _set(request, name, was.get(name), after.get(name))
    return request


def _set(request: Request, name: str, before: Any, after: Any) -> Request:
    match name:
        case "messages":
            return _say(request, before, after)
        case "tools":
            return _offer(request, before, after)
        case "model":
            return request.set_model(after)
        case "max_tokens" if isinstance(after, int):
            return request.set_max_tokens(after)
    if after is None:
        raise BadYield(f"apply_request_policies took {name!r} away; set it to what it shall be")
    return request.set(name, after)


def _offer(request: Request, before: Any, after: Any) -> Request:
    """Take tools away, or in chat form set them."""
    if request.get("tools") == before:
        return request.set("tools", after or [])
    if any(tool not in before for tool in after or ()):
        raise BadYield("apply_request_policies changed a tool; in this format tools can only be dropped")
    for tool in before:
        if tool not in (after or ()):
            request = request.drop_tool(_name(tool))
    return request


def _say(request: Request, before: Sequence[Json], after: Any) -> Request:
    """Change the conversation: in chat form as it is, else by the edits that lead there."""
    if not isinstance(after, list) or not all(isinstance(one, dict) for one in after):
        raise BadYield("apply_request_policies returned `messages` that is no list of messages")
    if request.get("messages") == list(before):
        return request.set("messages", after)
    start, end = _common(before, after)
    old, new = before[start : len(before) - end], after[start : len(after) - end]
    if len(old) == len(new):
        return reword(request, before, start, new)
    if not new:
        return drop(request, before, range(start, start + len(old)))
    added = "\n".join(leaf.text for leaf in leaves(new))
    if not old and all(one["role"] in _SYSTEM for one in (*before[:start], *new)):
        return request.add_system(added)
    if not old and not end and all(one["role"] == "user" for one in new):
        return request.add_user(added)
    raise BadYield("apply_request_policies changed `messages` as this format cannot take it; write a Policy.request")


def _common(before: Sequence[Any], after: Sequence[Any]) -> tuple[int, int]:
    """How many items at the beginning and at the end are the same."""
    shorter = min(len(before), len(after))
    start = next((at for at in range(shorter) if before[at] != after[at]), shorter)
    left = shorter - start
    return start, next((at for at in range(left) if before[-1 - at] != after[-1 - at]), left)


def _name(tool: Json) -> str:
    inner = tool.get("function") or tool.get("custom") or tool
    return str(inner.get("name") or tool.get("type"))
