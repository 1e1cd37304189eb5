"""`replay ... --write-test FOLDER`: a recorded call as a regression test, which needs nothing but the package."""

from __future__ import annotations

import os
import re
from pathlib import Path

from luthien_stream.errors import ConfigError
from luthien_stream.record.jsonl import dump
from luthien_stream.record.lanes import Record
from luthien_stream.replay.again import Candidate, Options, compare
from luthien_stream.replay.mask import masked
from luthien_stream.replay.result import Comparison

RECORDINGS = "recordings"
_TEMPLATE = '''"""What {policy} makes of a recorded call."""

from pathlib import Path

from luthien_stream import load, replay

HERE = Path(__file__).parent


def test_{name}() -> None:
    """{call}, {model}: {verdict}."""
    (call,) = load(HERE / "{recordings}" / "{name}.jsonl")
    made = replay(call, {argument})
    assert made.candidate.verdict == {verdict!r}
    assert made.candidate.said.text == {text!r}
    assert [(tool.name, tool.arguments) for tool in made.candidate.said.tools] == {tools!r}
    assert made.candidate.end == {end!r}
'''


def write_test(
    record: Record,
    tried: Candidate,
    policy: str,
    folder: Path,
    *,
    name: str = "",
    raw: bool = False,
    force: bool = False,
) -> tuple[Path, Comparison]:
    """Write the recording and its test, which asserts what the candidate does now; return the test's path.

    `policy` is a policy's name, or the path of its file or of a configuration. Raises `ConfigError`.
    """
    kept = record if raw else masked(record)
    made = compare(kept, tried, Options())
    if made.status not in ("same", "differs"):
        raise ConfigError(f"no test can be made of this call: {made.why}")
    stem = _stem(name or f"{Path(policy).stem}_{record.call_id[-12:]}")
    test, recording = folder / f"test_{stem}.py", folder / RECORDINGS / f"{stem}.jsonl"
    for path in (test, recording):
        if path.exists() and not force:
            raise ConfigError(f"{path} is there already: give another --name, or --force")
    recording.parent.mkdir(parents=True, exist_ok=True)
    recording.write_bytes(b"".join(dump([kept])))
    side = made.candidate
    test.write_text(
        _TEMPLATE.format(
            policy=Path(policy).name,
            name=stem,
            call=record.call_id,
            model=made.model,
            recordings=RECORDINGS,
            argument=_argument(policy, folder),
            verdict=side.verdict,
            text=side.said.text,
            tools=[(tool.name, tool.arguments) for tool in side.said.tools],
            end=side.end,
        ),
        encoding="utf-8",
    )
    return test, made


def _argument(policy: str, folder: Path) -> str:
    """The policy as the test names it: a file by its way from the test."""
    if Path(policy).suffix not in (".py", ".yaml", ".yml"):
        return repr(policy)
    return f"HERE / {os.path.relpath(policy, folder)!r}"


def _stem(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_").lower() or "call"
