"""Histories with what policies made of answers, in a shape that Anthropic takes back."""

from __future__ import annotations

from typing import Any

from luthien_stream.formats.anthropic_messages.wire import THINKING
from luthien_stream.formats.json import DROP, Path, edit, parse
from luthien_stream.formats.marks import CUT, UNTHOUGHT, is_marked


def mended(body: bytes) -> bytes:
    """The request without thinking that was cut, and asking for none in a turn that has lost it; else the same."""
    if not is_marked(body):
        return body
    try:
        request = parse(body)
        for path in reversed([*_cut(request["messages"]), *_unthinkable(request)]):
            body = edit(body, path, DROP)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return body
    return body


def _cut(messages: list[Any]) -> list[Path]:
    """The paths of the blocks of thinking without a signature of their provider's."""
    return [
        ("messages", number, "content", place)
        for number, message in enumerate(messages)
        for place, block in enumerate(message["content"] if isinstance(message["content"], list) else ())
        if block["type"] == "thinking" and block.get("signature") == CUT
    ]


def _unthinkable(request: dict[str, Any]) -> list[Path]:
    """The paths of what asks for thinking, where the calls that are being answered have lost theirs."""
    turns = [message["content"] for message in request["messages"] if message["role"] == "assistant"]
    last = turns[-1] if turns and isinstance(turns[-1], list) else []
    lost = any(str(block.get("id")).endswith(UNTHOUGHT) for block in last)
    if not lost or last[0]["type"] in THINKING or (request.get("thinking") or {}).get("type") != "enabled":
        return []
    edits = (request.get("context_management") or {}).get("edits") or ()
    clearing = [at for at, one in enumerate(edits) if str(one.get("type")).startswith("clear_thinking")]
    return [("thinking",), *[("context_management", "edits", at) for at in clearing]]
