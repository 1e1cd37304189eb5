"""Accepting the events of one call: a pure function of what was accepted before. Worker, edge and activity share it.

A producer may repeat what it wrote and a server may deliver late copies; exactly the next ordinal of the expected
source is taken. What carries no ordinal is idempotent by its key: the first effect of a key and the first candidate
count.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from luthien_stream.core.digest import EMPTY, chain
from luthien_stream.events.log import (
    AnyEvent,
    ApprovalDecided,
    EffectRecorded,
    RequestReceived,
    ResponseAborted,
    ResponseCompleted,
    ResponseFailed,
)

PUBLISH_DEADLINE_MS = 30_000
"""How long a producer repeats an ambiguous write; a request that enters the log later than this is a late copy."""
MAX_CANDIDATES = 1_000
"""Answers that are kept of one call."""
CUT = "cut"
"""The key of the candidate and of the effect that end a call early."""

Outcome = Literal["taken", "effect", "candidate", "note", "repeat", "gap", "late", "foreign", "splice"]
TAKEN: Final = "taken"
"""The next event of the lane: use it."""
EFFECT: Final = "effect"
"""The first record of an effect."""
CANDIDATE: Final = "candidate"
"""The first answer of its key, or the first request to end the call."""

TERMINALS = frozenset({ResponseCompleted, ResponseFailed, ResponseAborted})


class Intake:
    """What one reader of one call has accepted from one source (`edge:...`, `stage:...`, `sample:...`)."""

    __slots__ = ("candidates", "chained", "count", "digest", "effects", "over", "source")

    def __init__(self, source: str = "") -> None:
        """`source` is whose lane is taken; empty: of whoever writes the first event."""
        self.source = source
        self.chained = source.startswith("stage:")
        self.count = 0
        """Events taken, which is the next ordinal."""
        self.digest = EMPTY
        """Digest of what was taken; kept for a stage's lane only."""
        self.over = False
        """The terminal event was taken."""
        self.effects: dict[str, Any] = {}
        self.candidates: dict[tuple[str, str], ApprovalDecided | ResponseAborted] = {}
        """By key, and by the digest of what was decided on, empty where it says none."""

    def accept(self, src: str, event: AnyEvent) -> Outcome:
        """Say what to do with an event; all but `taken`, `effect` and `candidate` are to be dropped.

        `splice`: the lane before it is not the one that was taken, the call must end. `gap`: its producer repeats.
        """
        n = event.n
        if n < 0:
            return self._unnumbered(event)
        if src != self.source and not self._begins(src, n):
            return "foreign"
        if n != self.count:
            return "repeat" if n < self.count else "gap"
        if self.over:
            return "late"
        if self.chained:
            if event.prev != self.digest:
                return "splice"
            self.digest = chain(self.digest, event)
        self.count = n + 1
        if type(event) in TERMINALS:
            self.over = True
        return TAKEN

    def _begins(self, src: str, n: int) -> bool:
        if self.source or n != 0:
            return False
        self.source = src
        self.chained = src.startswith("stage:")
        return True

    def _unnumbered(self, event: AnyEvent) -> Outcome:
        if type(event) is EffectRecorded:
            if event.key in self.effects:
                return "repeat"
            self.effects[event.key] = event.value
            return EFFECT
        if type(event) is ApprovalDecided or type(event) is ResponseAborted:
            key = (CUT, "")
            if type(event) is ApprovalDecided:
                key = (event.key, event.digest)
                if len(self.candidates) >= MAX_CANDIDATES:
                    return "late"
            return CANDIDATE if self.candidates.setdefault(key, event) is event else "repeat"
        return "note"


def opens(event: AnyEvent, entry_ms: int) -> bool:
    """Say whether an event of an unknown call opens it: a request, not a copy that entered the log too late.

    `entry_ms` is the time in the entry's id. An id that is no UUIDv7 tells no time and counts as fresh.
    """
    if type(event) is not RequestReceived or event.n != 0:
        return False
    made = made_ms(event.call)
    return made is None or entry_ms - made <= PUBLISH_DEADLINE_MS


def made_ms(call: str) -> int | None:
    """Return when a call id was made (milliseconds since 1970), None if it is no UUIDv7."""
    digits = call.replace("-", "")
    if len(digits) != 32 or digits[12] != "7":
        return None
    try:
        return int(digits[:12], 16)
    except ValueError:
        return None
