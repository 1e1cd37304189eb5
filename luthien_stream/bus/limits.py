"""How long the bus keeps what makes repeats harmless. Outbox, scripts and memory bus must agree on these."""

from __future__ import annotations

PUBLISH_DEADLINE_S = 30.0
"""How long an outbox repeats a write that was not confirmed."""

DEAD_LETTERS_KEPT = 10_000
"""About how many dead letters are kept, the newest."""

CLOSED_KEPT_MS = int(2 * PUBLISH_DEADLINE_S * 1000)
"""How long a closed call is remembered, so that a late copy of its first event does not open it again."""

FOLD_TTL_MS = 7 * 24 * 3600 * 1000
"""How long a session's state outlives its last call."""

ONCE_KEPT_MS = 2 * 3600 * 1000
"""How long it is known that something was done for a call: longer than a call may take."""
