"""The port between a call's log and what runs over it: a program is a pure function of what it is fed.

A worker feeds accepted inputs and recorded effects, advances the program, and settles what comes out. After a
failover the same feed gives the same outputs; that is all that takeover, replay and backtest rest on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from msgspec import Struct

from luthien_stream.events.log import AnyEvent

SAMPLE = "sample:"
"""Begins the name of the source of an answer that a program has asked for; the key of the request follows."""


class Want(Struct, frozen=True):
    """An effect that a program waits for: the owner performs it, records the result, and hands it in by its key."""

    key: str
    """(policy index, phase, counter in that policy), as in `2/response/0`: unique in (call, stage)."""
    kind: str
    """What to do: `timer`, `judge`, `sample`, `ask`, ..."""
    args: Any = None
    timeout_s: float | None = None


class Folded(Struct, frozen=True):
    """What a call adds to a fold of its session. It is written with the call's terminal event, in the same settle."""

    session: str
    name: str
    """Of the policy whose fold it is."""
    delta: Any
    seen: int = 0
    """How many deltas of this fold the call has read: `state` holds them all, and stands for them from now on."""
    state: Any = None


class Program(Protocol):
    """One call's run through one stage."""

    over: bool
    """True once it has put out its terminal event, or released a request that needs no response phase."""

    def feed(self, event: AnyEvent, source: str = "") -> None:
        """Take the next accepted input: request.received, response.started, chunk.received, a terminal event.

        `source` is `sample:<key>` for those of an answer that the program has asked for, empty for the call's own.
        """

    def decide(self, key: str, value: Any, of: str = "", time: int = 0) -> None:
        """Take the recorded result of an effect. Results may come before the program asks for them.

        `of` is the digest of what was asked for, empty where none was recorded; `time` is when it was recorded.
        """

    def advance(self) -> Sequence[AnyEvent]:
        """Run until it waits for input or effects; return outputs in order, without `n`, `prev` and `time`."""

    def wants(self) -> Sequence[Want]:
        """The effects it waits for now."""

    def folds(self) -> Sequence[Folded]:
        """What it adds to its session, once it is over."""
        return ()

    def cut(self, reason: str, message: str) -> Sequence[AnyEvent]:
        """End the call now: close what is open, return the last outputs with a terminal event of the final lane."""
