"""A recorded call as a case: what came in, event by event, and the results of effects that were recorded."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from luthien_stream.activity.read import body_of, find_call, record_of
from luthien_stream.activity.store import Store
from luthien_stream.cli.common import find_instance, run_async
from luthien_stream.cli.recorded import open_record
from luthien_stream.cli.try_cases import Case, Turn
from luthien_stream.cli.try_effects import Drawn
from luthien_stream.cli.try_wire import Wire
from luthien_stream.errors import LuthienError
from luthien_stream.events.log import AnyEvent, ChunkReceived, EffectRecorded, RequestReceived, ResponseStarted
from luthien_stream.record.lanes import LaneView, Record, original_lane

SAMPLE = "sample:"
"""How the source of such an answer begins; its key follows."""


class NotWhole(LuthienError):
    """What came in of this call is not wholly on record, so nothing can be tried on it."""


def recorded_case(args: argparse.Namespace) -> tuple[Case, Mapping[str, Any]]:
    """The call that `args.cases` names, and its effects by key. Raises `NotWhole`, `CallUnknown`."""
    return run_async(_read(args))


async def _read(args: argparse.Namespace) -> tuple[Case, Mapping[str, Any]]:
    async with open_record(find_instance(args)) as store:
        call = await find_call(store, args.cases)
        record = await record_of(store, call)
        request = await _request(store, record)
    return case_of(record, request)


async def _request(store: Store, record: Record) -> RequestReceived:
    request = next((s.event for s in record.events if isinstance(s.event, RequestReceived)), None)
    if request is None:
        raise NotWhole(f"The request of the call {record.call_id} is not on record")
    if request.body_ref:
        body = await body_of(store, request.body_ref)
        if body is None:
            raise NotWhole(f"The body of the call {record.call_id} was gone before it could be recorded")
        request.body, request.body_ref = body, ""
    return request


def case_of(record: Record, request: RequestReceived) -> tuple[Case, Mapping[str, Any]]:
    """Make a case of a record and its request, whose body is there. Raises `NotWhole`."""
    lane = original_lane(record)
    if lane.missing:
        raise NotWhole(f"{lane.missing} events of the answer of {record.call_id} are not on record")
    chunks = [piece.frame for piece in lane.pieces]
    streamed = any(piece.kind != "body" for piece in lane.pieces)
    wire = Wire(request.format, chunks, streamed, "text") if chunks else None
    log = tuple(_inputs(record, request, lane))
    turn = Turn(request.format, request.body, wire, request.streamed, request.model, log=log)
    given: dict[str, Any] = {"request": "", "session": request.session}
    effects: dict[str, Any] = {src.removeprefix(SAMPLE): Drawn(_drawn(record, src)) for src in _draws(record)}
    effects |= {s.event.key: s.event.value for s in record.events if isinstance(s.event, EffectRecorded)}
    return Case(record.call_id, given, [turn], "wire"), effects


def _draws(record: Record) -> set[str]:
    """The sources of answers that policies had asked for."""
    return {src for src in (*record.chunks, *(stored.src for stored in record.events)) if src.startswith(SAMPLE)}


def _drawn(record: Record, src: str) -> Sequence[AnyEvent]:
    """One of these answers, as far as it came."""
    inputs: dict[int, AnyEvent] = {stored.n: stored.event for stored in record.events if stored.src == src}
    for n, chunk in record.chunks.get(src, {}).items():
        inputs[n] = ChunkReceived(call=record.call_id, n=n, time=chunk.time, frame=chunk.frame, kind=chunk.kind)
    return [event for _, event in sorted(inputs.items())]


def _inputs(record: Record, request: RequestReceived, lane: LaneView) -> Iterator[AnyEvent]:
    """What a stage was given, in order."""
    yield request
    yield from (s.event for s in record.events if isinstance(s.event, ResponseStarted) and s.src == lane.src)
    for piece in lane.pieces:
        yield ChunkReceived(call=record.call_id, n=piece.n, time=piece.time, frame=piece.frame, kind=piece.kind)
    if lane.end is not None:
        yield lane.end
