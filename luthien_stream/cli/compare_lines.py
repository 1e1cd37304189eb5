"""Differences between two sides of a call, as lines of text: for `replay`, `diff` and `backtest`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from luthien_stream.cli.plain import preview, printable
from luthien_stream.record.changes import Changed
from luthien_stream.record.words import Span, diff, json_diff
from luthien_stream.replay.result import Change, Comparison

Mode = Literal["none", "text", "tools", "events"]
CONTEXT = 60
"""Characters of equal text that are shown beside a change."""
LONGEST = 400
"""Characters of one value of a JSON diff that are shown."""
_TITLES = {
    "request": "request",
    "text": "text",
    "thinking": "thinking",
    "tool_added": "tool call added",
    "tool_removed": "tool call removed",
    "tool_changed": "tool call changed",
    "end": "end",
    "model": "model",
    "events": "frames",
}
_WANTED: dict[Mode, tuple[str, ...]] = {
    "none": (),
    "text": tuple(name for name in _TITLES if name != "events"),
    "tools": ("tool_added", "tool_removed", "tool_changed", "end"),
    "events": tuple(_TITLES),
}


def lines(comparison: Comparison, mode: Mode, *, colour: bool = False, context: int = CONTEXT) -> Iterator[str]:
    """Return a comparison's changes as lines; `mode` says which of them."""
    for change in comparison.changes:
        if change.what in _WANTED[mode]:
            yield from change_lines(change, colour=colour, context=context)
    if mode == "events" and comparison.at >= 0:
        yield f"the first frame that differs is number {comparison.at} of the final lane"
        for sign, side in (("-", comparison.recorded), ("+", comparison.candidate)):
            if comparison.at < len(side.frames):
                frame = preview(side.frames[comparison.at].decode(errors="replace"), LONGEST)
                yield painted(f"  {sign} {frame}", sign, colour=colour)


def change_lines(change: Change | Changed, *, colour: bool = False, context: int = CONTEXT) -> Iterator[str]:
    """Return one change as lines: a title with the policy that caused it, and what differs below."""
    by = getattr(change, "by", "")
    yield f"{_TITLES[change.what]}{f'  (by {printable(by)})' if by else ''}:"
    if change.what == "request":
        yield from _values(_parsed(change.before), _parsed(change.after), colour)
    elif change.what == "tool_changed":
        name, before = _call(change.before)
        _, after = _call(change.after)
        yield f"  {printable(name)}"
        yield from _values(before, after, colour)
    elif change.what in ("text", "thinking"):
        for line in worded(diff(change.before, change.after), colour=colour, context=context).split("\n"):
            yield f"  {line}"
    else:
        for sign, text in (("-", change.before), ("+", change.after)):
            if text:
                yield painted(f"  {sign} {preview(text, LONGEST)}", sign, colour=colour)


def worded(spans: Iterable[Span], *, colour: bool, context: int = CONTEXT) -> str:
    """Return a word-level diff as text; equal text far from a change is left out."""
    parts: list[str] = []
    found = list(spans)
    for number, span in enumerate(found):
        text = printable(span.text, lines=True)
        if span.kind == "same":
            parts.append(_elided(text, first=number == 0, last=number == len(found) - 1, context=context))
        elif colour:
            parts.append(f"\x1b[{'9;31' if span.kind == 'removed' else '32'}m{text}\x1b[0m")
        else:
            parts.append(f"[-{text}-]" if span.kind == "removed" else "{+" + text + "+}")
    return "".join(parts)


def painted(line: str, sign: str, *, colour: bool) -> str:
    """Return a line in the colour of its sign."""
    return f"\x1b[{'31' if sign == '-' else '32'}m{line}\x1b[0m" if colour else line


def _elided(text: str, *, first: bool, last: bool, context: int) -> str:
    head, tail = (0 if first else context), (0 if last else context)
    if context < 0 or len(text) <= head + tail + 10:
        return text
    return f"{text[:head]} … {text[len(text) - tail :] if tail else ''}"


def _values(before: Any, after: Any, colour: bool) -> Iterator[str]:
    for at in json_diff(before, after):
        yield f"  {printable(at.path or '(all)')}"
        for sign, value in (("-", at.before), ("+", at.after)):
            if value is not None:
                yield painted(f"    {sign} {preview(value, LONGEST)}", sign, colour=colour)


def _call(text: str) -> tuple[str, Any]:
    name, _, rest = text.partition("(")
    return name, _parsed(rest.removesuffix(")"))


def _parsed(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.MsgspecError:
        return text
