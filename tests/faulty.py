"""A bus between a test and a real one that loses requests, loses replies, or executes a request late."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from typing import Any, Literal, cast

from luthien_stream.bus.port import Bus
from luthien_stream.errors import BusAmbiguous, BusUnavailable

Fault = Literal["", "refused", "dropped", "reply_lost", "late"]
"""`refused`: known not to be executed. The others look alike to the caller: `BusAmbiguous`."""


class FaultyBus:
    """Wraps a bus. Faults come from `fail` (scripted, per method) or else from `choose` (by method name).

    Methods of readers are named `read`, `turn` and `read_group`. A late request runs in `run_late`.
    """

    def __init__(self, inner: Bus, choose: Callable[[str], Fault] = lambda method: "") -> None:
        self.inner = inner
        self.calls: list[str] = []
        self._choose = choose
        self._planned: dict[str, deque[Fault]] = defaultdict(deque)
        self._late: list[Callable[[], Awaitable[object]]] = []

    @property
    def bus(self) -> Bus:
        """This object as the port."""
        return cast(Bus, self)

    def fail(self, method: str, fault: Fault, times: int = 1) -> None:
        """Let the next calls of a method fail."""
        self._planned[method].extend([fault] * times)

    async def run_late(self) -> None:
        """Execute what is still on its way, after all that was executed meanwhile."""
        late, self._late = self._late, []
        for call in late:
            await call()

    def reader(self) -> Any:
        """A reader with the same faults, as a context manager."""
        return _FaultyReader(self, self.inner.reader())

    def __getattr__(self, name: str) -> Any:
        return self.wrap(getattr(self.inner, name), name) if name != "last_words" else self.inner.last_words

    def wrap(self, method: Callable[..., Awaitable[object]], name: str) -> Callable[..., Awaitable[object]]:
        """Return the method with its faults."""

        async def call(*args: Any, **kwargs: Any) -> object:
            self.calls.append(name)
            planned = self._planned[name]
            fault = planned.popleft() if planned else self._choose(name)
            if fault == "refused":
                raise BusUnavailable
            if fault == "late":
                self._late.append(lambda: method(*args, **kwargs))
            elif fault != "dropped":
                result = await method(*args, **kwargs)
                if fault == "":
                    return result
            raise BusAmbiguous

        return call


class _FaultyReader:
    def __init__(self, bus: FaultyBus, inner: Any) -> None:
        self._bus, self._inner, self._reader = bus, inner, None

    async def __aenter__(self) -> _FaultyReader:
        self._reader = await self._inner.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._inner.__aexit__(*exc)

    def __getattr__(self, name: str) -> Any:
        return self._bus.wrap(getattr(self._reader, name), name)
