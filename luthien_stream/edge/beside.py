"""What an edge does beside passing calls on: it draws from models, tells people, and takes orders from them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import structlog

from luthien_stream.bus.holds import answer_given
from luthien_stream.bus.port import Bus
from luthien_stream.config.model import Config
from luthien_stream.core.lens import Lens
from luthien_stream.edge.call import Call
from luthien_stream.edge.drawn import Drawn
from luthien_stream.edge.inbox import Inbox
from luthien_stream.edge.notices import Notices
from luthien_stream.edge.orders import Orders
from luthien_stream.edge.outboxes import Outboxes
from luthien_stream.edge.provider import Providers
from luthien_stream.edge.routing import Router
from luthien_stream.edge.samples import Samples
from luthien_stream.edge.shadow import Shadow
from luthien_stream.errors import BusError
from luthien_stream.events import log

logger = structlog.get_logger()

TRIES = 5
PAUSE_S = 1.0


class Beside:
    """See the module."""

    def __init__(
        self,
        config: Config,
        bus: Bus,
        edge: str,
        calls: Mapping[str, Call],
        outboxes: Outboxes,
        inbox: Inbox,
        providers: Providers,
        router: Router,
        lenses: Mapping[str, Lens],
        shadow: Shadow,
        on_lost: Callable[[set[str]], None],
    ) -> None:
        """`calls` is a live view of the open ones; `on_lost` gets those whose stage could not be told of a draw."""
        self._bus = bus
        drawn = Drawn(bus, router, providers, lenses)
        self.samples = Samples(bus, edge, calls, outboxes, inbox, providers, drawn, shadow.recent.find, on_lost)
        shadow.tell = self.samples.ask
        self.notices = Notices(config.notified, calls)
        self.orders = Orders(bus, edge, lambda: {**calls, **self.samples.draws})
        self._tasks: list[asyncio.Task[None]] = []
        self._last_words: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to listen."""
        self._tasks = [
            asyncio.create_task(self.notices.run(), name="notices"),
            asyncio.create_task(self.orders.run(), name="orders"),
        ]

    async def close(self) -> None:
        """End all of it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._last_words, self.samples.close(), return_exceptions=True)

    def ask(self, event: log.CallHeld | log.SampleRequested) -> None:
        """A policy asks somebody."""
        if isinstance(event, log.CallHeld):
            self.notices.put(event)
        else:
            self.samples.ask(event)

    def ended(self, call: Call) -> None:
        """A call is over."""
        self.samples.ended(call)
        if call.waits.asked_people:
            delivered = not call.gone and call.left == "complete" and call.failure is None
            task = asyncio.create_task(self._given(call.id, delivered), name=f"approvals of {call.id}")
            self._last_words.add(task)
            task.add_done_callback(self._last_words.discard)

    async def _given(self, call: str, delivered: bool) -> None:
        """Say whether anybody got what people have approved of."""
        for attempt in range(TRIES):
            try:
                await answer_given(self._bus, call, delivered=delivered)
                return
            except BusError as error:
                logger.warning("delivery_not_noted", call=call, attempt=attempt, error=type(error).__name__)
                await asyncio.sleep(PAUSE_S)
