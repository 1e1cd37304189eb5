"""One edge: takes requests, opens calls, and owns what they share."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog
from aiohttp import web

from luthien_stream import __version__
from luthien_stream.bus.port import Bus
from luthien_stream.config.model import Config, FormatName
from luthien_stream.core.lens import Lens
from luthien_stream.edge import dialect, failure
from luthien_stream.edge.admission import Admission, Way
from luthien_stream.edge.announcing import Announcing
from luthien_stream.edge.asked import Asked
from luthien_stream.edge.beats import Beats
from luthien_stream.edge.beside import Beside
from luthien_stream.edge.call import Call
from luthien_stream.edge.delivery import Delivery
from luthien_stream.edge.directory import Directory, Known
from luthien_stream.edge.doors import Doors
from luthien_stream.edge.ids import new_call
from luthien_stream.edge.inbox import Inbox
from luthien_stream.edge.ingress import Ingress
from luthien_stream.edge.line import Line, Lines, microseconds
from luthien_stream.edge.outboxes import Outboxes
from luthien_stream.edge.plan import Plan
from luthien_stream.edge.provider import Providers
from luthien_stream.edge.reach import KEPT_S
from luthien_stream.edge.refusals import NotNow, Refusal
from luthien_stream.edge.returning import Returning
from luthien_stream.edge.routing import Router
from luthien_stream.edge.serve import outlive, serve
from luthien_stream.edge.shadow import CopiedLine, Shadow
from luthien_stream.edge.stored import StoredResponses
from luthien_stream.edge.watch import Watch
from luthien_stream.edge.words import first_words, refused
from luthien_stream.errors import BusError
from luthien_stream.events import log
from luthien_stream.events.log import Slip
from luthien_stream.policy.stages import Stages
from luthien_stream.upstream.port import Upstream

logger = structlog.get_logger()
Read = Callable[[web.Request, FormatName], Awaitable[Asked]]

CLAIM_BYTES = 32 * 1024
"""Bodies over this are stored once and named by their digest."""
BODY_TTL_MS = 3600 * 1000
CALL_S = 3600.0
"""How long a call may take."""
UNUSED_S = 30.0
"""How long after a change calls may still be on their way to the stages before it."""
NO_WORKER = "no worker answers; all policies are on_error: open"
FLUSH_S = 5.0
"""How long the last events may take to be written when the edge stops."""


class Edge:
    """See the module. Made inside a running loop; `start` before the first request, `stop` after the last."""

    def __init__(
        self,
        config: Config,
        bus: Bus,
        stages: Stages,
        lenses: Mapping[str, Lens],
        native: Upstream,
        demo: Upstream,
        litellm: Upstream | None = None,
        written: Sequence[Any] = (),
    ) -> None:
        """`stages`, as `written`, are in force at first; `litellm` reaches `luthien-stream upstream`."""
        self.id = secrets.token_hex(6)
        """The incarnation: another one for every start."""
        self.lenses = lenses
        self.calls: dict[str, Call] = {}
        self.auth = config.auth
        self.router = Router(config)
        self.providers = Providers(self.router, bus, native, demo, litellm)
        self._bus = bus
        self.plan = Plan()
        self._doors = Doors(acting=False, unpoliced=config.unpoliced)
        self.directory = Directory(bus, config.attach_retries_s or KEPT_S)
        self.returning = Returning(bus, self.directory, lenses, attaches=config.attach_retries_s > 0)
        self.stored = StoredResponses(bus, self.directory, kept_s=config.responses_kept_h * 3600)
        self.ingress = Ingress(config, self.router, lenses, stages, self._doors, self.stored)
        calls = self.calls.values()
        self.outboxes = Outboxes(bus, self.id, self._lost)
        self.shadow = Shadow(bus, self.id)
        self.inbox = Inbox(bus, self.id, self.calls, self.shadow)
        self.admission = Admission(bus, calls, stages)
        self.watch = Watch(calls)
        ways = (self.calls, self.outboxes, self.inbox, self.providers, self.router, lenses, self.shadow)
        self.beside = Beside(config, bus, self.id, *ways, self._lost)
        facts, recorded = self._facts, config.database != "none"
        self.beats = Beats(bus, self.id, self.inbox, self.outboxes, self.admission, calls, facts, recorded=recorded)
        self.started_at = time.time()
        self._upstreams = [one for one in (native, demo, litellm) if one is not None]
        self._idle = asyncio.Event()
        self._idle.set()
        self._tasks: list[asyncio.Task[None]] = []
        self._alone: set[asyncio.Task[None]] = set()
        """Calls whose clients have gone."""
        self._reader: asyncio.Task[None] | None = None
        self._announce = Announcing(self.outboxes.notes)
        self.put_in_force(stages, written)

    def put_in_force(self, stages: Stages, written: Sequence[Any] = ()) -> None:
        """Let new calls pass these stages, `written` so in a configuration; those that are open keep theirs."""
        self._announce(stages, written)
        self.plan, self._changed_at = Plan(stages), time.monotonic()
        self._doors.acting = bool(stages.phases)
        self.stored.police(acting="response" in stages.phases, history=stages.needs_history)
        self.ingress.stages = self.admission.stages = stages
        for key in stages.keys:
            self.outboxes.open(key)
        self.shadow.put_in_force(stages.shadow)
        self._read_inbox()

    async def close_unused(self) -> None:
        """Let go of stages that are in force no more and that no call passes."""
        used = {hop.stage for call in self.calls.values() for hop in call.slip.hops}
        for key in self.outboxes.stages - used - set(self.plan.stages.keys):
            if time.monotonic() - self._changed_at > UNUSED_S:
                await self.outboxes.close_stage(key, FLUSH_S)
        if time.monotonic() - self._changed_at > UNUSED_S:
            await self.shadow.close_unused(FLUSH_S)

    def _read_inbox(self) -> None:
        stages = self.plan.stages
        if self._tasks and self._reader is None and (stages.keys or stages.shadow):
            self._reader = asyncio.create_task(self.inbox.run(), name="inbox")

    async def start(self) -> None:
        """Begin to live in the log; it need not answer yet."""
        self.outboxes.start()
        self.beside.start()
        self._tasks = [
            asyncio.create_task(self.beats.run(), name="beats"),
            asyncio.create_task(self.watch.run(), name="watch"),
            asyncio.create_task(self.directory.run(), name="directory"),
        ]
        self._read_inbox()

    async def stop(self, drain_s: float) -> None:
        """Take nothing new, let calls end within `drain_s`, end the others with a typed error, write what is queued."""
        self.admission.draining = True
        if not await self._emptied(drain_s):
            logger.warning("calls_ended_at_stop", calls=len(self.calls))
            for call in list(self.calls.values()):
                call.abandon(failure.STOPPING)
            await self._emptied(FLUSH_S)
        await self.beside.close()
        self.inbox.stopped = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.directory.write()
        await asyncio.gather(self.outboxes.close(FLUSH_S), self.shadow.close(FLUSH_S))
        if self._reader is not None:
            await asyncio.wait({self._reader}, timeout=FLUSH_S)
        await self.beats.leave()
        for upstream in self._upstreams:
            await upstream.close()

    async def answer(self, request: web.Request, format: FormatName) -> web.StreamResponse:
        """Serve one request to a model."""
        return await self._answer(request, format, self.ingress.read)

    async def pass_on(self, request: web.Request, format: FormatName) -> web.StreamResponse:
        """Serve a request that no codec reads, in the client's dialect where it cannot be."""
        return await self._answer(request, format, self.ingress.read_plain)

    async def _answer(self, request: web.Request, format: FormatName, read: Read) -> web.StreamResponse:
        id, lens = new_call(), self.lenses[format]
        try:
            await self.admission.check()
            asked = await read(request, format)
            await self.directory.begin()
            retry = self.returning.retry(asked)
            attached = await self.returning.attach(request, asked, retry)
            if attached is not None:
                return attached
            plan = self.plan
            hops = () if asked.plain else plan.hops(id, asked.facts)
            way: Way = "bypassed"
            if not asked.plain:
                way = await self.admission.admit([hop.stage for hop in hops], fails_open=plan.stages.fails_open)
            bypass = asked.bypass or (NO_WORKER if way == "bypassed" and hops else "")
            call = await self._open(id, asked, plan.slip(hops, way), bypass, request)
        except Refusal as refusal:
            return self._refuse(request, lens, refusal, id, format)
        except (ConnectionError, TimeoutError):
            raise  # the client's own
        except BusError as error:
            logger.warning("call_not_taken", call=id, error=type(error).__name__)
            return dialect.refused(lens, NotNow("The log (Redis) cannot be written: no call without a record"), id)
        except Exception as error:
            logger.exception("call_not_taken", call=id, error=type(error).__name__)
            return dialect.failed(lens, failure.INTERNAL, id)
        call.waits.tell = self.beside.ask
        self.calls[id] = call
        self._idle.clear()
        caller = self.directory.caller(asked.sender)
        self.directory.opened(Known(id, self.id, call.inbox_from, caller, format), retry)
        try:
            return await serve(call, self.providers, self.stored)
        except (ConnectionError, TimeoutError):
            raise  # the client's own
        except Exception as error:
            logger.exception("call_failed", call=id, error=type(error).__name__)
            if call.delivery.begun:
                raise
            return dialect.failed(lens, failure.INTERNAL, id)
        finally:
            if call.gone:
                alone = asyncio.create_task(self._outlive(call, retry), name=f"without client {id}")
                self._alone.add(alone)
                alone.add_done_callback(self._alone.discard)
            else:
                self._forget(call, retry)

    async def _outlive(self, call: Call, retry: str) -> None:
        try:
            await outlive(call, self.providers, self.stored)
        except Exception as error:
            logger.exception("call_without_client_failed", call=call.id, error=type(error).__name__)
        finally:
            self._forget(call, retry)

    def _forget(self, call: Call, retry: str) -> None:
        del self.calls[call.id]
        self.beside.ended(call)
        self.shadow.ended(call.id, call.asked)
        if not self.calls:
            self._idle.set()
        self.directory.closed(
            call.id, retry, well=call.failure is None and isinstance(call.final, log.ResponseCompleted)
        )

    async def _open(self, id: str, asked: Asked, slip: Slip, bypass: str, request: web.Request) -> Call:
        deadline = microseconds() + int(CALL_S * 1e6)
        lines = self.outboxes.lines(id, slip)
        copy = self.shadow.begin(id, asked, lines.notes, self.admission.workers)
        if copy is not None:
            stage, copies = (CopiedLine(id, line.outbox, copy) for line in (lines.stage, lines.copies))
            lines = Lines(stage, copies, lines.notes, lines.own, lines.later)
        call = Call(id, asked, slip, lines, Delivery(request), deadline=deadline, inbox_from=self.inbox.position)
        received = first_words(id, self.id, asked, slip, deadline)
        if received.body_size > CLAIM_BYTES:
            received.body_ref, received.body = hashlib.sha256(received.body).hexdigest(), b""
            await self._bus.put_body(received.body_ref, asked.published.body, ttl_ms=BODY_TTL_MS)
        call.line.put(received)
        if bypass:
            call.line.put(log.PolicyBypassed(call=id, at=0, why=bypass))
        return call

    def _refuse(
        self, request: web.Request, lens: Lens, refusal: Refusal, id: str, format: FormatName
    ) -> web.StreamResponse:
        logger.info("request_refused", call=id, error=refusal.error, status=refusal.status, path=request.path)
        if refusal.recorded and not self.admission.closed_because:
            # Its body and headers may hold credentials that could not be found: they are not published.
            received = log.RequestReceived(
                call=id, edge=self.id, slip=Slip(), format=format, path=request.path, model=refusal.model
            )
            Line(id, self.outboxes.copies).put(received)
            line = Line(id, self.outboxes.notes)
            line.put(refused(id, refusal))
            line.put(log.ResponseDelivered(call=id, last=-1, bytes=0, left="error"))
        return dialect.refused(lens, refusal, id)

    def _lost(self, calls: set[str]) -> None:
        for id in calls & self.calls.keys():
            self.calls[id].abandon(failure.LOG_LOST)

    async def _emptied(self, within_s: float) -> bool:
        """Wait until no call is open; False if that takes longer."""
        try:
            async with asyncio.timeout(within_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def _facts(self) -> dict[str, str]:
        return {
            "version": __version__,
            "stages": ",".join(sorted(self.outboxes.stages | self.shadow.stages)),
            "calls": str(len(self.calls)),
        }
