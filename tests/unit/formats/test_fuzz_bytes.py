"""Any bytes: recorded streams, bodies and requests with bits flipped, cut, joined, doubled, and swollen."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthien_stream.core.lens import Lens
from luthien_stream.core.sse import FrameTooLong, Splitter
from luthien_stream.errors import ClientError
from luthien_stream.events.answer import ALL, Kinds, Text, ToolCall
from luthien_stream.formats import LENSES
from luthien_stream.formats.convert import Conversion
from luthien_stream.formats.errors import FrameError, ProtocolError, RequestError
from luthien_stream.formats.marks import CUT, OWN, UNTHOUGHT
from tests.unit.formats.bodies import completion_of, message_of, response_of
from tests.unit.formats.convert.pairs import HELLO, PAIRS
from tests.unit.formats.convert.rich import RICH
from tests.unit.formats.drive import POLICIES, STREAMS, body_through, through

FEW, MANY = 150, 20_000
SEES: list[Kinds] = [ALL, frozenset({Text}), frozenset({ToolCall}), frozenset()]
JUNK = [
    *(
        b"\x00",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\r",
        b"\n\n",
        b"\r\n\r\n",
        b"\\ud800",
        b"\\u0000",
        b"\\",
        b'"',
        b"}",
        b",",
    ),
    *(b"9" * 400, b"1e999", b"-1", b"NaN", b"[" * 3000, b'{"a":' * 3000, b"null", b"true", b"[]", b"{}"),
    *(b": comment\n", b"event: ", b"data: ", b"id: 1\n", b"retry: 1\n", b"data: [DONE]\n\n", "\u2028".encode()),
    *(CUT.encode(), OWN.encode(), UNTHOUGHT.encode()),
]
BODIES: dict[str, Callable[[list[bytes]], bytes]] = {
    "anthropic_messages": message_of,
    "openai_chat": completion_of,
    "openai_responses": response_of,
}
Check = Callable[..., None]


@st.composite
def mutated(draw: st.DrawFn, given: bytes) -> bytes:
    """The bytes with a few things done to them."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(given)))
        end = min(len(given), start + draw(st.integers(0, 400)))
        match draw(st.sampled_from(["flip", "cut", "double", "junk", "move", "end"])):
            case "flip" if start < len(given):
                given = given[:start] + bytes([given[start] ^ (1 << draw(st.integers(0, 7)))]) + given[start + 1 :]
            case "cut":
                given = given[:start] + given[end:]
            case "double":
                given = given[:end] + given[start:end] + given[end:]
            case "junk":
                given = given[:start] + draw(st.sampled_from(JUNK) | st.binary(max_size=9)) + given[start:]
            case "move":
                rest, at = given[:start] + given[end:], draw(st.integers(0, start))
                given = rest[:at] + given[start:end] + rest[at:]
            case _:
                given = given[:start]
    return given


@st.composite
def streams(draw: st.DrawFn) -> tuple[Lens, bytes]:
    """A stream of any format, sometimes with another one behind it."""
    lens, frames = STREAMS[draw(st.sampled_from(sorted(STREAMS)))]
    more = STREAMS[draw(st.sampled_from(sorted(STREAMS)))][1] if draw(st.integers(0, 4)) == 0 else []
    return lens, draw(mutated(b"".join([*frames, *more])))


@st.composite
def bodies(draw: st.DrawFn) -> tuple[Lens, bytes]:
    """An unstreamed answer of any format."""
    sound = sorted(name for name in STREAMS if not name.endswith(": error"))
    lens, frames = STREAMS[draw(st.sampled_from(sound))]
    return lens, draw(mutated(BODIES[lens.name](frames) if _has_body(lens.name, frames) else b"{}"))


def _has_body(form: str, frames: list[bytes]) -> bool:
    try:
        return bool(BODIES[form](frames))
    except (KeyError, StopIteration, ValueError):
        return False


REQUESTS = {form: json.dumps({**HELLO[form], **RICH[form]}).encode() for form in RICH}


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, bytes]:
    """A request of any format."""
    form = draw(st.sampled_from(sorted(REQUESTS)))
    return form, draw(mutated(REQUESTS[form]))


def check_stream(case: tuple[Lens, bytes], cuts: list[int], sees: Kinds, policy: str) -> None:
    """Frames do not depend on the feed; what reads them raises its own errors only; the checker raises nothing."""
    lens, stream = case
    whole, pieces = Splitter(), Splitter()
    frames = whole.feed(stream)
    edges = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    fed = [frame for at, end in itertools.pairwise(edges) for frame in pieces.feed(stream[at:end])]
    assert (fed, pieces.rest()) == (frames, whole.rest())
    assert b"".join(frames) + whole.rest() == stream
    checker = lens.checker()
    for frame in frames:
        checker.frame(frame)
    with suppress(ProtocolError, FrameError):
        through(lens, frames, POLICIES[policy], sees, whole.rest())


def check_body(case: tuple[Lens, bytes], policy: str) -> None:
    """A body is read or refused."""
    lens, body = case
    with suppress(ProtocolError, FrameError):
        body_through(lens, body, POLICIES[policy])


def check_request(case: tuple[str, bytes]) -> None:
    """A request is read or refused, whatever is asked of its view, and a history is mended or left alone."""
    form, body = case
    lens = LENSES[form]
    assert isinstance(lens.mended(body), bytes)
    with suppress(ClientError):
        view = lens.request(body)
        assert view.body == body
        for part in view.parts():
            assert isinstance(part.text, str)
        assert (view.messages, view.tools) is not None


def check_conversion(pair: tuple[str, str], stream: bytes, body: bytes, request: bytes) -> None:
    """What is converted is read or refused, both ways."""
    client, provider = pair
    with suppress(RequestError):
        Conversion(client, provider).request(request, "m")
    conversion = Conversion(client, provider)
    conversion.request(json.dumps(HELLO[client]).encode(), "m")
    with suppress(ProtocolError):
        conversion.body(body)
    transcoder, splitter = conversion.stream(), Splitter()
    with suppress(ProtocolError):
        for frame in splitter.feed(stream):
            transcoder.frame(frame)
        transcoder.close(splitter.rest())


@st.composite
def conversions(draw: st.DrawFn) -> tuple[tuple[str, str], bytes, bytes, bytes]:
    """All that one conversion is given."""
    pair = draw(st.sampled_from(PAIRS))
    own = sorted(name for name, (lens, frames) in STREAMS.items() if lens.name == pair[1])
    frames = STREAMS[draw(st.sampled_from(own))][1]
    body = BODIES[pair[1]](frames) if _has_body(pair[1], frames) else b"{}"
    request = draw(mutated(REQUESTS[pair[0]]))
    return pair, draw(mutated(b"".join(frames))), draw(mutated(body)), request


CHECKS: dict[str, tuple[Check, st.SearchStrategy[Any]]] = {
    "stream": (
        lambda given: check_stream(*given),
        st.tuples(
            streams(),
            st.lists(st.integers(0, 3000), max_size=6),
            st.sampled_from(SEES),
            st.sampled_from(sorted(POLICIES)),
        ),
    ),
    "body": (lambda given: check_body(*given), st.tuples(bodies(), st.sampled_from(sorted(POLICIES)))),
    "request": (check_request, requests()),
    "conversion": (lambda given: check_conversion(*given), conversions()),
}


@pytest.mark.parametrize("name", CHECKS)
def test_any_bytes_are_read_or_refused(name: str) -> None:
    """With the module's own typed errors, and nothing else."""
    check, cases = CHECKS[name]
    settings(max_examples=FEW)(given(cases)(check))()


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", CHECKS)
def test_very_many_bytes_are_read_or_refused(name: str) -> None:
    """The same for longer."""
    check, cases = CHECKS[name]
    settings(max_examples=MANY)(given(cases)(check))()


@given(st.lists(st.binary(min_size=1, max_size=40).map(lambda raw: raw.replace(b"\n", b"")), max_size=30))
def test_a_frame_without_end_is_kept_to_a_bound(pieces: list[bytes]) -> None:
    """However it is fed, never more than the limit and one piece are kept."""
    splitter = Splitter(limit=100)
    kept = 0
    for piece in pieces:
        kept += len(piece)
        if kept <= 100:
            assert splitter.feed(piece) == []
        else:
            with pytest.raises(FrameTooLong):
                splitter.feed(piece)
            return
