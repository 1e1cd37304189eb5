"""`luthien-stream policies try`: cases through policies, one line of JSON for each, at once and without a server."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import monotonic
from typing import Any, BinaryIO

import msgspec

from luthien_stream.cli.common import add_instance_flags, count, fail
from luthien_stream.cli.try_cases import Case, Reader
from luthien_stream.cli.try_effects import read_effects
from luthien_stream.cli.try_pipeline import Tried, tried
from luthien_stream.cli.try_run import Outcome, Trial
from luthien_stream.cli.try_summary import Summary
from luthien_stream.cli.try_wire import BadCase
from luthien_stream.errors import ConfigError
from luthien_stream.formats.json import dump

SUMMARY = "run policies over cases, or a recorded call"
HELP = """Run policies over cases, without a gateway: the very engine that workers run. Prints one JSON line a case:
id, verdict (allow, score, rewrite, hold, deny, stop; failed where a policy failed), reason, shown, output (what is
left, in the form of the case) and ms."""
EPILOG = """\
each line of CASES.jsonl is one of
  {"id": 1, "text": "..."}                         what the model says; "role": "user" or "tool": what it is told
  {"id": 2, "tool": "Bash", "args": {...}}         a tool call; args may be JSON text
  {"id": 3, "request": {...}, "response": {...}}   one or both, in any format, a body or the text of a stream
  {"id": 4, "messages": [...]}                     a conversation in OpenAI form: every assistant turn is a call,
                                                   the gravest verdict counts
with "label": "deny" or "allow" there is a summary on standard error: recall and false alarms.

examples:
  luthien-stream policies try shell_guard cases.jsonl
  luthien-stream policies try sql_protection --with '{"allow": "read"}' - < cases.jsonl
  luthien-stream policies try pipeline cases.jsonl --min-recall 1 --max-false-alarms 0.01
  luthien-stream policies try --pipeline other.yaml cases.jsonl
  luthien-stream policies try my_gate 0192f3a4-7c1e       a recorded call, by the beginning of its id
"""
LINE_LIMIT = 32 << 20
"""Bytes that one case may have."""
_NEWS_S = 0.2


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "name",
        metavar="NAME",
        help="a policy; `pipeline`: what is in force here; `default`: what is without a configuration",
    )
    parser.add_argument("cases", metavar="CASES", help="a file of cases, `-` for standard input, or a recorded call")
    parser.add_argument("--with", dest="with_", metavar="JSON", default="", help="the policy's configuration")
    parser.add_argument("--pipeline", type=Path, metavar="FILE.yaml", help="all policies under `pipeline:` in a file")
    parser.add_argument("--effects", type=Path, metavar="FILE.json", help="what judges, samples and people answer")
    parser.add_argument("--shadow", action="store_true", help="add what policies in shadow decide, as `shadow`")
    parser.add_argument("--role", choices=("assistant", "user", "tool", "system"), help="who says a bare text")
    parser.add_argument(
        "--cut", type=count, default=0, metavar="N", help="stream text and arguments, N characters each"
    )
    parser.add_argument("--summary", type=Path, metavar="FILE.json", help="write the summary there")
    parser.add_argument("--min-recall", type=_share, metavar="0.99", help="exit with 1 below it")
    parser.add_argument("--max-false-alarms", type=_share, metavar="0.01", help="exit with 1 above it")
    add_instance_flags(parser, json=False)


def run(args: argparse.Namespace) -> int:
    """Print a line for each case."""
    what = tried(args)
    for name in what.external:
        sys.stderr.write(f"luthien-stream: the stage {name} is not tried: its workers are not ours\n")
    effects, summary = read_effects(args.effects), Summary()
    if is_file(args.cases):
        reader = Reader(args.role or ("assistant" if "response" in what.enforcing.phases else "user"), args.cut)
        _try_file(args.cases, reader, _trial(args, what, effects), summary)
    else:
        _try_recorded(args, what, effects, summary)
    return _conclude(args, summary)


def is_file(cases: str) -> bool:
    """Whether what was named is a file of cases rather than a recorded call."""
    return cases == "-" or Path(cases).exists() or not set(cases) <= set("0123456789abcdefABCDEF-")


def _trial(args: argparse.Namespace, what: Tried, effects: Mapping[str, Any]) -> Trial:
    return Trial(what.enforcing, effects, what.shadow if args.shadow else None)


def _try_recorded(args: argparse.Namespace, what: Tried, effects: Mapping[str, Any], summary: Summary) -> None:
    from luthien_stream.cli.try_recorded import recorded_case  # the record's driver, which cases do not need

    case, recorded = recorded_case(args)
    outcome = _trial(args, what, {**recorded, **effects}).run(case)
    summary.add(outcome, case)
    _print(outcome)


def _try_file(name: str, reader: Reader, trial: Trial, summary: Summary) -> None:
    news = _News()
    with _opened(name) as file:
        for number, line in _lines(file):
            case: Case | None = None
            try:
                if len(line) > LINE_LIMIT:
                    raise BadCase(f"a case may have {LINE_LIMIT >> 20} MiB")
                case = reader.read(line, number)
                outcome = trial.run(case)
            except BadCase as error:
                outcome = Outcome(error.facts.get("id", number), "error", f"line {number}: {error}")
            summary.add(outcome, case)
            _print(outcome)
            news.tell(number)
    news.end()


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers, blank ones left out; of a line that is too long, so much that it shows."""
    number = 0
    while line := file.readline(LINE_LIMIT + 1):
        number += 1
        whole = line
        while len(line) > LINE_LIMIT and not line.endswith(b"\n"):
            line = file.readline(LINE_LIMIT + 1)
        if whole.strip():
            yield number, whole


def _opened(name: str) -> BinaryIO:
    if name == "-":
        return sys.stdin.buffer
    try:
        return Path(name).open("rb")
    except OSError as error:
        raise ConfigError(f"{name} cannot be read: {error.strerror}") from error


def _print(outcome: Outcome) -> None:
    line = msgspec.structs.asdict(outcome)
    if outcome.shadow is None:
        del line["shadow"]
    sys.stdout.buffer.write(dump(line) + b"\n")
    sys.stdout.buffer.flush()


def _conclude(args: argparse.Namespace, summary: Summary) -> int:
    if args.summary:
        try:
            args.summary.write_bytes(dump(summary.as_object()) + b"\n")
        except OSError as error:
            raise ConfigError(f"{args.summary} cannot be written: {error.strerror}") from error
    if summary.to_deny or summary.to_allow or sys.stderr.isatty():
        sys.stderr.write(summary.text() + "\n")
    problems = summary.problems(args.min_recall, args.max_false_alarms)
    return fail("; ".join(problems)) if problems else 0


class _News:
    """How far it is, on a terminal that does not show the lines themselves."""

    def __init__(self) -> None:
        self._on = sys.stderr.isatty() and not sys.stdout.isatty()
        self._next = 0.0

    def tell(self, number: int) -> None:
        """Say it, a few times a second."""
        if self._on and monotonic() >= self._next:
            self._next = monotonic() + _NEWS_S
            sys.stderr.write(f"\r{number} lines")
            sys.stderr.flush()

    def end(self) -> None:
        """Leave the line empty."""
        if self._on:
            sys.stderr.write("\r\033[K")


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: write a number from 0 to 1")
    return value
