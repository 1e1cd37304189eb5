"""Token counts of an answer, whichever vendor counted them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct


class Usage(Struct, frozen=True):
    """Tokens. `input` were read anew; `cached` came from the provider's cache, `cache_write` went into it."""

    input: int = 0
    cached: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    """Of `output`."""


def usage_of(counts: Mapping[str, Any] | None) -> Usage | None:
    """Read a provider's token counts, None where it gave none. OpenAI counts cached tokens into the input."""
    if not counts:
        return None
    if "prompt_tokens" in counts:
        details, made = _of(counts, "prompt_tokens_details"), _of(counts, "completion_tokens_details")
        cached = _int(details, "cached_tokens")
        return Usage(
            max(0, _int(counts, "prompt_tokens") - cached),
            cached,
            0,
            _int(counts, "completion_tokens"),
            _int(made, "reasoning_tokens"),
        )
    if "input_tokens_details" in counts or "output_tokens_details" in counts:
        cached = _int(_of(counts, "input_tokens_details"), "cached_tokens")
        reasoning = _int(_of(counts, "output_tokens_details"), "reasoning_tokens")
        return Usage(max(0, _int(counts, "input_tokens") - cached), cached, 0, _int(counts, "output_tokens"), reasoning)
    if "input_tokens" in counts or "output_tokens" in counts:
        return Usage(
            _int(counts, "input_tokens"),
            _int(counts, "cache_read_input_tokens"),
            _int(counts, "cache_creation_input_tokens"),
            _int(counts, "output_tokens"),
        )
    return None


def estimated(read: int, wrote: int) -> Usage:
    """Tokens of so many characters, four to a token: for a provider that counts none."""
    return Usage(input=-(-read // 4), output=-(-wrote // 4))


def _of(counts: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = counts.get(name)
    return found if isinstance(found, Mapping) else {}


def _int(counts: Mapping[str, Any], name: str) -> int:
    found = counts.get(name)
    return found if isinstance(found, int) and found >= 0 else 0
