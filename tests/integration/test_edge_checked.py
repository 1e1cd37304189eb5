"""The edge's last look: a wrong frame of our own ends the answer in its stream, one of the provider's is recorded."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from luthien_stream.core.sse import data_of
from luthien_stream.events import log
from luthien_stream.events.answer import Event, Text
from luthien_stream.policy import Context, Events, Policy
from luthien_stream.testing.recorded import Recorded
from tests.integration.edge_rig import running
from tests.integration.test_edge_stage import played
from tests.integration.turns.answers import ANTHROPIC, CHAT, RESPONSES
from tests.unit.formats import scenarios_anthropic as messages
from tests.unit.formats import scenarios_chat as chat
from tests.unit.formats import scenarios_responses as responses
from tests.unit.formats.bodies import message_of
from tests.wait import wait_until

BEGUN = messages.begin()
TEXT, TOOL = messages.text(0, "a"), messages.tool(0, *messages.BASH)
WHOLE = responses.answer(responses.text(0, "a", "b"))
BROKEN = b"event: message_delta\ndata: {]\n\n"
OTHER_WORDS = WHOLE[6].replace(b'"text":"ab"', b'"text":"ax"')
Case = tuple[list[bytes], bytes, str]
WRONG: dict[str, list[Case]] = {
    ANTHROPIC: [
        ([BEGUN], BROKEN, "unreadable"),
        ([BEGUN], BEGUN, "second_start"),
        ([], TEXT[0], "outside_message"),
        ([BEGUN, *TEXT, messages.end()[0]], messages.text(1)[0], "outside_message"),
        ([BEGUN], messages.text(1)[0], "index"),
        ([BEGUN, *TEXT], TEXT[0], "index"),
        ([BEGUN, *TEXT], TEXT[1], "outside_block"),
        ([BEGUN, *TEXT], TEXT[-1], "outside_block"),
        ([BEGUN, TEXT[0]], messages.delta(0, "thinking_delta", thinking="a"), "wrong_delta"),
        ([BEGUN, *TEXT[:2]], messages.text(1)[0], "open_block"),
        ([BEGUN, *TEXT[:2]], messages.end()[0], "open_block"),
        ([BEGUN, TEXT[0]], TEXT[-1], "empty_block"),
        ([BEGUN, *TOOL], messages.text(1)[0], "after_tool_use"),
        ([BEGUN, *TEXT], messages.end()[1], "no_delta"),
        ([BEGUN, *TEXT, *messages.end()], messages.text(1)[0], "after_end"),
    ],
    CHAT: [
        ([chat.ROLE], b"data: {]\n\n", "unreadable"),
        ([chat.ROLE], chat.ROLE, "second_role"),
        ([chat.ROLE, chat.chunk({}, "stop")], chat.text("a")[0], "after_finish"),
        ([chat.ROLE, chat.chunk({}, "stop")], chat.chunk({}, "stop"), "second_finish"),
        ([chat.ROLE], chat.chunk({"tool_calls": [{"index": 0}]}), "nameless_call"),
        ([chat.ROLE, *chat.end()], chat.text("a")[0], "after_end"),
        ([chat.ROLE, *chat.end()], chat.DONE, "after_end"),
    ],
    RESPONSES: [
        (WHOLE[:2], b"data: {]\n\n", "unreadable"),
        (WHOLE[:4], WHOLE[1], "number"),
        (WHOLE[:2], responses.sse("response.created", sequence_number=2, response={}), "second_start"),
        ([], WHOLE[2], "outside_response"),
        (WHOLE[:-1], WHOLE[2].replace(b'"sequence_number":2', b'"sequence_number":9'), "index"),
        (WHOLE[:2], WHOLE[4], "outside_item"),
        (WHOLE[:3], WHOLE[4], "outside_content"),
        (WHOLE[:4], WHOLE[3].replace(b'"sequence_number":3', b'"sequence_number":9'), "second_content"),
        (WHOLE[:6], OTHER_WORDS, "text_differs"),
        (WHOLE[:6], WHOLE[-1], "open_item"),
        (WHOLE, WHOLE[2].replace(b'"sequence_number":2', b'"sequence_number":99'), "after_end"),
    ],
}
"""Frames that are right, one that is wrong behind them, and the rule that it breaks."""
CASES = [(form, *case) for form, cases in WRONG.items() for case in cases]
NAMES = [f"{form}: {rule}" for form, _, _, rule in CASES]
EACH = pytest.mark.parametrize(("form", "before", "wrong", "rule"), CASES, ids=NAMES)


@EACH
async def test_a_wrong_frame_of_our_own_never_leaves(form: str, before: list[bytes], wrong: bytes, rule: str) -> None:
    """The client gets an error in its dialect and a broken connection; the record says which rule it was."""
    async with played(format=form) as hand:
        await hand.release()
        for frame in before:
            await hand.chunk(frame)
        await hand.chunk(wrong, of=-1)
        got = await hand.asking
        right = b"".join(before)
        if before:
            assert (got.status, got.body[: len(right)], got.broken) == (200, right, True)
            last = json.loads(data_of(got.frames[-1]) or b"{}")
            assert "error" in last or last["type"] == "error"
            assert len(got.frames) == len(before) + 1
        else:
            assert (got.status, "error" in json.loads(got.body)) == (500, True)
        await wait_until(lambda: hand.rig.delivered(got.call))
        found = await hand.rig.one(got.call, log.ProtocolViolated)
        assert (found.by, found.rule, found.at) == ("stage", rule, len(before) + 1)


@EACH
async def test_a_wrong_frame_of_the_providers_is_only_recorded(
    form: str, before: list[bytes], wrong: bytes, rule: str
) -> None:
    """As long as nothing before it is ours: the client gets what it would have got without us."""
    async with played(format=form) as hand:
        await hand.release()
        for frame in [*before, wrong]:
            await hand.chunk(frame)
        await hand.put(log.ResponseCompleted(call="", lane="final"))
        got = await hand.asking
        assert (got.status, got.body, got.broken) == (200, b"".join([*before, wrong]), False)
        await wait_until(lambda: hand.rig.delivered(got.call))
        found = await hand.rig.one(got.call, log.ProtocolViolated)
        assert (found.by, found.rule) == ("provider", rule)


async def test_what_follows_a_frame_of_our_own_is_our_own_fault() -> None:
    """A provider's frame may be wrong because of what we made before it."""
    async with played() as hand:
        await hand.release()
        await hand.chunk(BEGUN)
        for frame in TEXT:
            await hand.chunk(frame, of=-1)
        await hand.chunk(messages.text(3)[0])
        got = await hand.asking
        assert (got.broken, b"event: error" in got.body) == (True, True)


class PassOn(Policy):
    """Sees everything and changes nothing."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Yield what comes."""
        async for event in events:
            assert not isinstance(event, Text) or event.text
            yield event


@pytest.mark.parametrize("stream", [True, False])
async def test_a_shape_that_spoils_the_next_turn_does_not_leave(stream: bool) -> None:
    """A provider's empty text block is dropped, and that is recorded; all else of its answer is untouched."""
    frames = [BEGUN, *messages.text(0), *messages.text(1, "a"), *messages.end()]
    async with running(PassOn()) as rig:
        rig.provider.script(Recorded(tuple(frames), message_of(frames)))
        got = await rig.ask("any", stream=stream)
        assert got.status == 200
        assert got.body.count(b'"type":"text"' if stream else b'"type": "text"') == 1
        await wait_until(lambda: rig.delivered(got.call))
        found = await rig.one(got.call, log.ProtocolViolated)
        assert (found.by, found.rule) == ("framer", "empty_block")
