"""What differs between two texts, word by word; and between two JSON values, path by path. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any, Literal

import msgspec
from msgspec import Struct

MOST_WORDS = 4000
"""Words of the differing middle that are compared one by one; of more, lines are."""
_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_LINES = re.compile(r"[^\n]*\n|[^\n]+")


class Span(Struct, frozen=True):
    """A piece of the comparison: of both texts, or of one."""

    kind: Literal["same", "removed", "added"]
    text: str


class At(Struct, frozen=True):
    """A place in a JSON value that differs; `before` or `after` is None where there is nothing."""

    path: str
    before: str | None
    after: str | None


def diff(before: str, after: str) -> list[Span]:
    """Return both texts as spans, neighbours of one kind joined."""
    one, two = _WORDS.findall(before), _WORDS.findall(after)
    head, tail = _common(one, two)
    middle = one[head : len(one) - tail], two[head : len(two) - tail]
    if max(map(len, middle)) > MOST_WORDS:
        middle = _LINES.findall("".join(middle[0])), _LINES.findall("".join(middle[1]))
    found = [Span("same", "".join(one[:head])), *_spans(*middle), Span("same", "".join(one[len(one) - tail :]))]
    return list(_joined(_together(list(_joined(found)))))


def _together(spans: Sequence[Span]) -> list[Span]:
    """Changes that only white space parts are one: removed first, then added."""
    made: list[Span] = []
    for number, span in enumerate(spans):
        inner = 0 < number < len(spans) - 1 and span.kind == "same" and span.text.isspace()
        if inner and "\n" not in span.text:
            made += [Span("removed", span.text), Span("added", span.text)]
        else:
            made.append(span)
    runs: list[Span] = []
    at = 0
    while at < len(made):
        end = at
        while end < len(made) and made[end].kind != "same":
            end += 1
        for kind in ("removed", "added"):
            text = "".join(span.text for span in made[at:end] if span.kind == kind)
            runs.append(Span(kind, text))
        if end < len(made):
            runs.append(made[end])
        at = end + 1
    return runs


def _common(one: Sequence[str], two: Sequence[str]) -> tuple[int, int]:
    """How many words both begin with, and end with behind that."""
    most = min(len(one), len(two))
    head = next((i for i in range(most) if one[i] != two[i]), most)
    most -= head
    tail = next((i for i in range(most) if one[-1 - i] != two[-1 - i]), most)
    return head, tail


def _spans(one: Sequence[str], two: Sequence[str]) -> Iterator[Span]:
    if max(len(one), len(two)) > MOST_WORDS:
        yield from (Span("removed", "".join(one)), Span("added", "".join(two)))
        return
    for kind, a, b, c, d in SequenceMatcher(None, one, two, autojunk=False).get_opcodes():
        if kind == "equal":
            yield Span("same", "".join(one[a:b]))
        else:
            yield Span("removed", "".join(one[a:b]))
            yield Span("added", "".join(two[c:d]))


def _joined(spans: Iterable[Span]) -> Iterator[Span]:
    last: Span | None = None
    for span in spans:
        if not span.text:
            continue
        if last is not None and last.kind == span.kind:
            last = Span(last.kind, last.text + span.text)
            continue
        if last is not None:
            yield last
        last = span
    if last is not None:
        yield last


def json_diff(before: Any, after: Any, path: str = "") -> Iterator[At]:
    """Yield the places where two JSON values differ, outermost first where the kinds differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            where = f"{path}.{key}" if path else str(key)
            if key not in after:
                yield At(where, _text(before[key]), None)
            elif key not in before:
                yield At(where, None, _text(after[key]))
            else:
                yield from json_diff(before[key], after[key], where)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _list_diff(before, after, path)
    elif before != after or type(before) is not type(after):
        yield At(path, _text(before), _text(after))


def _list_diff(before: list[Any], after: list[Any], path: str) -> Iterator[At]:
    """Elements one by one; what was put in or taken out in the middle is told as such."""
    head, tail = _common([_text(one) for one in before], [_text(one) for one in after])
    one, two = before[head : len(before) - tail], after[head : len(after) - tail]
    for i in range(max(len(one), len(two))):
        where = f"{path}[{head + i}]"
        if i >= len(two):
            yield At(where, _text(one[i]), None)
        elif i >= len(one):
            yield At(where, None, _text(two[i]))
        else:
            yield from json_diff(one[i], two[i], where)


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
