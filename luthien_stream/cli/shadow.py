"""`luthien-stream shadow POLICY`: what a policy that only watches would have done, disagreements first."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

from luthien_stream.activity.find import condition
from luthien_stream.activity.store import Store
from luthien_stream.cli.common import add_instance_flags, fail, find_instance, print_json, run_async
from luthien_stream.cli.plain import SHORT_ID, iso, preview, printable, when
from luthien_stream.cli.recorded import open_record
from luthien_stream.cli.sources import add_selection_flags, selection

HELP = """Show the verdicts of a policy in shadow beside what was enforced: first the calls where it would have blocked
or changed what was delivered, then those where it would have let pass what was blocked, then the rest."""
EPILOG = """\
examples:
  luthien-stream shadow suspicion --since 1d
  luthien-stream shadow secret_redact --json
"""
BLOCKS, CHANGES = ("deny", "stop", "hold"), ("rewrite",)
ORDER = ("would block", "would let pass", "would change", "failed", "not finished", "scored", "agrees")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("policy", metavar="POLICY", help="name of the policy")
    parser.add_argument("--most", type=int, default=30, metavar="N", help="calls to show (default: %(default)s)")
    add_selection_flags(parser)
    add_instance_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Print the calls."""
    return run_async(_run(args))


async def _run(args: argparse.Namespace) -> int:
    async with open_record(find_instance(args)) as store:
        rows = [_judged(dict(row)) for row in await _rows(args, store)]
        if not rows:
            known = [row["name"] for row in await store.select(_KNOWN)]
            near = f"; in shadow were: {', '.join(known)}" if known else ": no policy has run in shadow"
            return fail(f"{args.policy!r} has watched no call like this{near}")
    rows.sort(key=lambda row: (ORDER.index(row["stands"]), -row["time"]))
    for row in rows[: args.most]:
        if args.json:
            print_json({**row, "time": iso(row["time"])})
        else:
            sys.stdout.write(_line(row) + "\n")
    if not args.json:
        counts = Counter(row["stands"] for row in rows)
        said = ", ".join(f"{counts[name]} {name}" for name in ORDER if counts[name])
        sys.stdout.write(f"{len(rows)} calls watched: {said}\n{''.join(_scores(rows))}")
    return 0


_ROWS = """
SELECT calls.call_id, calls.time, calls.model,
    (SELECT array_agg(coalesce(kind, 'failed') ORDER BY entry, n) FROM verdicts
        WHERE verdicts.call_id = calls.call_id AND beside AND policy = $1) AS kinds,
    (SELECT string_agg(coalesce(nullif(reason, ''), error), '; ' ORDER BY entry, n) FROM verdicts
        WHERE verdicts.call_id = calls.call_id AND beside AND policy = $1) AS reason,
    (SELECT max(score) FROM verdicts WHERE verdicts.call_id = calls.call_id AND beside AND policy = $1) AS score,
    (SELECT array_agg(DISTINCT coalesce(kind, 'failed')) FROM verdicts
        WHERE verdicts.call_id = calls.call_id AND NOT beside) AS enforced,
    EXISTS (
        SELECT FROM events, jsonb_array_elements(coalesce(payload -> 'policies', '[]')) AS ran
        WHERE events.call_id = calls.call_id AND src LIKE 'stage:shadow@%' AND ran ->> 'name' = $1
    ) AS finished
FROM calls
WHERE {condition} AND EXISTS (
    SELECT FROM events WHERE events.call_id = calls.call_id AND src LIKE 'stage:shadow@%'
    AND (
        payload ->> 'policy' = $1
        OR payload @> jsonb_build_object('policies', jsonb_build_array(jsonb_build_object('name', $1::text)))
    )
)
ORDER BY calls.time DESC LIMIT 10000
"""
_KNOWN = """
SELECT DISTINCT ran ->> 'name' AS name FROM events, jsonb_array_elements(coalesce(payload -> 'policies', '[]')) AS ran
WHERE src LIKE 'stage:shadow@%' ORDER BY 1
"""


async def _rows(args: argparse.Namespace, store: Store) -> Any:
    text, more = condition(selection(args), first=2)
    return await store.select(_ROWS.replace("{condition}", text), args.policy, *more)


def _judged(row: dict[str, Any]) -> dict[str, Any]:
    """The row with where the policy stands."""
    kinds, enforced = row["kinds"] or [], row["enforced"] or []
    blocked = any(kind in BLOCKS for kind in enforced)
    if "failed" in kinds:
        stands = "failed"
    elif any(kind in BLOCKS for kind in kinds):
        stands = "agrees" if blocked else "would block"
    elif not row["finished"] and not kinds:
        stands = "not finished"
    elif blocked and "score" not in kinds:
        stands = "would let pass"
    elif any(kind in CHANGES for kind in kinds):
        stands = "would change"
    else:
        stands = "scored" if "score" in kinds else "agrees"
    return {**row, "kinds": kinds, "enforced": enforced, "stands": stands}


def _line(row: dict[str, Any]) -> str:
    score = "" if row["score"] is None else f"score {row['score']:g}"
    enforced = f"enforced: {', '.join(row['enforced']) or 'passed'}"
    words = [row["call_id"][:SHORT_ID], when(row["time"]), f"{row['stands']:<14}", printable(row["model"]), score]
    return "  ".join(word for word in [*words, enforced, preview(row["reason"] or "", 80)] if word)


def _scores(rows: list[dict[str, Any]]) -> Iterator[str]:
    scores = sorted(row["score"] for row in rows if row["score"] is not None)
    if scores:
        places = (("least", 0.0), ("median", 0.5), ("95 %", 0.95), ("most", 1.0))
        said = ", ".join(f"{name} {scores[round((len(scores) - 1) * at)]:g}" for name, at in places)
        yield f"scores: {said}; {len(rows) - len(scores)} calls without one\n"
