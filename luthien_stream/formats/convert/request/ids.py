"""Ids of tool calls, which link a call to its result: kept, but where the provider takes no such id."""

from __future__ import annotations

import hashlib
import re

_USER_LENGTH = 64
_ALLOWED = {
    "anthropic_messages": re.compile(r"[a-zA-Z0-9_-]+"),
    "openai_responses": re.compile(r".{1,64}", re.DOTALL),
}


def id_for(format: str, id: str) -> str:
    """The id for a provider of this format; the same one for the same id, so that call and result stay linked."""
    allowed = _ALLOWED.get(format)
    if allowed is None or allowed.fullmatch(id):
        return id
    return f"call_{hashlib.sha256(id.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def user_for(user: str) -> str | None:
    """The end user's name for OpenAI, which takes 64 characters: a longer one is told by its digest."""
    if len(user) <= _USER_LENGTH:
        return user or None
    return hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()
