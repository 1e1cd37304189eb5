"""What a judge is shown by default: what users asked and which tools the model called, one JSON object a line.

Neither the model's prose nor the results of tools: the one argues for itself, the other may have been written to. In
JSON lines no text can pass for another line. What is too long is cut in the open, the oldest first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from luthien_stream.events.answer import Text, ToolCall
from luthien_stream.policy.turns import Turn

LONGEST = 120_000
"""Characters of a subject, some 30,000 tokens."""
LINE = 20_000
"""Characters of one text in it."""


def subject(turns: Sequence[Turn], judged: Sequence[ToolCall | Text] = ()) -> str:
    """Return what was asked and called so far, and behind it the calls, or texts, to judge.

    Of a history that is too long, the first line (the task) and the newest are kept. What is judged is never cut away:
    raises `ValueError` where it alone is too long.
    """
    last = [_line("judged", one.text if isinstance(one, Text) else _called(one, cut=False)) for one in judged]
    room = LONGEST - sum(map(len, last))
    if room < 0:
        raise ValueError(f"the calls to judge have more than {LONGEST} characters")
    return "\n".join([*_newest(list(_lines(turns)), room), *last])


def _lines(turns: Sequence[Turn]) -> Iterator[str]:
    for turn in turns:
        yield from (_line("user", _cut(text)) for text in turn.user)
        yield from (_line("tool_call", _called(call, cut=True)) for call in turn.tool_calls)


def _newest(lines: list[str], room: int) -> list[str]:
    """The first line and as many of the last ones as have room, with a note of how many are missing."""
    if sum(len(line) + 1 for line in lines) <= room:
        return lines
    first, rest = lines[:1], lines[1:]
    room -= sum(map(len, first))
    kept: list[str] = []
    while rest and len(rest[-1]) < room:
        kept.append(rest.pop())
        room -= len(kept[-1]) + 1
    return [*first, _line("left_out", len(rest)), *reversed(kept)]


def _called(call: ToolCall, cut: bool) -> dict[str, str]:
    return {"name": call.name, "arguments": _cut(call.arguments) if cut else call.arguments}


def _cut(text: str) -> str:
    if len(text) <= LINE:
        return text
    half = LINE // 2
    return f"{text[:half]} [… {len(text) - LINE} characters left out …] {text[-half:]}"


def _line(name: str, value: Any) -> str:
    return msgspec.json.encode({name: value}).decode()
