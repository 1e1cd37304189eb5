"""What each shipped policy makes of two recorded streams: digests and verdicts, since their text is not ours to keep.

`python -m tests.unit.replay.goldens` writes the file anew; its difference is to be read.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from luthien_stream import load
from luthien_stream.policy.catalogue import built_in, find
from luthien_stream.policy.pipeline import Bound, Pipeline
from luthien_stream.replay.again import Candidate, Options, compare
from tests.corpora import CORPORA

FILE = Path(__file__).parent / "golden" / "shipped.json"
STREAMS = ("recorded_no_tools_used_chunks.json", "recorded_anthropic_multiple_tools_chunks.json")
CONFIGS: dict[str, dict[str, Any]] = {
    "block_tools": {"rules": [{"tool": "get_*"}]},
    "content_filter": {"rules": [{"name": "cities", "words": ["Tokyo"]}]},
    "defer_trusted": {"judge": "m", "trusted": "t"},
    "human_approval": {"tools": ["*"]},
    "model_switch": {"rules": []},
    "resample": {"judge": "m"},
    "string_replace": {"replace": [["Japan", "Nippon"]]},
    "suspicion": {"model": "m"},
    "token_limit": {"max_tokens": 20},
    "tool_call_judge": {"model": "m"},
}
"""The least that a policy takes; others take nothing."""


def shipped() -> list[str]:
    """All policies that come along."""
    return sorted(file.stem for file in built_in().glob("*.py") if not file.stem.startswith("_"))


def outcome(policy: str, stream: str) -> dict[str, Any]:
    """What becomes of a stream under a policy; what it asks for is not on record."""
    (record,) = load(CORPORA / stream)
    made = msgspec.convert(CONFIGS.get(policy, {}), find(policy))
    pipeline = Pipeline((Bound(policy, made),))
    beside = getattr(made, "beside", False)
    tried = Candidate(Pipeline(()), pipeline) if beside else Candidate(pipeline)
    found = compare(record, tried, Options(on_miss="skip"))
    return {
        "status": found.status,
        "verdict": found.candidate.verdict,
        "end": found.candidate.end,
        "changed": sorted({change.what for change in found.changes}),
        "frames": len(found.candidate.frames),
        "tools": len(found.candidate.said.tools),
        "digest": sha256(b"".join(found.candidate.frames)).hexdigest()[:16],
    }


def main() -> None:
    """Write the file."""
    found = {policy: {stream: outcome(policy, stream) for stream in STREAMS} for policy in shipped()}
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")


if __name__ == "__main__":
    main()
