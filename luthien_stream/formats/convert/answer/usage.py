"""Token counts in each format's words. Anthropic counts cached input apart, OpenAI as part of the input."""

from __future__ import annotations

from typing import Any

from luthien_stream.formats.convert.answer.pieces import Usage


def from_anthropic(said: dict[str, Any] | None) -> Usage:
    """Counts of a message; they are cumulative."""
    said = said or {}
    return Usage(
        _count(said, "input_tokens"),
        _count(said, "cache_read_input_tokens"),
        _count(said, "cache_creation_input_tokens"),
        _count(said, "output_tokens"),
        _count(_inner(said, "output_tokens_details"), "thinking_tokens"),
    )


def to_anthropic(usage: Usage) -> dict[str, Any]:
    """Counts as a message has them."""
    said: dict[str, Any] = {
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_written,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.output,
    }
    return {**said, "output_tokens_details": {"thinking_tokens": usage.thinking}} if usage.thinking else said


def from_chat(said: dict[str, Any] | None) -> Usage:
    """Counts of a chat completion."""
    return _from_openai(said or {}, "prompt", "completion")


def to_chat(usage: Usage) -> dict[str, Any]:
    """Counts as a chat completion has them."""
    return _to_openai(usage, "prompt", "completion")


def from_responses(said: dict[str, Any] | None) -> Usage:
    """Counts of a response."""
    return _from_openai(said or {}, "input", "output")


def to_responses(usage: Usage) -> dict[str, Any]:
    """Counts as a response has them."""
    return _to_openai(usage, "input", "output")


def _from_openai(said: dict[str, Any], into: str, out: str) -> Usage:
    details = _inner(said, f"{into}_tokens_details")
    read = _count(details, "cached_tokens")
    written = _count(details, "cache_write_tokens") or _count(details, "cache_creation_tokens")
    thinking = _count(_inner(said, f"{out}_tokens_details"), "reasoning_tokens")
    new = max(0, _count(said, f"{into}_tokens") - read - written)
    return Usage(new, read, written, _count(said, f"{out}_tokens"), thinking)


def _to_openai(usage: Usage, into: str, out: str) -> dict[str, Any]:
    return {
        f"{into}_tokens": usage.all_input,
        f"{out}_tokens": usage.output,
        "total_tokens": usage.all_input + usage.output,
        f"{into}_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_written},
        f"{out}_tokens_details": {"reasoning_tokens": usage.thinking},
    }


def _count(said: dict[str, Any], name: str) -> int:
    found = said.get(name)
    return found if isinstance(found, int) else 0


def _inner(said: dict[str, Any], name: str) -> dict[str, Any]:
    found = said.get(name)
    return found if isinstance(found, dict) else {}
