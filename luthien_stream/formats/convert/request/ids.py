"""Names and ids that not every provider takes: kept where it does, else told by a digest, always the same one."""

from __future__ import annotations

import hashlib
import re

_USER_LENGTH = 64
_NAMES = {
    "anthropic_messages": re.compile(r"[a-zA-Z0-9_-]{1,128}"),
    "openai_chat": re.compile(r"[a-zA-Z0-9_-]{1,64}"),
    "openai_responses": re.compile(r"[a-zA-Z0-9_-]{1,64}"),
}
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")
_NAME_BEGINNING = 48
_ALLOWED = {
    "anthropic_messages": re.compile(r"[a-zA-Z0-9_-]+"),
    "openai_responses": re.compile(r".{1,64}", re.DOTALL),
}


def id_for(format: str, id: str) -> str:
    """The id for a provider of this format; the same one for the same id, so that call and result stay linked."""
    allowed = _ALLOWED.get(format)
    if allowed is None or allowed.fullmatch(id):
        return id
    return f"call_{_digest(id)[:32]}"


def name_for(format: str, name: str) -> str:
    """The name of a tool for a provider of this format, with the beginning of its own where that cannot stay."""
    if _NAMES[format].fullmatch(name):
        return name
    return f"{_NOT_IN_NAMES.sub('_', name)[:_NAME_BEGINNING]}_{_digest(name)[:12]}"


def user_for(user: str) -> str | None:
    """The end user's name for OpenAI, which takes 64 characters: a longer one is told by its digest."""
    if len(user) <= _USER_LENGTH:
        return user or None
    return _digest(user)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
