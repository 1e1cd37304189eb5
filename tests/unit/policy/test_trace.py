"""A failure names the policy's line, and the event that it was given last."""

from __future__ import annotations

from collections.abc import AsyncIterator

from luthien_stream.events.log import AnyEvent, ChunkReceived, PolicyFailed
from luthien_stream.policy import Context, End, Event, Events, Policy, Request, Text
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.testing.rig import call_log, drive, program
from luthien_stream.upstream.render import STREAMS
from luthien_stream.upstream.script import Answer, Say

LOG = call_log("openai_chat", STREAMS["openai_chat"](Answer("m", (Say(("one ", "two ", "three")),)), True))


class FailsAt(Policy):
    """Fail at a word."""

    word: str

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Pass all before it."""
        if not self.word:
            raise KeyError("early")
        async for event in events:
            if (isinstance(event, Text) and event.text == self.word) or isinstance(event, End):
                raise KeyError("found")
            yield event


class FailsAtRequest(Policy):
    """Fail at once."""

    async def request(self, request: Request, ctx: Context) -> Request:
        """Never."""
        raise KeyError("asked")


def failed(policy: Policy, log: list[AnyEvent] = LOG) -> str:
    """The message of the failure."""
    outputs = drive(program(Pipeline.of(policy)), log)
    return next(event.message for event in outputs if isinstance(event, PolicyFailed))


def test_the_event_in_hand_is_named() -> None:
    """Its kind, and the ordinal of the input that it was read from."""
    [two] = [event.n for event in LOG if isinstance(event, ChunkReceived) and b'"two ' in event.frame]
    message = failed(FailsAt("two "))
    assert message.startswith("test_trace.py:")
    assert message.endswith(f"KeyError: 'found' (at Text, input {two})")
    last = [event.n for event in LOG if isinstance(event, ChunkReceived)][-1]
    assert failed(FailsAt("no such word")).endswith(f"(at End, input {last})")


def test_a_failure_without_an_event_says_so() -> None:
    """Before the first one, and in the request phase."""
    assert failed(FailsAt("")).endswith("KeyError: 'early' (before its first event)")
    assert failed(FailsAtRequest()).endswith("KeyError: 'asked' (at the request)")
