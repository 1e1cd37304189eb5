"""Break loops: the same tool call again and again with the same result, or two such calls in turn.

Counted over the history that the agent sends with each request, so nothing counts twice, and a call whose result
changes starts anew: repeating what makes progress is no loop. Waiting is none either. What a repeated call comes to
grows with the count: a flag on record, a person's decision, the end of the turn.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import islice

import msgspec

from luthien_stream.actions.known_tools import texts
from luthien_stream.policy import Allow, Context, Hold, Stop, ToolCall, ToolGate, Turn, Verdict

WAITING = ("BashOutput", "TaskOutput", "write_stdin", "*poll*", "*sleep*", "*status*", "*wait*", "*watch*")
_WAITS = re.compile(r"(^|[;&|(]\s*)(sleep|wait|watch)\b")
COUNTED = 100
"""Repetitions that are counted."""
PERIODS = (1, 2)
"""How many calls a loop has that is looked for."""


class Done(msgspec.Struct, frozen=True):
    """A call of the history with its result."""

    call: str
    result: str


class LoopBreaker(ToolGate):
    """`flag_at`, `hold_at`, `stop_at`: the repetition at which each begins, 0 for never; `exempt`: globs of tools."""

    needs = frozenset({"ask", "history"})

    flag_at: int = 3
    hold_at: int = 5
    stop_at: int = 8
    exempt: tuple[str, ...] = WAITING
    timeout_s: float = 120.0
    shown: str = "This tool call was repeated with the same result. Try something else, or ask the user."

    async def check(self, call: ToolCall, ctx: Context) -> Verdict:
        """Count how often the call has been made in a row, this time included."""
        if self._waits(call):
            return Allow()
        past = Past(self._done(ctx.turns))
        count = max(repeats(past, _key(call), period) for period in PERIODS)
        if self.flag_at and count >= self.flag_at:
            ctx.verdict("score", f"repetition {count} with the same result", score=_score(count), about=call.id)
        reason = f"the same call with the same result, {count} times"
        if self.stop_at and count >= self.stop_at:
            return Stop(self.shown, reason)
        if self.hold_at and count >= self.hold_at:
            return Hold(reason, self.shown, self.timeout_s)
        return Allow()

    def _waits(self, call: ToolCall) -> bool:
        if any(fnmatchcase(call.name, name) for name in self.exempt):
            return True
        return any(_WAITS.search(command) for command in texts(call, "shell"))

    def _done(self, turns: Sequence[Turn]) -> Iterator[Done]:
        """The calls so far with their results, newest first; those that wait are left out."""
        results = {result.id: result.text for turn in turns for result in turn.tool_results}
        for turn in reversed(turns):
            for call in reversed(turn.tool_calls):
                if call.id in results and not self._waits(call):
                    yield Done(_key(call), results[call.id])


class Past:
    """Calls that were made, newest first, looked at only as far back as somebody asks."""

    def __init__(self, done: Iterator[Done]) -> None:
        self._known: list[Done] = []
        self._rest = done

    def between(self, start: int, end: int) -> Sequence[Done]:
        """Some of them, fewer where there are no more."""
        self._known += islice(self._rest, max(0, end - len(self._known)))
        return self._known[start:end]


def repeats(past: Past, call: str, period: int) -> int:
    """How often `call` has run every `period` calls up to now, with one result, this time included."""
    newest = past.between(0, period)
    if len(newest) < period or newest[-1].call != call:
        return 1
    count = 1
    while count < COUNTED and past.between((count - 1) * period, count * period) == newest:
        count += 1
    return count


def _score(count: int) -> float:
    """How suspicious a repetition is."""
    return 1 - 1 / count


def _key(call: ToolCall) -> str:
    """Name and arguments, the same however the model wrote the JSON."""
    try:
        arguments = msgspec.json.encode(call.args, order="deterministic").decode()
    except msgspec.DecodeError:
        arguments = call.arguments
    return f"{call.name} {arguments}"
