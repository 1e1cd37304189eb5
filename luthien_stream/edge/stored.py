"""Responses that a client may name later: what was asked and what was delivered, kept beside the provider's own copy.

The provider's copy is what the model said. Where a policy may have changed that, or where the provider speaks another
format and keeps nothing, `previous_response_id` and `GET /v1/responses/{id}` are answered from here.
"""

from __future__ import annotations

import asyncio
import hmac
import zlib
from collections.abc import Sequence

import msgspec
import structlog
from aiohttp import web
from msgspec import Raw, Struct

from luthien_stream.bus.port import Bus
from luthien_stream.core.lens import Request
from luthien_stream.core.sse import data_of
from luthien_stream.edge.asked import View
from luthien_stream.edge.call import Call
from luthien_stream.edge.directory import Directory
from luthien_stream.edge.refusals import ItemUnknown, RequestInvalid, ResponseUnknown, StoredUnknown, TooLarge
from luthien_stream.errors import BusError
from luthien_stream.events.log import Header, ResponseCompleted
from luthien_stream.formats.json import dump, fields, items, parse

log = structlog.get_logger()

FORMAT = "openai_responses"
LARGEST = 8 << 20
"""Bytes, compressed, that a response and its input may have to be kept."""
LONGEST = 32 << 20
"""Bytes of a whole conversation: what a request may have."""
TURNS = 1000
"""Turns of a conversation, at most."""
_PREVIOUS = "previous_response_id"


class Stored(Struct, frozen=True):
    """One response. JSON is kept as bytes, spelled as it was."""

    caller: str
    call: str
    previous: str
    """The response before it, empty for none."""
    input: list[bytes]
    """The items that this request added."""
    output: list[bytes]
    """The items that were delivered."""
    response: bytes
    """The response as it was delivered."""
    differs: bool
    """The provider's own copy says something else, or there is none."""
    native: bool
    """The provider has a copy."""


_STORED = msgspec.msgpack.Decoder(Stored)


class StoredResponses:
    """What one edge keeps and finds, for all edges. Errors: `BusError`."""

    def __init__(self, bus: Bus, directory: Directory, *, kept_s: float) -> None:
        self._bus, self._directory = bus, directory
        self.acting = False
        """What is not kept here is not served."""
        self._history = False
        self._ttl_ms = int(kept_s * 1000)
        self._writing: set[asyncio.Task[None]] = set()

    def police(self, *, acting: bool, history: bool) -> None:
        """Keep what policies make necessary. `acting`: they read answers; `history`: one needs whole conversations."""
        self.acting, self._history = acting or history, history

    async def with_items(self, view: Request, sender: Sequence[Header], *, converted: bool) -> Request:
        """The request with the items that it only names in it, as they were delivered. Raises `ItemUnknown`."""
        given = added_by(view)
        named = {place: id for place, raw in enumerate(given) if (id := _named_by(raw))}
        if not named or not (self.acting or converted):
            return view
        await self._directory.begin()
        mine = self._directory.caller(sender).encode()
        for place, id in named.items():
            kept = await self._bus.get_value(f"item:{id}")
            caller, _, item = (kept or b"").partition(b" ")
            if not item or not hmac.compare_digest(caller, mine):
                raise ItemUnknown(f"Item with id {id!r} not found.", param=f"input[{place}]")
            given[place] = item
        return view.set("input", [*map(Raw, given)])

    async def whole(self, view: Request, sender: Sequence[Header], *, converted: bool) -> Request:
        """The request with its history in it, where the provider's copy will not do.

        Raises `ResponseUnknown` where there is none, `TooLarge`.
        """
        previous = view.get(_PREVIOUS)
        if not previous or not (self.acting or converted):
            return view
        stored = await self.find(str(previous), sender)
        if stored is None:
            raise _unknown(str(previous))
        if not (stored.differs or self._history or converted):
            return view
        history = await self._history_of(stored, sender)
        return view.set("input", [*map(Raw, history), *map(Raw, added_by(view))]).set(_PREVIOUS, None)

    async def find(self, id: str, sender: Sequence[Header]) -> Stored | None:
        """A response of this caller's; None if it is not known, or another's."""
        await self._directory.begin()
        raw = await self._bus.get_value(_name(id))
        if raw is None:
            return None
        stored = _STORED.decode(zlib.decompress(raw))
        return stored if hmac.compare_digest(stored.caller, self._directory.caller(sender)) else None

    async def answer(self, request: web.Request, sender: Sequence[Header]) -> web.Response | None:
        """Answer `GET` or `DELETE /v1/responses/{id}`; None where the provider is to. Raises `StoredUnknown`."""
        id = request.match_info["id"]
        stored = await self.find(id, sender)
        if stored is None:
            if self.acting:
                raise StoredUnknown(f"Response with id {id!r} not found.")
            return None
        if request.method == "DELETE":
            await self._bus.drop_value(_name(id))
            gone = dump({"id": id, "object": "response", "deleted": True})
            return None if stored.native else web.Response(body=gone, content_type="application/json")
        if request.query.get("stream") == "true":
            raise RequestInvalid("A stored response is not streamed again: ask without `stream`", param="stream")
        return web.Response(body=stored.response, content_type="application/json")

    async def keep(self, call: Call) -> None:
        """Keep what a call delivered, if its client may name it later."""
        asked, converted = call.asked, call.route.format != call.asked.format
        if (
            asked.format != FORMAT
            or asked.plain
            or not (self.acting or converted)
            or not isinstance(call.final, ResponseCompleted)
            or asked.view.get("store") is False
        ):
            return
        try:
            id, stored = self._of(call, converted)
        except (ValueError, KeyError) as error:
            log.warning("response_not_kept", call=call.id, error=type(error).__name__)
            return
        # A client that has all it waits for may go at once, and name this response in its next request.
        writing = asyncio.create_task(self._write(id, stored), name=f"response of {call.id}")
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)
        await asyncio.shield(writing)

    def _of(self, call: Call, converted: bool) -> tuple[str, Stored]:
        """What is kept of a call, and its id. Raises `ValueError` and `KeyError` where its answer is no response."""
        asked, response = call.asked, _response_in(call.closing)
        known, sent, native = fields(response), asked.sent or asked.view, not converted and call.head is not None
        stored = Stored(
            caller=self._directory.caller(asked.sender),
            call=call.id,
            previous=str(sent.get(_PREVIOUS) or ""),
            input=[asked.vault.mask(item) for item in added_by(sent)],
            output=[bytes(item) for item in items(known["output"])],
            response=response,
            differs=call.made or not native,
            native=native,
        )
        return str(parse(known["id"])), stored

    async def _write(self, id: str, stored: Stored) -> None:
        packed = zlib.compress(msgspec.msgpack.encode(stored), 1)
        if len(packed) > LARGEST:
            log.warning("response_not_kept", call=stored.call, bytes=len(packed))
            return
        try:
            items_by_name = {
                f"item:{_id_of(item)}": b"%b %b" % (stored.caller.encode(), item) for item in stored.output
            }
            await self._bus.put_values({_name(id): packed, **items_by_name}, ttl_ms=self._ttl_ms)
        except BusError as error:
            log.warning("response_not_kept", call=stored.call, error=type(error).__name__)

    async def _history_of(self, last: Stored, sender: Sequence[Header]) -> list[bytes]:
        """All items up to and with a response's own. Raises `ResponseUnknown`, `TooLarge`."""
        turns, size = [last], 0
        while turns[-1].previous:
            before = await self.find(turns[-1].previous, sender)
            if before is None or len(turns) >= TURNS:
                raise _unknown(turns[-1].previous)
            turns.append(before)
            size += sum(map(len, (*before.input, *before.output)))
            if size > LONGEST:
                raise TooLarge(f"The conversation is over {LONGEST >> 20} MB")
        return [item for turn in reversed(turns) for item in (*turn.input, *turn.output)]


def _unknown(id: str) -> ResponseUnknown:
    return ResponseUnknown(f"Previous response with id {id!r} not found.", param=_PREVIOUS)


def _named_by(raw: bytes) -> str:
    """The id of an item that is only named, empty for a whole one."""
    item = fields(raw)
    kind = parse(item["type"]) if "type" in item else None
    return _id_of(raw) if kind == "item_reference" or (kind is None and item.keys() == {"id"}) else ""


def _id_of(item: bytes) -> str:
    id = fields(item).get("id")
    return "" if id is None else str(parse(id))


def added_by(view: View) -> list[bytes]:
    """The items that a request adds to what came before."""
    said = view.get("input")
    if isinstance(said, str):
        return [dump({"type": "message", "role": "user", "content": said})]
    raw = fields(view.body).get("input")
    return [bytes(item) for item in items(raw)] if isinstance(said, list) and raw is not None else []


def _response_in(frames: Sequence[bytes]) -> bytes:
    """The whole response in a stream's last frames, or in a body. Raises `ValueError` where there is none."""
    for raw in reversed(frames):
        data = (raw if raw.lstrip().startswith(b"{") else data_of(raw)) or b"{}"
        known = fields(data)
        if "output" in known:
            return data
        if "response" in known:
            return bytes(known["response"])
    raise ValueError("no response")


def _name(id: str) -> str:
    return f"response:{id}"
