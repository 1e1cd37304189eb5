"""How streams of responses end after what policies did, and what came out of the usual order before."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from luthien_stream.events.answer import End, Event, Opaque, Text, ToolCall
from tests.unit.formats.drive import (
    CUTS,
    POLICIES,
    RESPONSES,
    checked,
    dropping,
    dropping_text,
    first,
    last,
    stopping,
    through,
)
from tests.unit.formats.read_responses import loads, response, said, typed
from tests.unit.formats.scenarios_responses import (
    BASH,
    SCENARIOS,
    USAGE,
    annotated,
    answer,
    content,
    function,
    message,
    text,
)


def test_the_reason_is_the_type_of_the_end() -> None:
    """A response has no finish reason: it is completed or not."""
    run = through(RESPONSES, SCENARIOS["text"], POLICIES["other reason"])
    assert loads(run.frames)[-1]["type"] == "response.incomplete"
    assert response(run.frames)["incomplete_details"] == {"reason": "max_output_tokens"}
    run = through(
        RESPONSES, SCENARIOS["length"], lambda: lambda e: [e.with_reason("stop")] if isinstance(e, End) else [e]
    )
    assert run.frames[-1].startswith(b"event: response.completed\n")
    assert (response(run.frames)["status"], response(run.frames)["incomplete_details"]) == ("completed", None)


@pytest.mark.parametrize("after", range(7))
@pytest.mark.parametrize("name", sorted(set(SCENARIOS) - {"error", "failed"}))
def test_a_stop_is_a_good_end(name: str, after: int) -> None:
    """A policy that ends the answer early leaves a whole one, with what was released for its output."""
    run = through(RESPONSES, SCENARIOS[name], stopping(after))
    assert checked(RESPONSES, run.frames) == []
    ended = next(event for event in reversed(loads(run.frames)) if "response" in event)
    assert ended["response"]["status"] in ("completed", "incomplete")
    if name != "no repeats":
        done = sorted(typed(run.frames, "output_item.done"), key=lambda event: event["output_index"])
        assert [event["item"]["id"] for event in done] == [item["id"] for item in ended["response"]["output"]]


def test_a_cut_answer_has_no_end() -> None:
    """Whatever policies say, an answer that broke off is not made to look whole."""
    for name in ("responses: cut", "responses: cut in a tool"):
        for policy in POLICIES.values():
            out = through(RESPONSES, CUTS[name][1], policy).stream
            if policy not in (POLICIES["own end"], POLICIES["other reason"]):
                assert b"response.completed" not in out


def test_an_error_of_a_policy_is_an_error_of_the_stream() -> None:
    """A policy may end an answer as failed; its number follows the others."""

    def policy(event: Event) -> list[Event]:
        return [End("error", error="no more")] if isinstance(event, Text) else []

    error = loads(through(RESPONSES, SCENARIOS["text"], lambda: policy).frames)[-1]
    assert (error["type"], error["error"]["message"], error["sequence_number"]) == ("error", "no more", 2)


def test_a_provider_s_error_is_numbered_behind_inserted_text() -> None:
    """Falling numbers would be a wrong stream."""
    run = through(RESPONSES, SCENARIOS["error"], first("Note: "))
    numbers = [event["sequence_number"] for event in loads(run.frames)]
    assert numbers == list(range(len(numbers)))
    assert loads(run.frames)[-1]["message"] == "no"


def test_events_of_another_answer_are_made_anew() -> None:
    """Their bytes mean nothing here; their text does."""
    foreign = next(event for event in through(RESPONSES, SCENARIOS["text"]).events if isinstance(event, Text))
    stranger = replace(foreign, part=replace(foreign.part, origin=1) if foreign.part else None)
    run = through(RESPONSES, SCENARIOS["only a tool"], lambda: lambda e: [stranger, e] if isinstance(e, End) else [e])
    assert response(run.frames)["output"][-1]["content"][0]["text"] == "Hel"


def test_nothing_follows_the_end() -> None:
    """What a policy writes after it is dropped and noted."""
    run = through(RESPONSES, SCENARIOS["text"], lambda: lambda e: [e, Text("more")] if isinstance(e, End) else [e])
    assert run.frames == SCENARIOS["text"]
    assert run.rules == ["after_end"]


def test_words_before_the_response_wait_for_it() -> None:
    """An event may come before the response has begun: what a policy says then has its place behind the beginning."""
    run = through(RESPONSES, SCENARIOS["unknown first"], first("Note: "))
    assert [event["type"] for event in loads(run.frames)[:2]] == ["codex.rate_limits", "response.created"]
    assert checked(RESPONSES, run.frames) == []
    assert response(run.frames)["output"][0]["content"][0]["text"] == "Note: "


def test_loose_events_leave_one_by_one_if_their_neighbour_changes() -> None:
    """An unknown event inside a call is seen, and stays when the call goes."""
    frames = SCENARIOS["unknown events everywhere"]
    run = through(RESPONSES, frames, dropping(ToolCall))
    assert len(typed(run.frames, "new_thing")) == len(typed(frames, "new_thing"))
    assert typed(run.frames, "function_call_arguments.delta") == []
    run = through(RESPONSES, frames, dropping(Opaque))
    assert typed(run.frames, "new_thing") == []
    kept = [item["type"] for item in response(run.frames)["output"]]
    assert kept == ["message", "function_call", "reasoning", "message"]


def test_an_answer_that_ends_inside_an_item() -> None:
    """What was released of a text is closed; a call that never became whole is nobody's, in the repeats too."""
    whole = answer(text(0, "a", "b"), status="incomplete", reason="max_output_tokens")
    run = through(RESPONSES, [*whole[:6], whole[-1]])
    assert checked(RESPONSES, run.frames) == []
    assert said(run.frames)["items"] == ["ab", "ab"]
    whole = answer(text(0, "a"), function(1, *BASH), status="incomplete", reason="max_output_tokens")
    run = through(RESPONSES, [*whole[:10], whole[-1]])
    assert [item["type"] for item in response(run.frames)["output"]] == ["message"]
    assert b"Bash" not in run.stream


def test_token_counts_stay_after_edits() -> None:
    """They are the bill."""
    assert response(through(RESPONSES, SCENARIOS["text"], last(" Done.")).frames)["usage"] == USAGE


def test_two_annotated_texts_do_not_mix() -> None:
    """Each content has its own count."""
    events = message(0, content(0, 0, "a"), content(0, 1, "b"))
    run = through(RESPONSES, answer(events, annotated(1, "c")), dropping_text("b"))
    assert [len(item["content"]) for item in response(run.frames)["output"]] == [1, 1]
    assert len(response(run.frames)["output"][1]["content"][0]["annotations"]) == 1
