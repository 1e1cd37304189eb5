"""When a provider that failed before any content is asked again, and when another one is. Pure.

The rules are those of the vendors' SDKs, so that a client that leaves retries to the gateway sees what it knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime

from luthien_stream.events.log import Header

FIRST_S = 0.5
LONGEST_S = 8.0
PATIENCE_S = 60.0
"""The longest `retry-after` that is waited for; a longer one is the client's to know."""


def helps_again(status: int) -> bool:
    """Whether the same provider may answer the same request well a little later."""
    return status == 429 or status >= 500


def helps_elsewhere(status: int) -> bool:
    """Whether another provider may answer it well: it is not the request that is at fault."""
    return helps_again(status) or status in (404, 408)


def backoff_s(attempt: int, chance: float) -> float:
    """Seconds to wait after the failure number `attempt` (from 0): doubled each time, at most a quarter less."""
    return float(min(LONGEST_S, FIRST_S * 2 ** min(attempt, 16)) * (1 - 0.25 * chance))


def pause_s(attempt: int, status: int, headers: Sequence[Header], now: float, chance: float) -> float | None:
    """Seconds until the same provider is asked again, None if it is not.

    `headers` are the failed answer's, names in lower case; `now` is in seconds since 1970, `chance` in [0, 1).
    """
    by_name = dict(headers)
    if not helps_again(status) or by_name.get("x-should-retry", "").strip().lower() == "false":
        return None
    asked = _asked_for_s(by_name, now)
    if asked is None:
        return backoff_s(attempt, chance)
    return asked if asked <= PATIENCE_S else None


def _asked_for_s(headers: dict[str, str], now: float) -> float | None:
    """The seconds that the provider asks for; None where it says nothing that can be read."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        try:
            seconds = float(text) * unit_s
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    try:
        when = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(0.0, (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now)
