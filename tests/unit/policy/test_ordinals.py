"""Which received chunk a released frame is."""

from __future__ import annotations

from luthien_stream.policy.ordinals import LIMIT, Ordinals


def test_the_same_object_is_found_once() -> None:
    """An equal copy is not the original."""
    ordinals = Ordinals()
    frame = bytes([1, 2, 3, 4] * 10)
    ordinals.keep(frame, (5, "frame"))
    assert ordinals.take(bytes(bytearray(frame))) is None
    assert ordinals.take(frame) == (5, "frame")
    assert ordinals.take(frame) is None


def test_the_memory_is_bounded() -> None:
    """The oldest frames are forgotten, the newest kept."""
    ordinals = Ordinals()
    frames = [bytes(LIMIT // 4) for _ in range(6)]
    for number, frame in enumerate(frames):
        ordinals.keep(frame, (number, "frame"))
    assert [ordinals.take(frame) for frame in frames] == [None, None, *((n, "frame") for n in range(2, 6))]
