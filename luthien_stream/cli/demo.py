"""`luthien-stream demo`: a short session with the demo models, and both lanes of every call side by side."""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from msgspec import Struct
from rich.console import Console
from rich.table import Table
from rich.text import Text

from luthien_stream.activity.read import record_of
from luthien_stream.activity.store import Store
from luthien_stream.cli.common import add_instance_flags, console, find_instance, print_json, run_async
from luthien_stream.cli.demo_session import Exchange, play, readable
from luthien_stream.cli.welcome import url
from luthien_stream.config.instance import Instance
from luthien_stream.config.load import load_config
from luthien_stream.config.model import DEFAULT_PIPELINE
from luthien_stream.events.log import VerdictReached
from luthien_stream.record.lanes import final_lane, original_lane

HELP = """Send a short scripted session through the running gateway and show what the models said beside what was
delivered. The models are built in and need no key; nothing is executed."""
EPILOG = """\
examples:
  luthien-stream up            in one terminal
  luthien-stream demo          in another one
  luthien-stream demo --json   one object per call
"""
ADVICE = """\
To see policies of your own choice act, write this to luthien.yaml, start again, and repeat:

  pipeline:
    - use: string_replace
      with: {replace: [[hunter2, "[gone]"], [robot, ROBOT]]}
    - use: block_tools
      with: {rules: [{tool: Bash, arguments: "rm -rf"}]}
"""
RECORD_WAIT_S = 5.0


class Lanes(Struct):
    """What the record has of one call, readable; `original` is None where there is no record."""

    original: str | None
    verdicts: list[str]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add_instance_flags(parser)
    parser.add_argument("--key", default="", help="a gateway key, if `auth:` wants one")


def run(args: argparse.Namespace) -> int:
    """Play the session; 0 if every call was answered."""
    run_async(_demo(find_instance(args), args.key, args.json))
    return 0


async def _demo(instance: Instance, key: str, as_json: bool) -> None:
    store = None if instance.database == "none" else Store(instance.database)
    try:
        if as_json:
            async for exchange, lanes in _played(instance, key, store):
                print_json(_as_object(exchange, lanes))
            return
        out = console()
        with out.status("talking to the demo models …"):
            async for exchange, lanes in _played(instance, key, store):
                show(out, exchange, lanes)
        out.print(f"\n{_afterword(instance)}", markup=False)
    finally:
        if store:
            await store.close()


async def _played(instance: Instance, key: str, store: Store | None) -> AsyncIterator[tuple[Exchange, Lanes]]:
    async for exchange in play(url(instance.listen), key):
        yield exchange, await _recorded(store, exchange) if store else Lanes(None, [])


async def _recorded(store: Store, exchange: Exchange) -> Lanes:
    """Wait until the record has the whole call."""
    deadline = time.monotonic() + RECORD_WAIT_S
    while True:
        record = await record_of(store, exchange.call_id)
        original = original_lane(record)
        if original.complete and final_lane(record).complete:
            break
        if time.monotonic() > deadline:
            return Lanes(None, [])
        await asyncio.sleep(0.1)
    reached = [stored.event for stored in record.events if isinstance(stored.event, VerdictReached)]
    return Lanes(readable(exchange.form, original.raw), [f"{one.policy}: {one.kind}" for one in reached])


def show(out: Console, exchange: Exchange, lanes: Lanes) -> None:
    """Print one call: on a terminal its lanes side by side, else one below the other."""
    delivered = readable(exchange.form, exchange.raw)
    original = "(not recorded)" if lanes.original is None else lanes.original
    out.print()
    out.print(f"{exchange.title}  {exchange.call_id}", style="bold", markup=False)
    if out.is_terminal:
        table = Table("the model said", "delivered", expand=True)
        table.add_row(Text(original), Text(delivered))
        out.print(table)
    else:
        out.print(f"the model said: {original}\ndelivered:      {delivered}", markup=False)
    out.print(f"{_outcome(lanes, delivered)}; first byte {exchange.first_ms:.0f} ms, all {exchange.total_ms:.0f} ms")


def _outcome(lanes: Lanes, delivered: str) -> str:
    if lanes.verdicts:
        return ", ".join(lanes.verdicts)
    if lanes.original is None:
        return "no record"
    return "unchanged" if lanes.original == delivered else "changed"


def _as_object(exchange: Exchange, lanes: Lanes) -> dict[str, Any]:
    return {
        "call_id": exchange.call_id,
        "title": exchange.title,
        "original": lanes.original,
        "delivered": readable(exchange.form, exchange.raw),
        "verdicts": lanes.verdicts,
        "first_ms": round(exchange.first_ms, 1),
        "total_ms": round(exchange.total_ms, 1),
    }


def _afterword(instance: Instance) -> str:
    path = Path(instance.config) if instance.config else None
    if load_config(path, os.environ).pipeline in ((), DEFAULT_PIPELINE):
        return ADVICE
    if instance.database == "none":
        return "There is no record (`database: none`), so only what was delivered can be shown."
    return "Look closer:  luthien-stream calls,  luthien-stream show CALL"
