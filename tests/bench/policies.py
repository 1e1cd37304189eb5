"""What policies cost: a chunk of a streamed answer, a gate's decision, and a long call that is run again.

Run by `make bench-policies`. A chunk is a word, in the provider's frame; a policy's own cost is what it adds to `noop`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from luthien_stream.events.log import AnyEvent
from luthien_stream.policy import Policy, ToolCall, run
from luthien_stream.policy.catalogue import find
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.testing.rig import call_log, drive, program
from luthien_stream.upstream.render import STREAMS
from luthien_stream.upstream.script import Answer, Say, words
from tests.bench.decisions import shell_guard_us

ROUNDS = 15
PLAIN = "Once there was a small robot that was asked to tidy a workshop. It swept the floor and sorted the screws. "
PROSE = "The quick brown fox has read the manual, twice; its tail (no password in it) is in the way of a key word. "
TELLING = "password: hunter2hunter2 and sk" + "_live_" + "Zx9Qw8Er7Ty6Ui5Op4As3Df2 in https://u:pa55word@host/x. "
FILTER = [
    {"name": "names", "words": ["Mallory", "key words"]},
    {"name": "n", "pattern": "[0-9]{3}-[0-9]{4}", "max_len": 8},
]

STREAMED: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("noop", {}, PROSE),
    ("all_caps", {}, PROSE),
    ("string_replace", {"replace": [["password", "***"], ["foxes", "dogs"]]}, PROSE),
    ("content_filter", {"rules": FILTER}, PROSE),
    ("hidden_text", {}, PROSE),
    ("secret_redact", {}, PLAIN),
    ("secret_redact", {}, PROSE),
    ("secret_redact", {}, TELLING),
)
"""A policy, its configuration, and the text that streams through it."""
NAMED = {PLAIN: " (no such word)", PROSE: "", TELLING: " (secrets)"}
_SHELL = ToolCall("1", "Bash", '{"command":"find . -name \\"*.py\\" | xargs grep -n TODO | head -50 && make test"}')
_SQL = ToolCall(
    "1", "run_sql", '{"query":"SELECT a.id, count(*) FROM a JOIN b ON a.id = b.id WHERE b.x > 3 GROUP BY a.id"}'
)
GATES: tuple[tuple[str, dict[str, Any], ToolCall], ...] = (
    ("block_tools", {"rules": [{"tool": "Bash", "arguments": r"rm\s+-rf"}]}, _SHELL),
    ("shell_guard", {}, _SHELL),
    ("sensitive_write", {}, _SHELL),
    ("web_request", {}, _SHELL),
    ("sql_protection", {}, _SQL),
)
"""A gate, its configuration, and a call to decide on."""


def made(name: str, config: dict[str, Any]) -> Policy:
    """A built-in policy as a configuration makes it."""
    return msgspec.convert(config, find(name))


def log_of(text: str, chunks: int) -> list[AnyEvent]:
    """The log of a call whose answer is so many chunks of a text."""
    pieces = words(text)
    said = tuple(pieces[number % len(pieces)] for number in range(chunks))
    return call_log("openai_chat", STREAMS["openai_chat"](Answer("m", (Say(said),)), True))


def best(work: Callable[[], object]) -> float:
    """The least CPU time that some work takes, seconds: other processes count little."""
    taken: list[float] = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return min(taken)


def per_chunk(policies: Sequence[Policy], text: str, chunks: int = 1000) -> float:
    """Microseconds for a chunk, decoding and framing included."""
    pipeline, log = Pipeline.of(policies), log_of(text, chunks)
    return best(lambda: drive(program(pipeline), log)) / chunks * 1e6


def lines() -> Iterator[str]:
    """The tables."""
    yield f"{'policy':34}{'us/chunk':>10}{'of its own':>12}"
    for name, config, text in STREAMED:
        bare = per_chunk([made("noop", {})], text)
        cost = per_chunk([made(name, config)], text)
        yield f"{name + NAMED[text]:34}{cost:10.1f}{cost - bare:12.1f}"
    yield f"\n{'gate':34}{'us/call':>10}"
    for name, config, call in GATES:
        policy = made(name, config)
        yield f"{name:34}{best(lambda policy=policy, call=call: run(policy, [call] * 200)) / 200 * 1e6:10.1f}"  # type: ignore[misc]
    yield f"{'shell_guard, its table':34}{shell_guard_us():10.1f}"
    yield f"\n{'10,000 chunks run again':34}{'ms':>10}"
    for name, config, text in (STREAMED[0], STREAMED[2], STREAMED[6]):
        pipeline, log = Pipeline.of(made(name, config)), log_of(text, 10_000)
        yield f"{name:34}{best(lambda pipeline=pipeline, log=log: _again(pipeline, log)) * 1e3:10.1f}"  # type: ignore[misc]


def _again(pipeline: Pipeline, log: Sequence[AnyEvent]) -> None:
    """Feed a whole log at once, as a worker does that takes a call over."""
    fresh = program(pipeline)
    for event in log:
        fresh.feed(event)
    fresh.advance()


if __name__ == "__main__":
    print("\n".join(lines()))  # noqa: T201
