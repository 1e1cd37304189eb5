"""Effects: what a policy gets from outside the log. The awaitable hands a `Want` to whoever steps the policy.

A recorded result is any plain value; `{"error": kind, "message": text}` is a failure and raises in the policy.
"""

from __future__ import annotations

import types
from collections.abc import Generator
from typing import Any

from luthien_stream.core.program import Want
from luthien_stream.policy.errors import EffectFailed


@types.coroutine
def perform(want: Want) -> Generator[Want, Any, Any]:
    """Wait for the recorded result of `want`. Raises `EffectFailed` where a failure or timeout was recorded."""
    value = yield want
    if isinstance(value, dict) and "error" in value:
        raise EffectFailed(
            f"{want.kind} failed: {value['error']} {value.get('message', '')}".rstrip(), error=value["error"]
        )
    return value
