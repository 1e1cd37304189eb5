"""Reads calls that have ended: what was said goes to the full-text index, tokens and their price to `outcomes`.

The consumer comes first: a few calls at a time, and none while it is busy.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from hashlib import md5

import structlog

from luthien_stream.activity.days import first_id
from luthien_stream.activity.prices import cost_of
from luthien_stream.activity.recall import records_of
from luthien_stream.activity.store import Store, StoreError
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
Said = tuple[str, str]
"""(role, text)"""


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
        for record in await records_of(self._store, calls):
            await self.index(record)
        return len(calls)

    async def index(self, record: Record) -> None:
        """Index one call. Raises `StoreError`."""
        request = next((s.event for s in record.events if isinstance(s.event, RequestReceived)), None)
        lanes = original_lane(record), final_lane(record)
        format = request.format if request is not None else ""
        model, delivered = (_speech(format, lane) for lane in lanes)
        texts = list(_asked(record, request)) if request is not None else []
        if request is not None and request.session:
            texts = await self._new(record, request, texts)
        texts += [("model", text) for text in _spoken(model)]
        texts += [("delivered", text) for text in _spoken(delivered) if text not in _spoken(model)]
        counted: dict[str, int] = {}
        rows = []
        for role, text in texts:
            part = counted[role] = counted.get(role, -1) + 1
            rows.append((record.call_id, role, part, text[:LONGEST].replace("\0", " ")))
        if rows:
            await self._store.fetch("put_said", *map(list, zip(*rows, strict=True)))
        usage, guessed = _usage(record, texts)
        provider = next((s.event.provider for s in record.events if isinstance(s.event, ResponseStarted)), "")
        cost, near = cost_of(usage, request.model if request is not None else "", provider)
        counts = (usage.input, usage.cached, usage.cache_write, usage.output, usage.reasoning)
        row = (record.call_id, *counts, cost, guessed or near, len(model.tools))
        await self._store.fetch("put_outcomes", *([value] for value in row))

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
            yield "tool" if part.kind == "tool_result" or part.role == "tool" else "user", part.text[:LONGEST]


def _speech(format: str, lane: LaneView) -> Speech:
    return speech(format, [(piece.kind, piece.frame) for piece in lane.pieces if piece.by != "edge"])


def _spoken(said: Speech) -> list[str]:
    texts = [text for text in (said.thinking, said.text) if text]
    return texts + [f"{tool.name} {tool.arguments}" for tool in said.tools]


def _usage(record: Record, texts: Sequence[Said]) -> tuple[Usage, bool]:
    """The provider's counts, else an estimate (True)."""
    ends = [s.event for s in record.events if isinstance(s.event, Terminal)]
    counts = next((usage for end in ends if (usage := usage_of(getattr(end, "usage", None))) is not None), None)
    if counts is not None:
        return counts, False
    read = sum(len(body) for body in record.bodies.values())
    return estimated(read, sum(len(text) for role, text in texts if role == "model")), True


def _digest(text: str) -> str:
    return md5(text[:LONGEST].replace("\0", " ").encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
