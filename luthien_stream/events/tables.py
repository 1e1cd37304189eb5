"""The tables of fields in `schemas/worker-protocol.md`, made from the structs and written between the page's marks."""

from __future__ import annotations

import re
from collections.abc import Set
from typing import Any

import msgspec
from msgspec import Struct

from luthien_stream.events import log, pack
from luthien_stream.events.json_form import ENVELOPE


def with_tables(page: str) -> str:
    """Return the page with its tables written anew."""
    page = _between(page, "envelope", _table(log.LogEvent, without=frozenset({"extra"})))
    page = _between(page, "slip", "\n\n".join(_section(cls.__name__, cls, frozenset()) for cls in (log.Slip, log.Hop)))
    return _between(page, "events", "\n\n".join(_section(kind, cls, ENVELOPE) for kind, cls in pack.TYPES.items()))


def _between(page: str, mark: str, table: str) -> str:
    before, opening, rest = page.partition(f"<!-- {mark} -->\n")
    _, closing, after = rest.partition(f"<!-- /{mark} -->")
    return f"{before}{opening}{table}\n{closing}{after}"


def _section(title: str, cls: type[Struct], without: Set[str]) -> str:
    says = " ".join((cls.__doc__ or "").split())
    return f"### {title}\n\n{says}\n\n{_table(cls, without)}"


def _table(cls: type[Struct], without: Set[str]) -> str:
    rows = [_row(field) for field in msgspec.structs.fields(cls) if field.name not in without]
    return "\n".join(("| field | type | default |", "|---|---|---|", *rows))


def _row(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        default = "required"
    elif field.default_factory is not msgspec.NODEFAULT:
        default = f"`{field.default_factory()!r}`"
    else:
        default = f"`{field.default!r}`"
    return f"| `{field.encode_name}` | {_type_name(field.type)} | {default} |"


def _type_name(kind: Any) -> str:
    name = kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)
    return re.sub(r"typing\.|luthien_stream\.events\.\w+\.", "", name).replace("|", "or")
