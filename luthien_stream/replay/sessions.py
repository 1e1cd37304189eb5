"""Calls in their order: what policies keep of a session goes from call to call, and a session ends where it diverges.

Behind the first call that the candidate would have delivered otherwise, the agent would have gone another way: what is
on record then says nothing of the candidate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from luthien_stream.record.lanes import Record
from luthien_stream.replay.again import Candidate, Folds, Options, compare
from luthien_stream.replay.feed import NotWhole, request_of
from luthien_stream.replay.result import Comparison


def compare_all(records: Iterable[Record], candidate: Candidate, options: Options) -> Iterator[Comparison]:
    """Yield a comparison a call, in the order given, which is that of time."""
    folds: dict[str, Folds] = {}
    diverged: dict[str, str] = {}
    for record in records:
        session = session_of(record)
        if session in diverged:
            yield _left_out(record, session, diverged[session])
            continue
        made = compare(record, candidate, options, folds.setdefault(session, Folds()) if session else None)
        if session and made.status == "differs":
            diverged[session] = made.call_id
        yield made


def session_of(record: Record) -> str:
    """The session of a call, empty where it is unknown."""
    try:
        return request_of(record).session
    except NotWhole:
        return ""


def _left_out(record: Record, session: str, first: str) -> Comparison:
    request = request_of(record)
    why = f"its session went another way at {first}"
    return Comparison(
        record.call_id, "not_compared", why, time=request.time, model=request.model, session=session, label=record.label
    )
