"""Reasoning of another format's provider in a request to one of the client's own format: it must not go there.

It is there where a session's model has changed, by its client, a fallback or a policy: the client sends again what a
conversion gave it, and this provider would refuse a signature that it has not made.
"""

from __future__ import annotations

from typing import Any

from luthien_stream.formats.convert.seal import MARK
from luthien_stream.formats.json import DROP, Path, edit, parse

_TAG = f"{MARK}/"
_SIGNED = {"thinking": "signature", "redacted_thinking": "data", "reasoning": "encrypted_content"}
"""Type of a block or item to the field with its seal."""


def without_foreign(body: bytes) -> bytes:
    """The body without such reasoning, in whichever format; the very same object if it has none."""
    if _TAG.encode() not in body:
        return body
    try:
        said = parse(body)
    except ValueError:
        return body
    for path in reversed(_foreign(said)):
        body = edit(body, path, DROP)
    return body


def _foreign(said: Any) -> list[Path]:
    """Where it stands, in the order of the body; a message that has nothing else goes whole."""
    found: list[Path] = [("input", i) for i, item in enumerate(_list(said, "input")) if _is_tagged(item)]
    for i, message in enumerate(_list(said, "messages")):
        blocks = _list(message, "content")
        if blocks and all(map(_is_tagged, blocks)):
            found.append(("messages", i))
            continue
        for field in ("content", "thinking_blocks"):
            tagged = [j for j, block in enumerate(_list(message, field)) if _is_tagged(block)]
            found += [("messages", i, field, j) for j in tagged]
    return found


def _is_tagged(block: Any) -> bool:
    seal = block.get(_SIGNED.get(str(block.get("type")), "")) if isinstance(block, dict) else None
    return isinstance(seal, str) and seal.startswith(_TAG)


def _list(value: Any, field: str) -> list[Any]:
    found = value.get(field) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []
