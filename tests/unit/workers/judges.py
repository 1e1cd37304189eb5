"""Judges and models for the tests of policies: they say what a script says, garbage, lateness and 429 included."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from luthien_stream.core.lens import Request
from luthien_stream.core.program import Want
from luthien_stream.events.log import SampleRequested
from luthien_stream.formats import LENSES
from luthien_stream.policy import Event
from luthien_stream.testing.rig import reply
from luthien_stream.upstream.script import Answer

Said = float | str | dict[str, Any] | Answer | list[Event]
"""A score, a text as it is, a value as JSON, an answer, its events, or a way to fail."""
LATE = {"error": "timeout", "message": "No answer within 30.0 s"}
BUSY = "429"
BAD: list[Any] = ["I would say 0.1.", '{"score":2,"reason":""}', '{"reason":"fine"}', '{"score":0', "", LATE, BUSY]
"""Whatever is no score."""


def scored(score: float, reason: str = "because") -> str:
    return msgspec.json.encode({"score": score, "reason": reason}).decode()


def says(requested: SampleRequested, said: Said) -> Any:
    """What `run` is given for one answer."""
    match said:
        case "429":
            return reply(requested, "slow down", status=429)
        case {"error": _} | str() | list() | Answer():
            return said
        case dict():
            return msgspec.json.encode(said).decode()
    return scored(said)


class Models:
    """Answers in order, and remembers what it was asked."""

    def __init__(self, *script: Said) -> None:
        self._script: Iterator[Said] = iter(script)
        self.asked: list[SampleRequested] = []

    def __call__(self, requested: SampleRequested) -> Any:
        self.asked.append(requested)
        return says(requested, next(self._script))

    def shown(self, number: int = 0) -> list[Any]:
        """The lines that a judge was shown."""
        lines = msgspec.json.decode(self.asked[number].body)["messages"][1]["content"].splitlines()
        return [msgspec.json.decode(line) for line in lines]


def lawful(score: Callable[[str], float], answer: Answer) -> Callable[[SampleRequested], Any]:
    """For `laws`: judges score by what they are shown, models give `answer`."""

    def say(requested: SampleRequested) -> Any:
        if requested.why == "judge":
            return reply(requested, scored(score(requested.body.decode())))
        return reply(requested, answer)

    return say


def at_once(want: Want) -> Any:
    """Timers are over, nobody answers."""
    return {"decision": "expired"} if want.kind == "ask" else None


def request(text: str = "Delete the old logs.", **fields: Any) -> Request:
    said = {"model": "untrusted", "messages": [{"role": "user", "content": text}], "stream": True, **fields}
    return LENSES["openai_chat"].request(msgspec.json.encode(said))
