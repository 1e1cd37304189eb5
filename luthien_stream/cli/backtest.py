"""`luthien-stream backtest`: what a policy would have done to the calls on record."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from luthien_stream.activity.prices import per_token
from luthien_stream.cli.backtest_calls import Chosen, chosen, made, tried
from luthien_stream.cli.backtest_labels import labelled, read_labels
from luthien_stream.cli.backtest_news import News
from luthien_stream.cli.backtest_object import as_object
from luthien_stream.cli.candidate import add_candidate_flags
from luthien_stream.cli.common import add_instance_flags, console, count, fail, print_json
from luthien_stream.cli.plain import printable
from luthien_stream.cli.sources import add_selection_flags
from luthien_stream.errors import ConfigError
from luthien_stream.record.filter import BadFilter
from luthien_stream.replay.backtest import Report, report_of
from luthien_stream.replay.case import Case
from luthien_stream.replay.gates import Gates, exit_code, limit, problems, recall_gate
from luthien_stream.replay.many import run_all, units_of
from luthien_stream.replay.report_html import page
from luthien_stream.replay.report_text import text_of

HELP = """Run a policy or a pipeline over recorded calls, on all cores, and say what it would have done: verdicts beside
those on record, what changes, how long frames would be held, and, for labelled calls, how well it tells attacks."""
EPILOG = """\
A session runs in order and stops at its first change: what came after it on record would not have come like that.
A call that cannot be compared is not a call that passes: see --allow-missing.

examples:
  luthien-stream backtest --policy shell_guard --since 7d
  luthien-stream backtest --policy string_replace --with '{"replace": {"foo": "bar"}}' --limit 1000
  luthien-stream backtest --pipeline next.yaml --html report.html
  luthien-stream backtest --policy my_gate --labels labels.jsonl --min-recall-at-fpr 0.8@1%
  luthien-stream backtest --pipeline next.yaml --max-changed 0.5% --max-new-blocks 0      in CI

exit codes: 0 done, and all gates hold; 1 a gate fails; 2 wrong usage; 3 nondeterministic;
4 an effect is not on record; 5 the record is incomplete. The greatest counts.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add_candidate_flags(parser)
    add_selection_flags(parser)
    parser.add_argument(
        "--file", type=Path, action="append", metavar="FILE", help="calls of a file; may be given again"
    )
    how = parser.add_argument_group("how")
    how.add_argument("--effects", metavar="log|fake:FILE", default="log", help="what judges, samples and people answer")
    how.add_argument("--on-miss", choices=("fail", "skip"), default="fail", help="what to do if it is not on record")
    how.add_argument("--unit", choices=("session", "call"), default="session", help="`call`: each by itself")
    how.add_argument("--jobs", type=count, default=os.cpu_count() or 1, metavar="N", help="processes (default: cores)")
    how.add_argument(
        "--twice", choices=("some", "all", "none"), default="some", help="which calls run twice (see docs)"
    )
    how.add_argument("--labels", type=Path, metavar="FILE", help='lines of {"call": ID, "label": "attack"|"benign"}')
    how.add_argument("--html", type=Path, metavar="FILE", help="write a page with plots there")
    gates = parser.add_argument_group("gates: exit with 1 and say by how much")
    gates.add_argument("--max-changed", metavar="0.5%|N", help="changed calls")
    gates.add_argument("--max-new-blocks", type=_whole, metavar="N", help="calls newly blocked")
    gates.add_argument("--min-recall-at-fpr", action="append", default=[], metavar="0.8@1%", help="may be given again")
    gates.add_argument("--allow-missing", action="store_true", help="let calls pass that could not be compared")
    add_instance_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Print the report."""
    try:
        gates, labels = _gates(args), read_labels(args.labels)
        tried(args)  # here, where a mistake is told once
        found = chosen(args)
    except (ConfigError, BadFilter) as error:
        fail(str(error))
        return 2
    cases = labelled(list(_cases(args, found)), labels)
    if not cases:
        return _none()
    report = report_of(cases, per_token({asked.model for case in cases for asked in case.asked}))
    failed = problems(report, gates)
    _print(args, report, failed, gates)
    for sentence in failed:
        sys.stderr.write(f"luthien-stream: {sentence}\n")
    return exit_code(report, failed, gates)


def _cases(args: argparse.Namespace, found: Chosen) -> Iterator[Case]:
    units = units_of(found.calls, by_session=args.unit == "session")
    news = News(len(found.calls))
    for cases in run_all(units, partial(made, args, found.database), args.jobs):
        news.tell(cases)
        yield from cases
    news.end()


def _print(args: argparse.Namespace, report: Report, failed: list[str], gates: Gates) -> None:
    opens = _opener(args)
    if args.json:
        print_json(as_object(report, failed, exit_code(report, failed, gates)))
    else:
        out = console()
        for line in text_of(report, opens, printable):
            out.print(line, markup=False)
    if args.html is not None:
        _write(args.html, page(report, _title(args), opens))


def _opener(args: argparse.Namespace) -> Callable[[str], str]:
    words = [
        word for flag in ("data", "config") if (value := getattr(args, flag)) for word in (f"--{flag}", str(value))
    ]
    if args.pipeline is not None:
        words += ["--pipeline", str(args.pipeline)]
    else:
        words += ["--policy", args.policy] + (["--with", args.with_] if args.with_ else [])
    rest = shlex.join(words)
    return lambda call_id: f"luthien-stream diff {shlex.quote(call_id)} {rest}"


def _title(args: argparse.Namespace) -> str:
    return f"Backtest of {args.pipeline or args.policy}"


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error


def _none() -> int:
    return fail("No recorded call is like this: `luthien-stream calls` lists what there is") * 5


def _gates(args: argparse.Namespace) -> Gates:
    changed = None if args.max_changed is None else limit(args.max_changed)
    recalls = tuple(recall_gate(text) for text in args.min_recall_at_fpr)
    return Gates(changed, args.max_new_blocks, recalls, args.allow_missing)


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of calls")
    return int(text)
