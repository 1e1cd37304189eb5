"""`luthien-stream dead-letter`: events that could not be processed, set aside so that the rest could go on."""

from __future__ import annotations

import argparse
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from rich.table import Table

from luthien_stream.bus import connect
from luthien_stream.bus.ids import order
from luthien_stream.bus.port import START, Bus
from luthien_stream.cli.calls import print_table
from luthien_stream.cli.common import add_instance_flags, console, fail, find_instance, print_json, run_async
from luthien_stream.cli.plain import SHORT_ID, day_and_time, iso, preview, printable, size
from luthien_stream.errors import LuthienError, PackError
from luthien_stream.events.json_form import to_json
from luthien_stream.events.log import AnyEvent
from luthien_stream.events.pack import decode, decode_event, encode, type_of

HELP = """Look at events that could not be processed: poison that killed workers, values that the database refuses,
entries that are no events. They were set aside one by one; everything around them was processed."""
EPILOG = """\
examples:
  luthien-stream dead-letter                          list them
  luthien-stream dead-letter show 1790000000000-0     one of them, decoded as far as that goes
  luthien-stream dead-letter retry 1790000000000-0    record it again (after an upgrade, say), and drop it here
  luthien-stream dead-letter drop 1790000000000-0
"""
PAGE = 200
RECORDER = b"activity"
"""`by` of letters that the recorder wrote: only these can be tried again, since a worker's call is over."""

Letter = Mapping[str, bytes]


class LetterUnknown(LuthienError):
    """No dead letter has this id; `luthien-stream dead-letter list` lists them."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("action", nargs="?", choices=("list", "show", "retry", "drop"), default="list")
    parser.add_argument("id", nargs="?", default="", metavar="ID", help="the letter's id, for show, retry and drop")
    add_instance_flags(parser)


def run(args: argparse.Namespace) -> int:
    """List, show, retry or drop."""
    if args.action != "list" and not args.id:
        return fail(f"say which letter: luthien-stream dead-letter {args.action} ID")
    url = find_instance(args).redis
    if url == "memory":
        return fail("the log is in the memory of `up` (redis: memory): it cannot be reached from outside")
    return run_async({"list": _list, "show": _show, "retry": _retry, "drop": _drop}[args.action](url, args))


async def _list(url: str, args: argparse.Namespace) -> int:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("id", "when", "by", "call_id", "event", "error", "message"):
        table.add_column(name, no_wrap=name != "message")
    async with _bus(url) as bus:
        async for id, letter in _letters(bus):
            facts = described(id, letter)
            if args.json:
                print_json(facts)
            else:
                words = [facts[name] for name in ("by", "call_id", "type", "error", "message")]
                words[1] = words[1][:SHORT_ID]
                table.add_row(id, day_and_time(order(id)[0] * 1000), *(preview(word) for word in words))
    if not args.json:
        if table.row_count:
            print_table(console(), table)
        else:
            console().print("No dead letters.")
    return 0


async def _show(url: str, args: argparse.Namespace) -> int:
    async with _bus(url) as bus:
        facts = described(args.id, await _find(bus, args.id))
    if args.json:
        print_json(facts)
    else:
        for name, value in facts.items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            console().print(f"{name:<8} {printable(text)}", markup=False)
    return 0


async def _retry(url: str, args: argparse.Namespace) -> int:
    """Write the event to its stream again: whoever had taken it knows it by its ordinal, the recorder stores it."""
    async with _bus(url) as bus:
        letter = await _find(bus, args.id)
        if letter.get("by") != RECORDER or "event" not in letter:
            return fail("only events that the recorder set aside can be tried again; this one's call has been ended")
        stream = letter["stream"].decode()
        if stream not in await bus.streams():
            return fail(f"the stream {stream} is gone: its events can no longer be recorded")
        await bus.append(stream, encode(letter["src"].decode(), [decode_event(letter["event"])]))
        await bus.drop_dead_letter(args.id)
    return 0


async def _drop(url: str, args: argparse.Namespace) -> int:
    async with _bus(url) as bus:
        await _find(bus, args.id)
        await bus.drop_dead_letter(args.id)
    return 0


def described(id: str, letter: Letter) -> dict[str, Any]:
    """Return a letter readable: where it came from, why it is here, and its events as far as they can be decoded."""
    words = {name: letter.get(name, b"").decode(errors="replace") for name in ("stream", "entry", "src", "error")}
    facts: dict[str, Any] = {
        "id": id,
        "time": iso(order(id)[0] * 1000),
        "by": letter.get("by", b"worker").decode(errors="replace"),
        "call_id": letter.get("call", b"").decode(errors="replace"),
        "type": letter.get("type", b"").decode(errors="replace"),
        **words,
        "message": letter.get("message", b"").decode(errors="replace"),
    }
    raw = letter.get("event", b"") or letter.get("raw", b"")
    try:
        events = _events(raw)
    except PackError as error:
        return {**facts, "events": [], "unreadable": f"{size(len(raw))}: {error}"}
    types = ", ".join(dict.fromkeys(type_of(event) for event in events))
    return {**facts, "type": types, "events": [to_json(event, words["src"], words["entry"]) for event in events]}


def _events(raw: bytes) -> list[AnyEvent]:
    """A worker puts aside what an entry has of one call, as a pack; the recorder one event by itself."""
    try:
        return decode(raw).events
    except PackError:
        return [decode_event(raw)]


@asynccontextmanager
async def _bus(url: str) -> AsyncIterator[Bus]:
    bus = connect(url)
    try:
        yield bus
    finally:
        await bus.close()


async def _letters(bus: Bus) -> AsyncIterator[tuple[str, dict[str, bytes]]]:
    after = START
    while page := await bus.dead_letters(after=after, count=PAGE):
        for id, letter in page:
            yield id, letter
        after = page[-1][0]


async def _find(bus: Bus, id: str) -> dict[str, bytes]:
    async for found, letter in _letters(bus):
        if found == id:
            return letter
    raise LetterUnknown
