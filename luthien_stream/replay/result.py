"""What came of a call: as it is on record, and as policies make of it when it is run again."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from luthien_stream.record.changes import What
from luthien_stream.record.speech import Speech

Status = Literal["same", "differs", "nondeterministic", "missing_effect", "incomplete", "not_installed", "not_compared"]
"""`same`: nothing differs. `nondeterministic`: the same policies over the same log gave something else.
`missing_effect`: a policy asked for what is not on record. `incomplete`: the record lacks something, or was changed.
`not_installed`: the code or the pipeline of the recorded version is not here. `not_compared`: its session has gone
another way before.
"""
EXIT: dict[Status, int] = {
    "same": 0,
    "not_compared": 0,
    "differs": 1,
    "not_installed": 2,
    "nondeterministic": 3,
    "missing_effect": 4,
    "incomplete": 5,
}
"""The exit code of a command for each; of several calls the greatest counts."""
GRAVITY = ("allow", "score", "rewrite", "hold", "deny", "stop", "failed")
"""Verdicts of a call, the gravest last. `failed`: a policy failed and closed the call."""
Verdict = Literal["allow", "score", "rewrite", "hold", "deny", "stop", "failed"]


class Decision(Struct, frozen=True):
    """One thing that a policy decided, or its failure (`kind` is `failed`, `reason` says why)."""

    policy: str
    kind: Verdict
    version: str = ""
    phase: Literal["request", "response"] = "response"
    reason: str = ""
    shown: str = ""
    score: float | None = None
    about: str = ""
    shadow: bool = False


class Side(Struct):
    """What became of a call on one side."""

    verdict: Verdict = "allow"
    """The gravest of the enforced ones; a request or an answer that was changed is at least a `rewrite`."""
    decisions: list[Decision] = field(default_factory=list)
    """In order; those that only watched too."""
    request: bytes | None = None
    """What the provider was sent; None if it was refused, or ended before."""
    frames: list[bytes] = field(default_factory=list)
    """The final lane."""
    said: Speech = field(default_factory=Speech)
    """What the final lane says."""
    end: str = ""
    """`completed`, `failed: ERROR` or `aborted: REASON`; empty if the lane has no end."""
    held: list[int] = field(default_factory=list)
    """For each released frame how long after its arrival it left, microseconds on the recorded clock."""
    score: float | None = None
    """The highest score that a policy gave, None if none did: never 0 for a score that could not be read."""


class Change(Struct, frozen=True):
    """One difference between two sides, in words; `by` is the policy that caused it, as far as that can be told."""

    what: What
    before: str = ""
    after: str = ""
    by: str = ""


class Asked(Struct, frozen=True):
    """A question to a model in this run. `source` says where its answer came from."""

    policy: str
    model: str
    why: Literal["judge", "sample"]
    source: Literal["log", "live", "file"]
    input_tokens: int = 0
    output_tokens: int = 0


class Comparison(Struct):
    """One call beside itself."""

    call_id: str
    status: Status
    why: str = ""
    """A sentence: the first thing that differs, or is missing, by name."""
    recorded: Side = field(default_factory=Side)
    candidate: Side = field(default_factory=Side)
    changes: list[Change] = field(default_factory=list)
    """Of what was delivered: from the recorded side to the candidate."""
    notes: list[str] = field(default_factory=list)
    """What else is to be said of how this was found out."""
    at: int = -1
    """The ordinal of the final lane that is the first to differ, -1 if none does."""
    asked: list[Asked] = field(default_factory=list)
    chunks: int = 0
    """Chunks of the original lane."""
    duration: int = 0
    """From the first event of the record to the last, microseconds."""
    time: int = 0
    model: str = ""
    session: str = ""
    label: str = ""
