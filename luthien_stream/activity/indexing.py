"""Reads calls that have ended: what was said goes to the full-text index, tokens and their price to `outcomes`.

The consumer comes first: a few calls at a time, and none while it is busy.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from hashlib import md5

import msgspec
import structlog

from luthien_stream.activity.days import first_id
from luthien_stream.activity.prices import cost_of
from luthien_stream.activity.recall import records_of
from luthien_stream.activity.sql import QUERIES
from luthien_stream.activity.store import Store, StoreError, StoreRefused
from luthien_stream.activity.waiting import wait_for_stop
from luthien_stream.errors import LuthienError
from luthien_stream.events.log import RequestReceived, ResponseStarted, Terminal
from luthien_stream.formats import LENSES
from luthien_stream.record.lanes import LaneView, Record, final_lane, original_lane
from luthien_stream.record.speech import Speech, speech
from luthien_stream.record.usage import Usage, estimated, usage_of

log = structlog.get_logger()

BATCH = 20
EVERY_S = 2.0
BACK_MS = 26 * 3_600_000
"""How far back calls are looked for."""
LONGEST = 200_000
"""Characters of one text that are indexed."""
SAFE = 20_000
"""Of a text of so many PostgreSQL can always make a document, which has at most 1 MiB of words."""
Said = tuple[str, str]
"""(role, text)"""
_PUT_SAID, _PUT_OUTCOMES = QUERIES["put_said"], QUERIES["put_outcomes"]


class Indexing:
    """See the module. `busy` says whether the consumer has much to do."""

    def __init__(self, store: Store, stop: asyncio.Event, busy: Callable[[], bool] = lambda: False) -> None:
        self._store, self._stop, self._busy = store, stop, busy

    async def run(self) -> None:
        """Index until stopped; an outage is waited out."""
        while not self._stop.is_set():
            done = 0
            try:
                done = 0 if self._busy() else await self.look()
            except StoreError as error:
                log.warning("calls_not_indexed", error=type(error).__name__)
            await wait_for_stop(self._stop, 0.05 if done else EVERY_S)

    async def look(self) -> int:
        """Index a few calls; return how many. Raises `StoreError`."""
        first = first_id(int(time.time() * 1000) - BACK_MS)
        calls = [row["call_id"] for row in await self._store.fetch("unread_calls", BATCH, first)]
        for record in await self._read(calls):
            await self.index(record)
        return len(calls)

    async def _read(self, calls: Sequence[str]) -> list[Record]:
        """The calls; one that cannot be read is empty, and keeps no other from the index."""
        try:
            return await records_of(self._store, calls)
        except (StoreError, asyncio.CancelledError):
            raise
        except (LuthienError, msgspec.MsgspecError) as error:
            if len(calls) == 1:
                log.warning("call_not_indexed", call=calls[0], error=type(error).__name__)
                return [Record(calls[0], [], {})]
        return [record for call in calls for record in await self._read([call])]

    async def index(self, record: Record) -> None:
        """Index one call. Raises `StoreError`."""
        request = next((s.event for s in record.events if isinstance(s.event, RequestReceived)), None)
        lanes = original_lane(record), final_lane(record)
        format = request.format if request is not None else ""
        model, delivered = (_speech(format, lane) for lane in lanes)
        texts = list(_asked(record, request)) if request is not None else []
        if request is not None and request.session:
            texts = await self._new(record, request, texts)
        spoken = _spoken(model)
        texts += [("model", text) for text in spoken]
        texts += [("delivered", text) for text in _spoken(delivered) if text not in spoken]
        outcome = _outcome(record, request, sum(map(len, spoken)), len(model.tools))
        try:
            await self._put(record.call_id, texts, outcome)
        except StoreRefused:
            log.warning("texts_cut_for_index", call=record.call_id)
            await self._put(record.call_id, [(role, text[:SAFE]) for role, text in texts], outcome)

    async def _put(self, call_id: str, texts: Sequence[Said], outcome: Sequence[object]) -> None:
        """Write all of one call, or nothing if it is forgotten by now."""
        counted: dict[str, int] = {}
        rows = []
        for role, text in texts:
            part = counted[role] = counted.get(role, -1) + 1
            rows.append((call_id, role, part, text))
        async with self._store.transaction() as connection:
            if not await connection.fetch(QUERIES["hold_call"], call_id):
                return
            if rows:
                await connection.execute(_PUT_SAID, *map(list, zip(*rows, strict=True)))
            await connection.execute(_PUT_OUTCOMES, [call_id], *([value] for value in outcome))

    async def _new(self, record: Record, request: RequestReceived, texts: Sequence[Said]) -> list[Said]:
        """What no earlier call of the session said."""
        digests = [_digest(text) for _, text in texts]
        rows = await self._store.fetch("known_texts", request.session, record.call_id, digests)
        known = {row["digest"] for row in rows}
        return [one for one, digest in zip(texts, digests, strict=True) if digest not in known]


def _asked(record: Record, request: RequestReceived) -> Iterator[Said]:
    """What users and tools say in a request; what the model said before is on record with its own call."""
    body, lens = record.bodies.get(request.body_ref), LENSES.get(request.format)
    if body is None or lens is None:
        return
    try:
        parts = lens.request(body).parts()
    except LuthienError:
        return
    for part in parts:
        if part.text and (part.kind == "tool_result" or (part.role in ("user", "tool") and part.kind == "text")):
            yield "tool" if part.kind == "tool_result" or part.role == "tool" else "user", _storable(part.text)


def _speech(format: str, lane: LaneView) -> Speech:
    return speech(format, [(piece.kind, piece.frame) for piece in lane.pieces if piece.by != "edge"])


def _spoken(said: Speech) -> list[str]:
    texts = [said.thinking, said.text, *(f"{tool.name} {tool.arguments}" for tool in said.tools)]
    return [_storable(text) for text in texts if text]


def _outcome(record: Record, request: RequestReceived | None, wrote: int, tools: int) -> tuple[object, ...]:
    """The columns of `outcomes` after the call's id; `wrote`: characters of the model's."""
    usage, guessed = _usage(record, wrote)
    started = _started(record)
    cost, near = cost_of(usage, request.model if request is not None else "", started.provider if started else "")
    counts = (usage.input, usage.cached, usage.cache_write, usage.output, usage.reasoning)
    return (*counts, cost, guessed or near, tools)


def _usage(record: Record, wrote: int) -> tuple[Usage, bool]:
    """The provider's counts, else an estimate (True); what no provider answered takes no tokens."""
    started = _started(record)
    if started is None or started.status >= 400:
        return Usage(), False
    ends = [s.event for s in record.events if isinstance(s.event, Terminal)]
    ends.sort(key=lambda end: end.lane != "original")  # policies may have changed the other one's
    counts = next((usage for end in ends if (usage := usage_of(getattr(end, "usage", None))) is not None), None)
    if counts is not None:
        return counts, False
    return estimated(sum(len(body) for body in record.bodies.values()), wrote), True


def _started(record: Record) -> ResponseStarted | None:
    """What the provider began to answer."""
    answers = (s.event for s in record.events if s.src.startswith("edge:") and isinstance(s.event, ResponseStarted))
    return next(answers, None)


def _storable(text: str) -> str:
    """A text as PostgreSQL can keep it: of bounded length, without NUL and halves of characters."""
    return text[:LONGEST].replace("\0", " ").encode("utf-8", "replace").decode()


def _digest(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()
