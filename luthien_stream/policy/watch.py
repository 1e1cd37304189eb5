"""What one policy was given and what it puts out: in time, of a right kind, within its bounds; and how long it took."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from luthien_stream.events.answer import ALL, End, Event, Thinking
from luthien_stream.policy.errors import BadYield, HoldTooLarge, SignedThinking, UndeclaredHold
from luthien_stream.policy.held import Held
from luthien_stream.policy.pipeline import Bound
from luthien_stream.policy.sampling import Said

_REMEMBERED = 64
"""Events of which it is known when they came in, where a tail of text may be held."""


class Watch:
    """See the module. Most events of a policy that holds nothing pass it by."""

    __slots__ = ("_hold", "_kept_us", "_times", "held", "said")

    def __init__(self, bound: Bound) -> None:
        self._hold = bound.policy.hold
        self.held = Held.under(bound)
        self.said = Said() if "sample" in bound.policy.needs else None
        self._times: deque[tuple[int, int]] | None = deque(maxlen=_REMEMBERED) if self._hold == "tail" else None
        """Which bytes came in when; an object that lives keeps its id."""
        self._kept_us = 0

    @property
    def takes(self) -> bool:
        """Whether `take` has to see every event."""
        return self.held is not None or self._times is not None

    @property
    def counts(self) -> bool:
        """Whether `check` has to see every output."""
        return self.held is not None or self.said is not None

    @property
    def kept_us(self) -> int:
        """How long an event was kept at most, microseconds on the log's clock, but for waits."""
        return max(self._kept_us, self.held.kept_us if self.held is not None else 0)

    def take(self, event: Event, now: int) -> bool:
        """Keep an event that the policy is given; False if that is too much."""
        if self._times is not None:
            self._times.append((id(event.src), now))
        return self.held is None or self.held.take(event, now)

    def check(self, out: Event, event: Event | None, before: Event | None, now: int) -> None:
        """Look at an output; `event` is the one in hand, `before` the one before it. Raises what is wrong with it."""
        kind = type(out)
        if kind not in ALL:
            raise BadYield(f"yielded a {kind.__name__}, which is no event")
        if self._is_late(out, event, before):
            raise UndeclaredHold(f"put out {kind.__name__} late; it declares hold = {self._hold!r}")
        if kind is Thinking and out.edited and out.signed:  # type: ignore[union-attr]
            raise SignedThinking("edited signed thinking; pass it or drop the whole part")
        if self.held is not None:
            self.held.let_go(out, now)
        if self.said is not None:
            self.said.add(out)
        if self._times is not None and out.src is not None:
            came = next((at for src, at in reversed(self._times) if src == id(out.src)), now)
            self._kept_us = max(self._kept_us, now - came)

    def left(self) -> Iterable[Event]:
        """What the policy was given and has not put out."""
        return self.held.events() if self.held is not None else ()

    def too_large(self) -> HoldTooLarge:
        """The failure that `take` announced."""
        return self.held.too_large() if self.held is not None else HoldTooLarge()

    def _is_late(self, out: Event, event: Event | None, before: Event | None) -> bool:
        """True if the policy kept this event longer than it declares; a part is over with the event behind it."""
        if self._hold == "turn" or out.src is None or event is None or out.src is event.src:
            return False
        if self._hold == "none":
            return True
        return not (type(event) is End or out.part == event.part or (before is not None and out.part == before.part))
