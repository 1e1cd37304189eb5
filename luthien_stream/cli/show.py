"""`luthien-stream show CALL`: one recorded call, both lanes side by side."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from msgspec import Struct

from luthien_stream.activity.read import Summary, find_call, record_of, summary_of
from luthien_stream.cli.calls import as_object
from luthien_stream.cli.common import add_instance_flags, console, fail, find_instance, print_json, run_async
from luthien_stream.cli.plain import iso, milliseconds
from luthien_stream.cli.recorded import open_record
from luthien_stream.cli.show_page import page
from luthien_stream.events.json_form import to_json
from luthien_stream.record.lanes import LaneView, Record, final_lane, original_lane, provider_lane
from luthien_stream.record.speech import Speech, speech

HELP = """Show one recorded call: what the model said beside what was delivered, tool calls, verdicts, failures, and how
long each took. The beginning of the call's id is enough if no other call begins alike."""
EPILOG = """\
examples:
  luthien-stream show 0192f3a4-7c1e-7abc
  luthien-stream show 0192f3a4-7c1e-7abc --lane final --raw > answer.sse    the exact bytes that were sent
  luthien-stream show 0192f3a4-7c1e-7abc --json | jq .events
"""


class Shown(Struct):
    """One call, read from the record."""

    summary: Summary
    record: Record
    original: LaneView
    final: LaneView
    own: LaneView
    """What a provider of another format said itself."""

    def said(self, lane: LaneView) -> Speech:
        """What a lane says."""
        frames = [(piece.kind, piece.frame) for piece in lane.pieces if piece.by != "edge"]
        return speech(self.summary.format, frames)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("call", metavar="CALL", help="the call's id, or its beginning")
    parser.add_argument(
        "--lane",
        choices=("original", "final", "provider"),
        help="only this lane; provider: \
what a provider of another format than the client's said itself (with --raw)",
    )
    parser.add_argument("--raw", action="store_true", help="print the lane's exact bytes (with --lane)")
    add_instance_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Print the call."""
    if args.raw and not args.lane:
        return fail("--raw prints one lane: say which with --lane original or --lane final")
    if args.lane == "provider" and not args.raw:
        return fail("what a provider said in its own format is for programs: add --raw")
    shown = run_async(_read(args))
    lane = {"original": shown.original, "final": shown.final, "provider": shown.own}.get(args.lane)
    if args.lane == "provider" and not shown.own.pieces:
        return fail("this provider spoke the client's format: what it said is the original lane")
    if args.raw and lane is not None:
        sys.stdout.buffer.write(lane.raw)
        sys.stdout.flush()
        return 0 if lane.complete else fail(f"the {args.lane} lane is not complete: {lane.missing} events are missing")
    if args.json:
        print_json(as_json(shown))
    else:
        lanes = {args.lane: lane} if lane else {"original": shown.original, "final": shown.final}
        page(console(), shown.summary, shown.record, {name: (one, shown.said(one)) for name, one in lanes.items()})
    return 0


async def _read(args: argparse.Namespace) -> Shown:
    async with open_record(find_instance(args)) as store:
        call = await find_call(store, args.call)
        record = await record_of(store, call)
        lanes = original_lane(record), final_lane(record), provider_lane(record)
        return Shown(await summary_of(store, call), record, *lanes)


def as_json(shown: Shown) -> dict[str, Any]:
    """Return the call as `--json` prints it: the line of `calls`, both lanes, and every event that is no chunk."""
    lanes = {
        name: _lane(lane, shown.said(lane)) for name, lane in (("original", shown.original), ("final", shown.final))
    }
    if shown.own.pieces:
        lanes["provider"] = _lane(shown.own, Speech())
    return {
        **as_object(shown.summary),
        "lanes": lanes,
        "events": [to_json(stored.event, stored.src) for stored in shown.record.events],
    }


def _lane(lane: LaneView, said: Speech) -> dict[str, Any]:
    return {
        "complete": lane.complete,
        "missing": lane.missing,
        "bytes": len(lane.raw),
        "text": said.text,
        "thinking": said.thinking,
        "tool_calls": [{"id": tool.id, "name": tool.name, "arguments": tool.arguments} for tool in said.tools],
        "frames": [
            {
                "n": piece.n,
                "time": iso(piece.time),
                "by": piece.by,
                "held_ms": milliseconds(piece.held),
                "frame": piece.frame.decode(errors="replace"),
            }
            for piece in lane.pieces
        ],
    }
