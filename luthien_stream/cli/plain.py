"""Small readable forms that several commands print: times, sizes, ids, and text that came from outside."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from luthien_stream.tail.since import SECONDS, SPAN

SHORT_ID = 18
"""Characters of a call id that tell it from its neighbours; a prefix that `show` takes."""


def printable(text: str, *, lines: bool = False) -> str:
    """Return text from outside without control characters, which a terminal would obey; `lines` keeps line breaks."""
    return "".join(c if c.isprintable() or (lines and c in "\n\t") else _escaped(c) for c in text)


def preview(text: str, width: int = 80) -> str:
    """Return one line of at most `width` characters."""
    line = printable(text[: width + 1])
    return line if len(line) <= width else line[: width - 1] + "…"


def clock(microseconds: int) -> str:
    """Return a time of day, local, to the millisecond."""
    return datetime.fromtimestamp(microseconds / 1e6).strftime("%H:%M:%S.%f")[:-3]


def day_and_time(microseconds: int) -> str:
    """Return date and time, local."""
    return datetime.fromtimestamp(microseconds / 1e6).strftime("%Y-%m-%d %H:%M:%S")


def when(microseconds: int) -> str:
    """Return the time of day if it is today's, else date and time, local."""
    then = datetime.fromtimestamp(microseconds / 1e6)
    return then.strftime("%H:%M:%S" if then.date() == datetime.now().date() else "%Y-%m-%d %H:%M:%S")


def iso(microseconds: int) -> str:
    """Return the time in ISO 8601, UTC, as `--json` prints it."""
    return datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def span(microseconds: int | None) -> str:
    """Return a duration for people; empty if there is none."""
    if microseconds is None:
        return ""
    if microseconds < 1_000_000:
        return f"{microseconds / 1000:.1f} ms" if microseconds < 100_000 else f"{microseconds / 1000:.0f} ms"
    return f"{microseconds / 1e6:.1f} s"


def milliseconds(microseconds: int | None) -> float | None:
    """Return a duration as `--json` prints it."""
    return None if microseconds is None else microseconds / 1000


def size(count: int) -> str:
    """Return a number of bytes for people."""
    return f"{count} B" if count < 1000 else f"{count / 1000:.1f} kB" if count < 1_000_000 else f"{count / 1e6:.1f} MB"


def cost(value: float | None, estimated: bool | None) -> str:
    """A cost in USD; `~` where it is an estimate; empty where no price is known."""
    return "" if value is None else f"{'~' if estimated else ''}${value:.4f}"


def seconds(text: str) -> float:
    """The value of a flag that is a span: `30s`, `15m`, `2h`, `1d`."""
    span = SPAN.fullmatch(text.strip())
    if span is None or int(span[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no span of time: write 15m, or 1h")
    return float(int(span[1]) * SECONDS[span[2]])


def _escaped(character: str) -> str:
    return {"\n": "⏎", "\t": " "}.get(character) or character.encode("unicode_escape", "backslashreplace").decode()
