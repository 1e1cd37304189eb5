"""`luthien-stream tail --follow CALL`: both lanes of one call side by side, growing."""

from __future__ import annotations

import sys
from contextlib import aclosing
from typing import Any

from luthien_stream.bus import connect
from luthien_stream.cli.common import console, fail, note, print_json
from luthien_stream.cli.follow_lanes import Lanes, Said, Side, Transcript
from luthien_stream.cli.plain import SHORT_ID, preview, printable
from luthien_stream.events.json_form import to_json
from luthien_stream.tail.positions import Gap
from luthien_stream.tail.reading import Pause
from luthien_stream.tail.wanted import Wanted
from luthien_stream.tail.watching import Shown, Watching

_NAMES: dict[Side, str] = {"model": "model", "client": "delivered", "call": "call"}
_PATIENCE = 3
"""Looks at the log after its end was reached, before a call that is not there is given up."""


async def follow(url: str, call: str, *, as_json: bool) -> int:
    """Show a call, by the beginning of its id, until it has ended. Return the exit code."""
    bus, lanes = connect(url), Lanes()
    watching = Watching(bus, Wanted(call=call), since=0)
    view: Any = _Json() if as_json else _Columns() if console().is_terminal else _Lines()
    pauses = 0
    try:
        with view:
            async with aclosing(watching.events()) as events:
                async for each in events:
                    if isinstance(each, Pause):
                        pauses += watching.caught_up
                        if not lanes.call and pauses > _PATIENCE:
                            break
                        view.draw()
                    elif isinstance(each, Gap):
                        note(missing(each))
                    elif isinstance(each, Shown) and lanes.call in ("", each.seen.event.call):
                        view.event(each)
                        for said in lanes.hear(each.seen, each.facts):
                            view.add(said)
                    if lanes.ended:
                        break
    finally:
        await bus.close()
    if lanes.call:
        return 0
    return fail(f"nothing of a call {call} is in the log, or no longer: luthien-stream show {call[:SHORT_ID]}")


def missing(gap: Gap) -> str:
    """What a gap says to people."""
    if gap.entries is None:
        return "a stream has vanished; it may have had entries that nobody has read"
    return f"{gap.entries:,} entries of {gap.stream} were trimmed before they could be read"


class _Lines:
    """A line for each thing said, with its lane before it."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: object) -> None:
        return None

    def event(self, shown: Shown) -> None:
        """Nothing: what it says comes as words."""

    def add(self, said: Said) -> None:
        text = f'"{preview(said.text, 400)}"' if said.open else printable(said.text)
        sys.stdout.write(f"{_NAMES[said.side]:<9}  {text}\n")
        sys.stdout.flush()

    def draw(self) -> None:
        """Nothing more: lines are out at once."""


class _Json(_Lines):
    """The call's events, as CloudEvents."""

    def event(self, shown: Shown) -> None:
        print_json(to_json(shown.seen.event, shown.seen.src, shown.seen.entry))

    def add(self, said: Said) -> None:
        """Nothing: it is in the event."""


class _Columns(_Lines):
    """Two columns that grow, as high as the terminal, with the call's verdicts and ends below."""

    def __init__(self) -> None:
        from rich.live import Live

        self._sides: dict[Side, Transcript] = {side: Transcript() for side in _NAMES}
        self._live = Live(console=console(), auto_refresh=False, vertical_overflow="crop")

    def __enter__(self) -> None:
        self._live.start()

    def __exit__(self, *exc: object) -> None:
        self.draw()
        self._live.stop()

    def add(self, said: Said) -> None:
        self._sides[said.side].add(said)

    def draw(self) -> None:
        """Show what there is now."""
        self._live.update(self._table(), refresh=True)

    def _table(self) -> Any:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        out = console()
        width, height = max(10, (out.width - 8) // 2), max(4, out.height - 10)
        table = Table(box=SIMPLE_HEAD, expand=True, padding=(0, 1))
        for side in ("model", "client"):
            table.add_column("what the model said" if side == "model" else "what was delivered", ratio=1)
        cells = [Text("\n".join(self._sides[side].lines(width, height))) for side in ("model", "client")]
        table.add_row(*cells)
        table.caption = Text("\n".join(self._sides["call"].lines(out.width - 2, 5)), justify="left")
        return table
