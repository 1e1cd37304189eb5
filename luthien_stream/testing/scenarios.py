"""What the fake provider answers to a model name: pure functions, so that a test knows every byte before it asks.

A model name reads `<scenario>[-<number>][@<pieces a second>][+<style>...]`, for instance `text-50@20+crlf`; what
there is stands in `SCENARIOS` and `STYLES`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from zlib import crc32

import msgspec
from msgspec import Struct

from luthien_stream.testing.oddities import STYLES
from luthien_stream.upstream.render import BODIES, STREAMS
from luthien_stream.upstream.script import Answer, Call, Piece, Say, Stop, Think, Usage, fragments, words

STAMP = b"T0000000000000000000"
"""Stands in each text piece of `timed` answers; the provider writes the monotonic clock's nanoseconds over it."""
_NAME = re.compile(
    r"(?:.*/)?(?P<kind>[a-z]+(?:-[a-z]+)*)(?:-(?P<count>\d+))?(?:@(?P<rate>[\d.]+))?(?P<styles>(?:\+\w+)*)"
)
_ORDER = re.compile(r"\buse (?P<tool>\w+) (?P<arguments>\{.*\})", re.DOTALL)
_COUNTED = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett")


class Scenario(Struct, frozen=True):
    """A model name taken apart. `rate` is pieces a second, 0 for as fast as possible."""

    kind: str
    count: int
    rate: float = 0.0
    styles: tuple[str, ...] = ()


class Wish(Struct, frozen=True):
    """What an answer depends on beside the model: the last user text, whether a tool has answered, the first tool."""

    said: str = ""
    tool_result: str = ""
    tool: str = "get_weather"
    usage: bool = True


PLAIN = Wish()


def parse(model: str) -> Scenario:
    """Take a model name apart. Raises `ValueError` where it names no scenario or style."""
    match = _NAME.fullmatch(model)
    if match is None or match["kind"] not in SCENARIOS:
        raise ValueError(f"{model!r} is no scenario; there are {', '.join(SCENARIOS)}")
    styles = tuple(filter(None, match["styles"].split("+")))
    if unknown := set(styles) - STYLES.keys():
        raise ValueError(f"{model!r} asks for {', '.join(unknown)}; there are {', '.join(STYLES)}")
    return Scenario(match["kind"], int(match["count"] or SCENARIOS[match["kind"]]), float(match["rate"] or 0), styles)


def wish_of(request: Mapping[str, Any]) -> Wish:
    """Read what an answer depends on out of a parsed request of any format."""
    said = result = ""
    for message in _turns(request.get("input") or request.get("messages")):
        for kind, text in _texts(message):
            said, result = (said, text) if kind == "tool_result" else (text, "")
    tools: Sequence[Any] = request.get("tools") or ({},)
    tool = tools[0].get("name") or tools[0].get("function", {}).get("name") or "get_weather"
    usage = bool((request.get("stream_options") or {}).get("include_usage"))
    return Wish(said, result, tool, usage)


def answer(model: str, wish: Wish = PLAIN) -> Answer:
    """Return what the model says, before it has a wire format."""
    scenario = parse(model)
    pieces = _PIECES.get(scenario.kind, _text)(scenario, wish)
    tools = any(isinstance(piece, Call) for piece in pieces)
    stop: Stop = _STOPS.get(scenario.kind, "tool_calls" if tools else "stop")
    key = f"{crc32(f'{model}|{wish.said}|{wish.tool_result}'.encode()):x}"
    count = sum(len(piece.fragments if isinstance(piece, Call) else piece.texts) for piece in pieces)
    usage = Usage(len(wish.said.split()) + 3, count, 8 if wish.said else 0)
    return Answer(model, pieces, stop, usage, key)


@lru_cache(maxsize=512)
def stream(form: str, model: str, wish: Wish = PLAIN) -> tuple[bytes, ...]:
    """Return the frames of the whole streamed answer in the format `form`, styles applied."""
    frames = STREAMS[form](answer(model, wish), wish.usage)
    for style in parse(model).styles:
        frames = STYLES[style](frames)
    return tuple(frames)


@lru_cache(maxsize=512)
def body(form: str, model: str, wish: Wish = PLAIN) -> bytes:
    """Return the body of the unstreamed answer in the format `form`."""
    return BODIES[form](answer(model, wish))


def text_of(model: str, wish: Wish = PLAIN) -> str:
    """Return all text that the model says, without thinking and tool calls."""
    return "".join("".join(piece.texts) for piece in answer(model, wish).pieces if isinstance(piece, Say))


def _turns(said: Any) -> Sequence[Any]:
    """Messages, or the items of a response's input, where results of tools have no role."""
    if isinstance(said, str):
        return [{"role": "user", "content": said}]
    return [{"role": "tool", "content": item["output"]} if "output" in item else item for item in said or ()]


def _texts(message: Any) -> list[tuple[str, str]]:
    content, role = message.get("content") or "", message.get("role")
    if isinstance(content, str):
        kind = "tool_result" if role == "tool" else "text"
        return [(kind, content)] if role in ("user", "tool") else []
    if role not in ("user", "tool"):
        return []
    return [
        (str(part.get("type")), part.get("text") or _flat(part.get("content")))
        for part in content
        if isinstance(part, dict)
    ]


def _flat(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", "")) for part in content or () if isinstance(part, dict))


def _text(scenario: Scenario, wish: Wish) -> tuple[Piece, ...]:
    stamp = f"{STAMP.decode()} " if "timed" in scenario.styles else ""
    return (Say(tuple(f"{stamp}{_COUNTED[i % 10]} {i} " for i in range(scenario.count))),)


def _short(scenario: Scenario, wish: Wish) -> tuple[Piece, ...]:
    return _text(Scenario("text", 4), wish)


def _echo(scenario: Scenario, wish: Wish) -> tuple[Piece, ...]:
    return (Say(words(wish.said)),)


def _long(scenario: Scenario, wish: Wish) -> tuple[Piece, ...]:
    return (Say(("0123456789" * (scenario.count * 100),)),)


def _unicode(scenario: Scenario, wish: Wish) -> tuple[Piece, ...]:
    return (
        Say(
            ("line\u2028separator ", "paragraph\u2029", "next\u0085line ", "naïve ", "日本", "語 ", "👩‍🔬 ", '"\\n\n\t')
        ),
    )


def _thinking(scenario: Scenario, wish: Wish) -> tuple[Piece, ...]:
    thought = Think(words("Let me think about this, step by step."), "RXJUQ0NrWUlBQmdDS2tCc2lnbmVk" * 4)
    return (thought, *_text(scenario, wish))


def _tools(scenario: Scenario, wish: Wish) -> tuple[Piece, ...]:
    if wish.tool_result:
        return (Say(words(f"The tool says: {wish.tool_result}")),)
    calls = tuple(_call(number, wish) for number in range(scenario.count))
    return (Say(words("I look that up for you.")), *calls)


def _act(scenario: Scenario, wish: Wish) -> tuple[Piece, ...]:
    order = None if wish.tool_result else _ORDER.search(wish.said)
    if order is None:
        return (Say(words(f"The tool says: {wish.tool_result}" if wish.tool_result else wish.said)),)
    call = Call(f"call_{0:024d}", order["tool"], fragments(order["arguments"]))
    return (Say(words("I do as I am told.")), call)


def _call(number: int, wish: Wish) -> Call:
    city = ("Lyon", "Oslo", "Kyoto", "Quito")[number % 4]
    given = msgspec.json.encode({"city": city, "unit": "celsius", "command": f"echo {city}"}).decode()
    return Call(f"call_{number:024d}", wish.tool, fragments(given))


SCENARIOS: dict[str, int] = {
    "text": 10,
    "echo": 0,
    "long": 10,
    "unicode": 0,
    "thinking": 10,
    "tools": 1,
    "parallel-tools": 2,
    "act": 0,
    "flaky": 529,
    "flaky-break": 3,
    "silent": 12,
    "length": 10,
    "refusal": 3,
    "error": 500,
    "error-echo": 401,
    "error-frame": 5,
    "reset": 5,
    "cut": 5,
    "break": 5,
    "stall": 5,
    "garbage": 0,
    "never": 0,
    "slow": 1,
}
"""Name and default number of every scenario; `FakeProvider` says what each does."""
_PIECES: dict[str, Callable[[Scenario, Wish], tuple[Piece, ...]]] = {
    "echo": _echo,
    "long": _long,
    "unicode": _unicode,
    "thinking": _thinking,
    "tools": _tools,
    "parallel-tools": _tools,
    "act": _act,
    "flaky": _short,
    "flaky-break": _short,
    "silent": _short,
}
_STOPS: dict[str, Stop] = {"length": "length", "refusal": "content_filter"}
