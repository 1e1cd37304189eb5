"""What a stage put out of a recorded call beside what it puts out when it is run again."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from luthien_stream.core.digest import EMPTY, chain
from luthien_stream.core.program import SAMPLE
from luthien_stream.events.log import AnyEvent, ChunkReleased, LogEvent, ResponseFailed, Terminal, Unknown
from luthien_stream.events.pack import encode_event, type_of
from luthien_stream.replay.feed import Given, Input
from luthien_stream.replay.rerun import Rerun
from luthien_stream.replay.result import Status

SHORT = 120


class Finding(Struct, frozen=True):
    """The first thing that does not hold."""

    status: Status
    why: str
    at: int = -1
    """The ordinal in the stage's lane, -1 where it is none."""


def check(stage: str, recorded: Sequence[Input], again: Rerun, given: Given, *, whole: bool) -> Finding | None:
    """Return the first difference, None if all is the same. `whole`: all of the stage's lane is on record."""
    found = {one.event.n: one.event for one in recorded}
    made = {event.n: event for event in again.outputs}
    if again.unanswered:
        return Finding("missing_effect", f"{stage} waits for {', '.join(again.unanswered)}, which is not on record")
    for n in sorted(found.keys() | made.keys() if whole else found.keys()):
        if n not in made or n not in found or not is_same(found[n], made[n]):
            return _cut_short(stage, n, made, given) or _differs(stage, n, found, made)
        if found[n].prev >= 0 and found[n].prev != made[n].prev:
            return _digest(stage, n, found, made)
    return _effects(stage, again, given)


def is_same(one: AnyEvent, other: AnyEvent) -> bool:
    """Whether two events say the same, whoever wrote them and when."""
    if isinstance(one, ChunkReleased) and isinstance(other, ChunkReleased):
        return (one.frame, one.of, one.kind) == (other.frame, other.of, other.kind)
    return type(one) is type(other) and chain(EMPTY, one) == chain(EMPTY, other) and content(one) == content(other)


def content(event: AnyEvent) -> bytes:
    """What an event says, without its envelope and without a body that it names."""
    if isinstance(event, Unknown):
        return msgspec.msgpack.encode({k: v for k, v in event.fields.items() if k not in ("n", "prev", "time")})
    bare: LogEvent = replace(event, n=-1, prev=-1, time=0)
    if getattr(bare, "body_ref", ""):
        bare = replace(bare, body=b"")
    return encode_event(bare)  # type: ignore[arg-type]


def _cut_short(stage: str, n: int, made: dict[int, AnyEvent], given: Given) -> Finding | None:
    """Whether less came out because the end of what the stage was given is missing."""
    own = [one for one in given.inputs if not one.src.startswith(SAMPLE)]
    if n in made or given.cut is not None or not own or isinstance(own[-1].event, Terminal):
        return None
    src, last = own[-1].src, own[-1].event.n
    return Finding("incomplete", f"{stage}: the event {last + 1} of {src}, which ends what it was given, is missing")


def _differs(stage: str, n: int, found: dict[int, AnyEvent], made: dict[int, AnyEvent]) -> Finding:
    where = f"{stage}, ordinal {n}"
    if n in found and isinstance(found[n], ResponseFailed) and found[n].error == "nondeterminism":  # type: ignore[union-attr]
        return Finding("nondeterministic", f"{where}: recorded as nondeterministic: {found[n].message}", n)  # type: ignore[union-attr]
    if n not in found:
        return Finding("incomplete", f"{where} is missing in the record; run again it is {short(made[n])}", n)
    broken = _contradiction(found)
    if broken is not None and broken > n:
        swapped = next((m for m in made if m != n and m in found and _crossed(found, made, n, m)), None)
        what = f"and {swapped} are swapped" if swapped is not None else "was changed"
        return Finding("incomplete", f"{where} {what} in the record: {_pair(n, found, made)}", n)
    return Finding("nondeterministic", f"{where}: {_pair(n, found, made)}", n)


def _digest(stage: str, n: int, found: dict[int, AnyEvent], made: dict[int, AnyEvent]) -> Finding:
    """What was released is the same as now and is not what the stage digested: what it was given was changed."""
    since = max((m for m in found if m < n and found[m].prev == made[m].prev >= 0), default=0)
    why = f"the digest of the lane before ordinal {n} does not hold: what the stage was given was changed, in what "
    return Finding("incomplete", f"{stage}: {why}it released as {since} to {n - 1}", n)


def _effects(stage: str, again: Rerun, given: Given) -> Finding | None:
    if again.unasked:
        return Finding(
            "nondeterministic", f"{stage}: on record, not asked for when run again: {', '.join(again.unasked)}"
        )
    for one in given.effects:
        key, of = one.event.key, one.event.of  # type: ignore[union-attr]
        if of and key in again.asked and again.asked[key] != of:
            return Finding("nondeterministic", f"{stage}: something else is asked for as {key} than on record")
    return None


def _contradiction(found: dict[int, AnyEvent]) -> int | None:
    """The first ordinal whose digest of what is before does not hold in the record itself."""
    digest = EMPTY
    for n in range(max(found, default=-1) + 1):
        if n not in found:
            return None
        if found[n].prev >= 0 and found[n].prev != digest:
            return n
        digest = chain(digest, found[n])
    return None


def _crossed(found: dict[int, AnyEvent], made: dict[int, AnyEvent], n: int, m: int) -> bool:
    return n in found and n in made and is_same(found[n], made[m]) and is_same(found[m], made[n])


def _pair(n: int, found: dict[int, AnyEvent], made: dict[int, AnyEvent]) -> str:
    was = short(found[n]) if n in found else "nothing"
    now = short(made[n]) if n in made else "nothing"
    return f"recorded {was}; run again {now}"


def short(event: AnyEvent) -> str:
    """An event in a few words."""
    if isinstance(event, ChunkReleased):
        text = event.frame.decode(errors="replace")
        return f"the frame {text[:SHORT]!r}{'…' if len(text) > SHORT else ''}"
    text = msgspec.json.encode(_named(event)).decode()
    return f"{type_of(event)} {text[:SHORT]}{'…' if len(text) > SHORT else ''}"


def _named(event: AnyEvent) -> dict[str, object]:
    if isinstance(event, Unknown):
        return event.fields
    fields = msgspec.to_builtins(event, builtin_types=(bytes,))
    said = {k: v for k, v in fields.items() if k not in ("type", "call", "n", "prev", "time", "body", "extra")}
    return {k: v.decode(errors="replace") if isinstance(v, bytes) else v for k, v in said.items()}
