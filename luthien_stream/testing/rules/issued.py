"""What one provider has given out: it knows its own signatures, by exactly the text that they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from luthien_stream.core.sse import data_of

Json = dict[str, Any]
_SEALS = ("signature", "data", "encrypted_content", "encrypted_index", "encrypted_stdout")
"""Fields whose text only the provider can read, and knows again."""


class Issued:
    """Filled with the answers that were sent, whole or in part."""

    def __init__(self) -> None:
        self.thoughts: set[tuple[str, str]] = set()
        """Text and signature of each block of thinking."""
        self.leading: set[str] = set()
        """Signatures, or redacted data, of the thinking that began an answer."""
        self.seals: set[str] = set()
        """Everything else that is encrypted."""
        self.items: set[str] = set()
        """Ids of all items."""
        self.reasoning_of: dict[str, str] = {}
        """Id of an item to the id of the last reasoning before it."""
        self.item_after: dict[str, str] = {}
        """Id of a reasoning to the id of the item that came right after it."""

    def learn(self, form: str, sent: Sequence[bytes]) -> None:
        """Take the frames of one streamed answer, or its one body."""
        events = list(_parsed(sent))
        if form == "anthropic_messages":
            self._learn_blocks(list(_blocks(events)))
        elif form == "openai_responses":
            self._learn_items(list(_items(events)))

    def _learn_blocks(self, blocks: Sequence[Json]) -> None:
        for place, block in enumerate(blocks):
            self._learn_seals(block)
            seal = block.get("signature") or block.get("data")
            if block.get("type") == "thinking":
                self.thoughts.add((str(block.get("thinking")), str(seal)))
            if place == 0 and seal:
                self.leading.add(str(seal))

    def _learn_items(self, items: Sequence[Json]) -> None:
        before = reasoning = ""
        for item in items:
            self._learn_seals(item)
            id, thinks = str(item.get("id")), item.get("type") == "reasoning"
            self.items.add(id)
            if before:
                self.item_after[before] = id
            if reasoning and not thinks:
                self.reasoning_of[id] = reasoning
            before = id if thinks else ""
            reasoning = before or reasoning

    def _learn_seals(self, value: Any) -> None:
        if isinstance(value, dict):
            self.seals.update(value[name] for name in _SEALS if value.get(name) and isinstance(value[name], str))
        if isinstance(value, dict | list):
            for inner in value.values() if isinstance(value, dict) else value:
                self._learn_seals(inner)


def _parsed(sent: Iterable[bytes]) -> Iterator[Json]:
    for raw in sent:
        data = raw if raw.lstrip().startswith(b"{") else data_of(raw)
        try:
            event = msgspec.json.decode(data or b"null")
        except msgspec.DecodeError:
            continue
        if isinstance(event, dict):
            yield event


def _blocks(events: Iterable[Json]) -> Iterator[Json]:
    """The blocks of a message that are whole."""
    block: Json = {}
    for event in events:
        match event.get("type"):
            case "message":
                yield from event["content"]
            case "content_block_start":
                block = dict(event["content_block"])
            case "content_block_delta":
                delta = event["delta"]
                for name in ("thinking", "signature"):
                    block[name] = block.get(name, "") + delta.get(name, "")
                block.setdefault("citations", []).append(delta.get("citation"))
            case "content_block_stop":
                yield block


def _items(events: Iterable[Json]) -> Iterator[Json]:
    """The items of a response that are whole."""
    for event in events:
        if event.get("object") == "response":
            yield from event["output"]
        elif event.get("type") == "response.output_item.done":
            yield event["item"]
