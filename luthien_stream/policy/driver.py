"""One policy in the chain: its generator, stepped by hand. No event loop: an await that is not ours is found at once.

Items flow in by `push` and out by `down`, in order: events, frames that no policy sees, verdicts, the terminal event.
A policy that waits for an effect keeps what comes meanwhile in its inbox, so the order never depends on how long the
effect takes.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from types import AsyncGeneratorType
from typing import Any

from luthien_stream.core.program import Want
from luthien_stream.errors import Nondeterminism
from luthien_stream.events.answer import End, Event, Text
from luthien_stream.events.log import LogEvent, PolicyFailed, ResponseCompleted, ResponseFailed, VerdictReached
from luthien_stream.policy.api import Stop
from luthien_stream.policy.context import CallFacts, Context, Identity, Shared
from luthien_stream.policy.effects import WAITS
from luthien_stream.policy.errors import (
    ForeignAwait,
    NotAGenerator,
    YieldAfterEnd,
)
from luthien_stream.policy.item import Down, Item
from luthien_stream.policy.pipeline import Bound
from luthien_stream.policy.stream import NEXT, Events
from luthien_stream.policy.tally import Ran
from luthien_stream.policy.trace import describe, in_hand
from luthien_stream.policy.waiting import Waiting
from luthien_stream.policy.watch import Watch

_EVENTS = Events()
_BROKEN = frozenset({"cut", "error"})


class Driver:
    """See the module."""

    __slots__ = (
        "_before",
        "_bound",
        "_call",
        "_closing",
        "_ctx",
        "_down",
        "_end",
        "_event",
        "_generator",
        "_given",
        "_inbox",
        "_pump",
        "_ran",
        "_sees",
        "_send",
        "_shared",
        "_since",
        "_slow",
        "_takes",
        "_waiting",
        "_watch",
    )

    def __init__(self, bound: Bound, index: int, call: CallFacts, shared: Shared, down: Down, prefix: str = "") -> None:
        me = Identity(bound.name, bound.version, index, "response", bound.timeout_s, bound.match.tool, prefix)
        self._bound, self._call, self._shared, self._down = bound, call.id, shared, down
        self._watch = Watch(bound)
        self._ctx = Context(call, me, shared, self._note, self._watch.said)
        self._ran = Ran() if shared.tally is None else shared.tally.of(index)
        self._generator: AsyncGeneratorType[Event, None] | None = None
        self._pump: Coroutine[Any, Any, None] | None = None
        self._send: Callable[[Any], Any] = _drop
        self._sees: frozenset[type[Any]] = bound.policy.sees | {End}
        self._takes = self._watch.takes
        self._slow = self._watch.counts
        """Outputs need a second look: something is counted, or the end is near."""
        self._event: Event | None = None
        """The event in hand."""
        self._before: Event | None = None
        self._given: End | None = None
        self._end: End | None = None
        """The end as it came in, and as the policy put it out."""
        self._closing = False
        """No more events come."""
        self._inbox: deque[tuple[int, int, Item]] = deque()
        self._since = (0, 0)  # time and clock where the policy waits
        self._waiting: Waiting | None = None
        """The effects that the policy waits for."""

    def start(self) -> None:
        """Run the policy to where it wants its first event."""
        try:
            generator = self._bound.policy.response(_EVENTS, self._ctx)
        except Exception as error:  # noqa: BLE001 - the policy's own code: whatever it raises is a policy failure
            self._fail(error)
            return
        if not isinstance(generator, AsyncGeneratorType):
            getattr(generator, "close", lambda: None)()
            self._fail(NotAGenerator(f"{type(self._bound.policy).__name__}.response has no `yield`"))
            return
        self._generator = generator
        self._pump = pump = self._pass_on(generator)
        self._send = pump.send
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)  # else an event loop around us would take charge of the generator
        try:
            self._step(pump.send, None)
        finally:
            sys.set_asyncgen_hooks(*hooks)

    def push(self, item: Item) -> None:
        """Take the next item. What the policy does not see flows past it."""
        kind = type(item)
        if self._waiting is not None:
            self._inbox.append((self._shared.now, self._shared.clock, item))
        elif kind not in self._sees:
            self._down(item)
        elif kind is End:
            self._close_input(item)  # type: ignore[arg-type]
        else:
            self._before, self._event = self._event, item  # type: ignore[assignment]
            if self._takes and not self._watch.take(item, self._shared.clock):  # type: ignore[arg-type]
                self._fail(self._watch.too_large())
            else:
                self._step(self._send, item)

    def decided(self) -> None:
        """Go on if the effects that the policy waits for have their results."""
        waiting, shared = self._waiting, self._shared
        if waiting is None or not waiting.ready():
            return
        self._waiting = None
        shared.waiting -= 1
        shared.now, shared.clock = self._since
        if waiting.wrong is not None:
            self._fail(waiting.wrong)
        else:
            self._reach(waiting.time)
            self._step(self._send, waiting.value)
        while self._inbox and self._waiting is None:
            shared.now, shared.clock, item = self._inbox.popleft()
            self.push(item)

    def wants(self) -> Sequence[Want]:
        return () if self._waiting is None else self._waiting.wants()

    def close(self) -> None:
        """Let the generator run its `finally` blocks; nothing of it is used any more."""
        generator, self._generator = self._generator, None
        if generator is None or self._pump is None:
            return
        for let_go in (self._pump.close, lambda: generator.aclose().send(None)):
            try:
                let_go()
            except KeyboardInterrupt:
                raise
            except BaseException:  # noqa: BLE001, S112 - whatever it says, it is over
                continue

    async def _pass_on(self, generator: AsyncGeneratorType[Event, None]) -> None:
        """Put out what the policy yields. The hot way: the event in hand, as it came."""
        async for out in generator:
            if out is self._event and not self._slow:
                self._down(out)
            elif type(out) is End and self._end is None:
                self._end, self._slow, self._closing = out, True, True
            else:
                self._check(out)
                self._down(out)

    def _step(self, resume: Callable[[Any], Any], value: Any) -> None:
        """Go on with `value` until the policy waits for an event, waits for an effect, or is over."""
        while True:
            try:
                token = resume(value)
            except BaseException as error:  # noqa: BLE001 - the policy's own code, `SystemExit` included
                self._leave(error)
                return
            if token is NEXT:
                if not self._closing:
                    return
                resume, value = self._pump.throw, StopAsyncIteration()  # type: ignore[union-attr]
            elif type(token) not in WAITS:
                what = type(token).__name__
                self._fail(ForeignAwait(f"awaited {what}; a policy may await `events` and `ctx` only"))
                return
            else:
                waiting = Waiting(token, self._shared, self._clock())
                if not waiting.ready():
                    self._waiting, self._since = waiting, (self._shared.now, self._shared.clock)
                    self._shared.waiting += 1
                    return
                if waiting.wrong is not None:
                    self._fail(waiting.wrong)
                    return
                self._reach(waiting.time)
                resume, value = self._send, waiting.value

    def _check(self, out: Event) -> None:
        if self._end is not None:
            raise YieldAfterEnd(f"yielded {type(out).__name__} after End")
        self._watch.check(out, self._event, self._before, self._clock())

    def _clock(self) -> int:
        """The time that the policy has got to: of the event in hand, or of the last effect."""
        return max(self._shared.now, self._shared.clock, self._ctx.reached)

    def _reach(self, time: int) -> None:
        """An effect was recorded at this time: all that the policy puts out from here on comes later."""
        ctx, shared = self._ctx, self._shared
        if self._event is not None:
            self._ran.held(time - max(shared.now, shared.clock))
        if time > ctx.reached:
            if not ctx.reached:
                down = self._down
                self._down = lambda item: self._hand_on(down, item)
            ctx.reached = time

    def _hand_on(self, down: Down, item: Item) -> None:
        shared, before = self._shared, self._shared.clock
        shared.clock = max(before, self._ctx.reached)
        down(item)
        shared.clock = before

    def _close_input(self, end: End) -> None:
        self._given, self._closing, self._slow, self._event = end, True, True, end
        if End in self._bound.policy.sees:
            self._step(self._send, end)
        else:
            self._step(self._pump.throw, StopAsyncIteration())  # type: ignore[union-attr]

    def _leave(self, error: BaseException) -> None:
        """The policy is over: it returned, stopped the answer, or raised."""
        if isinstance(error, StopIteration):
            self._finish(self._end or self._given or End("stop"))
        elif isinstance(error, Stop):
            self._note(self._verdict(error))
            if error.shown and self._end is None:
                self._down(Text(error.shown if self._event is None else f"\n\n{error.shown}"))
            self._finish(End("stop"))
        elif isinstance(error, KeyboardInterrupt):
            raise error
        else:
            self._fail(error)

    def _finish(self, end: End) -> None:
        """Put out the end. Where the provider has more to say, the rest of it is not for this call."""
        given, self._generator = self._given, None
        self._ran.done.add("response")
        self._ran.held(self._watch.kept_us)
        if given is not None:
            self._down(given if given.reason in _BROKEN else end)
            self._sees = frozenset()
            return
        self._down(end)
        self._down(ResponseCompleted(call=self._call, lane="final"))
        self._stop_listening()

    def _fail(self, error: BaseException) -> None:
        """Record the failure; `open` goes on without the policy, `closed` ends the call."""
        bound = self._bound
        went = "closed" if isinstance(error, Nondeterminism) else bound.on_error
        message = describe(error, self._generator, type(bound.policy), in_hand(self._event, self._shared.at))
        failure = PolicyFailed(call=self._call, policy=bound.name, error=type(error).__name__, message=message)
        failure.went = went
        self._down(failure)
        self.close()
        self._ran.failed = True
        if went == "open":
            self._sees = frozenset()
            for event in self._watch.left():
                self._down(event)
            if self._given is not None:
                self._down(self._given)
            return
        text = f"The policy {bound.name} failed: {message}"
        self._down(ResponseFailed(call=self._call, lane="final", error="policy_failed", message=text))
        self._stop_listening()

    def _stop_listening(self) -> None:
        self._sees = frozenset()
        self._down = _drop

    def _note(self, event: LogEvent) -> None:
        if isinstance(event, VerdictReached) and event.policy == self._bound.name:
            self._ran.decided(event.kind)
        self._down(event)

    def _verdict(self, stop: Stop) -> VerdictReached:
        bound = self._bound
        return VerdictReached(
            call=self._call, policy=bound.name, kind="stop", version=bound.version, reason=stop.reason, shown=stop.shown
        )


def _drop(item: Any) -> None:
    """Where items go that nobody wants any more."""
