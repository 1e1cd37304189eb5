"""Events in both encodings: nothing is lost, whatever is in them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthien_stream.errors import PackError
from luthien_stream.events import log, pack
from luthien_stream.events.examples import CALL, examples
from luthien_stream.events.json_form import ENVELOPE, from_json, to_json

NAMES = st.text("abcdefghijklmnop_", min_size=1, max_size=12).map("x_".__add__)
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=9) | st.binary(max_size=20)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3))
FIELDS = st.dictionaries(NAMES, VALUES, max_size=4)
KNOWN = st.sampled_from(sorted(pack.TYPES))


def through_json(src: str, event: log.AnyEvent) -> tuple[str, log.AnyEvent]:
    """Write an event as JSON text and read it again."""
    return from_json(msgspec.json.decode(msgspec.json.encode(to_json(event, src))))


def fields_of(kind: str) -> dict[str, Any]:
    """The example of a type as a plain map."""
    fields: dict[str, Any] = msgspec.msgpack.decode(pack.encode_event(examples()[kind][1]))
    return fields


@given(frame=st.binary(max_size=200), n=st.integers(0, 2**31), time=st.integers(0, 2**52))
def test_frames_pass_untouched(frame: bytes, n: int, time: int) -> None:
    """The provider's bytes are the same after a pack and after JSON, be they UTF-8 or not."""
    event = log.ChunkReceived(call=CALL, n=n, time=time, frame=frame)
    assert pack.decode(pack.encode("edge:e", [event])).events == [event]
    assert through_json("edge:e", event) == ("edge:e", event)


@given(kind=KNOWN, extra=FIELDS)
def test_unknown_fields_are_carried_on(kind: str, extra: dict[str, Any]) -> None:
    """A field of a newer release comes out of a pack as it went in, and the known ones can be read."""
    raw = msgspec.msgpack.encode({**fields_of(kind), **extra})
    event = pack.decode_event(raw)
    assert isinstance(event, pack.TYPES[kind])
    assert event.extra == extra
    assert msgspec.msgpack.decode(pack.encode_event(event)) == msgspec.msgpack.decode(raw)
    assert through_json("edge:e", event) == ("edge:e", event)


@given(kind=st.sampled_from(["tool.weighed", "chunk.measured", ""]), fields=FIELDS, n=st.integers(-1, 99))
def test_unknown_types_are_carried_on(kind: str, fields: dict[str, Any], n: int) -> None:
    """An event of a newer release passes whole, beside known ones in one pack."""
    newer = {"type": kind, "call": CALL, "time": 5, **({"n": n} if n >= 0 else {}), **fields}
    known = log.ChunkSeen(call=CALL, upto=3)
    raw = msgspec.msgpack.encode({"src": "edge:e", "events": [newer, known]})
    found = pack.decode(raw)
    assert found.events == [log.Unknown(newer), known]
    assert msgspec.msgpack.decode(pack.encode("edge:e", found.events)) == msgspec.msgpack.decode(raw)
    assert (found.events[0].call, found.events[0].n) == (CALL, n)
    assert through_json("edge:e", found.events[0]) == ("edge:e", log.Unknown(newer))


@given(of_slip=FIELDS, of_hop=FIELDS)
def test_unknown_fields_of_a_slip_are_carried_on(of_slip: dict[str, Any], of_hop: dict[str, Any]) -> None:
    """A slip of a newer release leaves as it came, its hops too, and what is known of it can be read."""
    fields = fields_of("request.received")
    slip = fields["slip"]
    newer = {**fields, "slip": {**slip, "hops": [{**hop, **of_hop} for hop in slip["hops"]], **of_slip}}
    event = pack.decode_event(msgspec.msgpack.encode(newer))
    assert isinstance(event, log.RequestReceived)
    assert event.slip == examples()["request.received"][1].slip  # type: ignore[union-attr]
    assert msgspec.msgpack.decode(pack.encode_event(event)) == newer
    assert through_json("edge:e", event) == ("edge:e", event)


def test_an_unknown_phase_of_a_hop_is_carried_on() -> None:
    """A phase of a newer release is no phase here, and leaves as it came."""
    fields = fields_of("request.received")
    fields["slip"]["hops"][0]["phases"] = ["request", "tools"]
    event = pack.decode_event(msgspec.msgpack.encode(fields))
    assert isinstance(event, log.RequestReceived)
    assert event.slip.hops[0].phases == ("request",)
    assert msgspec.msgpack.decode(pack.encode_event(event)) == fields


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("chunk.received", "kind"),
        ("chunk.released", "kind"),
        ("response.delivered", "left"),
        ("response.failed", "lane"),
        ("verdict.reached", "kind"),
        ("policy.failed", "went"),
    ],
)
def test_an_unknown_choice_makes_an_unknown_event(kind: str, field: str) -> None:
    """Where a field has a choice of a newer release, the event is carried on whole, beside known ones in one pack."""
    newer = {**fields_of(kind), field: "newer"}
    known = log.ChunkSeen(call=CALL, upto=3)
    raw = msgspec.msgpack.encode({"src": "edge:e", "events": [newer, known]})
    found = pack.decode(raw)
    assert found.events == [log.Unknown(newer), known]
    assert msgspec.msgpack.decode(pack.encode("edge:e", found.events)) == msgspec.msgpack.decode(raw)
    assert through_json("edge:e", found.events[0]) == ("edge:e", log.Unknown(newer))


@given(value=VALUES)
def test_effects_may_hold_anything(value: Any) -> None:
    """An effect's value comes back as it was, bytes inside it too."""
    event = log.EffectRecorded(call=CALL, key="0/response/0", kind="judge", value=value)
    assert pack.decode(pack.encode("stage:s", [event])).events == [event]
    assert through_json("stage:s", event) == ("stage:s", event)


@pytest.mark.parametrize("kind", sorted(pack.TYPES))
def test_the_json_form_has_cloud_events_names(kind: str) -> None:
    """The attributes that CloudEvents requires are there, names are legal, and nothing stands in two places."""
    src, event = examples()[kind]
    form = to_json(event, src, "1-0")
    assert form["specversion"] == "1.0"
    assert form["source"] == src
    assert form["id"].startswith(f"{event.call}/{src}/")
    assert all(name.islower() and name.isalnum() and len(name) <= 20 for name in form)
    assert not ENVELOPE & form["data"].keys()


def test_sequences_sort_as_text() -> None:
    """CloudEvents compares `sequence` as text: padded with zeros it sorts by number."""
    sequences = [to_json(log.ChunkSeen(call=CALL, n=n, upto=0), "edge:e")["sequence"] for n in (2, 9, 10, 100, 99_999)]
    assert sequences == sorted(sequences)


def test_an_event_without_ordinal_is_named_by_its_content() -> None:
    """A repeat has the same id, another content another one."""
    yes, no = (log.ApprovalDecided(call=CALL, key="k", decision=decision) for decision in ("approve", "reject"))
    assert to_json(yes, "console:c")["id"] == to_json(yes, "console:c")["id"]
    assert to_json(yes, "console:c")["id"] != to_json(no, "console:c")["id"]


@pytest.mark.parametrize(
    "raw", [b"", b"\xc1", b"not a pack", msgspec.msgpack.encode([1]), msgspec.msgpack.encode({"src": 1})]
)
def test_what_is_no_pack_is_refused(raw: bytes) -> None:
    """Garbage in a stream is a typed error."""
    with pytest.raises(PackError):
        pack.decode(raw)


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"type": "chunk.seen", "source": "x", "data": {}},
        {"type": "chunk.received", "source": "x", "data": {"frame": 1}},
    ],
)
def test_what_is_no_event_is_refused(form: dict[str, Any]) -> None:
    """JSON that lacks what an event needs is a typed error."""
    with pytest.raises(PackError):
        from_json(form)


def test_a_known_type_with_a_wrong_field_is_refused() -> None:
    """One bad event does not pass for an unknown one."""
    with pytest.raises(PackError, match=r"chunk\.seen"):
        pack.decode_event(msgspec.msgpack.encode({"type": "chunk.seen", "call": CALL, "upto": "many"}))


@pytest.mark.parametrize("field", ["call", "n", "prev", "time"])
def test_an_unknown_type_with_a_wrong_envelope_is_refused(field: str) -> None:
    """What every reader needs of an event must be there to read, whatever its type."""
    newer: dict[str, Any] = {"type": "tool.weighed", "call": CALL, field: ["newer"]}
    with pytest.raises(PackError, match=r"tool\.weighed"):
        pack.decode_event(msgspec.msgpack.encode(newer))
