"""Which agent run a call belongs to, the first name that the client gave for it, and whom it names as its user."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

LONGEST = 200
"""Characters kept of a session's name."""
_MARK = "_session_"


def session_of(headers: Mapping[str, str], field: Callable[[str], Any]) -> str:
    """Return the session's name, empty if none is given. `field` reads a top-level field of the request's body."""
    name = (
        headers.get("x-claude-code-session-id")
        or _of_user(field("metadata"))
        or headers.get("x-session-id")
        or headers.get("session-id")
        or field("prompt_cache_key")
    )
    return name[:LONGEST] if isinstance(name, str) else ""


def user_of(field: Callable[[str], Any]) -> str:
    """Return whom the request names as its user, empty if nobody. `field` as for `session_of`."""
    metadata = field("metadata")
    name = field("user") or (metadata.get("user_id") if isinstance(metadata, dict) else "")
    return name[:LONGEST] if isinstance(name, str) else ""


def _of_user(metadata: Any) -> str:
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    if not isinstance(user, str):
        return ""
    if user.startswith("{"):
        return _of_json(user) or user
    # Claude Code: `user_<hash>_account_<uuid>_session_<uuid>`.
    return user.rpartition(_MARK)[2] if _MARK in user else user


def _of_json(user: str) -> str:
    try:
        found = msgspec.json.decode(user)
    except (msgspec.MsgspecError, RecursionError):
        return ""
    return str(found.get("session_id") or "") if isinstance(found, dict) else ""
