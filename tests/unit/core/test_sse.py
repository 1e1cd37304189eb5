"""Splitting a stream into frames, and reading the fields of a frame."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthien_stream.core.sse import FrameTooLong, Splitter, data_of, event_of, field_of, frame_of

PIECES = [
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"data: a",
    b"event: x",
    b": c",
    "\u2028".encode(),
    "\x85".encode(),
    b"",
    b"\xff",
]
streams = st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join)


def split(pieces: list[bytes]) -> tuple[list[bytes], bytes]:
    """All frames of a stream fed in pieces, and the rest."""
    splitter = Splitter()
    frames = [frame for piece in pieces for frame in splitter.feed(piece)]
    return frames, splitter.rest()


@given(streams, st.lists(st.integers(0, 90), max_size=8))
def test_frames_do_not_depend_on_the_feed(stream: bytes, cuts: list[int]) -> None:
    """However a stream is cut into pieces, its frames are the same."""
    edges = [0, *sorted(cuts), len(stream)]
    pieces = [stream[a:b] for a, b in itertools.pairwise(edges)]
    assert split(pieces) == split([stream[i : i + 1] for i in range(len(stream))]) == split([stream])


@given(streams)
def test_frames_joined_are_the_stream(stream: bytes) -> None:
    """Not a byte is lost, and each frame ends with its only blank line."""
    frames, rest = split([stream])
    assert b"".join(frames) + rest == stream
    for frame in frames:
        assert frame.endswith((b"\n\n", b"\n\r\n"))
        assert b"\n\n" not in frame[:-1]
        assert b"\n\r\n" not in frame[:-1]


@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\x85", "\r", "\x0b", "\x0c"])
def test_only_two_line_ends_count(odd: str) -> None:
    """Characters that other splitters take for line ends stay inside their frame."""
    frame = f"data: a{odd}{odd}b\n\n".encode()
    assert split([frame + frame]) == ([frame, frame], b"")
    assert data_of(frame) == f"a{odd}{odd}b".encode()


def test_both_line_ends_make_frames() -> None:
    """Streams with carriage returns are split in the same places."""
    assert split([b"data: a\r\n\r\ndata: b\n\r\ndata: c\r\n"]) == (
        [b"data: a\r\n\r\n", b"data: b\n\r\n"],
        b"data: c\r\n",
    )


def test_a_frame_without_end_is_refused() -> None:
    """What has no blank line within the limit is not kept for ever."""
    splitter = Splitter(limit=10)
    assert splitter.feed(b"0123456789") == []
    with pytest.raises(FrameTooLong):
        splitter.feed(b"x")


@pytest.mark.parametrize(
    ("frame", "event", "data"),
    [
        (b"data: {}\n\n", "", b"{}"),
        (b"event: ping\ndata: {}\n\n", "ping", b"{}"),
        (b"event:ping\r\ndata:{}\r\n\r\n", "ping", b"{}"),
        (b"data: a\ndata: b\n\n", "", b"a\nb"),
        (b"data: a\nevent: x\n\n", "x", b"a"),
        (b"event: x\nid: 1\ndata: a\n\n", "x", b"a"),
        (b"event: x\n: c\ndata: a\nevent: y\n\n", "y", b"a"),
        (b"data\n\n", "", b""),
        (b": comment\n\n", "", None),
        (b"retry: 3\n\n", "", None),
        (b"\ndata: a\n\n", "", b"a"),
        (b"\n\n", "", None),
        (b"\xef\xbb\xbfdata: a\n\n", "", b"a"),
    ],
)
def test_fields(frame: bytes, event: str, data: bytes | None) -> None:
    """Event name and data are read in any order, spelling and number of lines."""
    assert (event_of(frame), data_of(frame)) == (event, data)


@given(
    st.sampled_from(["", "ping", "x"]),
    st.binary(max_size=20).filter(lambda data: b"\n" not in data and b"\r" not in data),
)
def test_a_made_frame_reads_back(event: str, data: bytes) -> None:
    """The fast ways of reading a frame say the same as the general one."""
    frame = frame_of(data, event)
    assert (event_of(frame), data_of(frame), field_of(frame, b"data")) == (event, data, data)
    assert split([frame]) == ([frame], b"")
