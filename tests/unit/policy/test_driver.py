"""What the engine does with a policy that behaves, and with one that does not."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from luthien_stream.events.answer import Cell, Part
from luthien_stream.policy import (
    Context,
    End,
    Event,
    Events,
    Opaque,
    PartEnd,
    Policy,
    Stop,
    Text,
    Thinking,
    ToolCall,
    Transcript,
    run,
)
from luthien_stream.policy.pipeline import Bound, Pipeline

HELLO: list[Event] = [Text("Hello "), Text("world"), PartEnd(), End("stop")]


class Noop(Policy):
    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        async for event in events:
            yield event


class Caps(Policy):
    sees = frozenset({Text})

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        async for event in events:
            assert isinstance(event, Text)
            yield event.with_text(event.text.upper())


def opened(policy: Policy) -> Pipeline:
    """A pipeline in which this policy fails open, with `Caps` behind it."""
    return Pipeline((Bound("it", policy, "open"), Bound("caps", Caps())))


def failure(transcript: Transcript) -> tuple[str, str]:
    """Kind and message of the one failure."""
    (found,) = transcript.failures
    return found.error, found.message


def test_a_policy_maps_events() -> None:
    """What a policy yields is what the client gets."""
    assert run(Caps(), [Text("hi")]).text == "HI"


def test_what_passes_untouched_is_the_same_object() -> None:
    """An identity keeps every event, so that its bytes can leave as they came."""
    came: list[Event] = [Text("a"), Opaque("image"), ToolCall("1", "t", "{}"), PartEnd(), End("stop")]
    left = run([Noop(), Noop()], came).events
    assert all(a is b for a, b in zip(came, left, strict=True))


def test_a_policy_sees_only_the_kinds_it_names() -> None:
    """Other kinds flow past it, in order; its loop ends before `End` if it does not see that."""
    seen: list[str] = []

    class Looks(Policy):
        sees = frozenset({Text})

        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            async for event in events:
                seen.append(type(event).__name__)
                yield event
            yield Text("!")

    transcript = run(Looks(), [Text("a"), ToolCall("1", "t", "{}"), End("tool_calls")])
    assert seen == ["Text"]
    assert [type(event).__name__ for event in transcript.events] == ["Text", "ToolCall", "Text", "End"]
    assert transcript.reason == "tool_calls"


def test_a_later_policy_begins_first() -> None:
    """What a policy says before its first event stands behind what later ones say there."""

    class Says(Policy):
        text: str

        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            yield Text(self.text)
            async for event in events:
                yield event

    assert run([Says("b"), Says("a")], [Text("c")]).text == "abc"


def test_an_early_return_ends_the_answer() -> None:
    """Nothing of the provider's rest follows, and the answer has an end."""

    class First(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            async for event in events:
                yield event
                return

    transcript = run([First(), Caps()], HELLO)
    assert (transcript.text, transcript.reason, transcript.failed) == ("HELLO ", "stop", False)


def test_an_end_of_its_own_ends_the_answer() -> None:
    """A policy may end an answer early with the reason it gives."""

    class Limit(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            async for event in events:
                yield event
                yield End("length")

    transcript = run(Limit(), HELLO)
    assert (transcript.text, transcript.reason) == ("Hello ", "length")


def test_dropping_the_end_does_no_harm() -> None:
    """The provider's end is put out if the policy swallows it."""

    class Drops(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            async for event in events:
                if not isinstance(event, End):
                    yield event

    assert run(Drops(), [Text("a"), End("length")]).reason == "length"


def test_a_cut_answer_keeps_its_bad_end() -> None:
    """No policy turns an answer that broke off into a complete one."""

    class Mends(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            async for event in events:
                yield event.with_reason("stop") if isinstance(event, End) else event

    assert run(Mends(), [Text("a"), End("cut")]).reason == "cut"


def test_stop_closes_the_answer_politely() -> None:
    """`Stop` is a verdict, not a failure: what was shown stands at the end of the text."""

    class Stops(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            async for event in events:
                yield event
                raise Stop("That is enough.", reason="too long")

    transcript = run([Stops(), Caps()], HELLO)
    assert (transcript.text, transcript.reason) == ("HELLO \n\nTHAT IS ENOUGH.", "stop")
    assert [(v.kind, v.reason, v.shown) for v in transcript.verdicts] == [("stop", "too long", "That is enough.")]
    assert not transcript.failed


def test_an_exception_fails_closed_and_says_where() -> None:
    """The call ends; the record names the policy, the exception, and the line."""

    class Raises(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            async for event in events:
                yield event
                raise KeyError("oops")

    transcript = run([Raises(), Caps()], HELLO)
    assert (transcript.text, transcript.failed) == ("HELLO ", True)
    error, message = failure(transcript)
    assert error == "KeyError"
    assert message.startswith("test_driver.py:")


def test_an_exit_is_a_failure_like_any_other() -> None:
    """A policy cannot end the process that runs it."""

    class Exits(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            async for _ in events:
                sys.exit(3)
            yield Text("")

    assert failure(run(Exits(), HELLO))[0] == "SystemExit"


async def test_awaiting_something_foreign_fails_at_once() -> None:
    """The message names the file and what was awaited; no event loop is used, even where one runs."""

    class Sleeps(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            async for event in events:
                await asyncio.sleep(3600)
                yield event

    error, message = failure(run(Sleeps(), HELLO))
    assert error == "ForeignAwait"
    assert message.startswith("test_driver.py:")
    assert "awaited Future" in message


def test_yielding_after_the_end_fails_closed() -> None:
    """The end is held until the generator returns, so that nothing can follow it."""

    class Late(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            async for event in events:
                yield event
            yield Text("one more thing")

    transcript = run(Late(), HELLO)
    assert failure(transcript)[0] == "YieldAfterEnd"
    assert (transcript.text, transcript.reason, transcript.failed) == ("Hello world", "", True)


@pytest.mark.parametrize("wrong", [None, "text", b"bytes", 3])
def test_yielding_what_is_no_event_fails_closed(wrong: Any) -> None:
    """Only events may be put out."""

    class Wrong(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            async for _ in events:
                yield wrong

    assert failure(run(Wrong(), HELLO))[0] == "BadYield"


def test_a_response_without_yield_fails_closed() -> None:
    """A coroutine in place of a generator is named as such."""

    class Forgot(Policy):
        async def response(self, events: Events, ctx: Context) -> Any:  # type: ignore[override]
            return events

    error, message = failure(run(Forgot(), HELLO))
    assert error == "NotAGenerator"
    assert "no `yield`" in message


def test_editing_signed_thinking_fails_closed() -> None:
    """The provider would refuse the next turn."""

    class Edits(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            async for event in events:
                yield event.with_text("?") if isinstance(event, Thinking) else event

    assert failure(run(Edits(), [Thinking("hm", signed=True)]))[0] == "SignedThinking"
    assert not run(Edits(), [Thinking("hm")]).failed


def test_messages_are_the_same_on_every_machine() -> None:
    """Addresses are taken out, for a rebuild elsewhere must release the same bytes."""

    class Raises(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            async for _ in events:
                raise ValueError(object())
            yield Text("")

    assert failure(run(Raises(), HELLO))[1].endswith("<object object at 0x…> (at Text)")


def test_open_goes_on_without_the_policy() -> None:
    """A policy that fails open leaves the event in hand as it came, and sees no more."""

    class Raises(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            async for event in events:
                if event == Text("world"):
                    raise ValueError
                yield event

    transcript = run(opened(Raises()), HELLO)
    assert (transcript.text, transcript.reason, transcript.failed) == ("HELLO WORLD", "stop", False)
    assert [f.went for f in transcript.failures] == ["open"]


def test_open_does_not_repeat_what_was_put_out() -> None:
    """An event that was answered before the failure is not put out a second time."""

    class Raises(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            async for event in events:
                yield event
                raise ValueError

    assert run(opened(Raises()), HELLO).text == "HELLO WORLD"


def test_open_at_the_end_keeps_the_end() -> None:
    """A failure while the end is in hand leaves a complete answer."""

    class Raises(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            async for event in events:
                yield event
            raise ValueError

    transcript = run(opened(Raises()), HELLO)
    assert (transcript.text, transcript.reason) == ("HELLO WORLD", "stop")


def test_a_policy_that_is_let_go_closes_its_resources() -> None:
    """`finally` blocks run when the answer ends before the policy does."""
    closed: list[str] = []

    class Opens(Policy):
        name: str

        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            try:
                async for event in events:
                    yield event
                    if self.name == "stops":
                        raise Stop
            finally:
                closed.append(self.name)

    run([Opens("waits"), Opens("stops")], HELLO)
    assert closed == ["stops", "waits"] or closed == ["waits", "stops"]


def frame(n: int) -> Text:
    part = Part("f", "text", 0)
    return Text(f"{n}", part, src=b"frame %d" % n)


def test_a_hold_that_was_not_declared_fails_closed() -> None:
    """`hold = "none"` puts an event out while it is in hand, or not at all."""

    class Delays(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            last: Event | None = None
            async for event in events:
                if last is not None:
                    yield last
                last = event

    error, message = failure(run(Delays(), [frame(1), frame(2), End("stop")]))
    assert error == "UndeclaredHold"
    assert "hold = 'none'" in message


class Collects(Policy):
    hold = "turn"

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        for event in await events.collect():
            yield event


def test_a_declared_hold_may_keep_the_whole_turn() -> None:
    """Nothing leaves before the end, then all of it."""
    assert run(Collects(), [frame(1), frame(2), End("stop")]).text == "12"


def test_a_hold_is_bounded() -> None:
    """A policy that holds more than 8 MiB fails by its rule."""
    large = [Text("x", src=Cell((bytes(5 << 20),), 1)), Text("y", src=Cell((bytes(5 << 20),), 1))]
    error, _ = failure(run(Collects(), large))
    assert error == "HoldTooLarge"
    assert run(opened(Collects()), large).text == "XY"


def test_open_releases_what_was_held() -> None:
    """Events that a policy held when it failed go on unchanged, in order."""

    class Fails(Collects):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            turn = await events.collect()
            yield turn[0]
            raise ValueError

    assert run(opened(Fails()), [frame(1), frame(2), frame(3), End("stop")]).text == "123"
