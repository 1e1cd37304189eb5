"""One text in each format and each carrier of text, cut as a test says, and what a client is given of it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence

from luthien_stream.events.answer import ALL, Text, Thinking, ToolCall
from luthien_stream.formats import LENSES
from luthien_stream.upstream.render import STREAMS
from luthien_stream.upstream.script import Answer, Call, Say, Think
from tests.unit.formats import scenarios_chat, scenarios_responses

Render = Callable[[Sequence[str]], list[bytes]]


def _scripted(form: str, carrier: str) -> Render:
    def render(pieces: Sequence[str]) -> list[bytes]:
        match carrier:
            case "tool":
                return STREAMS[form](Answer("m", (Call("call_1", "Write", tuple(pieces)),), "tool_calls"), True)
            case "thinking":
                return STREAMS[form](Answer("m", (Think(tuple(pieces), "c2ln"), Say(("So be it.",)))), True)
        return STREAMS[form](Answer("m", (Say(tuple(pieces)),)), True)

    return render


def _chat_refusal(pieces: Sequence[str]) -> list[bytes]:
    chat = scenarios_chat
    return [chat.ROLE, *(chat.chunk({"refusal": piece}) for piece in pieces), *chat.end()]


def _responses_refusal(pieces: Sequence[str]) -> list[bytes]:
    return scenarios_responses.answer(scenarios_responses.text(0, *pieces, refusal=True))


CARRIERS: dict[tuple[str, str], Render] = {
    **{(form, carrier): _scripted(form, carrier) for form in LENSES for carrier in ("text", "thinking", "tool")},
    ("openai_chat", "refusal"): _chat_refusal,
    ("openai_responses", "refusal"): _responses_refusal,
}
"""A format and a carrier to the frames of an answer whose text there is cut into pieces."""


def written(carrier: str, text: str) -> str:
    """The text as the carrier has it: a tool's arguments are JSON."""
    return json.dumps({"path": "notes.txt", "content": text}) if carrier == "tool" else text


def cut(text: str, chance: random.Random) -> list[str]:
    """Cut a text anywhere: into characters, words, lines or more, as chance has it."""
    longest, at, pieces = chance.choice((1, 4, 8, 30, 30, 200)), 0, []
    while at < len(text):
        size = chance.randint(1, longest)
        pieces.append(text[at : at + size])
        at += size
    return pieces


def said(form: str, frames: Sequence[bytes]) -> dict[str, str]:
    """What frames say, joined, by kind of carrier."""
    decoder = LENSES[form].decoder(ALL)
    found: dict[str, str] = {}
    for event in [*(item for raw in frames for item in decoder.frame(raw)), *decoder.close()]:
        if isinstance(event, Text | Thinking):
            kind = "refusal" if isinstance(event, Text) and event.refusal else type(event).__name__.lower()
            found[kind] = found.get(kind, "") + event.text
        elif isinstance(event, ToolCall):
            found["tool"] = found.get("tool", "") + event.arguments
    return found
