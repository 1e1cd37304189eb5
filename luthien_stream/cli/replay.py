"""`luthien-stream replay`: recorded calls through policies again, the same ones or others."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from luthien_stream.activity.heads import FOLDER
from luthien_stream.activity.proving import heads_in
from luthien_stream.cli.candidate import add_candidate_flags, candidate, installed
from luthien_stream.cli.common import add_instance_flags, data_folder, fail, print_json
from luthien_stream.cli.compare_lines import lines
from luthien_stream.cli.plain import SHORT_ID, printable
from luthien_stream.cli.progress import Progress
from luthien_stream.cli.serving import serve
from luthien_stream.cli.sources import EXAMPLES, Calls, add_selection_flags, opened
from luthien_stream.cli.try_effects import read_effects
from luthien_stream.cli.write_test import write_test
from luthien_stream.errors import ConfigError, LuthienError
from luthien_stream.record.lanes import Record
from luthien_stream.replay.again import Candidate, Options
from luthien_stream.replay.chunking import Chunking
from luthien_stream.replay.result import EXIT, Comparison
from luthien_stream.replay.sessions import compare_all
from luthien_stream.replay.verify import verify

HELP = """Run recorded calls through policies again. Without a policy, or with --verify: through those that they passed,
in the same versions, and the same must come out. With --policy or --pipeline: through others, and what would have been
delivered is shown beside what was."""
EPILOG = f"""\
SOURCE is {EXAMPLES}.

examples:
  luthien-stream replay 0192f3a4-7c1e --verify
  luthien-stream replay 0192f3a4-7c1e --policy shell_guard --diff tools
  luthien-stream replay calls.jsonl --policy workers/mine.py
  luthien-stream replay '~p shell_guard ~v deny' --since 7d --pipeline next.yaml

exit codes: 0 it holds, 1 it differs, 2 wrong usage or a version that is not installed, 3 nondeterminism,
4 an effect is not on record, 5 the record is incomplete or was changed
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="a call, a session, a file, or a filter")
    parser.add_argument("--verify", action="store_true", help="through the recorded policies: the same must come out")
    add_candidate_flags(parser)
    how = parser.add_argument_group("how")
    how.add_argument(
        "--effects",
        default="log",
        metavar="log|live|fake:FILE",
        help="where judges' replies and the like come from: the record (default), asked now, or a JSON file",
    )
    how.add_argument(
        "--on-miss", choices=("fail", "skip", "live"), default="fail", help="what becomes of one that is not there"
    )
    how.add_argument(
        "--clock", choices=("log", "now"), default="log", help="what `ctx.now` is: as recorded, or today's"
    )
    how.add_argument(
        "--chunking", default="recorded", metavar="recorded|whole|random:SEED", help="how the answer is cut"
    )
    how.add_argument("--speed", default="max", metavar="max|recorded|Nx", help="print calls at the pace of their time")
    how.add_argument(
        "--diff", choices=("none", "text", "tools", "events"), default="text", help="what is shown of differences"
    )
    serving = parser.add_argument_group("serve them")
    serving.add_argument("--serve", action="store_true", help="as a provider that answers what was recorded")
    serving.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="where (default: a free port)")
    serving.add_argument("--match", choices=("request", "order"), default="request", help="which one answers a request")
    serving.add_argument("--reuse", action="store_true", help="the last that fits is served again and again")
    test = parser.add_argument_group("make a regression test")
    test.add_argument(
        "--write-test", type=Path, metavar="FOLDER", help="of one call: what the policy does now is asserted"
    )
    test.add_argument(
        "--name", default="", help="the test's name (default: the policy's, and the end of the call's id)"
    )
    test.add_argument("--raw", action="store_true", help="keep secrets in its recording")
    test.add_argument("--force", action="store_true", help="write over a test of that name")
    add_selection_flags(parser)
    add_instance_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Replay, print a line a call, and return the gravest exit code: 1 would say that something differs."""
    try:
        return _run(args)
    except LuthienError as error:
        fail(str(error))
        return 2


def _run(args: argparse.Namespace) -> int:
    try:
        chunking = Chunking.read(args.chunking)
        tried = candidate(args)
        options = _options(args)
        pace = _Pace(args.speed)
    except (ConfigError, ValueError) as error:
        fail(str(error))
        return 2
    if args.verify and tried is not None:
        fail("--verify is with the recorded policies; --policy and --pipeline try others")
        return 2
    if tried is None and (chunking.kind != "recorded" or args.effects != "log" or args.clock != "log"):
        fail("--chunking, --effects and --clock go with --policy or --pipeline: verified is the record as it is")
        return 2
    if not args.sources and not (args.since or args.until or args.query or args.session or args.model or args.limit):
        fail(f"say which calls: {EXAMPLES}; or --since, --session, --query")
        return 2
    with opened(args) as calls:
        found = calls.found(args.sources)
        if not found:
            fail("no recorded call is like this")
            return 2
        if args.serve:
            records = calls.records(found)
            return serve(records, args.listen, args.match, pace.factor, reuse=args.reuse)
        if args.write_test is not None:
            return _write_test(args, list(calls.records(found)), tried)
        records = calls.records(found)
        cutting = options if chunking.kind == "recorded" else replace(options, cut=chunking.apply)
        made = _verified(args, calls, found) if tried is None else compare_all(records, tried, cutting)
        return _print(args, made, found, pace)


def _write_test(args: argparse.Namespace, records: Sequence[Record], tried: Candidate | None) -> int:
    if len(records) != 1 or tried is None or args.with_:
        fail("--write-test takes one call and --policy (without --with) or --pipeline: what that does now is asserted")
        return 2
    policy = str(args.pipeline or args.policy)
    path, made = write_test(records[0], tried, policy, args.write_test, name=args.name, raw=args.raw, force=args.force)
    sys.stdout.write(f"{path}: asserts {made.candidate.verdict}; run it with pytest\n")
    return 0


def _verified(args: argparse.Namespace, calls: Calls, found: Sequence[str | Path]) -> Iterator[Comparison]:
    """Run again, and say first what the seals of the record say: they know of inputs too that nothing came of."""
    here, heads = installed(args), None
    for one in found:
        if isinstance(one, Path):
            yield from (verify(record, here) for record in calls.records([one]))
            continue
        heads = heads or heads_in(data_folder(args) / FOLDER)
        for record in calls.records([one]):
            made = verify(record, here)
            wrong = calls.wrong(one, heads)
            yield replace(made, status="incomplete", why="; ".join(wrong)) if wrong else made


def _print(args: argparse.Namespace, made: Iterator[Comparison], found: Sequence[str | Path], pace: _Pace) -> int:
    counts: dict[str, int] = {}
    colour, progress = (
        sys.stdout.isatty(),
        Progress("calls", len(found) if all(isinstance(f, str) for f in found) else 0),
    )
    worst = 0
    for one in made:
        counts[one.status] = counts.get(one.status, 0) + 1
        worst = max(worst, EXIT[one.status])
        progress.step()
        pace.wait(one)
        if args.json:
            print_json(as_object(one))
        else:
            progress.clear()
            sys.stdout.write(_line(one) + "\n")
            if one.status == "differs":
                sys.stdout.writelines(f"    {line}\n" for line in lines(one, args.diff, colour=colour))
            sys.stdout.writelines(f"    note: {printable(note)}\n" for note in one.notes)
    progress.clear()
    if not args.json:
        said = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in sorted(counts.items()))
        sys.stdout.write(f"{sum(counts.values())} calls: {said or 'none'}\n")
    return worst


def _line(one: Comparison) -> str:
    words = [one.call_id[:SHORT_ID], one.model, one.status.replace("_", " ")]
    return "  ".join(printable(word) for word in words if word) + (f": {printable(one.why)}" if one.why else "")


def as_object(one: Comparison) -> dict[str, Any]:
    """Return a comparison as `--json` prints it: without frames, whose texts are in `said`."""
    made: dict[str, Any] = msgspec.to_builtins(one, builtin_types=(bytes,), str_keys=True)
    for name in ("recorded", "candidate"):
        side = made[name]
        side["frames"] = len(side["frames"])
        side["request"] = None if side["request"] is None else side["request"].decode(errors="replace")
        side["held_ms"] = {"max": max(side["held"], default=0) / 1000}
        del side["held"]
        for tool in side["said"]["tools"]:
            for key in ("part", "src", "pos", "edited"):
                tool.pop(key, None)
    return made


def _options(args: argparse.Namespace) -> Options:
    given: dict[str, Any] = {}
    if args.effects.startswith("fake:"):
        given = dict(read_effects(Path(args.effects.removeprefix("fake:"))))
    elif args.effects not in ("log", "live"):
        raise ConfigError(f"--effects {args.effects!r} is none of log, live, fake:FILE")
    options = Options(args.on_miss, given, now=time.time_ns() // 1000 if args.clock == "now" else 0)
    if args.effects != "live" and args.on_miss != "live":
        return options
    from luthien_stream.cli.live import asker

    return replace(options, ask=asker(args), first="live" if args.effects == "live" else "log")


class _Pace:
    """Waits until it is a call's turn, where calls are shown at the pace of their time."""

    def __init__(self, speed: str) -> None:
        try:
            self.factor = 0.0 if speed == "max" else 1.0 if speed == "recorded" else float(speed.removesuffix("x"))
        except ValueError:
            raise ConfigError(f"--speed {speed!r} is none of max, recorded, or a factor like 2x") from None
        if self.factor < 0:
            raise ConfigError("--speed must be more than 0")
        self._first = 0
        self._began = time.monotonic()

    def wait(self, one: Comparison) -> None:
        """Sleep until then."""
        self._first = self._first or one.time
        if self.factor and one.time:
            due = self._began + (one.time + one.duration - self._first) / 1e6 / self.factor
            time.sleep(max(0.0, due - time.monotonic()))
