"""One policy's edits over everything in an answer or a request that carries text."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Literal

import msgspec

from luthien_stream.core.lens import Request, RequestPart
from luthien_stream.events.answer import End, Event, Opaque, PartEnd, Text, Thinking, ToolCall
from luthien_stream.events.log import VerdictKind
from luthien_stream.policy.api import STOPPED, Stop
from luthien_stream.policy.context import Context
from luthien_stream.policy.errors import HoldTooLarge
from luthien_stream.policy.stream import HOLD_LIMIT, Events
from luthien_stream.policy.tail import rewrite
from luthien_stream.text.flow import Flow, Scan, edited

Others = Literal["pass", "drop", "map"]
"""What to do with what carries text and is not the answer's text: let it pass, drop it, or edit it."""
WITHHELD = "withheld"


class Found:
    """What was found in one phase of a call, by name, in the order of first sight."""

    __slots__ = ("counts", "stop")

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.stop = ""
        """What the answer ends at, empty if nothing."""

    def note(self, name: str, count: int = 1) -> None:
        """Count something."""
        self.counts[name] = self.counts.get(name, 0) + count

    def said(self) -> str:
        """All of it on one line."""
        return ", ".join(f"{count} × {name}" for name, count in self.counts.items())

    def record(self, ctx: Context, kind: VerdictKind = "rewrite", score: float | None = None) -> None:
        """Record one verdict for each name, with its count; never what was found."""
        for name, count in self.counts.items():
            ctx.verdict(kind, f"{count} × {name}", score=score)


class Carriers:
    """The response phase of one call: events go in, and come out edited, in order."""

    __slots__ = ("_finish", "_flow", "_found", "_make", "_others", "_signed", "_size", "_withhold")

    def __init__(
        self,
        make: Callable[[], Scan],
        found: Found,
        others: Others = "map",
        *,
        withhold: bool = True,
        finish: Callable[[ToolCall], ToolCall] = lambda call: call,
    ) -> None:
        """`make` makes the scan of one text. `withhold` goes with `map`: drop what cannot be edited, which is signed
        thinking that would be, and all that has no name of its own (citations, server tools). `finish` has the last
        word on a tool call."""
        self._make, self._found, self._finish = make, found, finish
        self._others, self._withhold = others, withhold
        self._flow = Flow(make)
        self._signed: list[Thinking] = []
        self._size = 0

    def take(self, event: Event) -> Sequence[Event]:
        """Take the next event; return what leaves now. Raises `HoldTooLarge`."""
        edits = self._others == "map"
        if isinstance(event, Text) or (edits and isinstance(event, Thinking) and not event.signed):
            return self._flow.take(event) if not self._signed else [*self._flush(), *self._flow.take(event)]
        if edits and self._withhold and isinstance(event, Thinking):
            return self._keep(event)
        left = self._flush()
        if edits and isinstance(event, ToolCall):
            call = self._call(event)
            left += [] if self._found.stop else [call]
        elif isinstance(event, PartEnd | End) or self._others == "pass" or (edits and not self._withhold):
            left.append(event)
        elif isinstance(event, Opaque):
            self._found.note(f"{event.kind} {WITHHELD}")
        return left

    def _flush(self) -> list[Event]:
        """Let go of what was held of the text, or of the thinking, before this."""
        thoughts, self._signed, self._size = self._signed, [], 0
        if thoughts:
            whole = "".join(thought.text for thought in thoughts)
            return [] if edited(self._make(), whole) != whole else [*thoughts]
        return [*self._flow.flush()]

    def _keep(self, thought: Thinking) -> Sequence[Event]:
        """Hold signed thinking to the end of its part: it passes or is dropped as a whole."""
        last = self._signed[-1] if self._signed else None
        left = self._flush() if last is None or last.part != thought.part else []
        self._signed.append(thought)
        self._size += len(thought.text)
        if self._size > HOLD_LIMIT:
            raise HoldTooLarge(f"holds back {self._size} characters of thinking")
        return left

    def _call(self, call: ToolCall) -> ToolCall:
        plain = call.kind == "custom"
        text = edited(self._make(), call.arguments) if plain else edited_json(self._make, call.arguments)
        return self._finish(call.with_args(text))


async def carried(
    events: Events, carriers: Carriers, found: Found, record: Callable[[], None], shown: str = STOPPED
) -> AsyncIterator[Event]:
    """The response phase of a policy: all events through `carriers`, and what was found on record at the end."""
    async for event in events:
        left = carriers.take(event)
        if found.stop or isinstance(event, End):
            record()
        for one in left:
            yield one
        if found.stop:
            raise Stop(shown, found.stop)


def edits_of(
    request: Request, make: Callable[[], Scan], kinds: Sequence[str] = ("text", "tool_result", "tool_call", "other")
) -> Iterator[tuple[RequestPart, str]]:
    """The parts of some kinds whose text is edited, each with the text that it gets."""
    for part in request.parts():
        if not part.text or not part.path or part.kind not in kinds:
            continue
        text = edited_json(make, part.text) if part.kind == "tool_call" else edited(make(), part.text)
        if text != part.text:
            yield part, text


def edited_json(make: Callable[[], Scan], text: str) -> str:
    """Return JSON text with every string in it edited; what is no JSON is edited as it is.

    Of fields that an object has twice the last one is kept, which is the one that was looked at.
    """
    try:
        value = msgspec.json.decode(text) if text.strip() else {}
        changed = _mapped(make, value, "")
        same = changed == value and not _says_twice(text)
    except (msgspec.DecodeError, RecursionError):
        return edited(make(), text)
    return text if same else msgspec.json.encode(changed).decode()


def _says_twice(text: str) -> bool:
    """True if an object in JSON text has a field twice."""
    twice = False

    def look(pairs: list[tuple[str, Any]]) -> None:
        nonlocal twice
        twice = twice or len({name for name, _ in pairs}) < len(pairs)

    if '"' in text:
        json.JSONDecoder(object_pairs_hook=look, parse_int=str, parse_float=str).decode(text)
    return twice


def _mapped(make: Callable[[], Scan], value: Any, name: str) -> Any:
    """Edit every string in `value`; the name of its field is looked at with it."""
    if isinstance(value, str):
        return _named(make, value, name) if name else edited(make(), value)
    if isinstance(value, list):
        return [_mapped(make, one, name) for one in value]
    if isinstance(value, dict):
        return {edited(make(), key): _mapped(make, one, key) for key, one in value.items()}
    return value


def _named(make: Callable[[], Scan], text: str, name: str) -> str:
    said = f"{name}: "
    scan = make()
    scan.more(said + text)
    scan.close()
    edits = [(max(start, len(said)), end, put) for start, end, put in scan.edits if end > len(said)]
    return rewrite(text, len(said), edits) if edits else text
