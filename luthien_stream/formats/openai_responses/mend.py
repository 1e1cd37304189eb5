"""Histories with what policies made of answers, in a shape that OpenAI takes back."""

from __future__ import annotations

from msgspec import Raw

from luthien_stream.formats.errors import ProtocolError
from luthien_stream.formats.json import DROP, dump, edit, fields, items
from luthien_stream.formats.marks import CUT, OWN, is_marked
from luthien_stream.formats.openai_responses.items import MESSAGE, REASONING, Item, read_item


def mended(body: bytes) -> bytes:
    """The request without reasoning that was cut, or whose own item a policy took away; the same if there is none.

    Reasoning must be followed by what it led to, and what it led to is known by its id: that goes too.
    """
    if not is_marked(body):
        return body
    try:
        given = items(fields(body)["input"])
        known = [read_item(item) for item in given]
    except (ValueError, KeyError, ProtocolError):
        return body
    gone = _orphans(known)
    if not gone:
        return body
    kept: list[Raw] = []
    nameless = False
    for place, item in enumerate(given):
        if place in gone:
            nameless = True
            continue
        nameless = nameless and _is_answer(known[place])
        own = OWN in str(known[place].id) and known[place].type != REASONING
        renamed = nameless and known[place].id is not None and not own
        kept.append(Raw(edit(item, ("id",), DROP)) if renamed else item)
    return edit(body, ("input",), [Raw(dump(item)) for item in kept])


def _orphans(known: list[Item]) -> set[int]:
    """The places of reasoning that no provider takes back."""
    gone: set[int] = set()
    following = Item()
    for place in reversed(range(len(known))):
        item = known[place]
        if item.type == REASONING and (item.encrypted_content == CUT or OWN in str(following.id)):
            gone.add(place)
        else:
            following = item
    return gone


def _is_answer(item: Item) -> bool:
    """True for an item of a model's."""
    if item.type in ("", MESSAGE):
        return bool(item.role == "assistant")
    return not item.type.endswith(("_output", "_response"))
