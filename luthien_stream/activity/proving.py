"""Whether recorded calls are still what the log said: rows against their seals, seals against the daily files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from luthien_stream.activity.fold import call_row, payload_of
from luthien_stream.activity.heads import HeadLine, read_heads
from luthien_stream.activity.store import Store
from luthien_stream.errors import LuthienError
from luthien_stream.events.log import RequestReceived
from luthien_stream.events.pack import decode_event
from luthien_stream.record.links import Link, Place, compare, digest_of, head_of, unpack


class Proof(Struct):
    """What was found of one call. `wrong` is empty where all holds."""

    call_id: str
    wrong: list[str] = field(default_factory=list)
    sealed: bool = True
    filed: bool = True
    """Its head stands in a daily file."""
    rows: int = 0


class Heads(Struct):
    """What the daily files say."""

    heads: dict[str, str] = field(default_factory=dict)
    """Call id to the head in its last line, hex."""
    broken: list[str] = field(default_factory=list)
    """Lines that were changed, or before which one is missing."""
    forgotten: set[str] = field(default_factory=set)
    dropped: set[str] = field(default_factory=set)
    """Days, as in 2026-11-26."""


def heads_in(folder: Path) -> Heads:
    """Read the daily files of a folder."""
    found = Heads()
    for line in read_heads(folder):
        if line.broken:
            found.broken.append(_broken(line))
        call = line.said.get("call")
        if isinstance(call, str):
            found.heads[call] = str(line.said.get("head", ""))
        elif line.said.get("note") == "forgotten":
            found.forgotten |= set(line.said.get("calls", []))
        elif line.said.get("note") == "dropped":
            found.dropped.add(str(line.said.get("day")))
    return found


async def prove(store: Store, calls: Sequence[str], heads: Heads) -> list[Proof]:
    """Look at calls, a few hundred at once at most. Raises `StoreUnavailable`."""
    seals = {row["call_id"]: row for row in await store.fetch("seals_of", calls)}
    events, runs, rows = [await store.fetch(name, calls) for name in ("event_rows", "run_rows", "call_rows")]
    by_call: dict[str, dict[Place, Mapping[str, Any]]] = {call: {} for call in calls}
    for row in events:
        by_call[row["call_id"]]["event", row["src"], row["n"], row["key"]] = row
    for row in runs:
        by_call[row["call_id"]]["run", row["src"], row["first_n"], ""] = row
    refs = {ref for row in events if (ref := _body_ref(row["raw"]))}
    bodies = await store.bodies(refs)
    bad = {ref for ref, body in bodies.items() if sha256(body).hexdigest() != ref}
    told = {row["call_id"]: row for row in rows}
    return [_proof(call, by_call[call], seals.get(call), heads, told.get(call), bad) for call in calls]


def _proof(
    call: str,
    found: Mapping[Place, Mapping[str, Any]],
    seal: Mapping[str, Any] | None,
    heads: Heads,
    row: Mapping[str, Any] | None,
    bad: set[str],
) -> Proof:
    proof = Proof(call, rows=len(found))
    filed = heads.heads.get(call)
    if seal is None:
        proof.sealed = False
        if filed is not None and call not in heads.forgotten:
            proof.wrong.append("its seal is missing" if found else "the whole call is missing")
        return proof
    links = _links(seal, proof)
    if head_of(links) != bytes(seal["head"]):
        proof.wrong.append("its seal was changed: its links do not come to its head")
    if filed is None:
        proof.filed = False
    elif filed != bytes(seal["head"]).hex():
        proof.wrong.append("its seal was changed: the daily file has another head")
    proof.wrong += [str(finding) for finding in compare(links, found, _digest)]
    proof.wrong += list(_derived(found, row, bad))
    return proof


def _links(seal: Mapping[str, Any], proof: Proof) -> list[Link]:
    try:
        return unpack(bytes(seal["links"]))
    except msgspec.MsgspecError:
        proof.wrong.append("its seal was changed: its links cannot be read")
        return []


def _digest(row: Mapping[str, Any], place: Place) -> bytes:
    """What a row's digest would be at a place."""
    kind, src, n, key = place
    if kind == "event":
        return digest_of(row["call_id"], src, n, key, row["type"], row["time"], row["entry"], bytes(row["raw"]))
    names = ("times", "entries", "kinds", "ends", "origins")
    return digest_of(row["call_id"], src, n, *(row[name] for name in names), bytes(row["frames"]))


def _derived(found: Mapping[Place, Mapping[str, Any]], row: Mapping[str, Any] | None, bad: set[str]) -> Iterator[str]:
    """What the store made of events for queries: it must still say the same."""
    for place, columns in found.items():
        if place[0] != "event":
            continue
        try:
            event = decode_event(bytes(columns["raw"]))
        except LuthienError:
            continue  # said already: the row was changed
        if msgspec.json.decode(payload_of(event)) != msgspec.json.decode(columns["payload"]):
            yield f"the JSON form of the event {place[2]} of {place[1]} was changed"
        if getattr(event, "body_ref", "") in bad:
            yield f"the body of the event {place[2]} of {place[1]} was changed"
        if isinstance(event, RequestReceived) and place[1].startswith("edge:") and row is not None:
            wanted = msgspec.structs.asdict(call_row(event, columns["entry"]))
            names = [name for name, value in wanted.items() if row[name] != value]
            if names:
                yield f"its row in `calls` was changed: {', '.join(names)}"
    if row is None and found:
        yield "its row in `calls` is missing"


def _body_ref(raw: bytes) -> str:
    try:
        return str(getattr(decode_event(bytes(raw)), "body_ref", ""))
    except LuthienError:
        return ""


def _broken(line: HeadLine) -> str:
    if not line.said:
        return f"{line.file.name}:{line.number} cannot be read"
    return f"{line.file.name}:{line.number}: the line before it was changed, or is missing"
