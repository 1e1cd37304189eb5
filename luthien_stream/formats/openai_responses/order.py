"""The order of items in OpenAI's responses: decides where each event goes, for streamed and unstreamed answers alike.

One message or reasoning is open at a time. Text made by policies continues an open content or begins a message of its
own; it waits while the model thinks. The writers (`frame`, `body`) say how each step looks on the wire.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from luthien_stream.core.lens import Violation
from luthien_stream.events.answer import End, Event, Opaque, Part, PartEnd, Text, Thinking, ToolCall
from luthien_stream.formats.errors import FrameError
from luthien_stream.formats.framing import Notes, Waiting, is_ours, made
from luthien_stream.formats.marks import EMPTY
from luthien_stream.formats.openai_responses.source import LOOSE, Source
from luthien_stream.formats.openai_responses.wire import CONTENT, FORMAT

_TEXTS = frozenset(CONTENT.values())


class Order(ABC):
    """Places events in items. Raises `FrameError` for what a policy must not do to signed reasoning."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._kind = ""  # of the open content: text, refusal, thinking, or another one; empty between contents
        self._part: Part | None = None  # the provider's content that is open, None if it is one of our own
        self._item: int | None = None  # the provider's position of the open item, -1 for one of our own
        self._said: list[str] = []  # the texts of the open content
        self._touched = False  # the open content is not the provider's any more
        self._pieces = 0  # of reasoning, or annotations
        self._gone: set[int] = set()  # the provider's items that were begun
        self._over: set[tuple[int, int]] = set()  # the provider's contents that were begun
        self._flows = False  # an item that passes frame by frame is open
        self._thought = -1  # the provider's position of the reasoning that left last
        self._trailing = False  # the last item is reasoning
        self._bereft = False  # the item in hand leaves without what it needs: under an id of our own
        self._ended = False
        self._early = False  # ended by a policy while the provider went on
        self._waiting = Waiting()
        self._notes = Notes()

    @abstractmethod
    def _begin(self, part: Part | None, kind: str, item: bool) -> None:
        """Begin a content, the provider's or one of our own, and its item too if `item`."""

    @abstractmethod
    def _piece(self, event: Text | Thinking | Opaque) -> None:
        """Write a piece of the open content."""

    @abstractmethod
    def _is_first(self, event: Event, part: Part) -> bool:
        """True if the event is the first of its part."""

    @abstractmethod
    def _stop(self, event: PartEnd | None, known: bool) -> bool:
        """End the open content; True if its item has ended with it. `known`: the provider is past its end."""

    @abstractmethod
    def _stop_item(self) -> None:
        """End the open item."""

    @abstractmethod
    def _whole(self, event: Event) -> None:
        """Write an item that is one event."""

    @abstractmethod
    def _loose(self, event: Opaque) -> None:
        """Write what belongs to no item."""

    @abstractmethod
    def _finish(self, event: End) -> None:
        """Write the end."""

    def write(self, event: Event) -> None:
        """Write what a policy chain put out."""
        if self._ended:
            self._notes.add("after_end", f"{type(event).__name__} after the end was dropped.")
            return
        if not is_ours(event, FORMAT):
            event = made(event)
        match event:
            case Text():
                self._text(event)
            case Thinking():
                self._thinking(event)
            case ToolCall():
                self._whole_item(event, event.name)
            case Opaque():
                self._opaque(event)
            case PartEnd():
                self._part_end(event)
            case End():
                self._end(event)

    def finish(self) -> None:
        """Nothing more will be written: end the answer, unless the provider's own broke off."""
        if not self._ended and self._source.over not in ("cut", "error"):
            self._end(End("stop"))

    def notes(self) -> Sequence[Violation]:
        """What was dropped since the last call."""
        return [*self._source.notes.take(), *self._notes.take()]

    def _text(self, event: Text) -> None:
        if not event.text:
            return
        part = event.part
        if part is None or self._is_over(part) or self._flows or (part.start.whole and event.edited):
            self._new_text(Text(event.text, refusal=event.refusal))
        elif part.start.whole:
            self._whole_item(event, "Text")
        else:
            self._enter(part)
            self._touched = self._touched or event.edited
            self._said.append(event.text)
            self._piece(event)

    def _new_text(self, event: Text) -> None:
        if self._flows or self._kind == "thinking":
            self._waiting.add(event)
            return
        if self._kind not in _TEXTS:
            self._own("refusal" if event.refusal else "text")
        self._touched = True
        self._said.append(event.text)
        self._piece(event)

    def _own(self, kind: str) -> None:
        """Begin a content of our own: in the item that is open, if there is one."""
        if self._kind:
            self._shut_content(None)
        fresh = self._item is None
        if fresh:
            self._item = -1
        self._fresh(None, kind)
        self._begin(None, kind, fresh)

    def _enter(self, part: Part) -> None:
        """Make a provider's content the open one."""
        if part is self._part:
            return
        if self._item == part.index:
            if self._kind:
                self._shut_content(None)
            fresh = False
        else:
            self._shut(part)
            self._item, fresh = part.index, True
            self._mark(part)
        self._over.add((part.index, part.start.content))
        self._fresh(part, part.kind)
        self._begin(part, part.kind, fresh)

    def _fresh(self, part: Part | None, kind: str) -> None:
        self._trailing = kind == "thinking"
        self._part, self._kind, self._said, self._touched, self._pieces = part, kind, [], False, 0

    def _order(self, part: Part | None) -> tuple[int, int]:
        """The provider's position of an item, and how many of its items came before."""
        return (part.index, self._source.orders.get(part.index, -1)) if part is not None else (-1, -1)

    def _mark(self, part: Part) -> None:
        """An item of the provider's leaves: note it if it leaves without the reasoning before it."""
        self._judge(part.index)
        self._gone.add(part.index)
        before = part.index - 1
        if part.kind == "thinking":
            self._thought = part.index
        elif before in self._source.thoughts and before not in self._gone:
            self._notes.add("reasoning_dropped", "The reasoning before an item was dropped: send neither or both.")

    def _judge(self, index: int) -> None:
        """Find out whether an item leaves without the reasoning that it came with, or in place of another item.

        Under its own id the reasoning, or the other item, would be missed in the next turn.
        """
        thoughts, orders = self._source.thoughts, self._source.orders
        before = max((place for place in thoughts if place < index), default=-1)
        lost = index not in thoughts and before >= 0 and before not in self._gone
        self._bereft = lost
        if self._trailing and not lost:
            self._bereft = index != min((place for place in orders if place > self._thought), default=index)

    def _is_over(self, part: Part) -> bool:
        """True if the provider's content was written and ended, or its item was."""
        if part is self._part:
            return False
        begun = (part.index, part.start.content) in self._over
        return begun or (part.index in self._gone and self._item != part.index)

    def _release(self) -> None:
        """The reasoning is over, or what passed frame by frame: write what waited for that."""
        if not self._flows and self._kind != "thinking":
            for text in self._waiting.take():
                self._new_text(text)

    def _thinking(self, event: Thinking) -> None:
        part = event.part
        if part is None or (part is not self._part and self._is_over(part)):
            rule = "unsigned" if part is None else "unplaced"
            self._notes.add(rule, "Reasoning of another answer, or behind its item, was dropped.")
            return
        if event.edited:
            raise FrameError("Signed reasoning cannot be edited: pass or drop the whole part.")
        if part.start.whole:
            self._whole_item(event, "Thinking")
            return
        if part is not self._part and not self._is_first(event, part):
            raise FrameError("Signed reasoning was passed without its beginning: pass or drop the whole part.")
        self._enter(part)
        self._pieces += 1
        self._said.append(event.text)
        self._piece(event)

    def _whole_item(self, event: Event, what: str) -> None:
        part = event.part
        if part is not None and part.index in self._gone:
            self._notes.add("unplaced", f"{what} was written twice by a policy.")
            return
        self._shut(part)
        if part is not None:
            self._mark(part)
        self._trailing = isinstance(event, Thinking)
        self._whole(event)
        self._release()

    def _opaque(self, event: Opaque) -> None:
        part = event.part
        if part is None:
            self._notes.add("unplaced", f"{event.kind} of another answer was dropped.")
        elif part.kind == LOOSE:
            self._loose(event)
        elif event.whole:
            self._whole_item(event, event.kind)
        elif self._is_over(part) or (part is self._part and self._touched):
            self._notes.add("unplaced", f"{event.kind} of a text that was changed, or outside it, was dropped.")
        else:
            self._enter(part)
            self._pieces += 1
            self._piece(event)

    def _part_end(self, event: PartEnd) -> None:
        part = event.part
        if part is None:
            return
        if part is not self._part:
            if self._is_over(part) or not self._is_first(event, part):
                return
            self._enter(part)
        if part.kind == "thinking" and self._pieces != self._source.thoughts.get(part.index):
            raise FrameError("Signed reasoning was passed in part: pass or drop the whole part.")
        self._shut_content(event)
        self._release()

    def _end(self, event: End) -> None:
        if event.reason not in ("cut", "error"):
            self._shut(event.part)
        self._flows = False
        self._release()
        if event.reason not in ("cut", "error"):
            self._shut(None)
            self._complete()
        self._ended = True
        self._early = self._source.over is None
        self._finish(event)

    def _complete(self) -> None:
        """Put something behind reasoning that policies left nothing after, and is no answer of the provider's own."""
        source = self._source
        own = source.over is not None and max(source.orders, default=-1) == self._thought
        if self._trailing and not own:
            self._new_text(Text(EMPTY))
            self._shut(None)

    def _shut(self, by: Part | None) -> None:
        """End the open content and item, if there are any. `by` is the provider's next part, if that is the reason."""
        if self._kind:
            self._shut_content(None, by is not None)
        if self._item is not None:
            self._item = None
            self._stop_item()

    def _shut_content(self, event: PartEnd | None, known: bool = False) -> None:
        ended = self._stop(event, known)
        self._part, self._kind = None, ""
        if ended:
            self._item = None
