"""What the fold makes of a batch and the store writes: one struct a table, its fields in the order of the columns."""

from __future__ import annotations

from msgspec import Struct, field


class CallRow(Struct, frozen=True):
    """One call: what the client asked."""

    call_id: str
    time: int
    edge: str
    format: str
    path: str
    model: str
    streamed: bool
    session: str
    key: str
    client: str
    version: str
    final_by: str
    body_ref: str
    body_size: int
    entry: int
    user_name: str = ""
    parent: str = ""


class EventRow(Struct, frozen=True):
    """One event that is no chunk. `payload` is JSON for queries, `raw` the exact event in MessagePack."""

    call_id: str
    src: str
    n: int
    key: str
    type: str
    time: int
    entry: int
    payload: str
    raw: bytes
    digest: bytes = b""
    """Of all that the row says, made when it was folded."""


class RunRow(Struct, frozen=True):
    """Chunks with consecutive ordinals of one call and source. `origins` is None in the original lane."""

    call_id: str
    src: str
    first_n: int
    times: list[int]
    entries: list[int]
    kinds: str
    ends: list[int]
    origins: list[int] | None
    frames: bytes
    digest: bytes = b""


class PipelineRow(Struct, frozen=True):
    """A stage that has been in force. `written` and `policies` are JSON."""

    stage: str
    written: str
    policies: str
    time: int


class Rows(Struct):
    """All rows of one batch, each key once, sorted by key so that two writers never wait for each other in a ring."""

    calls: list[CallRow] = field(default_factory=list)
    events: list[EventRow] = field(default_factory=list)
    runs: list[RunRow] = field(default_factory=list)
    pipelines: list[PipelineRow] = field(default_factory=list)
    bodies: dict[str, bytes] = field(default_factory=dict)
    """By SHA-256."""
    refs: set[str] = field(default_factory=set)
    """Bodies that the events only name: they lie in the log."""
