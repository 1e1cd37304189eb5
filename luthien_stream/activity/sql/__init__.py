"""The SQL of the record: numbered migrations, and queries under `-- name:` headings in files `queries*.sql`."""

from __future__ import annotations

import re
from importlib.resources import files

from msgspec import Struct

_HEADING = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


class Migration(Struct, frozen=True):
    """One step of the schema; `number` is where it stands in the order."""

    number: int
    name: str
    sql: str


def _queries() -> dict[str, str]:
    found: dict[str, str] = {}
    for file in files(__package__).iterdir():
        if file.name.startswith("queries") and file.name.endswith(".sql"):
            _, *parts = _HEADING.split(file.read_text("utf-8"))
            found |= {name: sql.strip() for name, sql in zip(parts[::2], parts[1::2], strict=True)}
    return found


def migrations() -> list[Migration]:
    """Return all migrations in order."""
    found = []
    for file in files(__package__).iterdir():
        number, _, rest = file.name.partition("_")
        if number.isdigit() and rest.endswith(".sql"):
            found.append(Migration(int(number), rest.removesuffix(".sql"), file.read_text("utf-8")))
    return sorted(found, key=lambda migration: migration.number)


QUERIES = _queries()
"""SQL text by name."""
