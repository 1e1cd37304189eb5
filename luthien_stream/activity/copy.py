"""The binary COPY form of runs. The driver would look at every array element in Python, which costs most of a write.

Layout: a header, per row its count of columns and each value behind its length, and a trailer. All big-endian.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from struct import Struct, pack
from struct import error as StructError

from luthien_stream.activity.rows import RunRow

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
_HEAD = Struct(">iiiii")
"""Of an array: dimensions, whether there are NULLs, type of the elements, length, first index."""
PIECE = 128
"""Elements laid out at once: a layout takes 64 bytes an element, and there is one for each length up to this."""
_INT4, _INT8 = 23, 20
"""Type numbers of array elements."""
_LETTER = {_INT4: "i", _INT8: "q"}
_SIZE = {_INT4: 4, _INT8: 8}


def copy_of_runs(runs: Iterable[RunRow]) -> bytes:
    """Return the rows as COPY ... WITH (FORMAT binary) takes them. Raises `ValueError` for what no column can hold."""
    try:
        return b"".join([_HEADER, *map(_row, runs), _TRAILER])
    except StructError as error:
        raise ValueError(f"A number is out of its column's range: {error}") from error


def _row(run: RunRow) -> bytes:
    columns = (
        run.call_id.encode(),
        run.src.encode(),
        pack(">q", run.first_n),
        _array(run.times, _INT8),
        _array(run.entries, _INT8),
        run.kinds.encode(),
        _array(run.ends, _INT4),
        None if run.origins is None else _array(run.origins, _INT8),
        run.frames,
        run.digest,
    )
    parts = [pack(">h", len(columns))]
    for column in columns:
        parts += [_NULL] if column is None else [pack(">i", len(column)), column]
    return b"".join(parts)


def _array(values: list[int], element: int) -> bytes:
    """One dimension, no NULLs, from index 1; each element behind its length."""
    head = _HEAD.pack(1, 0, element, len(values), 1)
    if len(values) <= PIECE:
        return head + _elements(values, element)
    pieces = [_elements(values[at : at + PIECE], element) for at in range(0, len(values), PIECE)]
    return b"".join([head, *pieces])


def _elements(values: list[int], element: int) -> bytes:
    flat = [_SIZE[element]] * (2 * len(values))
    flat[1::2] = values
    return _layout(len(values), element).pack(*flat)


@lru_cache(maxsize=2 * PIECE + 2)
def _layout(length: int, element: int) -> Struct:
    return Struct(">" + f"i{_LETTER[element]}" * length)
