"""Whether a request is the one that was recorded. Pure.

What changes from run to run without meaning anything is left out: who asks (`metadata`, `user`), marks for the cache,
ids of tool calls (their order counts), and the line about billing that Claude Code puts before its prompt.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from luthien_stream.record.words import json_diff

LEFT_OUT = frozenset({"metadata", "user", "prompt_cache_key", "safety_identifier", "service_tier", "cache_control"})
"""Fields that say nothing of what is asked, wherever they stand."""
_ID = re.compile(r"^(toolu|call|fc|ctc|srvtoolu|msg|rs|resp|chatcmpl)[_-][A-Za-z0-9_-]+$")
_BILLING = "x-anthropic-billing-header"
MOST = 200
"""Recordings that a request is compared with to find the nearest."""
SHORT = 80


def normalised(body: bytes) -> Any:
    """Return a request without what changes from run to run; None where it is no JSON object."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return _clean(value, {}) if isinstance(value, dict) else None


def key_of(request: Any) -> bytes:
    """Return what two requests that ask the same have in common, whatever the order of their fields."""
    return msgspec.json.encode(request, order="deterministic")


def nearest(request: Any, recorded: Sequence[Any]) -> tuple[int, str] | None:
    """The recorded request that is most alike, by its index, and where it differs first; None if there are none."""
    best: tuple[int, int, str] | None = None
    for index, other in enumerate(recorded[:MOST]):
        differences = list(json_diff(other, request))
        if not differences:
            return index, "it was served before; --reuse serves it again"
        first = differences[0]
        was, now = (_short(one) for one in (first.before, first.after))
        if best is None or len(differences) < best[0]:
            best = (len(differences), index, f"{first.path}: recorded {was}, asked {now}")
    return None if best is None else (best[1], best[2])


def _clean(value: Any, ids: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _clean(one, ids) for key, one in value.items() if key not in LEFT_OUT}
    if isinstance(value, list):
        return [_clean(one, ids) for one in value if not _is_billing(one)]
    if isinstance(value, str) and _ID.match(value):
        return ids.setdefault(value, f"id-{len(ids)}")
    return value


def _is_billing(value: Any) -> bool:
    return isinstance(value, dict) and str(value.get("text", "")).startswith(_BILLING)


def _short(text: str | None) -> str:
    if text is None:
        return "nothing"
    return text if len(text) <= SHORT else text[: SHORT - 1] + "…"
