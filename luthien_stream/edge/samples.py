"""What policies ask models: each draw is a task beside its call, with a bound in time, in bytes, and in number."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping

import structlog

from luthien_stream.bus import keys
from luthien_stream.bus.outbox import Outbox
from luthien_stream.bus.port import Bus
from luthien_stream.edge.asked import Asked
from luthien_stream.edge.call import Call
from luthien_stream.edge.draw import LATE, UNWANTED, Draw, failed
from luthien_stream.edge.drawn import Drawn, Parent
from luthien_stream.edge.failure import INTERNAL
from luthien_stream.edge.ids import new_call
from luthien_stream.edge.inbox import Inbox
from luthien_stream.edge.line import Line, Lines, microseconds
from luthien_stream.edge.outboxes import Outboxes
from luthien_stream.edge.provider import Providers, start_reading
from luthien_stream.errors import BusError, LuthienError
from luthien_stream.events import log
from luthien_stream.events.log import Slip
from luthien_stream.events.slip import watches

logger = structlog.get_logger()

AT_ONCE = 64
"""Draws of one edge that may be under way; more wait, within their deadlines."""
BESIDE = 16
"""The same for those of the stage beside the calls: no call waits because of them."""
CLAIM_BYTES = 32 * 1024
BODY_TTL_MS = 3600 * 1000
FLUSH_S = 5.0
CLOSE_S = 1.0
REMEMBERED = 10_000
"""Draws that are known to have begun: what a stage says twice is drawn once."""


class Samples:
    """All draws of one edge."""

    def __init__(
        self,
        bus: Bus,
        edge: str,
        calls: Mapping[str, Call],
        outboxes: Outboxes,
        inbox: Inbox,
        providers: Providers,
        drawn: Drawn,
        recent: Callable[[str], Asked | None],
        on_lost: Callable[[set[str]], None],
    ) -> None:
        """`calls` is a live view of the open ones, `recent` finds what one asked that has ended; `on_lost` gets calls
        whose stage could not be told of a draw.
        """
        self._bus, self._edge, self._calls, self._outboxes, self._inbox = bus, edge, calls, outboxes, inbox
        self._providers, self._drawn, self._recent, self._on_lost = providers, drawn, recent, on_lost
        self.draws: dict[str, Draw] = {}
        """Those under way, by their own ids."""
        self._slots, self._beside = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(BESIDE)
        self._tasks: dict[tuple[str, str, str], asyncio.Task[None]] = {}
        self._begun: OrderedDict[tuple[str, str, str], None] = OrderedDict()

    def ask(self, event: log.SampleRequested) -> None:
        """Begin a draw, unless it has begun already or its call is not known here."""
        call, name = self._calls.get(event.call), (event.call, event.stage, event.key)
        asked = call.asked if call is not None else self._recent(event.call)
        if asked is None or name in self._begun:
            logger.info("sample_not_drawn", call=event.call, key=event.key, known=asked is not None)
            return
        self._begun[name] = None
        if len(self._begun) > REMEMBERED:
            self._begun.popitem(last=False)
        parent = Parent(asked, call.released if call is not None else None)
        task = asyncio.create_task(self._run(parent, event), name=f"draw {event.call}")
        self._tasks[name] = task
        task.add_done_callback(lambda done: self._tasks.pop(name, None))

    def ended(self, call: Call) -> None:
        """A call is over: what its own stages asked for is of no use any more."""
        stages = {hop.stage for hop in call.slip.hops}
        for (parent, stage, _), task in self._tasks.items():
            if parent == call.id and stage in stages:
                task.cancel()

    async def close(self) -> None:
        """End all draws."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, parent: Parent, event: log.SampleRequested) -> None:
        """One draw, whatever comes of it: its stage is told."""
        stream = keys.partition_stream(keys.partition(event.stage, event.partition))
        outbox = Outbox(self._bus, stream, f"sample:{event.key}", on_lost=self._on_lost)
        writing, stage = asyncio.create_task(outbox.run(), name="draw's outbox"), Line(event.call, outbox)
        try:
            why = await self._draw_in_time(parent, event, stage)
            if why is not None:
                stage.put(why)
            await outbox.close(FLUSH_S)
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    async def _draw_in_time(self, parent: Parent, event: log.SampleRequested, stage: Line) -> log.ResponseFailed | None:
        """Draw; return why not, where the stage has not been told that yet."""
        left_s = max(0.0, (event.deadline - microseconds()) / 1e6)
        slots = self._beside if watches(f"stage:{event.stage}") else self._slots
        try:
            async with asyncio.timeout(left_s), slots:
                asked = await self._drawn.asked(parent, event)
                draw = await self._open(asked, event, stage)
                await self._read(draw, event.deadline)
        except TimeoutError:
            return None if stage.n else failed(event.call, LATE.error, LATE.message, LATE.status)
        except BusError as error:
            logger.warning("sample_not_drawn", call=event.call, key=event.key, error=type(error).__name__)
            return failed(event.call, "log_unavailable", "The log (Redis) did not answer", 503)
        except LuthienError as error:
            kind = str(getattr(error, "error", "request_invalid"))
            return failed(event.call, kind, str(error), int(getattr(error, "status", 0)))
        except Exception as error:
            logger.exception("draw_failed", call=event.call, key=event.key, error=type(error).__name__)
            return failed(event.call, INTERNAL.error, INTERNAL.message, INTERNAL.status)
        return None

    async def _open(self, asked: Asked, event: log.SampleRequested, stage: Line) -> Draw:
        id, boxes = new_call(), self._outboxes
        copies = Line(id, boxes.copies)
        lines = Lines(copies, copies, Line(id, boxes.notes), Line(id, boxes.own))
        draw = Draw(id, asked, lines, stage, deadline=event.deadline, inbox_from=self._inbox.position)
        shown = asked.published
        received = log.RequestReceived(
            call=id,
            cause=event.call,
            effect=event.key,
            edge=self._edge,
            slip=Slip(),
            format=asked.format,
            path=asked.path,
            query=shown.query,
            headers=shown.headers,
            body=shown.body,
            body_size=len(shown.body),
            model=asked.view.model,
            streamed=asked.view.streamed,
            session=shown.session,
            key=asked.caller.key,
            client=shown.client,
            deadline=event.deadline,
        )
        if received.body_size > CLAIM_BYTES:
            received.body_ref, received.body = hashlib.sha256(shown.body).hexdigest(), b""
            await self._bus.put_body(received.body_ref, shown.body, ttl_ms=BODY_TTL_MS)
        draw.line.put(received)
        return draw

    async def _read(self, draw: Draw, deadline: int) -> None:
        """Read the provider to the end of its answer."""
        self.draws[draw.id] = draw
        start_reading(draw, self._providers)
        assert draw.reader is not None
        try:
            await asyncio.wait({draw.reader})
        finally:
            draw.abandon(LATE if microseconds() >= deadline else UNWANTED)
            if not draw.reader.done():
                await asyncio.wait({draw.reader}, timeout=CLOSE_S)
            draw.close()
            del self.draws[draw.id]
