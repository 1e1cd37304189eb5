"""What the commands ask the record: the last calls, one call whole, and its bodies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct, field

from luthien_stream.activity.store import Store
from luthien_stream.errors import LuthienError
from luthien_stream.events.log import PolicyRan
from luthien_stream.events.pack import decode_event
from luthien_stream.record.lanes import Record, StoredEvent, stages_of
from luthien_stream.record.runs import chunks_of


class CallUnknown(LuthienError):
    """No recorded call has this id."""


class CallAmbiguous(LuthienError):
    """Several recorded calls begin like this."""


class Summary(Struct, frozen=True):
    """One call in a list. Times are microseconds; those after `time` count from it, None if it has not come to that."""

    call_id: str
    time: int
    format: str
    model: str
    session: str
    streamed: bool
    client: str
    key: str
    version: str
    provider: str | None
    status: int
    original_end: str | None
    final_end: str | None
    error: str
    usage: dict[str, Any] | None
    delivered: str | None
    delivered_bytes: int | None
    duration: int | None
    first_received: int | None
    first_released: int | None
    chunks_received: int
    chunks_released: int
    verdicts: list[str]
    """`policy:kind`, in order; `policy:kind:shadow` where nothing was done about it."""
    policies: list[PolicyRan] = field(default_factory=list)
    """Those that were run to their end, in order, and behind them those that only watched."""
    body_ref: str = ""
    body_size: int = 0
    user_name: str = ""
    parent: str = ""
    """The call whose policy asked for this one."""
    label: str = ""
    tokens_read: int | None = None
    """Of all kinds; None, as are the next three, until the call is indexed."""
    tokens_written: int | None = None
    cost: float | None = None
    """USD; None where no price is known."""
    estimated: bool | None = None

    @property
    def outcome(self) -> str:
        """`completed`, `failed`, `aborted`, or `open` while its final lane has no end."""
        return (self.final_end or "response.open").removeprefix("response.")


async def list_calls(
    store: Store, *, session: str = "", model: str = "", since: int = 0, limit: int = 50
) -> list[Summary]:
    """Return the newest calls first. `model` is a glob with `*`, `since` in microseconds."""
    pattern = re.sub(r"([%_\\])", r"\\\1", model or "*").replace("*", "%")
    return [_summary(row) for row in await store.fetch("list_calls", session, pattern, since, limit)]


async def summaries_of(store: Store, calls: Sequence[str]) -> list[Summary]:
    """Return the lines of these calls, the newest first."""
    return [_summary(row) for row in await store.fetch("summaries", list(calls))]


async def find_call(store: Store, prefix: str) -> str:
    """Return the one call id that begins with `prefix`. Raises `CallUnknown`, `CallAmbiguous`."""
    found = [str(row["call_id"]) for row in await store.fetch("calls_like", prefix)]
    if prefix in found or len(found) == 1:
        return prefix if prefix in found else found[0]
    if not found:
        raise CallUnknown(f"No recorded call has an id that begins with {prefix!r}; `luthien-stream calls` lists them")
    raise CallAmbiguous(f"Several calls begin with {prefix!r}: {', '.join(found)}")


async def summary_of(store: Store, call_id: str) -> Summary:
    """Return one call's line of the list. Raises `CallUnknown`."""
    rows = await store.fetch("summary", call_id)
    if not rows:
        raise CallUnknown(f"No recorded call has the id {call_id!r}; `luthien-stream calls` lists them")
    return _summary(rows[0])


async def record_of(store: Store, call_id: str) -> Record:
    """Return all that is stored of one call, requests and pipelines too; empty if nothing is."""
    events = [
        StoredEvent(row["src"], row["n"], row["entry"], decode_event(row["raw"]))
        for row in await store.fetch("events_of", call_id)
    ]
    record = Record(call_id, events, chunks_of(await store.fetch("runs_of", call_id)))
    refs = {ref for stored in events if (ref := getattr(stored.event, "body_ref", ""))}
    record.bodies = await store.bodies(refs)
    for row in await store.fetch("pipelines", stages_of(record)):
        record.pipelines[row["stage"]] = msgspec.json.decode(row["written"])
        record.policies[row["stage"]] = [(name, version) for name, version in msgspec.json.decode(row["policies"])]
    record.label = next((row["label"] for row in await store.fetch("label_of", call_id)), "")
    return record


async def body_of(store: Store, ref: str) -> bytes | None:
    """Return a request's body, None if it was gone from the log before it could be stored."""
    return (await store.bodies([ref])).get(ref)


def _summary(row: Mapping[str, Any]) -> Summary:
    fields = {name: row[name] for name in Summary.__struct_fields__}
    if fields["usage"] is not None:
        fields["usage"] = msgspec.json.decode(fields["usage"])
    fields["policies"] = msgspec.json.decode(fields["policies"])
    return msgspec.convert(fields, Summary)
