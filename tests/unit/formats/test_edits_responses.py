"""What policies do to streams of responses: every repeat says what was released, numbers rise, items have places."""

from __future__ import annotations

from typing import Any

import pytest

from luthien_stream.events.answer import End, Event, Kinds, Opaque, PartEnd, Text, Thinking, ToolCall
from luthien_stream.formats.errors import FrameError
from tests.unit.formats.drive import (
    POLICIES,
    RESPONSES,
    checked,
    denying,
    dropping,
    dropping_text,
    each_text,
    first,
    held_to_end,
    meaning,
    through,
)
from tests.unit.formats.read_responses import loads, response, said, typed
from tests.unit.formats.scenarios_responses import (
    BASH,
    KEEPALIVE,
    READ,
    SCENARIOS,
    SLOPPY,
    about,
    answer,
    function,
    text,
)


def test_an_edit_is_in_every_repeat() -> None:
    """Clients read any of four; all other fields, and the frames that do not say the text, stay as they are."""
    frames = SCENARIOS["text"]
    run = through(RESPONSES, frames, each_text(str.upper))
    whole = "HELLO WÖRLD\u2028!"
    assert said(run.frames) == {"deltas": [whole], "text": [whole], "part": [whole], "items": [whole, whole]}
    assert b"w\xc3\xb6rld" not in run.stream
    kept = [a is b for a, b in zip(run.frames, frames, strict=True)]
    assert kept == [True] * 4 + [False] * 7
    before, after = loads(frames), loads(run.frames)
    assert [event["sequence_number"] for event in after] == [event["sequence_number"] for event in before]
    assert {**response(frames), "output": []} == {**response(run.frames), "output": []}
    assert [list(event) for event in after[7:]] == [list(event) for event in before[7:]]


def test_an_edit_of_one_piece_leaves_the_others() -> None:
    """Only what changed, and what repeats it, is made anew."""
    frames = SCENARIOS["two texts"]
    run = through(RESPONSES, frames, each_text(lambda piece: piece.replace("c", "C")))
    changed = [event["type"] for event, a, b in zip(loads(frames), run.frames, frames, strict=True) if a is not b]
    assert changed == [
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]


def test_what_repeats_an_edited_text_goes() -> None:
    """Log probabilities and annotations, in every place; padding of the edited frame too."""
    for name in ("logprobs", "annotations"):
        run = through(RESPONSES, SCENARIOS[name], each_text(str.upper))
        for event in loads(run.frames):
            for place in (event, event.get("part", {}), *(event.get("item", {}).get("content") or ())):
                assert not place.get("logprobs")
                assert not place.get("annotations")
        assert all("obfuscation" not in event for event in typed(run.frames, "output_text.delta"))
        assert all(not one.get("annotations") for item in response(run.frames)["output"] for one in item["content"])
    assert run.rules == ["unplaced"]


def test_annotations_can_be_dropped() -> None:
    """They are events of their own; the text keeps its frames, what repeats them does not."""
    run = through(RESPONSES, SCENARIOS["annotations"], dropping(Opaque))
    assert typed(run.frames, "output_text.annotation.added") == []
    assert said(run.frames)["items"] == ["ab", "ab"]
    assert b"url_citation" not in run.stream
    assert checked(RESPONSES, run.frames) == []


def test_text_before_the_answer_is_a_message_of_its_own() -> None:
    """The provider's message keeps its id and moves up by one."""
    run = through(RESPONSES, SCENARIOS["tool"], first("Note: "))
    output = response(run.frames)["output"]
    assert [item["type"] for item in output] == ["message", "message", "function_call"]
    assert output[0]["content"][0]["text"] == "Note: "
    assert output[0]["id"] == "msg_luthien_01_00"
    assert [item["id"] for item in output[1:]] == ["msg_0", "fc_1"]
    assert [event["output_index"] for event in typed(run.frames, "output_item.done")] == [0, 1, 2]
    assert [event["sequence_number"] for event in loads(run.frames)] == list(range(len(run.frames)))


def test_text_behind_a_piece_goes_on_in_its_content() -> None:
    """With the ids of what is open."""
    run = through(RESPONSES, SCENARIOS["text"], POLICIES["split texts"])
    assert said(run.frames)["items"] == ["Hel<Hel>lo <lo >wörld\u2028!<wörld\u2028!>"] * 2
    assert {event["item_id"] for event in typed(run.frames, "output_text.delta")} == {"msg_0"}


def test_text_waits_for_reasoning() -> None:
    """Nothing stands inside the reasoning."""

    def policy(event: Event) -> list[Event]:
        return [event, Text("!")] if isinstance(event, Thinking) else [event]

    run = through(RESPONSES, SCENARIOS["reasoning"], lambda: policy)
    assert [item["type"] for item in response(run.frames)["output"]] == ["reasoning", "message", "message"]
    assert response(run.frames)["output"][1]["content"][0]["text"] == "!!!"


def test_reasoning_is_passed_or_dropped_whole() -> None:
    """It is signed: no edit, no half; what was dropped before an item that needs it is noted."""
    run = through(RESPONSES, SCENARIOS["reasoning and tool"], dropping(Thinking))
    assert [item["type"] for item in response(run.frames)["output"]] == ["function_call"]
    assert run.rules == ["reasoning_dropped"]
    for name in ("reasoning", "hidden reasoning"):
        run = through(RESPONSES, SCENARIOS[name], dropping(Thinking))
        assert [item["type"] for item in response(run.frames)["output"]] == ["message"]
        with pytest.raises(FrameError, match="whole part"):
            through(
                RESPONSES,
                SCENARIOS[name],
                lambda: lambda e: [e.with_text("x")] if isinstance(e, Thinking) else [e],
            )
    half = lambda e: [] if isinstance(e, Thinking) and e.text == " so" else [e]  # noqa: E731
    with pytest.raises(FrameError, match="whole part"):
        through(RESPONSES, SCENARIOS["reasoning"], lambda: half)


def test_reasoning_leaves_whole_without_its_part_end() -> None:
    """A policy that drops ends of parts loses no signature."""
    run = through(RESPONSES, SCENARIOS["reasoning"], dropping(PartEnd))
    assert response(run.frames)["output"][0]["encrypted_content"] == "c2ln"
    assert [event["item"] for event in typed(run.frames, "output_item.done")] == response(run.frames)["output"]


def test_a_denied_call_becomes_text() -> None:
    """The text is a message; the calls that are left move."""
    run = through(RESPONSES, SCENARIOS["two tools"], denying("Bash"))
    output = response(run.frames)["output"]
    assert [item["type"] for item in output] == ["message", "message", "function_call"]
    assert output[1]["content"][0]["text"] == "Bash is not allowed."
    assert (output[2]["call_id"], output[2]["arguments"]) == (READ[0], READ[2])
    assert b"rm -rf" not in run.stream
    alone = through(RESPONSES, SCENARIOS["only a tool"], dropping(ToolCall))
    assert (response(alone.frames)["output"], response(alone.frames)["status"]) == ([], "completed")


@pytest.mark.parametrize(
    ("name", "field", "safe"),
    [
        ("only a tool", "arguments", '{"safe":true}'),
        ("custom tool", "input", '{"safe":true}'),
        ("shell", "action", {"safe": True}),
        ("local shell", "action", {"safe": True}),
        ("patch", "operation", {"safe": True}),
        ("computer", "action", {"safe": True}),
        ("approval", "arguments", '{"safe":true}'),
    ],
)
def test_arguments_are_edited_as_each_kind_spells_them(name: str, field: str, safe: Any) -> None:
    """In the item and in all that repeats it; other fields of the item stay."""
    run = through(RESPONSES, SCENARIOS[name], POLICIES["safe arguments"])
    before = response(SCENARIOS[name])["output"][-1]
    assert response(run.frames)["output"][-1] == {**before, field: safe}
    assert typed(run.frames, "output_item.done")[-1]["item"] == {**before, field: safe}
    calls = [event for event in through(RESPONSES, run.frames).events if isinstance(event, ToolCall)]
    assert [call.args for call in calls] == [{"safe": True}]
    assert b"command" not in b"".join(run.frames[-3:]) or name == "custom tool"


def test_a_call_made_by_a_policy() -> None:
    """It has all its frames, with an id of its own kind."""
    call = ToolCall("c9", "Look", '{"a":1}')
    run = through(RESPONSES, SCENARIOS["text"], lambda: lambda e: [call, e] if isinstance(e, End) else [e])
    item = response(run.frames)["output"][1]
    assert (item["type"], item["call_id"], item["name"], item["arguments"]) == (
        "function_call",
        "c9",
        "Look",
        '{"a":1}',
    )
    assert [event["type"] for event in loads(run.frames)[-5:-1]] == [
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
    ]
    shell = ToolCall("c8", "shell", '{"commands":["ls"]}', kind="shell")
    run = through(RESPONSES, SCENARIOS["text"], lambda: lambda e: [shell, e] if isinstance(e, End) else [e])
    assert response(run.frames)["output"][1]["action"] == {"commands": ["ls"]}
    for wrong in (ToolCall("a", "Look", "{"), ToolCall("a", "shell", "3", kind="shell")):
        with pytest.raises(FrameError, match="JSON"):
            through(RESPONSES, SCENARIOS["tool"], lambda made=wrong: lambda e: [made])  # type: ignore[misc]


def test_other_words_in_a_call_s_frames_do_not_leave() -> None:
    """Clients may read any of the frames: where they differ, all say what policies saw."""
    frames = [raw.replace(b'"delta":"m -rf', b'"delta":"m -rf ~') for raw in SCENARIOS["only a tool"]]
    assert frames != SCENARIOS["only a tool"]
    run = through(RESPONSES, frames)
    assert run.rules == ["repeats_differ"]
    assert b"~" not in run.stream
    assert "".join(event["delta"] for event in typed(run.frames, "function_call_arguments.delta")) == "".join(BASH[2:])


def test_a_call_that_loses_its_arguments_at_its_end_has_none() -> None:
    """What policies see is what the item says in the end, and no other frame says more."""
    frames = [
        raw.replace(b'"arguments":"{\\"command\\": \\"rm -rf /\\"}",', b"") if b"output_item.done" in raw else raw
        for raw in SCENARIOS["only a tool"]
    ]
    assert frames != SCENARIOS["only a tool"]
    run = through(RESPONSES, frames)
    assert [event.arguments for event in run.events if isinstance(event, ToolCall)] == [""]
    assert run.rules == ["repeats_differ"]
    assert b"rm -rf" not in run.stream


@pytest.mark.parametrize("name", SLOPPY)
def test_imitators_pass_and_can_be_edited(name: str) -> None:
    """Text that was never streamed, or that ends as another one, is seen, and leaves as it was seen."""
    for policy in ("noop", "capitals", "no texts", "held to end"):
        run = through(RESPONSES, SLOPPY[name], POLICIES[policy])
        text = "".join(one[1] for one in meaning(run.events) if one[0] == "Text")
        wanted = {"capitals": text.upper(), "no texts": ""}.get(policy, text)
        items = [item for item in response(run.frames)["output"] if item["type"] == "message"]
        assert "".join(one["text"] for item in items for one in item["content"]) == wanted
        assert text in ("a", "ab")
    if name != "other words in the end":
        assert through(RESPONSES, SLOPPY[name]).frames == SLOPPY[name]


def test_a_message_loses_one_of_its_contents() -> None:
    """The other one moves, in every frame."""
    run = through(RESPONSES, SCENARIOS["text and refusal"], dropping_text("a"))
    assert {event["content_index"] for event in typed(run.frames, "refusal.delta")} == {0}
    assert response(run.frames)["output"][0]["content"] == [{"type": "refusal", "refusal": "no"}]
    run = through(RESPONSES, SCENARIOS["text and refusal"], dropping_text("no"))
    assert [one["type"] for one in response(run.frames)["output"][0]["content"]] == ["output_text"]


def test_a_refusal_stays_one() -> None:
    """Its text is edited in its own field, and new text in it is a refusal too."""
    run = through(RESPONSES, SCENARIOS["refusal"], POLICIES["split texts"])
    assert response(run.frames)["output"][0]["content"] == [{"type": "refusal", "refusal": "I can<I can>not.<not.>"}]
    made = Text("No.", refusal=True)
    run = through(RESPONSES, SCENARIOS["nothing"], lambda: lambda e: [made, e])
    assert response(run.frames)["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]


def test_numbers_rise_where_a_keepalive_overtakes() -> None:
    """What a policy holds leaves behind it, with numbers of its own."""
    frames = answer(text(0, "a"), [KEEPALIVE], function(1, *BASH), [KEEPALIVE])
    run = through(RESPONSES, frames, held_to_end)
    numbers = [event["sequence_number"] for event in loads(run.frames)]
    assert numbers == sorted(set(numbers))
    assert len(run.frames) == len(frames)
    assert [said for said in meaning(through(RESPONSES, run.frames).events) if said[0] == "Text"] == [("Text", "a")]


def test_a_moved_item_keeps_its_spelling() -> None:
    """Only its numbers are patched, even where other fields have the same name."""
    search = {"action": {"type": "search", "output_index": 7, "sequence_number": 9}}
    item = {"id": "x", "type": "web_search_call", "status": "completed", **search}
    events = [about(1, "output_item.added", item=item, n=0.10), about(1, "output_item.done", item=item, n=0.10)]
    frames = answer(text(0, "gone"), events, text(2, "kept"))
    run = through(RESPONSES, frames, dropping_text("gone"))
    moved = [event for event in typed(run.frames, "output_item.done") if event["item"]["type"] == "web_search_call"]
    assert (moved[0]["output_index"], moved[0]["item"]) == (0, item)
    assert b'"n":0.1' in run.stream
    assert [event["output_index"] for event in typed(run.frames, "output_text.delta")] == [1]
    kept = next(raw for raw in frames if b'"kept"' in raw and b".delta" in raw)
    assert next(raw for raw in run.frames if b'"kept"' in raw and b".delta" in raw) == kept.replace(
        b'"output_index":2', b'"output_index":1'
    ).replace(b'"sequence_number":12', b'"sequence_number":6')


def test_items_flow_by_if_nobody_sees_them() -> None:
    """Frame by frame, in their place: numbered anew where something before them is gone."""
    sees: Kinds = frozenset({Text})
    decoder = RESPONSES.decoder(sees)
    given = [list(decoder.frame(raw)) for raw in SCENARIOS["tool"]]
    assert sum(not items for items in given) <= 4
    run = through(RESPONSES, SCENARIOS["tool"], dropping(Text), sees)
    assert [event["output_index"] for event in typed(run.frames, "function_call_arguments.delta")] == [0, 0]
    assert [item["type"] for item in response(run.frames)["output"]] == ["function_call"]
    assert checked(RESPONSES, run.frames) == []
