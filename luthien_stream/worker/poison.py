"""Events that kill workers, and bytes that are no events: found, put aside, and paid for by their own call only.

After several owners died without progress, events are run one by one and each is written down before it is run. One
that was running when its owner died twice is poison: it goes to the dead letters and its call is cut.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from luthien_stream.bus.port import Bus, Entry
from luthien_stream.errors import PackError
from luthien_stream.events import pack
from luthien_stream.events.log import AnyEvent, EventDeadLettered

CONVICTED = 1000


class Suspect(Struct, frozen=True):
    """What was running when an owner died: a call, the entry it was fed from, and how often that was so."""

    call: str
    entry: str
    crashes: int = 1

    def text(self) -> str:
        """Return what the bus keeps."""
        return f"{self.call} {self.entry} {self.crashes}"

    def convicted(self) -> Suspect:
        """Return it as known poison: the watchdog saw it."""
        return Suspect(self.call, self.entry, CONVICTED)

    def again(self, call: str, entry: str) -> Suspect:
        """Return what to write before this event is run."""
        same = (call, entry) == (self.call, self.entry)
        return Suspect(call, entry, self.crashes + 1 if same else 1)


NOBODY = Suspect("", "", 0)


def read_suspect(text: str) -> Suspect:
    """Read what the bus kept; `NOBODY` if that is nothing."""
    match text.split(" "):
        case [call, entry, crashes] if crashes.isdigit():
            return Suspect(call, entry, int(crashes))
        case [call, entry]:
            return Suspect(call, entry)
    return NOBODY


class Salvage(Struct):
    """An entry that cannot be decoded whole: what can be, and for the rest the bytes and the calls they name."""

    src: str
    events: list[AnyEvent]
    bad: list[bytes]
    calls: list[str]


class _Loose(Struct):
    src: str
    events: list[msgspec.Raw]


_LOOSE = msgspec.msgpack.Decoder(_Loose)
_ANY = msgspec.msgpack.Decoder()


def salvage(raw: bytes) -> Salvage:
    """Decode an entry event by event."""
    try:
        loose = _LOOSE.decode(raw)
    except msgspec.MsgspecError:
        return Salvage("", [], [raw], [])
    found = Salvage(loose.src, [], [], [])
    for one in loose.events:
        try:
            found.events.append(pack.decode_event(bytes(one)))
        except PackError:
            found.bad.append(bytes(one))
            found.calls += _call_of(bytes(one))
    return found


def _call_of(raw: bytes) -> list[str]:
    try:
        fields = _ANY.decode(raw)
    except msgspec.MsgspecError:
        return []
    call = fields.get("call") if isinstance(fields, dict) else None
    return [call] if isinstance(call, str) and call else []


async def bury(bus: Bus, entry: Entry, call: str, event: bytes, error: str) -> EventDeadLettered:
    """Put an event among the dead letters; return the record of it."""
    letter = {"stream": entry.stream, "entry": entry.id, "call": call, "error": error}
    await bus.dead_letter({**{name: text.encode() for name, text in letter.items()}, "event": event})
    return EventDeadLettered(call=call, stream=entry.stream, entry=entry.id, error=error)
