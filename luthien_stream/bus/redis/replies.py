"""What the server's replies mean: the one place that knows the shapes of RESP2."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from luthien_stream.bus.port import START, Acquired, Entry, Open, Settled, Span
from luthien_stream.bus.redis.links import Reply, checked, is_missing_key


def words(reply: Reply) -> str:
    """Return text, empty for nothing."""
    return "" if reply is None else str(reply, "utf-8")


def pairs(flat: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Return a flat list two by two."""
    each = iter(flat)
    return zip(each, each, strict=True)


def entry(stream: str, raw: list[Any]) -> Entry:
    """Return an entry; one of another shape has no bytes."""
    fields = raw[1]
    return Entry(stream, raw[0].decode(), fields[1] if fields and len(fields) == 2 and fields[0] == b"b" else b"")


def entries(stream: str, reply: Reply) -> list[Entry]:
    """Return what XRANGE or XAUTOCLAIM gave."""
    return [entry(stream, raw) for raw in reply]


def read(reply: Reply) -> list[Entry]:
    """Return what XREAD or XREADGROUP gave, stream by stream."""
    return [each for stream, raws in reply or () for each in entries(stream.decode(), raws)]


def span(reply: Reply) -> Span:
    """Return what XINFO STREAM said; its error for a stream that is not there is nothing."""
    if is_missing_key(reply):
        return Span()
    found = dict(pairs(checked(reply)))
    first = found[b"first-entry"]
    return Span(
        added=found[b"entries-added"],
        kept=found[b"length"],
        first=first[0].decode() if first else START,
        last=found[b"last-generated-id"].decode(),
    )


def settled(reply: Reply) -> Settled:
    """Return what settle said. Raises `BusFull` or `BusError`."""
    outcome, _, turn = checked(reply).partition(b" ")
    return Settled(outcome.decode().lower(), int(turn or 0))


def open_value(call: Open) -> str:
    """Return how an open call is kept."""
    return f"{call.first}|{call.released}|{call.digest}|{call.edge}|{call.deadline}"


def open_calls(flat: Iterable[bytes]) -> dict[str, Open]:
    """Return the open calls of a partition."""
    return {call.decode(): _open(value.decode()) for call, value in pairs(flat)}


def acquired(reply: Reply) -> Acquired:
    """Return what a new owner starts from."""
    owner, cursor, tail, calls, closed, spills, crashes, suspect, run_id = reply
    return Acquired(
        owner=words(owner),
        cursor=words(cursor) or START,
        tail=words(tail),
        open=open_calls(calls),
        closed={call.decode(): int(at) for call, at in pairs(closed)},
        spills={call.decode(): [(id.decode(), raw) for id, raw in pairs(kept)] for call, kept in spills},
        crashes=crashes,
        suspect=words(suspect),
        run_id=words(run_id),
    )


def _open(value: str) -> Open:
    first, released, digest, rest = value.split("|", 3)
    edge, _, deadline = rest.rpartition("|")
    return Open(first, int(released), int(digest), edge, int(deadline))
