"""A request's headers for a provider of another format: what only the client's vendor understands stays behind."""

from __future__ import annotations

from collections.abc import Iterable

from luthien_stream.events.log import Header

ANTHROPIC_VERSION = "2023-06-01"
_ONE_VENDORS = (
    "anthropic-",
    "openai-",
    "x-stainless-",
    "x-claude-code-",
    "x-codex-",
    "x-openai-",
    "chatgpt-",
)
"""Beginnings of names that mean something to one vendor only."""
_ONE_CLIENTS = frozenset({"originator", "session-id", "session_id", "thread-id", "thread_id", "x-app", "version"})


def converted(headers: Iterable[Header], provider: str) -> tuple[Header, ...]:
    """The headers for a provider of this format."""
    kept = [
        (name, value)
        for name, value in headers
        if not name.lower().startswith(_ONE_VENDORS) and name.lower() not in _ONE_CLIENTS
    ]
    if provider == "anthropic_messages":
        kept.append(("anthropic-version", ANTHROPIC_VERSION))
    return tuple(kept)
