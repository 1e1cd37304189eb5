"""What every policy must hold to, whoever wrote it: call `laws(MyPolicy())` in its test.

- The answer is the same however the provider cut it: whole, as recorded, by character, 7 characters at a time.
- It is the same streamed and unstreamed.
- Run twice over the same log it puts out the same bytes.
- Killed after any event and run again it goes on where it was: what was put out is the beginning of what is.
- How long effects take changes nothing, and neither does how far an answer that it asked for has come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from luthien_stream.events.answer import End, Event, Opaque, PartEnd, Text, Thinking, ToolCall
from luthien_stream.events.log import AnyEvent, ChunkReleased, PolicyFailed, Terminal, VerdictReached
from luthien_stream.events.pack import encode_event
from luthien_stream.formats import LENSES
from luthien_stream.policy.api import Policy
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.testing.halves import check_half
from luthien_stream.testing.rig import Effects, Samples, call_log, drive, frames, perform, program
from luthien_stream.upstream.render import BODIES, STREAMS
from luthien_stream.upstream.script import Answer, Call, Piece, Say, Think, fragments, words

_TOOL_ANSWER = (
    Say(words("I look at the files, then I delete them.")),
    Call("call_1", "Bash", fragments('{"command":"ls -l /tmp"}')),
    Call("call_2", "Bash", fragments('{"command":"rm -rf /"}')),
    Call("call_3", "Read", fragments('{"path":"notes.txt"}')),
)
CORPUS: tuple[Answer, ...] = (
    Answer("m", (Say(words("The password is hunter2, and the pass word is not. Ünïcödé 👩‍🔬 \u2028 end.")),)),
    Answer("m", (Say(("Exactly one piece.",)),), "length"),
    Answer("m", (Think(words("Let me think about it."), "c2lnbmVk"), Say(words("Here is what I found: " * 8)))),
    Answer("m", _TOOL_ANSWER, "tool_calls"),
    Answer("m", _TOOL_ANSWER[1:2], "tool_calls"),
)
"""Answers of every shape that all formats can carry."""
Cut = Callable[[str], tuple[str, ...]]


class World(NamedTuple):
    """What answers effects."""

    effects: Effects | None
    samples: Samples | None


def laws(
    policies: Policy | Pipeline | Iterable[Policy],
    corpus: Iterable[Answer] | None = None,
    effects: Effects | None = None,
    samples: Samples | None = None,
) -> None:
    """Check the laws for every answer of `corpus` in every format. Raises `AssertionError` that names the law.

    `effects` makes the result of an effect; it must be a function of the effect's key and arguments. `samples` makes
    what comes of `ctx.sample` and `ctx.judge`, a function of what was asked: see `reply` in the rig.
    """
    pipeline = policies if isinstance(policies, Pipeline) else Pipeline.of(policies)
    for number, answer in enumerate(CORPUS if corpus is None else corpus):
        for form in LENSES:
            where = f"answer {number} in {form}"
            world = World(effects, samples)
            _check_cuts(pipeline, answer, form, world, where)
            log = call_log(form, STREAMS[form](answer, True))
            _check_runs(pipeline, log, world, where)


def _check_cuts(pipeline: Pipeline, answer: Answer, form: str, world: World, where: str) -> None:
    log = call_log(form, [BODIES[form](answer)], streamed=False)
    whole = _meaning(form, drive(program(pipeline), log, *world), streamed=False)
    for name, cut in _CUTS.items():
        log = call_log(form, STREAMS[form](_cut(answer, cut), True))
        found = _meaning(form, drive(program(pipeline), log, *world), streamed=True)
        assert found == whole, f"{where}: streamed {name} it means\n{found}\nunstreamed\n{whole}"


def _check_runs(pipeline: Pipeline, log: Sequence[AnyEvent], world: World, where: str) -> None:
    first = _bytes(drive(program(pipeline), log, *world))
    assert _bytes(drive(program(pipeline), log, *world)) == first, f"{where}: run twice it differs"
    late = program(pipeline)
    for event in log:
        late.feed(event)
    outputs = perform(late, *world, [*late.advance()])
    assert _bytes(outputs) == first, f"{where}: with effects that come late it differs"
    for killed in range(len(log)):
        before = _bytes(drive(program(pipeline), log[:killed], *world))
        assert before == first[: len(before)], f"{where}: killed after event {killed} it had put out something else"
    if world.samples is not None:
        check_half(pipeline, log, world.effects, world.samples, lambda lane: _bytes(lane) == first, where)


def _meaning(form: str, outputs: Sequence[AnyEvent], streamed: bool) -> list[Any]:
    """What a lane says: texts joined, calls, reason, verdicts, and how it ended."""
    lens = LENSES[form]
    decoder = lens.decoder(frozenset({Text, Thinking, ToolCall, Opaque, PartEnd, End})) if streamed else None
    decoder = decoder or lens.body_decoder()
    events: list[bytes | Event] = [item for raw in frames(outputs) for item in decoder.frame(raw)]
    said: list[Any] = []
    for event in [*events, *decoder.close()]:
        if isinstance(event, Text | Thinking):
            kind = type(event).__name__
            if said and said[-1][0] == kind:
                said[-1][1] += event.text
            elif event.text:
                said.append([kind, event.text])
        elif isinstance(event, ToolCall):
            said.append(["ToolCall", event.id, event.name, event.args])
        elif isinstance(event, Opaque | End):
            said.append([type(event).__name__, event.kind if isinstance(event, Opaque) else event.reason])
    return [*said, *_decided(outputs)]


def _decided(outputs: Sequence[AnyEvent]) -> list[Any]:
    found: list[Any] = []
    for event in outputs:
        if isinstance(event, VerdictReached):
            found.append([event.policy, event.kind, event.reason, event.shown, event.score, event.about])
        elif isinstance(event, PolicyFailed):
            found.append([event.policy, event.error, event.went])
        elif isinstance(event, Terminal):
            found.append([type(event).__name__, getattr(event, "reason", ""), getattr(event, "error", "")])
    return found


def _bytes(outputs: Iterable[AnyEvent]) -> list[bytes]:
    """Outputs as they are written, a frame with the ordinal that it comes from."""
    return [b"%d %b" % (e.of, e.frame) if isinstance(e, ChunkReleased) else encode_event(e) for e in outputs]


def _cut(answer: Answer, cut: Cut) -> Answer:
    return msgspec.structs.replace(answer, pieces=tuple(_cut_piece(piece, cut) for piece in answer.pieces))


def _cut_piece(piece: Piece, cut: Cut) -> Piece:
    match piece:
        case Say():
            return Say(cut("".join(piece.texts)))
        case Think():
            return Think(cut("".join(piece.texts)), piece.signature)
        case Call():
            return Call(piece.id, piece.name, cut("".join(piece.fragments)))


def _by(size: int) -> Cut:
    return lambda text: tuple(text[at : at + size] for at in range(0, len(text), size))


_CUTS: dict[str, Cut] = {"whole": lambda text: (text,), "by character": _by(1), "by 7": _by(7), "by word": words}
