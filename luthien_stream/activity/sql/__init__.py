"""The SQL of the record: numbered migrations, and queries under `-- name:` headings, read once from the package."""

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
    _, *parts = _HEADING.split(files(__package__).joinpath("queries.sql").read_text("utf-8"))
    return {name: sql.strip() for name, sql in zip(parts[::2], parts[1::2], strict=True)}


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
