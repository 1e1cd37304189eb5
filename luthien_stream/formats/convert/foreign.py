"""Reasoning of another format's provider in a request to one of the client's own format: it must not go there.

It is there where a session's model has changed, by its client, a fallback or a policy: the client sends again what a
conversion gave it, and this provider would refuse a signature that it has not made.
"""

from __future__ import annotations

from msgspec import Raw

from luthien_stream.formats.convert.seal import MARK
from luthien_stream.formats.json import dump, fields, items, parse

_SEARCHED = MARK.encode()
"""Without the slash behind it, which JSON may escape."""
_SIGNED = {"thinking": "signature", "redacted_thinking": "data", "reasoning": "encrypted_content"}
"""Type of a block or item to the field with its seal."""


def without_foreign(body: bytes) -> bytes:
    """The body without such reasoning, in whichever format; the very same object if it has none."""
    if _SEARCHED not in body:
        return body
    try:
        known = fields(body)
    except ValueError:
        return body
    changed = {**_left(known, "input"), **_messages(known)}
    return dump({**known, **changed}) if changed else body


def _messages(known: dict[str, Raw]) -> dict[str, Raw]:
    """The messages without it, if that changes them; one that has nothing else goes whole."""
    messages = _listed(known.get("messages"))
    left = [_message(message) for message in messages]
    if all(new is old for new, old in zip(left, messages, strict=True)):
        return {}
    return {"messages": Raw(dump([message for message in left if message is not None]))}


def _message(message: Raw) -> Raw | None:
    if not _may_have(message):
        return message
    try:
        known = fields(message)
    except ValueError:
        return message
    changed = _left(known, "content")
    if changed and not items(changed["content"]):
        return None
    changed |= _left(known, "thinking_blocks")
    return Raw(dump({**known, **changed})) if changed else message


def _left(known: dict[str, Raw], field: str) -> dict[str, Raw]:
    """What is left of a list under its name, if something goes."""
    blocks = _listed(known.get(field))
    left = [block for block in blocks if not _is_foreign(block)]
    return {field: Raw(dump(left))} if len(left) < len(blocks) else {}


def _listed(raw: Raw | None) -> list[Raw]:
    """The items of a list that may have such a block; none where it has not, or is no list."""
    if raw is None or not _may_have(raw):
        return []
    try:
        return items(raw)
    except ValueError:
        return []


def _is_foreign(raw: Raw) -> bool:
    try:
        block = parse(raw) if _may_have(raw) else None
    except ValueError:
        return False
    seal = block.get(_SIGNED.get(str(block.get("type")), "")) if isinstance(block, dict) else None
    return isinstance(seal, str) and seal.startswith(f"{MARK}/")


def _may_have(raw: Raw) -> bool:
    return _SEARCHED in bytes(raw)
