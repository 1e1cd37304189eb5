"""Drives a lens as the policy engine does: decoder, a policy, framer, checker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from luthien_stream.core.lens import Decoder, Framer, Lens, Violation
from luthien_stream.core.sse import Splitter
from luthien_stream.events.answer import ALL, End, Event, Kinds, Opaque, PartEnd, Text, Thinking, ToolCall
from luthien_stream.formats import LENSES
from tests.unit.formats import scenarios_anthropic, scenarios_chat, scenarios_responses

Policy = Callable[[Event], list[Event]]
MakePolicy = Callable[[], Policy]
MESSAGES, CHAT, RESPONSES = LENSES["anthropic_messages"], LENSES["openai_chat"], LENSES["openai_responses"]
STREAMS: dict[str, tuple[Lens, list[bytes]]] = {
    **{f"anthropic: {name}": (MESSAGES, frames) for name, frames in scenarios_anthropic.SCENARIOS.items()},
    **{f"chat: {name}": (CHAT, frames) for name, frames in scenarios_chat.SCENARIOS.items()},
    **{f"responses: {name}": (RESPONSES, frames) for name, frames in scenarios_responses.SCENARIOS.items()},
}
CUTS: dict[str, tuple[Lens, list[bytes]]] = {
    **{f"anthropic: {name}": (MESSAGES, frames) for name, frames in scenarios_anthropic.CUT.items()},
    **{f"chat: {name}": (CHAT, frames) for name, frames in scenarios_chat.CUT.items()},
    **{f"responses: {name}": (RESPONSES, frames) for name, frames in scenarios_responses.CUT.items()},
}


@dataclass
class Run:
    """What came out."""

    frames: list[bytes] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    notes: list[Violation] = field(default_factory=list)

    @property
    def stream(self) -> bytes:
        """All frames joined."""
        return b"".join(self.frames)

    @property
    def rules(self) -> list[str]:
        """The rules of the notes."""
        return [note.rule for note in self.notes]


def noop() -> Policy:
    """Everything passes."""
    return lambda event: [event]


def through(
    lens: Lens,
    frames: Sequence[bytes],
    make: MakePolicy = noop,
    sees: Kinds = ALL,
    rest: bytes = b"",
    closed: bool = True,
) -> Run:
    """Frames through a policy."""
    decoder = lens.decoder(sees)
    drive = _Drive(decoder, lens.framer(decoder), make(), sees)
    for raw in frames:
        drive.give(decoder.frame(raw))
    if closed:
        drive.give(decoder.close(rest))
        drive.finish()
    return drive.run


def body_through(lens: Lens, body: bytes, make: MakePolicy = noop) -> Run:
    """A body through a policy."""
    decoder = lens.body_decoder()
    drive = _Drive(decoder, lens.body_framer(decoder), make(), ALL)
    drive.give(decoder.frame(body))
    drive.give(decoder.close())
    drive.finish()
    return drive.run


class _Drive:
    def __init__(self, decoder: Decoder, framer: Framer, policy: Policy, sees: Kinds) -> None:
        self.run = Run()
        self._framer, self._policy, self._sees = framer, policy, sees

    def give(self, items: Sequence[bytes | Event]) -> None:
        for item in items:
            if isinstance(item, bytes):
                self._framer.mute(item)
                continue
            self.run.events.append(item)
            for event in self._policy(item) if type(item) in self._sees else [item]:
                self._framer.write(event)
        self._framer.flush()
        self._take()

    def finish(self) -> None:
        self._framer.finish()
        self._take()

    def _take(self) -> None:
        self.run.frames += self._framer.take()
        self.run.notes += self._framer.notes()


def cut(stream: bytes, size: int) -> list[bytes]:
    """A stream's frames when it is fed in pieces of this size."""
    splitter = Splitter()
    frames = [f for start in range(0, len(stream), size) for f in splitter.feed(stream[start : start + size])]
    assert splitter.rest() == b""
    return frames


def meaning(events: Sequence[Event]) -> list[Any]:
    """What an answer says, whatever its pieces: texts joined, calls, opaque blocks, the end."""
    said: list[Any] = []
    for event in events:
        match event:
            case Text() | Thinking() if event.text:
                kind = "Refusal" if isinstance(event, Text) and event.refusal else type(event).__name__
                if said and said[-1][0] == kind:
                    said[-1] = (kind, said[-1][1] + event.text)
                else:
                    said.append((kind, event.text))
            case ToolCall():
                said.append(
                    ("ToolCall", event.name, event.arguments if event.kind == "custom" else event.args, event.kind)
                )
            case Opaque() if event.whole:
                said.append(("Opaque", event.kind))
            case End():
                said.append(("End", event.reason, event.usage))
    return said


def understood(lens: Lens, run: Run) -> list[Any]:
    """What a client understands of what came out."""
    return meaning(through(lens, run.frames).events)


def checked(lens: Lens, frames: Sequence[bytes]) -> list[str]:
    """What the checker finds."""
    checker = lens.checker()
    return [violation.rule for raw in frames for violation in checker.frame(raw)]


def each_text(change: Callable[[str], str]) -> MakePolicy:
    """Edit every text, but for its link to its frame."""
    return lambda: lambda event: [event.with_text(change(event.text))] if isinstance(event, Text) else [event]


def new_texts() -> Policy:
    """Every text is made anew."""
    return lambda event: [Text(event.text + "!")] if isinstance(event, Text) else [event]


def dropping(*kinds: type) -> MakePolicy:
    """Drop events of these kinds."""
    return lambda: lambda event: [] if isinstance(event, kinds) else [event]


def dropping_text(text: str) -> MakePolicy:
    """Drop the pieces that say just this."""
    return lambda: lambda event: [] if isinstance(event, Text) and event.text == text else [event]


def first(text: str) -> MakePolicy:
    """Say something before everything else."""

    def make() -> Policy:
        said: list[bool] = []

        def policy(event: Event) -> list[Event]:
            fresh = not said
            said.append(True)
            return [Text(text), event] if fresh else [event]

        return policy

    return make


def last(text: str) -> MakePolicy:
    """Say something before the end."""
    return lambda: lambda event: [Text(text), event] if isinstance(event, End) else [event]


def held_to_part_end() -> Policy:
    """Keep texts until their part ends, then say them at once in capitals."""
    held: list[Text] = []

    def policy(event: Event) -> list[Event]:
        if isinstance(event, Text):
            held.append(event)
            return []
        if isinstance(event, PartEnd | End | ToolCall) and held:
            joined = "".join(text.text for text in held)
            first_text = held[0]
            held.clear()
            return [first_text.with_text(joined.upper()), event]
        return [event]

    return policy


def held_to_end() -> Policy:
    """Keep everything until the end."""
    held: list[Event] = []

    def policy(event: Event) -> list[Event]:
        held.append(event)
        return list(held) if isinstance(event, End) else []

    return policy


def denying(name: str) -> MakePolicy:
    """Say why instead of making a call."""

    def policy(event: Event) -> list[Event]:
        denied = isinstance(event, ToolCall) and event.name == name
        return [Text(f"{name} is not allowed.")] if denied else [event]

    return lambda: policy


def safe_arguments(event: Event) -> list[Event]:
    """Give every call other arguments."""
    return [event.with_args({"safe": True})] if isinstance(event, ToolCall) else [event]


def stopping(after: int) -> MakePolicy:
    """Stop the answer after some events."""

    def make() -> Policy:
        seen: list[Event] = []

        def policy(event: Event) -> list[Event]:
            seen.append(event)
            if len(seen) == after + 1:
                return [Text(" (stopped)"), End("stop")]
            return [event] if len(seen) <= after else []

        return policy

    return make


POLICIES: dict[str, MakePolicy] = {
    "noop": noop,
    "capitals": each_text(str.upper),
    "new texts": lambda: new_texts(),
    "empty texts": each_text(lambda text: ""),
    "no texts": dropping(Text),
    "no thinking": dropping(Thinking),
    "no tools": dropping(ToolCall),
    "no opaque": dropping(Opaque),
    "no part ends": dropping(PartEnd),
    "no end": dropping(End),
    "nothing but the end": dropping(Text, Thinking, ToolCall, Opaque, PartEnd),
    "text first": first("Note: "),
    "text last": last(" Done."),
    "held to part end": held_to_part_end,
    "held to end": held_to_end,
    "denied": denying("Bash"),
    "safe arguments": lambda: safe_arguments,
    "own end": lambda: lambda event: [End("length")] if isinstance(event, End) else [event],
    "other reason": lambda: lambda event: [event.with_reason("length")] if isinstance(event, End) else [event],
    "split texts": lambda: lambda event: [event, replace_text(event)] if isinstance(event, Text) else [event],
}


def replace_text(event: Text) -> Text:
    """A second piece behind an event."""
    return Text(f"<{event.text}>")
