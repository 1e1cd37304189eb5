"""A recorded call through the policies that it passed, in the same versions: the same must come out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256

from luthien_stream.core.program import Program
from luthien_stream.errors import LuthienError
from luthien_stream.formats import LENSES
from luthien_stream.policy.beside import ShadowProgram
from luthien_stream.policy.hop import HopProgram
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.record.lanes import Record
from luthien_stream.replay.feed import (
    Given,
    Input,
    NotWhole,
    edge_of,
    given,
    given_beside,
    given_up,
    lane,
    request_of,
    said_beside,
    watchers_of,
)
from luthien_stream.replay.installed import Installed, NotInstalled
from luthien_stream.replay.outcome import recorded_side, summary_of
from luthien_stream.replay.proof import Finding, check
from luthien_stream.replay.rerun import Rerun, rerun
from luthien_stream.replay.result import EXIT, Comparison


def verify(record: Record, installed: Installed) -> Comparison:
    """Run every stage of ours that the call passed again, and compare with what is on record."""
    comparison = Comparison(record.call_id, "same")
    try:
        summary_of(record, comparison)
        if record.masked:
            raise NotWhole("Secrets were masked in this record, so it proves nothing: export it with --raw")
        comparison.recorded = comparison.candidate = recorded_side(record)
        findings = list(_findings(record, installed))
        comparison.notes = _notes(record, installed)
    except NotWhole as error:
        findings = [Finding("incomplete", str(error))]
    worst = max(findings, key=lambda one: EXIT[one.status], default=None)
    if worst is not None:
        comparison.status, comparison.why, comparison.at = worst.status, worst.why, worst.at
    return comparison


def _findings(record: Record, installed: Installed) -> Iterator[Finding]:
    slip = request_of(record).slip
    lane(record, edge_of(record))
    for ref, body in record.bodies.items():
        if sha256(body).hexdigest() != ref:
            yield Finding("incomplete", f"The body {ref[:12]}… of the call {record.call_id} was changed")
    for hop in slip.hops:
        yield from _stage(record, installed, hop.stage)
    for key in watchers_of(record):
        if not given_up(record):
            yield from _stage(record, installed, key)


def _stage(record: Record, installed: Installed, key: str) -> Iterator[Finding]:
    try:
        stage = installed.find(key, record)
    except NotInstalled as error:
        yield Finding("not_installed", str(error))
        return
    if isinstance(stage, Pipeline):
        found = _run(record, installed, stage)
        if found is not None:
            yield found


def _run(record: Record, installed: Installed, pipeline: Pipeline) -> Finding | None:
    key, slip = pipeline.stage, request_of(record).slip
    beside = slip.place(key) < 0
    what = given_beside(record, pipeline) if beside else given(record, key, slip)
    recorded = _recorded(record, key, whole=not beside)
    first = _again(record, installed, pipeline, what, beside=beside)
    if isinstance(first, Finding):
        return first
    found = check(f"stage {key}", recorded, first, what, whole=not beside)
    if found is None or found.status != "nondeterministic":
        return found
    second = _again(record, installed, pipeline, what, beside=beside)
    if isinstance(second, Rerun) and _same(first, second):
        more = "each time the same: what the stage was given has changed, or something outside the policies' files"
        return Finding(found.status, f"{found.why} ({more})", found.at)
    return Finding(found.status, f"{found.why} (and each time it is another)", found.at)


def _again(record: Record, installed: Installed, pipeline: Pipeline, what: Given, *, beside: bool) -> Rerun | Finding:
    program: Program = ShadowProgram(pipeline, LENSES) if beside else HopProgram(pipeline, LENSES, installed.known)
    try:
        return rerun(record.call_id, program, pipeline.stage, what)
    except LuthienError as error:
        return Finding("nondeterministic", f"stage {pipeline.stage} breaks when run again: {error}")


def _same(one: Rerun, other: Rerun) -> bool:
    return check("", [], one, Given([], []), whole=False) is None and [
        (event.n, event.prev) for event in one.outputs
    ] == [(event.n, event.prev) for event in other.outputs]


def _recorded(record: Record, key: str, *, whole: bool) -> Sequence[Input]:
    src = f"stage:{key}"
    return lane(record, src) if whole else said_beside(record, src)


def _notes(record: Record, installed: Installed) -> list[str]:
    notes = []
    if why := given_up(record):
        notes.append(f"what watched it was not told all of it: {why}")
    for hop in request_of(record).slip.hops if record.events else ():
        stage = installed.known.get(hop.stage)
        if stage is not None and not isinstance(stage, Pipeline):
            notes.append(f"the stage {hop.stage} is not ours and cannot be run: what it released is taken as it is")
    return notes
