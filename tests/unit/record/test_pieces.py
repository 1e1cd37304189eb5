"""Bodies in pieces: whatever a body is, it comes back as the very bytes, and a history that grew shares its pieces."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthien_stream.record.pieces import join, split, walk

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
FIELDS = st.sampled_from(["messages", "input", "tools", "system", "model", "x", ""])


def joined(body: bytes) -> bytes:
    """A body taken apart and put together again."""
    made = split(body)
    links = {ref: (parent, piece) for ref, parent, piece in made.links}
    return join(made.packed, made.pieces.__getitem__, lambda last: [made.pieces[p] for p in walk(last, links)][::-1])


@given(st.lists(st.tuples(FIELDS, VALUES), max_size=6), st.sampled_from([None, 1, "\t"]), st.booleans())
def test_any_object_comes_back(fields: list[tuple[str, Any]], indent: int | str | None, ascii: bool) -> None:
    """Fields that are there twice, too."""
    parts = ", ".join(
        f"{json.dumps(name)}:{json.dumps(value, indent=indent, ensure_ascii=ascii)}" for name, value in fields
    )
    body = ("{" + parts + "}").encode("utf-8", "surrogatepass")
    assert joined(body) == body


@given(st.binary(max_size=200))
def test_anything_comes_back(body: bytes) -> None:
    """What is no JSON is a piece."""
    assert joined(body) == body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"messages": []}',
        b'{"messages":[ 1 , 1,1 ]}',
        b'{"messages":[{"a":1},\n{"a":1}]}',
        b'{"messages":"' + b"x" * 2000 + b'"}',
        b'{"tools":[1],"messages":[1],"tools":[2,2]}',
        b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"messages":[' + b",".join(b'{"content":"%d"}' % i for i in range(500)) + b"]}",
    ],
)
def test_odd_ones_come_back(body: bytes) -> None:
    """Empty lists, uneven separators, depth, strings where a list is meant."""
    assert joined(body) == body


def conversation(turns: int, marked: bool) -> bytes:
    """A request with so many messages, as agents send it; `marked`: the last two carry a cache mark."""
    messages: list[dict[str, Any]] = [
        {"role": "user" if i % 2 == 0 else "assistant", "content": f"message {i} " * 50} for i in range(turns)
    ]
    for message in messages[-2:] if marked else ():
        message["cache_control"] = {"type": "ephemeral"}
    body = {"model": "m", "messages": messages, "tools": [{"name": f"t{i}"} for i in range(30)], "system": "s" * 900}
    return json.dumps(body).encode()


@pytest.mark.parametrize("marked", [False, True])
def test_a_history_that_grew_costs_what_is_new(marked: bool) -> None:
    """Marks that move with the end cost the last messages once more, not the history."""
    first, second = split(conversation(100, marked)), split(conversation(102, marked))
    new = {link[0] for link in second.links} - {link[0] for link in first.links}
    assert len(new) <= (4 if marked else 2)
    fresh = second.pieces.keys() - first.pieces.keys()
    assert sum(len(second.pieces[ref]) for ref in fresh) < 3000
    assert len(second.packed) < 400
