"""Which calls are meant: by time, model, session, and a filter."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from luthien_stream.activity.store import Store
from luthien_stream.activity.where import where
from luthien_stream.record.filter import Filter


class Selection(Struct, frozen=True):
    """Calls of clients; draws and judges are not meant unless `children`. Times in microseconds since 1970."""

    since: int = 0
    until: int = 0
    model: str = ""
    session: str = ""
    query: Filter | None = None
    limit: int = 0
    """The newest so many; 0 for all."""
    children: bool = False


def condition(selection: Selection, first: int = 1) -> tuple[str, list[Any]]:
    """Return the selection as a condition over `calls`, with its parameters."""
    terms: list[str] = [] if selection.children else ["calls.parent = ''"]
    args: list[Any] = []

    def term(text: str, value: Any) -> None:
        args.append(value)
        terms.append(text.format(f"${first + len(args) - 1}"))

    if selection.since:
        term("calls.time >= {}", selection.since)
    if selection.until:
        term("calls.time < {}", selection.until)
    if selection.session:
        term("calls.session = {}", selection.session)
    if selection.model:
        pattern = re.sub(r"([%_\\])", r"\\\1", selection.model)
        term("calls.model LIKE {}", pattern.replace("*", "%").replace("?", "_"))
    if selection.query is not None:
        text, more = where(selection.query, first + len(args))
        args += more
        terms.append(f"({text})")
    return " AND ".join(terms) or "true", args


async def find_calls(store: Store, selection: Selection) -> list[str]:
    """Return the ids of the calls, oldest first."""
    text, args = condition(selection)
    newest = f" LIMIT {int(selection.limit)}" if selection.limit else ""
    rows = await store.select(f"SELECT calls.call_id FROM calls WHERE {text} ORDER BY calls.time DESC{newest}", *args)
    return [row["call_id"] for row in reversed(rows)]
